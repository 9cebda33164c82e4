"""The EnvPool adapter against bare pools stepped by hand, and against our own CartPole."""

import envpool
import jax
import numpy as np
import pytest

from theodolite.core.errors import UserError
from theodolite.envs import classic, host_spaces
from theodolite.envs.checker import check
from theodolite.envs.envpool_adapter import EnvPoolEnvs


def play(envs: EnvPoolEnvs, actions: np.ndarray, seed: int = 0) -> list[np.ndarray]:
    """The first observations and the five fields of every step, stacked over time."""
    first = envs.reset(seed)
    return [first, *map(np.stack, zip(*(envs.step(a) for a in actions), strict=True))]


def random_actions(envs: EnvPoolEnvs, steps: int) -> np.ndarray:
    draw = np.random.default_rng(0)
    shape = getattr(envs.space.action, "shape", None)
    lead = (steps, envs.num_envs)
    return (
        draw.integers(envs.space.action.num, size=lead) if shape is None else draw.uniform(-1.0, 1.0, (*lead, *shape))
    )


@pytest.mark.filterwarnings("ignore:.*precision lowered.*:UserWarning")  # of the bare pool
@pytest.mark.parametrize(("id", "limit"), [("Hopper-v5", 20), ("CartPole-v1", 20), ("LunarLander-v3", 70)])
def test_every_copy_is_a_bare_pool_stepped_by_hand_without_its_dead_steps(id, limit):
    """The pool of one has a far limit: the step after an end is its own reset; at our limit one is asked for."""
    seed, copies, steps = 5, 3, 160
    envs = EnvPoolEnvs(id, copies, max_episode_steps=limit)
    actions = random_actions(envs, steps)
    first, obs, reward, terminated, truncated, last_obs = play(envs, actions, seed)
    assert terminated.any() and truncated.any()
    for copy, own_seed in enumerate(host_spaces.seeds(seed, copies)):
        pool = envpool.make_gymnasium(id, num_envs=1, num_threads=1, seed=[own_seed], max_episode_steps=10_000)
        np.testing.assert_array_equal(pool.reset()[0].astype(np.float32)[0], first[copy])
        age = 0
        for t in range(steps):
            seen, gain, ends, _, _ = pool.step(actions[t, copy : copy + 1])
            age += 1
            np.testing.assert_array_equal(seen.astype(np.float32)[0], last_obs[t, copy])
            assert (np.float32(gain[0]), ends[0]) == (reward[t, copy], terminated[t, copy])
            assert truncated[t, copy] == (age == limit and not ends[0])
            if ends[0]:
                seen = pool.step(actions[t, copy : copy + 1])[0]
            elif age == limit:
                seen = pool.reset(np.array([0], np.int32))[0]
            age = 0 if ends[0] or age == limit else age
            np.testing.assert_array_equal(seen.astype(np.float32)[0], obs[t, copy])


def test_cartpole_is_ours_in_every_step_so_that_none_is_dead():
    envs = EnvPoolEnvs("envpool/CartPole-v1", 4, max_episode_steps=30)
    actions = random_actions(envs, 200)
    first, obs, reward, terminated, _, last_obs = play(envs, actions)
    before = np.concatenate([first[None], obs[:-1]]).reshape(-1, 4)
    keys = jax.random.split(jax.random.key(0), len(before))
    _, ours = jax.vmap(classic.cartpole().step)(keys, before, actions.reshape(-1))
    np.testing.assert_allclose(ours.last_obs, last_obs.reshape(-1, 4), atol=1e-5)
    np.testing.assert_array_equal(ours.terminated, terminated.reshape(-1))
    np.testing.assert_array_equal(reward, 1)


def test_an_end_in_the_very_step_of_the_limit_is_a_termination():
    always_right = np.ones((30, 2), int)
    _, _, _, terminated, truncated, _ = play(EnvPoolEnvs("envpool/CartPole-v1", 2), always_right)
    assert not truncated.any()
    for copy in range(2):
        end = int(np.argmax(terminated[:, copy])) + 1
        for limit in (end - 1, end):
            out = play(EnvPoolEnvs("envpool/CartPole-v1", 2, max_episode_steps=limit), always_right)
            assert out[3][limit - 1, copy] == (limit == end)
            assert out[4][limit - 1, copy] == (limit < end)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_seed_gives_its_stream_again_and_neighbours_share_none(threads):
    envs = EnvPoolEnvs("Hopper-v5", 4, num_threads=threads)
    actions = random_actions(envs, 60)
    streams = [play(envs, actions, seed) for seed in (3, 3, 4)]
    single = play(EnvPoolEnvs("Hopper-v5", 4, num_threads=1), actions, 3)
    for a, b, c in zip(streams[0], streams[1], single, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    starts = np.concatenate([streams[0][0], streams[2][0]])
    assert len(np.unique(starts, axis=0)) == 8


def test_the_id_s_own_limit_holds_without_options():
    envs = EnvPoolEnvs("envpool/Pendulum-v1", 1)
    *_, terminated, truncated, _ = play(envs, np.zeros((400, 1, 1), np.float32))
    assert not terminated.any()
    np.testing.assert_array_equal(np.flatnonzero(truncated), [199, 399])


def test_a_task_without_a_limit_ends_by_itself_alone():
    _, _, _, terminated, truncated, _ = play(EnvPoolEnvs("envpool/Blackjack-v1", 2), np.zeros((9, 2), int))
    assert terminated.all() and not truncated.any()


def test_actions_outside_the_box_count_as_its_edge():
    far, edge = np.full((5, 2, 3), 9.0), np.ones((5, 2, 3))
    for a, b in zip(play(EnvPoolEnvs("Hopper-v5", 2), far), play(EnvPoolEnvs("Hopper-v5", 2), edge), strict=True):
        np.testing.assert_array_equal(a, b)


def test_atari_gives_bytes_and_a_cut_game_starts_anew():
    envs = EnvPoolEnvs("Pong-v5", 2, max_episode_steps=5)
    assert (envs.space.obs.shape, envs.space.obs.dtype, envs.space.action.num) == ((84, 84, 4), "uint8", 6)
    _, obs, reward, terminated, truncated, last_obs = play(envs, random_actions(envs, 15))
    assert obs.dtype == last_obs.dtype == np.uint8
    assert reward.dtype == np.float32
    assert not terminated.any()
    np.testing.assert_array_equal(np.flatnonzero(truncated[:, 0]), [4, 9, 14])
    assert (obs[4] != last_obs[4]).any()
    np.testing.assert_array_equal(obs[5, ..., :3], obs[4, ..., 1:])  # the stack of frames goes on


def test_a_lost_life_ends_an_episode_and_the_game_goes_on():
    games = [EnvPoolEnvs("envpool/Breakout-v5", 1, episodic_life=each) for each in (False, True)]
    actions = random_actions(games[0], 700)
    (_, _, whole, ends, *_), (_, obs, lives, lost, _, last_obs) = (play(envs, actions) for envs in games)
    assert ends.any() and lost.sum() >= 4 * ends.sum()
    first = int(np.argmax(lost[:, 0]))
    bricks = slice(20, 45)  # a new game would have all of them again
    np.testing.assert_array_equal(obs[first, 0, bricks, :, -1], last_obs[first, 0, bricks, :, -1])
    assert (obs[first, 0] != last_obs[first, 0]).any() and whole[: first + 1].sum() == lives[: first + 1].sum()


def test_discrete_observations_become_one_hot():
    _, obs, *_ = play(EnvPoolEnvs("FrozenLake-v1", 2), np.zeros((20, 2), int))
    assert obs.shape == (20, 2, 16)
    np.testing.assert_array_equal(obs.sum(-1), 1)


def test_bad_requests_are_explained():
    with pytest.raises(UserError, match=r"'HopperHop-v1' has observations of type Dict .* EnvPool has no wrappers"):
        EnvPoolEnvs("HopperHop-v1")
    with pytest.raises(UserError, match=r"no option 'frame_skipp'\. Did you mean frame_skip"):
        EnvPoolEnvs("Hopper-v5", frame_skipp=2)
    with pytest.raises(UserError, match=r"frame_skip='two'.* Check the type"):
        EnvPoolEnvs("Hopper-v5", frame_skip="two")
    with pytest.raises(UserError, match=r"before reset\(seed\)"):
        EnvPoolEnvs("Hopper-v5").step(np.zeros((1, 3)))


def test_a_closed_pool_can_be_reset():
    envs = EnvPoolEnvs("envpool/CartPole-v1", 2)
    first = envs.reset(1)
    envs.close()
    envs.close()
    np.testing.assert_array_equal(envs.reset(1), first)


@pytest.mark.parametrize(
    "id", ["Hopper-v5", "HalfCheetah-v5", "envpool/CartPole-v1", "FrozenLake-v1", "LunarLander-v3"]
)
def test_the_contract_holds(id):
    check(EnvPoolEnvs(id, 3), steps=120)
