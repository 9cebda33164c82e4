"""Heads against their definitions as loops, against SciPy, and against each other where theory says they agree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from theodolite.control import heads
from theodolite.control.heads import Target

LOW, HIGH, ATOMS = -2.0, 3.0, 11
Z = np.linspace(LOW, HIGH, ATOMS)


def slow_projection(values: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """C51's algorithm 1: every mass is split between its two neighbours."""
    found = np.zeros(ATOMS)
    for value, mass in zip(values, masses, strict=True):
        b = (min(max(value, LOW), HIGH) - LOW) / (HIGH - LOW) * (ATOMS - 1)
        below, above = int(np.floor(b)), int(np.ceil(b))
        if below == above:
            found[below] += mass
        else:
            found[below] += mass * (above - b)
            found[above] += mass * (b - below)
    return found


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_the_projection_is_the_algorithm_of_the_paper(scale):
    rng = np.random.default_rng(0)
    values, masses = rng.normal(size=7) * scale, rng.dirichlet(np.ones(7))
    found = heads.project(jnp.asarray(values, jnp.float32), jnp.asarray(masses, jnp.float32), LOW, HIGH, ATOMS)
    np.testing.assert_allclose(found, slow_projection(values, masses), atol=1e-6)
    np.testing.assert_allclose(found.sum(), 1, rtol=1e-6)
    if np.abs(values).max() < 2:
        np.testing.assert_allclose(found @ Z, masses @ values, atol=1e-6)


def test_the_categorical_loss_is_the_cross_entropy_and_its_gradient_the_difference_of_masses():
    head, rng = heads.categorical(ATOMS, LOW, HIGH), np.random.default_rng(1)
    logits, following = (jnp.asarray(rng.normal(size=ATOMS), jnp.float32) for _ in range(2))
    target = Target(jnp.float32(0.4), jnp.float32(0.5), following)
    mass = np.exp(following) / np.exp(following).sum()
    wanted = slow_projection(0.4 + 0.5 * Z, mass)
    own = np.exp(logits) / np.exp(logits).sum()
    value, slope = jax.value_and_grad(head.loss)(logits, target)
    np.testing.assert_allclose(value, -(wanted * np.log(own)).sum(), rtol=1e-5)
    np.testing.assert_allclose(slope, own - wanted, atol=1e-6)
    np.testing.assert_allclose(head.mean(logits), own @ Z, rtol=1e-5)
    ended = head.loss(logits, Target(jnp.float32(1.0), jnp.float32(0.0), following))
    np.testing.assert_allclose(ended, -np.log(own[6]), rtol=1e-5)  # all mass on the atom 1


@pytest.mark.parametrize("kappa", [0.0, 0.3, 1.0])
def test_the_quantile_loss_is_the_double_loop(kappa):
    rng = np.random.default_rng(2)
    predicted, following = rng.normal(size=5), rng.normal(size=5)
    total = 0.0
    for i in range(5):
        tau = (i + 0.5) / 5
        for j in range(5):
            u = 0.2 + 0.9 * following[j] - predicted[i]
            size = abs(u)
            smooth = size if kappa == 0 else (u**2 / 2 if size <= kappa else kappa * (size - kappa / 2)) / kappa
            total += abs(tau - (u < 0)) * smooth / 5
    target = Target(jnp.float32(0.2), jnp.float32(0.9), jnp.asarray(following, jnp.float32))
    found = heads.quantile(5, kappa).loss(jnp.asarray(predicted, jnp.float32), target)
    np.testing.assert_allclose(found, total, rtol=1e-4)


def test_quantile_regression_finds_the_quantiles_of_a_normal():
    values = jnp.asarray(stats.norm.ppf((np.arange(500) + 0.5) / 500), jnp.float32)
    levels = heads.midpoints(5)
    slope = jax.grad(lambda theta: heads.quantile_loss(theta, levels, values, 0.0))
    theta = jax.lax.fori_loop(0, 800, lambda i, theta: theta - 0.05 * slope(theta), jnp.zeros(5))
    np.testing.assert_allclose(theta, stats.norm.ppf(levels), atol=0.05)


@pytest.mark.parametrize(("kind", "error", "value"), [
    ("square", 3.0, 4.5), ("huber", 3.0, 2.5), ("huber", -0.5, 0.125), ("square", -0.5, 0.125),
])  # fmt: skip
def test_the_loss_of_an_error(kind, error, value):
    head = heads.expected(kind)
    target = Target(jnp.float32(1.0), jnp.float32(0.5), jnp.array([4.0]))
    np.testing.assert_allclose(head.loss(jnp.array([3.0 - error]), target), value)
