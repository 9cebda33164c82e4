"""Shuffles are permutations, Adam is its equations, conjugate gradients are NumPy's solutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from theodolite.core import optim


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 64, 100, 1023, 1024, 1025])
def test_every_epoch_sees_every_index_once(size, key):
    orders = np.asarray(optim.shuffles(key, 3, size))
    np.testing.assert_array_equal(np.sort(orders, axis=1), np.tile(np.arange(size), (3, 1)))
    if size > 64:
        assert not (orders[0] == orders[1]).all()


def test_all_orders_are_equally_likely(key):
    orders = np.asarray(optim.shuffles(key, 48_000, 4))
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > 1e-3


def test_places_in_a_large_order_are_uniform(key):
    orders = np.asarray(optim.shuffles(key, 400, 4096))
    quarters = np.stack([np.bincount(row // 1024, minlength=4) for row in orders[:, :1024]]).sum(0)
    assert stats.chisquare(quarters).pvalue > 1e-3
    assert abs(np.corrcoef(orders[0], np.arange(4096))[0, 1]) < 0.06  # 4 standard errors
    rising = (np.diff(orders, axis=1) > 0).mean()
    assert abs(rising - 0.5) < 0.002  # ties among the high bits would keep their order and raise it


def numpy_adam(gradients, learning_rate, max_norm, eps, b1=0.9, b2=0.999):
    x = m = v = np.zeros_like(gradients[0])
    for t, g in enumerate(gradients, 1):
        g = g * min(1, max_norm / np.linalg.norm(g))
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        x = x - learning_rate * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
    return x


@pytest.mark.parametrize("max_norm", [0.5, 3.0, np.inf])
def test_adam_follows_its_equations(max_norm):
    gradients = np.random.default_rng(0).normal(size=(7, 5)) * np.array([1e-5, 0.1, 1, 1, 2])
    step = optim.adam(jnp.float32(0.03), max_norm=None if np.isinf(max_norm) else jnp.float32(max_norm), eps=1e-5)
    x = jnp.zeros(5)
    state = step.init(x)
    for g in gradients:
        x, state = optim.apply(step, jnp.asarray(g, jnp.float32), state, x)
    np.testing.assert_allclose(x, numpy_adam(gradients, 0.03, max_norm, 1e-5), rtol=1e-3, atol=1e-6)


SIZE = 6


def positive_definite(seed, condition=10.0):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(SIZE, SIZE)))[0]
    return basis @ np.diag(np.geomspace(1, condition, SIZE)) @ basis.T, rng.normal(size=SIZE)


@jax.jit
def solve(matrix, b):
    return optim.conjugate_gradient(lambda v: matrix @ v, b, 12)


@given(st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_conjugate_gradient_solves_the_system(seed):
    matrix, b = positive_definite(seed)
    found = solve(jnp.asarray(matrix, jnp.float32), jnp.asarray(b, jnp.float32))
    np.testing.assert_allclose(found, np.linalg.solve(matrix, b), rtol=2e-3, atol=2e-4)


def test_conjugate_gradient_needs_as_many_iterations_as_eigenvalues():
    """Two distinct eigenvalues: two iterations are exact, one is not."""
    matrix, b = positive_definite(3)
    values, basis = np.linalg.eigh(matrix)
    matrix = basis @ np.diag(np.where(values > 3, 5.0, 1.0)) @ basis.T
    with jax.enable_x64(True):
        product, exact = lambda v: jnp.asarray(matrix) @ v, np.linalg.solve(matrix, b)
        np.testing.assert_allclose(optim.conjugate_gradient(product, jnp.asarray(b), 2), exact, rtol=1e-10)
        assert np.abs(optim.conjugate_gradient(product, jnp.asarray(b), 1) - exact).max() > 1e-3


def test_conjugate_gradient_of_nothing_is_nothing():
    np.testing.assert_array_equal(solve(jnp.eye(SIZE), jnp.zeros(SIZE)), 0)


@pytest.mark.parametrize("bound", [1e-3, 0.5])
def test_a_natural_step_has_the_length_of_its_bound_along_the_natural_gradient(bound):
    matrix, g = positive_definite(5)
    step = optim.natural_step(
        lambda v: jnp.asarray(matrix, jnp.float32) @ v, jnp.asarray(g, jnp.float32), jnp.float32(bound), 12
    )
    step, exact = np.float64(step), np.linalg.solve(matrix, g)
    np.testing.assert_allclose(0.5 * step @ matrix @ step, bound, rtol=1e-4)
    assert step @ exact / np.linalg.norm(step) / np.linalg.norm(exact) > 1 - 1e-6


def test_rmsprop_is_its_formula_over_several_steps():
    step, x = optim.rmsprop(0.1, max_norm=1.0, eps=0.01, decay=0.9), {"w": jnp.array([1.0, -2.0, 3.0])}
    state, square, slow = step.init(x), np.zeros(3), np.asarray(x["w"], float)
    for k in range(3):
        gradient = np.array([0.3, -1.2, 2.0]) * (k + 1)
        x, state = optim.apply(step, {"w": jnp.asarray(gradient, jnp.float32)}, state, x)
        clipped = gradient * min(1, 1 / np.linalg.norm(gradient))
        square = 0.9 * square + 0.1 * clipped**2
        slow = slow - 0.1 * clipped / np.sqrt(square + 0.01)
    np.testing.assert_allclose(x["w"], slow, rtol=1e-5)


def test_slow_copies_follow_by_a_share_and_a_whole_one_is_exact():
    slow, fast = jnp.array([1.0, 3e8]), jnp.array([2.0, 0.1])
    np.testing.assert_allclose(optim.polyak(slow, fast, 0.25), [1.25, 2.25e8], rtol=1e-6)
    np.testing.assert_array_equal(optim.polyak(slow, fast, 1.0), fast)
