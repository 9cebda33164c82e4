"""Counter-examples of bootstrapping: what eigenvalues say, what repeated steps do, and which of them a solve mends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.control import counterexamples as worlds


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def largest_error(p, step, rate, times):
    """How far values are from the true ones after many steps, over how far they were."""
    first = jnp.ones(p.features.shape[1]).at[-1].add(0.5)
    last = jax.lax.fori_loop(0, times, lambda _, theta: step(p, theta, rate), first)
    off = [float(jnp.max(jnp.abs(p.features @ t - p.values()))) for t in (first, last)]
    return off[1] / off[0]


def radius(modes):
    """The largest size among modes that are not those of directions that nothing moves."""
    sizes = np.abs(np.asarray(modes))
    return float(sizes.max())


@pytest.mark.parametrize("world", [worlds.baird, worlds.two_states])
def test_semi_gradients_diverge_for_every_small_step(world):
    p = world()
    for rate in (0.01, 0.1):
        assert radius(worlds.semi_gradient_modes(p, rate)) > 1
    assert largest_error(p, worlds.semi_gradient, 0.1, 5_000) > 1e3


def test_the_star_converges_by_the_preconditioned_step_like_a_table():
    p, rate = worlds.baird(), 0.5
    assert np.linalg.matrix_rank(p.features) == 7
    assert radius(worlds.preconditioned_modes(p, rate)) == pytest.approx(1 - 0.01 * rate)
    theta = jnp.linspace(-1.0, 2.0, 8)
    before, after = (p.features @ t for t in (theta, worlds.preconditioned(p, theta, rate)))
    np.testing.assert_allclose(after, before + rate * p.error(theta), atol=1e-12)  # U1 exactly
    assert float(worlds.alignment(p, theta)) == pytest.approx(1)
    assert largest_error(p, worlds.preconditioned, rate, 5_000) < 1e-9


def test_two_states_of_one_feature_are_a_counter_example_to_least_squares_itself():
    """θ' = θ (1 + α (6γ/5 - 1)): the preconditioned step diverges beyond γ = 5/6, as its authors show."""
    for discount, diverges in ((0.8, False), (0.99, True)):
        p = worlds.two_states(discount)
        theta = jnp.array([1.0])
        wanted = 1 + 0.5 * (6 * discount / 5 - 1)
        np.testing.assert_allclose(worlds.preconditioned(p, theta, 0.5)[0], wanted)
        assert radius(worlds.preconditioned_modes(p, 0.5)) == pytest.approx(wanted)
        assert (largest_error(p, worlds.preconditioned, 0.5, 2_000) > 1e3) == diverges
    assert 0 < float(worlds.alignment(p, theta)) < 0.5  # far below what PreQN accepts


def test_a_feature_that_tells_the_states_apart_mends_it():
    p = worlds.two_states(spare=True)
    assert float(worlds.alignment(p, jnp.array([1.0, -0.3]))) == pytest.approx(1)
    assert largest_error(p, worlds.preconditioned, 0.5, 5_000) < 1e-9


def test_true_values_of_a_chain_that_pays():
    p = worlds.two_states(0.5)
    paid = worlds.Prediction(p.features, p.successor, jnp.array([1.0, 3.0]), p.rho, p.discount)
    np.testing.assert_allclose(paid.values(), [1 + 0.5 * 6, 6])
    np.testing.assert_allclose(worlds.alignment(p, jnp.zeros(1)), 1)
