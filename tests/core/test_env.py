"""The environment contract and its combinators, on an environment that counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core.env import Box, Discrete, Env, JaxEnvs, Space, Step, auto_reset, clip_actions, time_limit


def counter(terminates_at) -> Env:
    """The observation is the number of steps taken, plus a random tenth that tells episodes apart."""

    def reset(key):
        state = jnp.stack([jnp.float32(0), jax.random.uniform(key, maxval=0.1)])
        return state, state.sum(keepdims=True)

    def step(key, state, action):
        state = state + jnp.array([1.0, 0.0])
        obs = state.sum(keepdims=True)
        return state, Step(obs, action.astype(jnp.float32), state[0] >= terminates_at, jnp.bool_(False), obs)

    return Env(reset, step, Space(Box((1,)), Discrete(2)))


def play(env: Env, steps: int, action=1) -> Step:
    def one(state, key):
        return env.step(key, state, jnp.asarray(action))

    state, _ = env.reset(jax.random.key(0))
    return jax.jit(lambda keys: jax.lax.scan(one, state, keys)[1])(jax.random.split(jax.random.key(1), steps))


@pytest.mark.parametrize(
    ("box", "bounded"),
    [
        (Box((2,), -1.0, 1.0), True),
        (Box((2,), (-1.0, -2.0), (1.0, 2.0)), True),
        (Box((2,), (-1.0, -float("inf")), 1.0), False),
        (Box((2,), -1.0), False),
        (Box((2,)), False),
    ],
)
def test_bounded_means_finite_everywhere(box, bounded):
    assert box.bounded is bounded


LIMITS = [1, 2, 3, 5]
ENDS = np.arange(1.0, 7, dtype=np.float32)


@pytest.mark.parametrize("limit", LIMITS)
def test_limit_truncates_unless_the_task_ended(limit):
    out = jax.vmap(lambda end: play(time_limit(counter(end), limit), limit))(ENDS)
    for end, terminated, truncated in zip(ENDS, out.terminated, out.truncated, strict=True):
        np.testing.assert_array_equal(terminated[: int(end) - 1], False)
        np.testing.assert_array_equal(truncated[:-1], False)
        assert terminated[-1] == (end <= limit)
        assert truncated[-1] == (limit < end)


@pytest.mark.parametrize("limit", LIMITS)
def test_auto_reset_starts_anew_in_the_step_that_ends(limit):
    steps = 13
    out = jax.vmap(lambda end: play(auto_reset(time_limit(counter(end), limit)), steps))(ENDS)
    for i, end in enumerate(ENDS):
        length = min(limit, end)
        step_of_episode = np.arange(steps) % length + 1
        over = step_of_episode == length
        np.testing.assert_array_equal(out.terminated[i], over & (end <= limit))
        np.testing.assert_array_equal(out.truncated[i], over & (limit < end))
        np.testing.assert_array_equal(np.floor(out.last_obs[i, :, 0]), step_of_episode)
        np.testing.assert_array_equal(np.floor(out.obs[i, :, 0]), np.where(over, 0, step_of_episode))


def test_every_episode_draws_its_own_start():
    starts = play(auto_reset(counter(1)), 20).obs[:, 0]
    assert len(np.unique(starts)) == 20


def test_clipped_actions_reach_the_environment_and_rewards_show_it():
    env = counter(100)
    boxed = env._replace(
        space=env.space._replace(action=Box((1,), -0.5, 0.25)),
        step=lambda key, state, action: env.step(key, state, action[0]),
    )
    assert play(clip_actions(boxed), 1, [3.0]).reward[0] == np.float32(0.25)
    assert play(clip_actions(boxed), 1, [-3.0]).reward[0] == np.float32(-0.5)
    assert play(clip_actions(boxed), 1, [0.125]).reward[0] == np.float32(0.125)


def test_copies_are_counted_in_the_space():
    assert JaxEnvs("counter", counter(1), 7).space == Space(Box((1,)), Discrete(2), 7)
