"""Moments against NumPy over arbitrary splits; the wrappers against an agent that shows what it was given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theodolite.core import normalise
from theodolite.core.agent import Agent, Batch
from theodolite.core.env import Box, Discrete, Space

ROWS = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32) * [1, 10, 0.1] + np.float32([5, -100, 0])
ROWS = ROWS.astype(np.float32)


def close(m, x, rtol=1e-4):
    x = np.float64(x).reshape(-1, *m.mean.shape)
    np.testing.assert_allclose(m.mean, x.mean(0), rtol=rtol, atol=1e-5)
    np.testing.assert_allclose(m.variance, x.var(0), rtol=rtol, atol=1e-6)
    assert m.count == len(x)


@jax.jit
def merge_part(m, padded, count):
    return normalise.merge(m, normalise.moments_of(padded, count))


@given(st.lists(st.integers(1, 59), unique=True, max_size=20))
@settings(max_examples=100, deadline=None)
def test_merging_parts_gives_the_moments_of_the_whole(cuts):
    m = normalise.no_moments((3,))
    for part in np.split(ROWS, sorted(cuts)):
        m = merge_part(m, np.resize(part, ROWS.shape), len(part))  # padded by repetition, for one compilation
    close(m, ROWS)


def test_adding_in_turn_gives_the_moments_of_the_whole():
    m = normalise.no_moments((3,))
    for part in np.split(ROWS, [10, 20]):
        m = normalise.add(m, jnp.asarray(part))
    close(m, ROWS)


def test_merging_is_symmetric():
    a, b = (normalise.moments_of(jnp.asarray(x), jnp.int32(len(x))) for x in (ROWS[:7], ROWS[7:]))
    ab, ba = normalise.merge(a, b), normalise.merge(b, a)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5), ab, ba)


@pytest.mark.parametrize("count", [1, 2, 31, 60])
def test_padding_does_not_count(count):
    padded = np.where(np.arange(60)[:, None] < count, ROWS, np.float32(1e6))
    close(normalise.moments_of(jnp.asarray(padded), jnp.int32(count)), ROWS[:count])


def test_padding_that_is_not_a_number_does_not_count_either():
    padded = np.where(np.arange(60)[:, None] < 20, ROWS, np.float32(np.nan))
    close(normalise.moments_of(jnp.asarray(padded), jnp.int32(20)), ROWS[:20])


def test_scalars_and_leading_axes():
    m = normalise.add(normalise.no_moments(()), jnp.asarray(ROWS))
    close(m, ROWS.ravel())
    close(normalise.add(normalise.no_moments((3,)), jnp.asarray(ROWS).reshape(4, 15, 3)), ROWS)


def test_standardise_and_restore():
    m = normalise.moments_of(jnp.asarray(ROWS), jnp.int32(60))
    z = m.standardise(jnp.asarray(ROWS))
    np.testing.assert_allclose(z, (ROWS - ROWS.mean(0)) / ROWS.std(0), atol=1e-3)
    np.testing.assert_allclose(m.restore(z), ROWS, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(m.standardise(jnp.full(3, 1e9)), 10)
    np.testing.assert_array_equal(m.standardise(jnp.full(3, 1e9), clip=3.0), 3)


def test_nothing_seen_changes_nothing_and_a_constant_column_is_zero():
    x = jnp.asarray(ROWS[:4])
    np.testing.assert_allclose(normalise.no_moments((3,)).standardise(x), np.clip(ROWS[:4], -10, 10), rtol=1e-6)
    constant = normalise.add(normalise.no_moments((3,)), jnp.full((5, 3), 7.0))
    np.testing.assert_array_equal(constant.standardise(jnp.full(3, 7.0)), 0)


T, E = 5, 2
SPACE = Space(Box((3,)), Discrete(2), E)


def shower() -> Agent:
    """An agent whose state after an update is the batch that it was given, and whose action is what it sees."""
    return Agent(
        init=lambda key, space: jnp.zeros(()),
        act=lambda s, obs, key: (obs, obs.sum(-1)),
        update=lambda s, batch, key: (batch, {}),
        mode=lambda s, obs: obs,
        log_prob=lambda s, obs, action: obs.sum(-1),
        rollout=T,
    )


def batch(seed):
    rng = np.random.default_rng(seed)
    obs, last = rng.normal(size=(2, T, E, 3)) * 3 + 1
    ends = rng.random((T, E)) < 0.3
    split = rng.random((T, E)) < 0.5
    columns = (
        obs,
        np.zeros((T, E), np.int32),
        np.zeros((T, E)),
        rng.normal(size=(T, E)) * 5,
        ends & split,
        ends & ~split,
    )
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32 if x.dtype == float else None), Batch(*columns, last))


def test_acting_and_learning_see_the_same_moments_and_new_ones_come_after(key):
    agent, first, second = normalise.normalise_obs(shower()), batch(0), batch(1)
    s = agent.init(key, SPACE)
    s, _ = agent.update(s, first, key)
    np.testing.assert_allclose(s.inner.obs, np.clip(first.obs, -10, 10), rtol=1e-6)
    close(s.moments, first.obs)
    standard = s.moments.standardise(second.obs)
    for shown in (agent.act(s, second.obs, key)[0], agent.mode(s, second.obs)):
        np.testing.assert_array_equal(shown, standard)
    np.testing.assert_array_equal(agent.log_prob(s, second.obs, second.action), standard.sum(-1))
    after, _ = agent.update(s, second, key)
    np.testing.assert_array_equal(after.inner.obs, standard)
    np.testing.assert_array_equal(after.inner.last_obs, s.moments.standardise(second.last_obs))
    np.testing.assert_array_equal(after.inner.reward, second.reward)
    close(after.moments, np.concatenate([first.obs, second.obs]))


def test_moments_may_start_from_data(key):
    known = normalise.moments_of(jnp.asarray(ROWS), jnp.int32(60))
    s = normalise.normalise_obs(shower(), known).init(key, SPACE)
    close(s.moments, ROWS)


@pytest.mark.parametrize("discount", [0.0, 0.9, 1.0])
def test_rewards_are_divided_by_the_sd_of_the_running_return(discount, key):
    agent = normalise.normalise_reward(shower(), discount, clip=1.5)
    s, totals, total = agent.init(key, SPACE), [], np.zeros(E)
    for seed in range(3):
        b = batch(seed)
        s, _ = agent.update(s, b, key)
        for t in range(T):
            total = total * discount + np.float64(b.reward[t])
            totals.append(total)
            total = np.where(b.terminated[t] | b.truncated[t], 0, total)
        scaled = np.clip(b.reward / np.std(totals), -1.5, 1.5)
        np.testing.assert_allclose(s.inner.reward, scaled, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(s.inner.obs, b.obs)
    np.testing.assert_allclose(s.discounted, total, rtol=1e-5)
