"""Scores and recordings against episodes that can be foreseen and a loop written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from counting import LIMIT, counting

from theodolite.core import evaluate
from theodolite.core.drive import step_keys
from theodolite.core.errors import UserError


def always(action):
    return lambda obs, key: jnp.full(obs.shape[:-1], action, jnp.int32)


def coin(obs, key):
    return jax.random.bernoulli(key, 0.5, obs.shape[:-1]).astype(jnp.int32)


@pytest.mark.parametrize(("action", "total", "length"), [(0, 1 + 2 + 3 + 4, LIMIT), (1, 11 + 12 + 13, 3)])
def test_scores_of_foreseeable_episodes(action, total, length, key):
    scores, lengths = evaluate.episode_scores(always(action), counting(5), key)
    np.testing.assert_array_equal(scores, [total] * 5)
    np.testing.assert_array_equal(lengths, [length] * 5)


def test_scores_are_those_of_a_loop_over_the_first_episode_of_each_copy(key):
    envs, key = counting(6), jax.random.fold_in(key, 1)
    scores, lengths = jax.jit(lambda k: evaluate.episode_scores(coin, envs, k))(key)
    reset_key, play_key = jax.random.split(key)
    state, obs = jax.vmap(envs.env.reset)(jax.random.split(reset_key, 6))
    total, length, alive = np.zeros(6), np.zeros(6, int), np.ones(6, bool)
    for t in range(LIMIT):
        act_key, env_key = step_keys(play_key, t)
        state, out = jax.vmap(envs.env.step)(jax.random.split(env_key, 6), state, coin(obs, act_key))
        total, length = total + alive * np.asarray(out.reward), length + alive
        alive, obs = alive & ~np.asarray(out.terminated | out.truncated), out.obs
    np.testing.assert_array_equal(scores, total)
    np.testing.assert_array_equal(lengths, length)
    assert len(set(lengths.tolist())) == 2


def test_scores_may_be_vmapped_over_seeds():
    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.vmap(lambda k: evaluate.episode_scores(coin, counting(4), k))(keys)
    for i, k in enumerate(keys):
        alone = evaluate.episode_scores(coin, counting(4), k)
        jax.tree.map(lambda a, b, i=i: np.testing.assert_array_equal(a[i], b), together, alone)


@pytest.mark.parametrize(("episodes", "num_envs"), [(1, 1), (7, 3), (2, 4), (8, 4)])
def test_recordings_are_whole_episodes_in_equal_numbers(episodes, num_envs):
    kept = evaluate.record(coin, counting(num_envs), episodes, seed=3)
    assert len(kept) == episodes
    for e in kept:
        steps = len(e.action)
        np.testing.assert_array_equal(e.obs[:, 0], np.arange(steps + 1))
        np.testing.assert_array_equal(e.reward, np.arange(1, steps + 1) + 10 * e.action)
        assert (e.terminated, e.truncated) == ((True, False) if steps == 3 else (False, True))
        assert steps == 3 if e.action[2] == 1 else steps == LIMIT
    again = evaluate.record(coin, counting(num_envs), episodes, seed=3)
    for a, b in zip(kept, again, strict=True):
        np.testing.assert_array_equal(a.obs, b.obs)
    other = evaluate.record(coin, counting(num_envs), episodes, seed=4)
    assert any(a.obs.shape != b.obs.shape or (a.obs != b.obs).any() for a, b in zip(kept, other, strict=True))


def test_short_episodes_are_not_over_represented():
    kept = evaluate.record(coin, counting(8), 400)
    short = np.mean([len(e.action) == 3 for e in kept])
    assert abs(short - 0.5) < 0.1  # 4 standard errors; counting by time would give more


def test_an_endless_episode_is_refused(monkeypatch):
    monkeypatch.setattr(evaluate, "PATIENCE", 20)
    with pytest.raises(UserError, match="did not end within 20 steps"):
        evaluate.record(always(0), counting(2, limit=1000), 1)
