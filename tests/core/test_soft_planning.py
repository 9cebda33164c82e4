"""Soft planning against double loops, derivatives, invariances and worlds whose answer is known."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core import soft_planning as sp
from theodolite.core import tabular
from theodolite.core.errors import UserError
from theodolite.envs.tabular import random_mdp

MODES = list(itertools.product((None, 7), (True, False), (1, 2, 3)))
SHAPE = (6, 3, 3)


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


OPTIONS = ("horizon", "sweeps", "causal")
plan = jax.jit(sp.plan, static_argnames=OPTIONS)
visits = jax.jit(sp.visits)


def world(seed=0, ends=True):
    """A sparse MDP with an end, actions that some states lack, and a padded successor."""
    mdp = random_mdp(jax.random.key(seed), *SHAPE[:2], branching=2, discount=0.9)
    m = sp.sparsify(mdp, SHAPE[2])
    available = m.available.at[1, 2].set(False).at[4, 0].set(False)
    return sp.SparseMDP(
        m.successor, m.probability, available.at[5].set(False) if ends else available, m.initial, m.discount
    )


def rewards(seed, ndim):
    return jax.random.normal(jax.random.key(seed), SHAPE[:ndim])


def slow_plan(m, reward, temperature, horizon, causal):
    """Backups as the module's docstring defines them, one entry at a time; an infinite horizon is a long one."""
    m = jax.tree.map(np.asarray, m)
    S, A, K = m.successor.shape
    P, gamma, there = m.probability, float(m.discount), m.available
    r = np.broadcast_to(np.asarray(reward).reshape(reward.shape + (1,) * (3 - reward.ndim)), (S, A, K))
    values, policies = [np.zeros(S)], []
    for _ in range(horizon or 250):
        value, policy = np.zeros(S), np.zeros((S, A))
        for s in range(S):
            q = {}
            for a in range(A):
                outcomes = [(P[s, a, k], r[s, a, k] + gamma * values[0][m.successor[s, a, k]]) for k in range(K)]
                if causal:
                    q[a] = sum(p * x for p, x in outcomes)
                else:
                    q[a] = temperature * np.log(sum(p * np.exp(x / temperature) for p, x in outcomes))
            total = sum(np.exp(q[a] / temperature) for a in range(A) if there[s, a])
            value[s] = temperature * np.log(total) if there[s].any() else 0
            for a in range(A):
                policy[s, a] = np.exp((q[a] - value[s]) / temperature) if there[s, a] else 0
        values.insert(0, value)
        policies.insert(0, policy)
    return np.array(values), np.array(policies)


def slow_visits(m, values, policies, reward, temperature, causal):
    m = jax.tree.map(np.asarray, m)
    S, A, K = m.successor.shape
    gamma, d = float(m.discount), m.initial
    r = np.broadcast_to(np.asarray(reward).reshape(reward.shape + (1,) * (3 - reward.ndim)), (S, A, K))
    mu, outcomes = np.zeros((S, A)), np.zeros((S, A, K))
    for t, policy in enumerate(policies):
        following = np.zeros(S)
        for s, a in itertools.product(range(S), range(A)):
            mass = d[s] * policy[s, a] * gamma**t
            mu[s, a] += mass
            weights = m.probability[s, a].copy()
            if not causal:
                weights *= np.exp((r[s, a] + gamma * values[t + 1][m.successor[s, a]]) / temperature)
                weights /= weights.sum()
            for k in range(K):
                outcomes[s, a, k] += mass * weights[k]
                following[m.successor[s, a, k]] += d[s] * policy[s, a] * weights[k]
        d = following
    return mu, outcomes


@pytest.mark.parametrize(("horizon", "causal", "ndim"), MODES)
def test_plans_and_visits_are_those_of_the_double_loop(horizon, causal, ndim):
    m, reward = world(), rewards(1, ndim)
    p = plan(m, reward, 0.7, horizon=horizon, causal=causal)
    values, policies = slow_plan(m, reward, 0.7, horizon, causal)
    np.testing.assert_allclose(p.value, values if horizon else values[0], atol=1e-9)
    np.testing.assert_allclose(p.policy, policies if horizon else policies[0], atol=1e-9)
    mu, outcomes = slow_visits(m, values, policies, reward, 0.7, causal)
    found = visits(m, p, m.initial)
    np.testing.assert_allclose(found.sum(0) if horizon else found, mu, atol=1e-9)
    np.testing.assert_allclose(sp.outcome_visits(m, p, found), outcomes, atol=1e-9)


@pytest.mark.parametrize(("horizon", "causal"), itertools.product((None, 7), (True, False)))
def test_visits_are_the_derivative_of_the_value(horizon, causal):
    m, reward, step = world(2), rewards(3, 2), 1e-5
    seed = jax.random.normal(jax.random.key(4), m.initial.shape)  # of either sign

    def value(r):
        found = plan(m, r, 0.7, horizon=horizon, causal=causal).value
        return seed @ (found[0] if horizon else found)

    found = visits(m, plan(m, reward, 0.7, horizon=horizon, causal=causal), seed)
    found = found.sum(0) if horizon else found
    for s, a in ((0, 0), (2, 1), (4, 2), (1, 2), (5, 0)):
        bump = jnp.zeros_like(reward).at[s, a].set(step)
        np.testing.assert_allclose(found[s, a], (value(reward + bump) - value(reward - bump)) / (2 * step), atol=1e-8)


def test_dense_and_sparse_worlds_agree_with_each_other_and_with_the_exact_tables():
    mdp, reward = random_mdp(jax.random.key(5), 8, 3, branching=3), jax.random.normal(jax.random.key(6), (8, 3))
    sparse = sp.sparsify(mdp, 3)
    for m in (mdp, sparse):
        p = plan(m, reward, 0.5)
        np.testing.assert_allclose(p.policy, tabular.soft_policy(mdp, reward, 0.5), atol=1e-10)
        np.testing.assert_allclose(visits(m, p, m.initial), tabular.occupancy(mdp, p.policy), atol=1e-9)
    for options in ({"horizon": 5}, {"causal": False}, {"horizon": 5, "causal": False}, {"sweeps": 30}):
        a, b = (plan(m, reward, 0.5, **options) for m in (mdp, sparse))
        np.testing.assert_allclose(a.value, b.value, atol=1e-10)
        np.testing.assert_allclose(visits(mdp, a, mdp.initial), visits(sparse, b, mdp.initial), atol=1e-10)
    np.testing.assert_allclose(sp.densify(sparse).transition, mdp.transition, atol=1e-15)


def test_sweeps_approach_the_exact_solution_at_the_rate_of_the_discount():
    m, reward = world(7), rewards(8, 2)
    exact = plan(m, reward)
    for sweeps in (20, 80):
        p = plan(m, reward, sweeps=sweeps)
        assert 0 < jnp.max(jnp.abs(p.value - exact.value)) < 0.9**sweeps * 30
        gap = visits(m, p, m.initial) - visits(m, exact, m.initial)
        assert jnp.max(jnp.abs(gap)) < 0.9**sweeps * 30
    warm = plan(m, reward, sweeps=1, start=exact.value)
    np.testing.assert_allclose(warm.value, exact.value, atol=1e-12)


def test_padding_changes_nothing():
    m, reward = world(9), rewards(10, 2)
    pad = lambda x: jnp.concatenate([x, jnp.zeros((3, *x.shape[1:]), x.dtype)])  # noqa: E731
    padded = sp.SparseMDP(*(pad(x) for x in (m.successor, m.probability, m.available, m.initial)), m.discount)
    for options in ({}, {"horizon": 4}, {"causal": False}, {"sweeps": 30}, {"horizon": 4, "causal": False}):
        a, b = plan(m, reward, **options), plan(padded, pad(reward), **options)
        np.testing.assert_allclose(a.value, b.value[..., :6], atol=1e-12)
        found = visits(padded, b, padded.initial)
        np.testing.assert_allclose(visits(m, a, m.initial), found[..., :6, :], atol=1e-12)
        assert not found[..., 6:, :].any() and not b.value[..., 6:].any()


def test_shaping_a_constant_and_a_common_scale_change_no_policy():
    m, reward = world(11, ends=False), rewards(12, 3)
    potential = jax.random.normal(jax.random.key(13), (6,))
    shaped = reward + m.discount * sp.at_successors(m, potential) - potential[:, None, None]
    for causal in (True, False):
        before = plan(m, reward, 0.7, causal=causal).policy
        for r, alpha in ((shaped, 0.7), (reward + 3, 0.7), (5 * reward, 3.5)):
            np.testing.assert_allclose(plan(m, r, alpha, causal=causal).policy, before, atol=1e-10)


def test_where_nothing_is_left_to_chance_both_entropies_are_one():
    m = sp.sparsify(random_mdp(jax.random.key(14), 6, 3, branching=1), 1)
    reward = rewards(15, 2)
    for horizon in (None, 6):
        a, b = (plan(m, reward, horizon=horizon, causal=causal) for causal in (True, False))
        np.testing.assert_allclose(a.policy, b.policy, atol=1e-10)


def test_the_planner_of_2008_takes_the_risk_that_the_causal_one_avoids():
    """s0 safe → s1 → goal s2; s0 risky → s3 (-100) or s2, half each; s2 pays 1 and ends as s3 does."""
    successor = jnp.array([[[1, 1], [3, 2]], [[2, 2], [2, 2]], [[4, 4], [4, 4]], [[4, 4], [4, 4]], [[4, 4], [4, 4]]])
    probability = jnp.array([[[1.0, 0.0], [0.5, 0.5]], *[[[1.0, 0.0], [1.0, 0.0]]] * 4])
    available = jnp.array([[True, True], [True, False], [True, False], [True, False], [False, False]])
    m = sp.SparseMDP(successor, probability, available, jnp.eye(5)[0], jnp.float64(1.0))
    reward = jnp.array([0.0, 0.0, 1.0, -100.0, 0.0])
    causal, optimistic = (plan(m, reward, 0.1, causal=c).policy[0] for c in (True, False))
    assert causal[1] < 1e-100
    np.testing.assert_allclose(optimistic[1], 1 / 3, atol=1e-12)  # the risk costs it -α log 1/2, whatever is at stake


def test_batches_of_worlds_agree_with_a_loop():
    worlds = [world(seed) for seed in range(3)]
    reward = jax.random.normal(jax.random.key(16), (3, *SHAPE[:2]))
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *worlds)

    def both(m, r):
        p = plan(m, r)
        return p.value, visits(m, p, m.initial)

    together = jax.jit(jax.vmap(both))(stacked, reward)
    for i, m in enumerate(worlds):
        for a, b in zip(both(m, reward[i]), together, strict=True):
            np.testing.assert_allclose(a, b[i], atol=1e-10)


def test_a_reward_of_another_shape_is_refused():
    with pytest.raises(UserError, match=r"shape \(3,\): expected \(6,\) for states"):
        plan(world(), jnp.zeros(3))
