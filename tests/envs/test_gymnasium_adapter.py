"""The Gymnasium adapter on environments that count, fail and show odd spaces, and on real ones."""

from importlib import import_module
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from theodolite.control import ppo
from theodolite.core.env import Box, Discrete
from theodolite.core.errors import UserError
from theodolite.core.normalise import normalise_obs
from theodolite.core.train import train
from theodolite.envs.checker import check
from theodolite.envs.gymnasium_adapter import GymnasiumEnvs
from theodolite.envs.registry import make

import_module("own_environments")  # registers them

# Gymnasium warns of what OwnCounter does on purpose
pytestmark = pytest.mark.filterwarnings("ignore:.*share an object.*:UserWarning")


def play(envs: GymnasiumEnvs, actions: np.ndarray, seed: int = 0) -> list[np.ndarray]:
    """The first observations and the five fields of every step, stacked over time."""
    first = envs.reset(seed)
    return [first, *map(np.stack, zip(*(envs.step(a) for a in actions), strict=True))]


@pytest.mark.parametrize(("ends_at", "length", "terminates"), [(3, 3, True), (4, 4, True), (9, 4, False)])
def test_ends_are_told_apart_and_no_transition_is_dead(ends_at, length, terminates):
    """The limit of the id is 4: an end of the task at 3 and at 4 is a termination, one at 9 is never reached."""
    envs = GymnasiumEnvs("OwnCounter-v0", 2, ends_at=ends_at)
    steps = 3 * length + 1
    _, obs, reward, terminated, truncated, last_obs = play(envs, np.zeros((steps, 2), int))
    taken = np.arange(steps) % length + 1
    over = taken == length
    for copy in range(2):
        np.testing.assert_array_equal(reward[:, copy], taken)  # every step counts, so none was spent on a reset
        np.testing.assert_array_equal(terminated[:, copy], over & terminates)
        np.testing.assert_array_equal(truncated[:, copy], over & (not terminates))
        np.testing.assert_array_equal(last_obs[:, copy, 0], taken)  # true although the reset overwrites it in place
        np.testing.assert_array_equal(obs[:, copy, 0], np.where(over, 0, taken))
        np.testing.assert_array_equal(obs[:, copy, 1], last_obs[:, copy, 1] + over)
    assert obs.dtype == last_obs.dtype == reward.dtype == np.float32


def test_actions_reach_the_environment_shifted_clipped_and_cast():
    envs = GymnasiumEnvs("OwnCounter-v0", 1)
    envs.reset(0)
    envs.step(np.array([0], np.int32))
    envs.step(np.array([1], np.int32))
    assert envs.space.action == Discrete(2)
    assert envs._envs.envs[0].unwrapped.actions == [5, 6]
    box = spaces.Box(np.array([-1.0, 0.0]), np.array([1.0, 2.0]), dtype=np.float64)
    envs = GymnasiumEnvs("OwnCounter-v0", 1, action_space=box)
    envs.reset(0)
    envs.step(np.array([[-3.0, 3.0]], np.float32))
    (seen,) = envs._envs.envs[0].unwrapped.actions
    assert envs.space.action == Box((2,), (-1.0, 0.0), (1.0, 2.0))
    assert seen.dtype == np.float64
    np.testing.assert_array_equal(seen, [-1.0, 2.0])


def test_the_final_observation_is_that_of_the_original():
    seed, copies, length = 7, 3, 80
    envs = GymnasiumEnvs("gymnasium/CartPole-v1", copies, max_episode_steps=15)
    actions = np.random.default_rng(0).integers(2, size=(length, copies))
    first, obs, _, terminated, truncated, last_obs = play(envs, actions, seed)
    assert terminated.any() and truncated.any()
    for copy, own_seed in enumerate(envs._envs.np_random_seed):
        original = gymnasium.make("CartPole-v1", max_episode_steps=15)
        np.testing.assert_array_equal(original.reset(seed=own_seed)[0], first[copy])
        for t in range(length):
            seen, _, ends, cut, _ = original.step(actions[t, copy])
            np.testing.assert_array_equal(seen, last_obs[t, copy])
            assert (ends, cut and not ends) == (terminated[t, copy], truncated[t, copy])
            now = original.reset()[0] if ends or cut else seen
            np.testing.assert_array_equal(now, obs[t, copy])


def test_a_seed_gives_its_stream_again_and_neighbours_share_none():
    envs = GymnasiumEnvs("OwnNoisy-v0", 4)
    actions = np.random.default_rng(0).normal(size=(30, 4, 2))
    streams = [play(envs, actions, seed) for seed in (3, 3, 4)]
    for a, b in zip(streams[0], streams[1], strict=True):
        np.testing.assert_array_equal(a, b)
    starts = np.concatenate([streams[0][0], streams[2][0]])
    assert len(np.unique(starts, axis=0)) == 8


def test_discrete_observations_become_one_hot_and_images_stay_bytes():
    envs = GymnasiumEnvs("OwnShows-v0", 2, observation_space=spaces.Discrete(3, start=-1, seed=0))
    _, obs, *_ = play(envs, np.zeros((40, 2), int))
    assert envs.space.obs == Box((3,), 0.0, 1.0)
    np.testing.assert_array_equal(obs.sum(-1), 1)
    assert (obs.sum((0, 1)) > 0).all()
    image = spaces.Box(0, 255, (2, 2, 3), np.uint8, seed=0)
    envs = GymnasiumEnvs("OwnShows-v0", 2, observation_space=image)
    assert envs.space.obs == Box((2, 2, 3), 0.0, 255.0, "uint8")
    assert envs.reset(0).dtype == np.uint8


@pytest.mark.parametrize(
    "space",
    [
        spaces.Dict({"a": spaces.Box(0, 1, (2,)), "b": spaces.Discrete(2)}),
        spaces.Tuple([spaces.Discrete(2), spaces.Discrete(3)]),
        spaces.MultiDiscrete([2, 3]),
        spaces.Text(3),
    ],
)
def test_composite_observations_are_refused_with_what_to_wrap(space):
    with pytest.raises(UserError, match=rf"'OwnShows-v0' has observations of type {type(space).__name__} .*Flatten"):
        GymnasiumEnvs("OwnShows-v0", 1, observation_space=space)


@pytest.mark.parametrize(
    "space",
    [spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(2), spaces.Dict({"a": spaces.Discrete(2)}),
     spaces.Box(0, 5, (2,), np.int32)],
)  # fmt: skip
def test_composite_actions_are_refused_with_what_to_wrap(space):
    with pytest.raises(UserError, match=rf"takes actions of type {type(space).__name__} .*YourActionWrapper"):
        GymnasiumEnvs("OwnShows-v0", 1, observation_space=spaces.Discrete(2), action_space=space)


def test_an_exception_of_the_environment_keeps_its_own_traceback():
    envs = GymnasiumEnvs("OwnCounter-v0", 2, fails_at=2)
    envs.reset(0)
    envs.step(np.zeros(2, int))
    with pytest.raises(ZeroDivisionError, match="the user's own bug") as caught:
        envs.step(np.zeros(2, int))
    assert Path(caught.traceback[-1].path).name == "own_environments.py"


def test_an_exception_in_the_constructor_passes_but_unknown_options_are_named():
    with pytest.raises(UserError, match="no option 'ends_att'"):
        GymnasiumEnvs("OwnCounter-v0", 1, ends_att=3)
    with pytest.raises(TypeError, match="observation_space"):
        GymnasiumEnvs("OwnShows-v0", 1)


def test_stepping_before_reset_and_odd_vectorisation_are_user_errors():
    with pytest.raises(UserError, match=r"before reset\(seed\)"):
        GymnasiumEnvs("OwnCounter-v0", 1).step(np.zeros(1, int))
    with pytest.raises(UserError, match="vectorization = 'threads'"):
        GymnasiumEnvs("OwnCounter-v0", 1, vectorization="threads")


def test_processes_give_the_same_stream_as_one_loop():
    actions = np.random.default_rng(0).normal(size=(12, 2, 2))
    streams = []
    for how in ("sync", "async"):
        envs = make("own_environments:OwnNoisy-v0", 2, vectorization=how)
        streams.append(play(envs, actions))
        envs.close()
    for a, b in zip(*streams, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "id", ["gymnasium/CartPole-v1", "gymnasium/Pendulum-v1", "gymnasium/FrozenLake-v1", "own_environments:OwnNoisy-v0",
           "own_environments:OwnCounter-v0"],
)  # fmt: skip
def test_the_contract_holds(id):
    if id.endswith("OwnCounter-v0"):
        with pytest.raises(UserError, match="the first observation differs"):  # it counts episodes across resets
            check(make(id, 3))
    else:
        check(make(id, 3))


@pytest.mark.parametrize(
    "space", [spaces.Box(0, 255, (4,), np.uint8, seed=0), spaces.Box(-1, 1, (4,), np.float64, seed=0)]
)
def test_agents_learn_from_bytes_and_from_doubles(space):
    envs = GymnasiumEnvs("OwnShows-v0", 2, observation_space=space, max_episode_steps=3)
    config = ppo.Config(rollout=4, epochs=1, minibatches=1, hidden=(4,))
    (chunk,) = train(lambda c: normalise_obs(ppo.agent(c)), config, envs, updates=1, every=1)
    moments = chunk.carry.agent.moments
    assert envs.reset(0).dtype == (np.uint8 if space.dtype == np.uint8 else np.float32)
    assert moments.count == 8 and (np.abs(moments.mean[0]) > 0).all()
    assert np.isfinite(chunk.metrics["policy_loss"]).all()
