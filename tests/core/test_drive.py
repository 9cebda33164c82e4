"""Drivers: what a batch holds, in which order keys are drawn, and how episodes are counted."""

import jax
import jax.numpy as jnp
import numpy as np
from counting import LIMIT, counting, scribe
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from theodolite.core import drive
from theodolite.core.agent import Batch

ROLLOUT, E = 11, 3


def collected(key):
    agent, envs = scribe(ROLLOUT), counting(E)
    carry = drive.start(agent, envs, key)
    return (
        agent,
        envs,
        carry,
        *jax.jit(lambda c, k: drive.collect(agent, envs, c, k))(carry, jax.random.fold_in(key, 9)),
    )


def test_a_batch_is_the_loop_written_out_with_its_keys(key):
    agent, envs, carry, after, batch = collected(key)
    state, obs = carry.env, carry.obs
    for t in range(ROLLOUT):
        act_key, env_key = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, 9), t))
        action, log_prob = agent.act(carry.agent, obs, act_key)
        state, out = jax.vmap(envs.env.step)(jax.random.split(env_key, E), state, action)
        row = Batch(obs, action, log_prob, *out[1:])
        for name in Batch._fields:
            np.testing.assert_array_equal(getattr(batch, name)[t], getattr(row, name), name)
        obs = out.obs
    np.testing.assert_array_equal(after.obs, obs)
    jax.tree.map(np.testing.assert_array_equal, after.env, state)


def test_the_last_observation_is_the_next_one_unless_an_episode_ended(key):
    *_, after, batch = collected(key)
    over = np.asarray(batch.terminated | batch.truncated)
    assert batch.terminated.any() and batch.truncated.any()
    following = np.concatenate([batch.obs[1:], after.obs[None]])
    np.testing.assert_array_equal(np.asarray(batch.last_obs)[~over], following[~over])
    assert (following[over][:, 0] == 0).all()
    ends = np.asarray(batch.last_obs)[over][:, 0]
    np.testing.assert_array_equal(ends, np.where(np.asarray(batch.terminated)[over], 3, LIMIT))


def test_the_start_copies_what_would_be_donated_twice(key):
    carry = drive.start(scribe(), counting(), key)
    pointers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(carry) if leaf.size]
    assert len(set(pointers)) == len(pointers)


def test_keys_are_never_drawn_twice():
    key, seen = jax.random.key(0), set()
    for update in range(4):
        for k in jax.random.split(jax.random.fold_in(key, update + 1)):
            seen.add(bytes(jax.random.key_data(k)))
        for t in range(5):
            for k in drive.step_keys(jax.random.fold_in(key, update + 1), t):
                seen.add(bytes(jax.random.key_data(k)))
    assert len(seen) == 4 * (2 + 5 * 2)


T = 7


@jax.jit
def account(e, reward, terminated, truncated):
    nothing = jnp.zeros(reward.shape)
    obs = nothing[..., None]
    return drive.account(e, Batch(obs, nothing, nothing, reward, terminated, truncated, obs))


@given(arrays(bool, (2, T, E)), arrays(bool, (2, T, E)))
@settings(max_examples=50, deadline=None)
def test_episodes_are_counted_across_batches(terminated, truncated):
    reward = np.arange(2 * T * E, dtype=np.float32).reshape(2, T, E)
    e = drive.no_episodes(E)
    for batch in zip(reward, terminated, truncated, strict=True):
        e = account(e, *batch)
    count, over = 0, (terminated | truncated).reshape(-1, E)
    for i, rewards in enumerate(reward.reshape(-1, E).T):
        total, length, last = 0.0, 0, (np.nan, np.nan)
        for t in range(2 * T):
            total, length = total + rewards[t], length + 1
            if over[t, i]:
                last, total, length, count = (total, length), 0.0, 0, count + 1
        np.testing.assert_array_equal((e.last_return[i], e.last_length[i]), last)
        assert (e.running_return[i], e.running_length[i]) == (total, length)
    assert e.count == count


def test_metrics_of_episodes_are_means_over_those_finished(key):
    agent, envs = scribe(3), counting(2, limit=3)
    carry, batch = drive.collect(agent, envs, drive.start(agent, envs, key), key)
    short = jax.tree.map(lambda x: x[:2], batch)
    _, metrics = drive.learn(agent, carry, short, key)
    assert np.isnan(metrics["return"]) and np.isnan(metrics["length"]) and metrics["episodes"] == 0
    after, metrics = drive.learn(agent, carry, batch, key)
    np.testing.assert_allclose(metrics["return"], batch.reward.sum(0).mean())
    assert metrics["length"] == 3 and metrics["episodes"] == 2
    assert metrics.keys() == {"first", *drive.EPISODE_METRICS}
    assert after.agent["updates"] == 1
