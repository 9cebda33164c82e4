"""Exact quantities of finite worlds against rollouts, dense linear algebra and slow value iteration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core import oracle, soft_planning
from theodolite.envs import oracles

TEMPERATURES = (0.0, 0.3)


@pytest.fixture(scope="module")
def world():
    return oracles.grid(5, "random", horizon=12)


@pytest.fixture(scope="module")
def walk(world):
    """A policy that is neither uniform nor greedy."""
    return jax.nn.softmax(jax.random.normal(jax.random.key(1), world.reward.shape))


def dense(o):
    """Transition matrix, reward, start and discount in double precision."""
    transition = np.zeros((o.num_states, o.num_actions, o.num_states))
    successor, probability = np.asarray(o.mdp.successor), np.asarray(o.mdp.probability, float)
    for s, a, k in np.ndindex(*probability.shape):
        transition[s, a, successor[s, a, k]] += probability[s, a, k]
    return transition, np.asarray(o.reward, float), np.asarray(o.mdp.initial, float), float(o.mdp.discount)


def test_visits_and_return_are_those_of_dense_matrices(world, walk):
    transition, reward, where, _ = dense(world)
    pi = np.asarray(walk, float)
    chain, visits = np.einsum("sa,sat->st", pi, transition), np.zeros_like(where)
    for _ in range(world.horizon):
        visits += where / world.horizon
        where = where @ chain
    mu = jax.jit(oracle.visitation)(world, walk)
    np.testing.assert_allclose(mu, visits[:, None] * pi, atol=1e-6)
    assert float(mu.sum()) == pytest.approx(1, abs=1e-5)
    paid = float(jax.jit(oracle.expected_return)(world, walk))
    assert paid == pytest.approx(world.horizon * (visits[:, None] * pi * reward).sum(), rel=1e-5)


def test_visits_and_return_are_those_of_rollouts(world, walk):
    steps = jax.jit(oracle.rollout, static_argnums=3)(world, walk, jax.random.key(2), 40_000)
    shares = oracle.counted(world, steps) / steps.state.size
    mu = oracle.visitation(world, walk)
    error = np.sqrt(np.asarray(mu) / 40_000) + 1e-6  # visits of one episode are dependent: T draws count as one
    assert (np.abs(shares.sum(-1) - mu) < 5 * error).all() and float(mu.max()) > 0.02
    np.testing.assert_allclose(shares.sum((0, 1)) > 0, True)  # slips happen
    paid = np.asarray(world.reward)[steps.state, steps.action].sum(1)
    exact = float(oracle.expected_return(world, walk))
    assert abs(paid.mean() - exact) < 5 * paid.std() / 200 and paid.std() > 0.1


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_optimum_is_that_of_slow_value_iteration(world, temperature):
    transition, reward, _, gamma = dense(world)
    q = np.zeros_like(reward)
    for _ in range(600):
        value = q.max(1)
        if temperature:
            value = value + temperature * np.log(np.exp((q - value[:, None]) / temperature).sum(1))
        q = reward + gamma * transition @ value
    found = oracle.scale(world, temperature)
    np.testing.assert_allclose(found.q, q, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(oracle.backup(world, found.q, temperature), found.q, atol=1e-4)
    assert float(found.normalised(found.optimal_return)) == 1 and float(found.normalised(found.random_return)) == 0


def test_a_soft_optimum_agrees_with_newtons_method(world):
    plan = soft_planning.plan(world.mdp, world.reward, 0.3)
    np.testing.assert_allclose(oracle.soft_max(oracle.optimal(world, 0.3), 0.3), plan.value, rtol=1e-4)


def test_policies_share_ties_and_soften():
    q = jnp.array([[1.0, 1.0, 0.0], [0.0, 2.0, 1.0]])
    np.testing.assert_allclose(oracle.policy(q, 0.0), [[0.5, 0.5, 0], [0, 1, 0]])
    np.testing.assert_allclose(oracle.policy(q, 0.5), jax.nn.softmax(q / 0.5))
    np.testing.assert_allclose(oracle.soft_max(q, 0.0), [1, 2])
    np.testing.assert_allclose(oracle.soft_max(q, 0.5), 0.5 * jax.nn.logsumexp(q / 0.5, axis=-1), rtol=1e-6)
    np.testing.assert_allclose(oracle.soft_max(1e4 * q, 1e-3), [1e4, 2e4])  # no overflow


def test_collected_transitions_are_whole_episodes_cut_and_follow_the_dynamics(world, walk):
    steps = oracle.collect(world, walk, jax.random.key(3), 30)
    assert steps.state.shape == (30,)
    assert (world.mdp.probability[steps.state, steps.action, steps.outcome] > 0).all()
    all_of_one = oracle.collect(world, walk, jax.random.key(3), world.horizon)
    assert float(oracle.counted(world, all_of_one)[int(jnp.argmax(world.mdp.initial))].sum()) >= 1  # the start is there
    values = oracle.outcomes(world, jnp.arange(25.0))
    s, a, k = 12, 3, 1
    expected = world.reward[s, a] + 0.95 * float(world.mdp.successor[s, a, k])
    assert float(values[s, a, k]) == pytest.approx(float(expected), rel=1e-6)
