"""Adversarial values against enumeration, features against least squares, SARSA against dynamic programming."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.control import representation as rep
from theodolite.core import tabular
from theodolite.core.tabular import MDP


def world(seed: int, states: int = 4, actions: int = 2) -> tuple[MDP, jax.Array]:
    k1, k2 = jax.random.split(jax.random.key(seed))
    transition = jax.random.dirichlet(k1, jnp.ones(states), (states, actions))
    return MDP(transition, jnp.ones(states) / states, jnp.float32(0.9)), jax.random.normal(k2, (states, actions))


def test_adversarial_values_are_extreme_among_all_deterministic_policies():
    """No single switch improves them, and nearly always no policy at all does."""
    attained = []
    for seed in range(5):
        mdp, reward = world(seed)
        deltas = rep.directions(jax.random.key(seed), 8, 4)
        policies = jax.nn.one_hot(jnp.array(list(product(range(2), repeat=4))), 2)
        values = jax.vmap(lambda p, m=mdp, r=reward: tabular.evaluate(m, p, r))(policies)
        found = jax.jit(jax.vmap(lambda d, m=mdp, r=reward: rep.adversarial(m, r, d)))(deltas)
        worth, best = (deltas * found).sum(1), (deltas @ values.T).max(1)
        assert (worth <= best + 1e-3).all()
        attained += list(np.asarray(worth >= best - 1e-3))
        distance = jnp.abs(found[:, None] - values[None]).max(-1).min(1)
        assert distance.max() < 1e-3  # each is the value of a deterministic policy
    assert np.mean(attained) > 0.9


def test_a_positive_direction_asks_for_the_optimal_policy():
    mdp, reward = world(7, 6, 3)
    found = rep.adversarial(mdp, reward, jnp.ones(6))
    np.testing.assert_allclose(found, tabular.optimal_value(mdp, reward), rtol=1e-4)


def test_what_is_left_out_is_the_residual_of_least_squares():
    features, values = jax.random.normal(jax.random.key(0), (9, 3)), jax.random.normal(jax.random.key(1), (4, 9))
    design = np.concatenate([features, np.ones((9, 1))], 1)
    for v, share in zip(np.asarray(values), np.asarray(rep.left_out(features, values)), strict=True):
        missed = v - design @ np.linalg.lstsq(design, v, rcond=None)[0]
        assert share == pytest.approx((missed**2).sum() / ((v - v.mean()) ** 2).sum(), rel=1e-4)
    assert rep.left_out(features, (features @ jnp.ones((3, 2))).T + 5).max() < 1e-9


def test_fitted_features_leave_out_little_of_their_own_targets():
    mdp, reward = world(3, 12)
    values = rep.random_values(mdp, reward, jax.random.key(0), 6)
    found = rep.fit(values, 6, jax.random.key(1), hidden=32, steps=400, learning_rate=3e-3)
    assert found.shape == (12, 6) and rep.left_out(found, values).max() < 0.05


def corridor(cells: int = 5) -> tuple[MDP, jax.Array, jax.Array]:
    """Left and right; arriving at the right end pays 1 and ends the episode."""
    s = jnp.arange(cells)
    follows = jnp.stack([jnp.maximum(s - 1, 0), jnp.minimum(s + 1, cells - 1)], 1).at[-1].set(cells - 1)
    reward = jnp.zeros((cells, 2)).at[cells - 2, 1].set(1)
    start = jnp.zeros(cells).at[0].set(1)
    return MDP(jax.nn.one_hot(follows, cells), start, jnp.float32(0.9)), reward, s == cells - 1


def test_sarsa_on_a_table_learns_the_values_of_its_own_policy():
    mdp, reward, terminal = corridor()
    q = rep.sarsa(mdp, reward, terminal, jnp.eye(5), jax.random.key(0), steps=40_000, step_size=0.2)[-1]
    policy = 0.9 * jax.nn.one_hot(jnp.argmax(q, -1), 2) + 0.05
    exact = tabular.backup(mdp, reward, tabular.evaluate(mdp, policy, reward))
    assert jnp.argmax(q[:-1], -1).tolist() == [1] * 4
    np.testing.assert_allclose(q[:-1, 1], exact[:-1, 1], atol=0.06)


def test_quantiles_of_a_known_return():
    """Half of all first moves end the episode with 1; the quantiles of the start are 0 or a power of γ."""
    mdp, reward, _ = corridor(2)
    policy = jnp.full((2, 2), 0.5)
    found = rep.return_quantiles(mdp, reward, policy, jnp.array([0.25, 0.6, 0.9]), atoms=201, sweeps=60)
    np.testing.assert_allclose(found[:, 0], [0.81, 1.0, 1.0], atol=0.02)
    np.testing.assert_allclose(found[:, 1], 0, atol=1e-6)


def test_proto_values_of_a_corridor_are_its_cosines():
    """The Laplacian of a path of n cells has the eigenvectors cos(π k (i + 1/2) / n); the absorbing end is an edge."""
    mdp, _, _ = corridor(8)
    transition = mdp.transition.at[-1].set(jax.nn.one_hot(jnp.array([6, 7]), 8))  # undo the end
    found = np.asarray(rep.proto_values(MDP(transition, mdp.initial, mdp.discount), 4))
    waves = np.cos(np.pi * np.arange(4)[None] * (np.arange(8)[:, None] + 0.5) / 8)
    waves /= np.linalg.norm(waves, axis=0)
    np.testing.assert_allclose(np.abs((found * waves).sum(0)), 1, atol=1e-4)
