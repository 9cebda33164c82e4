"""The option in force as a part of what is seen: through both drivers, forgotten at ends, hidden from others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core import options
from theodolite.core.agent import Agent, Batch
from theodolite.core.drive import collect, start
from theodolite.core.env import Box, Discrete, JaxEnvs, Space, Step, auto_reset, time_limit
from theodolite.core.errors import UserError
from theodolite.core.evaluate import episode_scores, record
from theodolite.core.normalise import normalise_obs
from theodolite.envs import classic, minatar
from theodolite.intent.learned_reward import paid_by

W, NUM = 3, 2
CARTPOLE = JaxEnvs("CartPole-v1", auto_reset(time_limit(classic.cartpole(), 3)), 2)
COUNTING = Agent(
    init=lambda key, space: jnp.zeros(space.obs.shape),
    act=lambda s, obs, key: (following(obs), jnp.zeros(obs.shape[:-1])),
    update=lambda s, batch, key: (s, {"first": batch.obs[0, 0]}),
    mode=lambda s, obs: following(obs),
    log_prob=lambda s, obs, action: jnp.zeros(action.shape),
    rollout=7,
    options=W,
)


def following(obs):
    """Always the next option after the one in force, with the action that is its parity; the first at a start."""
    marks = obs[..., -W:]
    option = jnp.where(marks.sum(-1) > 0, (jnp.argmax(marks, -1) + 1) % W, 0).astype(jnp.int32)
    return option * NUM + option % NUM


class Scripted:
    """A host environment of images that pays its action; its copies end at every second and every third step."""

    def __init__(self):
        self.id, self.num_envs, self.space = "scripted", 2, Space(Box((4, 5, 1), 0.0, 255.0, "uint8"), Discrete(NUM), 2)
        self.t = 0

    def reset(self, seed):
        return np.zeros((2, 4, 5, 1), np.uint8)

    def step(self, action):
        self.t += 1
        ends = np.array([self.t % 2 == 0, self.t % 3 == 0])
        obs = np.full((2, 4, 5, 1), self.t, np.uint8)
        assert action.max() < NUM
        return Step(obs, action.astype(np.float32), ends, np.zeros(2, bool), obs.copy())

    def close(self):
        self.t = -1


def test_marks_follow_the_options_and_start_anew_with_an_episode():
    carry = start(COUNTING, CARTPOLE, jax.random.key(0))
    _, batch = jax.jit(lambda carry: collect(COUNTING, CARTPOLE, carry, jax.random.key(1)))(carry)
    option = np.asarray(batch.action) // NUM
    np.testing.assert_array_equal(option[:, 0], [0, 1, 2, 0, 1, 2, 0])  # episodes of three steps
    np.testing.assert_array_equal(batch.truncated[:, 0], [0, 0, 1, 0, 0, 1, 0])
    np.testing.assert_array_equal(batch.last_obs[..., -W:], np.eye(W)[option])  # also where an episode ended
    np.testing.assert_array_equal(batch.obs[0, :, -W:], 0)
    np.testing.assert_array_equal(batch.obs[3, :, -W:], 0)
    np.testing.assert_array_equal(batch.obs[1, :, -W:], np.eye(W)[option[0]])
    assert carry.agent.shape == (4,), "init gets the environment's own space"
    np.testing.assert_allclose(batch.obs[1:3, ..., :-W], batch.last_obs[:2, ..., :-W])


def test_a_host_environment_shows_planes_and_gets_its_own_actions():
    envs = options.HostOptions(Scripted(), W)
    assert envs.space == Space(Box((4, 5, 4), 0.0, 255.0, "uint8"), Discrete(W * NUM), 2)
    obs = envs.reset(0)
    assert obs.shape == (2, 4, 5, 4) and obs.dtype == np.uint8 and not obs[..., 1:].any()
    for t, action in enumerate(([3, 5], [0, 2]), 1):
        out = envs.step(np.array(action))
        np.testing.assert_array_equal(out.reward, np.array(action) % NUM)
        for copy in range(2):
            mark = np.eye(W)[action[copy] // NUM]
            np.testing.assert_array_equal(out.last_obs[copy, ..., 1:], np.broadcast_to(mark, (4, 5, W)))
            np.testing.assert_array_equal(out.obs[copy, 2, 3, 1:], mark if (t, copy) != (2, 0) else 0)
        assert (out.obs[..., 0] == t).all()
    own, marks = options.split(jnp.asarray(out.last_obs), W, 3)
    assert own.shape == (2, 4, 5, 1) and marks.tolist() == [[1, 0, 0], [0, 1, 0]]


def test_episodes_are_kept_as_the_environment_knows_them():
    policy = lambda obs, key: following(obs if obs.ndim == 2 else obs[:, 0, 0])  # noqa: E731
    for envs, shape in ((CARTPOLE, (4, 4)), (Scripted(), (3, 4, 5, 1))):
        episode = record(policy, envs, 1, options=W)[0]
        assert episode.obs.shape == shape
        np.testing.assert_array_equal(episode.action, [0, 1, 0][: len(episode.action)])
    total, length = jax.jit(lambda key: episode_scores(policy, CARTPOLE, key, W))(jax.random.key(0))
    np.testing.assert_array_equal(total, 3)
    np.testing.assert_array_equal(length, 3)


def test_wrappers_carry_options_on_and_leave_the_marks_alone():
    agent = normalise_obs(COUNTING)
    assert agent.options == W
    s = agent.init(jax.random.key(0), CARTPOLE.space)
    rng = np.random.default_rng(0)
    obs = options.join(rng.normal(2, 3, (6, 2, 4)).astype(np.float32), np.tile(np.arange(6)[:, None] % 4 - 1, 2), W)
    batch = Batch(jnp.asarray(obs), jnp.full((6, 2), 5), *[jnp.zeros((6, 2))] * 4, jnp.asarray(obs))
    s, _ = agent.update(s, batch, jax.random.key(0))
    np.testing.assert_allclose(s.moments.mean, obs[..., :4].mean((0, 1)), rtol=1e-5)
    _, seen = agent.update(s, batch, jax.random.key(0))
    standard = (obs[0, 0, :4] - s.moments.mean) / np.sqrt(s.moments.variance)
    np.testing.assert_allclose(seen["first"][:4], standard, rtol=1e-3)
    np.testing.assert_array_equal(seen["first"][4:], obs[0, 0, 4:])
    paid = paid_by(lambda seen: seen.obs[..., -1] + seen.action, COUNTING, CARTPOLE.space)
    _, metrics = paid.update(None, batch, jax.random.key(0))
    np.testing.assert_allclose(metrics["learned_reward"], obs[..., 3].mean() + 1, rtol=1e-5)
    assert paid.options == W


def test_who_compares_with_demonstrations_refuses_options():
    with pytest.raises(UserError, match="the learner has 3 options, expected none: GAIL compares"):
        options.refuse(COUNTING, "GAIL")
    options.refuse(COUNTING._replace(options=0), "GAIL")


def test_spaces_that_cannot_show_options_are_refused():
    with pytest.raises(UserError, match="expected a choice among some"):
        options.seen_space(Space(Box((2,)), Box((1,), -1.0, 1.0)), 2)
    with pytest.raises(UserError, match=r"the shape \(\), expected vectors"):
        options.seen_space(Space(Box(()), Discrete(2)), 2)
    same = minatar.env("Breakout").space
    assert options.seen_space(same, 0) == same and options.with_options(CARTPOLE, 0) is CARTPOLE
    bounds = options.seen_space(CARTPOLE.space, 1).obs
    assert bounds.low[-2:] == (-np.inf, 0.0) and bounds.high[-1] == 1.0
