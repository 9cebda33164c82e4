"""What learners from replay share: what is remembered, when they start, and how far values may go."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.control import off_policy
from theodolite.core import replay
from theodolite.core.agent import Batch
from theodolite.core.env import Box, Discrete, Space

SPACE = Space(Box((1,), -1.0, 1.0), Discrete(2), num_envs=2)


def batch(reward: float) -> Batch:
    """Two steps of two environments."""
    zeros, never, obs = jnp.zeros((2, 2)), jnp.zeros((2, 2), bool), jnp.zeros((2, 2, 1))
    return Batch(obs, jnp.zeros((2, 2), jnp.int32), zeros, zeros + reward, never, never, obs)


@pytest.fixture
def remembered() -> off_policy.Memory:
    m = off_policy.Memory(replay.empty(SPACE, 8, 2), jnp.int32(0), jnp.float32(0))
    return off_policy.remember(off_policy.remember(m, batch(-3.0)), batch(2.0))


def test_memory_counts_steps_and_keeps_the_largest_size_of_a_reward(remembered):
    assert remembered.steps == replay.held(remembered.replay) == 8 and remembered.largest_reward == 3
    paid = off_policy.repay(remembered, lambda rows: rows.reward / 6)
    assert paid.largest_reward == 0.5 and paid.steps == 8
    np.testing.assert_allclose(paid.replay.rows.reward, remembered.replay.rows.reward / 6)


@pytest.mark.parametrize(("starts", "taken"), [(0, 3), (8, 3), (9, 0)])
def test_steps_wait_until_enough_is_remembered(remembered, starts, taken):
    one = lambda now, key: (now + 1, {"now": now})  # noqa: E731
    now, m = off_policy.learn(remembered, jnp.int32(0), jax.random.key(0), one, steps=3, starts=starts)
    assert now == taken and m["now"].shape == (3,)


def test_excess_compares_with_the_largest_reward_for_ever():
    largest = jnp.array([3.0, 50.0])
    np.testing.assert_allclose(off_policy.excess(largest, jnp.float32(2), 0.9), 2.5, rtol=1e-5)
    assert off_policy.excess(largest, jnp.float32(0), 0.9) == 0
