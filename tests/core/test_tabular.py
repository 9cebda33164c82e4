"""Exact tabular solutions against slow definitions, finite differences and simulation-free identities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theodolite.core import tabular
from theodolite.envs.tabular import random_mdp


@pytest.fixture(params=["float32", "float64"])
def problem(request):
    """An MDP, a policy and a reward in either precision."""
    with jax.enable_x64(request.param == "float64"):
        mdp = random_mdp(jax.random.key(0), 6, 3, branching=3)
        policy = jax.nn.softmax(jax.random.normal(jax.random.key(1), (6, 3)))
        reward = jax.random.normal(jax.random.key(2), (6, 3))
        assert mdp.transition.dtype == policy.dtype == jnp.dtype(request.param)
        yield mdp, policy, reward, 1e-4 if request.param == "float32" else 1e-10


def slow_occupancy(mdp, policy, horizon=400):
    """The definition: sum over time of discounted visit probabilities, state by state."""
    P, pi, d = np.asarray(mdp.transition, float), np.asarray(policy, float), np.asarray(mdp.initial, float)
    rho = np.zeros(pi.shape)
    for t in range(horizon):
        following = np.zeros(len(d))
        for s in range(pi.shape[0]):
            for a in range(pi.shape[1]):
                rho[s, a] += float(mdp.discount) ** t * d[s] * pi[s, a]
                following += d[s] * pi[s, a] * P[s, a]
        d = following
    return rho


def test_occupancy_is_the_discounted_sum_of_visits(problem):
    mdp, policy, reward, tolerance = problem
    rho = tabular.occupancy(mdp, policy)
    np.testing.assert_allclose(rho, slow_occupancy(mdp, policy), atol=20 * tolerance)
    np.testing.assert_allclose(tabular.occupancy(mdp, policy, normalised=True).sum(), 1, atol=tolerance)
    np.testing.assert_allclose(tabular.policy_of(rho), policy, atol=tolerance)
    np.testing.assert_allclose(
        jnp.sum(rho * reward), tabular.expected_return(mdp, policy, reward), rtol=100 * tolerance
    )


def test_occupancy_satisfies_the_flow_constraints_and_others_do_not(problem):
    mdp, policy, _, tolerance = problem
    for normalised in (False, True):
        matrix, target = tabular.flow(mdp, normalised=normalised)
        rho = tabular.occupancy(mdp, policy, normalised=normalised).ravel()
        np.testing.assert_allclose(matrix @ rho, target, atol=tolerance)
        assert jnp.max(jnp.abs(matrix @ rho[::-1] - target)) > 1e-2


def test_policy_of_is_uniform_where_nothing_was_seen():
    rho = jnp.array([[0.0, 0.0], [1.0, 3.0]])
    np.testing.assert_allclose(tabular.policy_of(rho), [[0.5, 0.5], [0.25, 0.75]])


def test_causal_entropy_is_the_discounted_sum_of_policy_entropies_and_its_gradient_minus_log_policy(problem):
    mdp, policy, _, tolerance = problem
    rho = tabular.occupancy(mdp, policy)
    expected = tabular.expected_return(mdp, policy, -jnp.log(policy))
    np.testing.assert_allclose(tabular.causal_entropy(rho), expected, rtol=10 * tolerance)
    np.testing.assert_allclose(jax.grad(tabular.causal_entropy)(rho), -jnp.log(policy), atol=10 * tolerance)


def test_values_solve_their_bellman_equations(problem):
    mdp, _, reward, tolerance = problem
    optimal = tabular.optimal_value(mdp, reward)
    np.testing.assert_allclose(optimal, tabular.backup(mdp, reward, optimal).max(-1), atol=100 * tolerance)
    best = tabular.optimal_policy(mdp, reward)
    np.testing.assert_allclose(tabular.evaluate(mdp, best, reward), optimal, atol=100 * tolerance)
    soft = tabular.soft_value(mdp, reward, 0.3)
    again = 0.3 * jax.nn.logsumexp(tabular.backup(mdp, reward, soft) / 0.3, axis=-1)
    np.testing.assert_allclose(soft, again, atol=100 * tolerance)


def test_soft_value_iteration_from_scratch_reaches_the_same_value(problem):
    mdp, _, reward, tolerance = problem
    value = np.zeros(6)
    for _ in range(500):
        q = np.asarray(reward, float) + float(mdp.discount) * np.asarray(mdp.transition, float) @ value
        value = 0.5 * np.log(np.exp(q / 0.5).sum(-1))
    np.testing.assert_allclose(tabular.soft_value(mdp, reward, 0.5), value, atol=100 * tolerance)


@jax.jit
def gains(seed, temperature):
    """What the soft-optimal policy of a random world gains, what its value says, and what any other gains."""
    mdp = random_mdp(jax.random.key(seed), 5, 3, branching=2)
    reward, logits = jax.random.normal(jax.random.key(seed + 1), (2, 5, 3))

    def gain(policy):
        rho = tabular.occupancy(mdp, policy)
        return jnp.sum(rho * reward) + temperature * tabular.causal_entropy(rho)

    said = mdp.initial @ tabular.soft_value(mdp, reward, temperature)
    return gain(tabular.soft_policy(mdp, reward, temperature)), said, gain(jax.nn.softmax(logits))


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10_000), temperature=st.floats(0.05, 5))
def test_no_policy_beats_the_soft_optimal_one(seed, temperature):
    with jax.enable_x64(True):
        best, said, other = gains(seed, temperature)
        np.testing.assert_allclose(best, said, rtol=1e-9)
        assert other <= best + 1e-9


def test_derivatives_of_the_soft_value_are_those_of_finite_differences_and_of_occupancy():
    with jax.enable_x64(True):
        mdp = random_mdp(jax.random.key(3), 4, 2, branching=2)
        reward = jax.random.normal(jax.random.key(4), (4, 2))

        @jax.jit
        def gain(reward, temperature, mdp):
            return mdp.initial @ tabular.soft_value(mdp, reward, temperature)

        rho = tabular.occupancy(mdp, tabular.soft_policy(mdp, reward, 0.7))
        slopes = jax.jit(jax.grad(gain, argnums=(0, 1, 2)))
        by_reward, by_temperature, by_world = slopes(reward, 0.7, mdp)
        np.testing.assert_allclose(by_reward, rho, atol=1e-9)
        np.testing.assert_allclose(by_temperature, tabular.causal_entropy(rho), atol=1e-9)
        up, down = (tabular.MDP(mdp.transition, mdp.initial, mdp.discount + h) for h in (1e-6, -1e-6))
        by_discount = (gain(reward, 0.7, up) - gain(reward, 0.7, down)) / 2e-6
        np.testing.assert_allclose(by_world.discount, by_discount, rtol=1e-5)
        hessian = jax.jit(jax.hessian(gain))(reward, 0.7, mdp).reshape(8, 8)
        np.testing.assert_allclose(jax.jit(tabular.soft_curvature)(mdp, reward, 0.7), hessian, atol=1e-9)
        bump = 1e-6 * jnp.zeros((4, 2)).at[2, 1].set(1)
        difference = (slopes(reward + bump, 0.7, mdp)[0] - slopes(reward - bump, 0.7, mdp)[0]).ravel() / 2e-6
        np.testing.assert_allclose(hessian[2 * 2 + 1], difference, atol=1e-6)


def test_shaping_changes_no_soft_policy():
    with jax.enable_x64(True):
        mdp = random_mdp(jax.random.key(5), 6, 3)
        reward, potential = jax.random.normal(jax.random.key(6), (6, 3)), jax.random.normal(jax.random.key(7), (6,))
        shaped = tabular.backup(mdp, reward, potential) - potential[:, None]
        before, after = (tabular.soft_policy(mdp, r, 0.4) for r in (reward, shaped))
        np.testing.assert_allclose(before, after, atol=1e-10)


def test_batches_of_mdps_agree_with_a_loop():
    keys = jax.random.split(jax.random.key(8), 4)
    mdps = jax.vmap(lambda key: random_mdp(key, 5, 2, branching=2))(keys)
    rewards = jax.random.normal(jax.random.key(9), (4, 5, 2))
    soft_policy = jax.jit(tabular.soft_policy)
    together = jax.vmap(soft_policy, (0, 0, None))(mdps, rewards, 0.5)
    for i, key in enumerate(keys):
        alone = soft_policy(random_mdp(key, 5, 2, branching=2), rewards[i], 0.5)
        np.testing.assert_allclose(together[i], alone, atol=1e-5)
