"""Newton's method against closed forms and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

from theodolite.core import newton

EXACT = (0.0,)


def smoothing(*values):
    return jnp.asarray(values or EXACT)


def test_a_quadratic_takes_its_closed_form_minimum():
    with jax.enable_x64(True):
        root = jax.random.normal(jax.random.key(0), (5, 5))
        matrix, target = root @ root.T + jnp.eye(5), jnp.arange(5.0)
        end = newton.minimise(
            lambda x, mu: x @ matrix @ x / 2 - target @ x, jnp.zeros(5), newton.unconstrained(jnp.zeros(5)), smoothing()
        )
        np.testing.assert_allclose(end.x, np.linalg.solve(matrix, target), atol=1e-10)
        assert int(end.code) == newton.CONVERGED
        assert int(end.steps) <= 3


def test_minimum_entropy_on_the_simplex_is_softmax_even_where_it_nearly_vanishes():
    with jax.enable_x64(True):
        cost = jnp.array([0.0, 1.0, 5.0, 40.0])
        problem = newton.Problem(jnp.ones((1, 4)), jnp.ones(1), positive=True)
        end = newton.minimise(lambda x, mu: x @ cost + jnp.sum(x * jnp.log(x)), jnp.full(4, 0.25), problem, smoothing())
        assert int(end.code) == newton.CONVERGED
        np.testing.assert_allclose(end.x[:3], jax.nn.softmax(-cost)[:3], rtol=1e-6)
        np.testing.assert_allclose(end.x.sum(), 1, atol=1e-12)


def test_a_smoothing_schedule_solves_a_linear_program_as_scipy_does():
    with jax.enable_x64(True):
        cost = jax.random.normal(jax.random.key(1), (6,))
        matrix = jax.random.uniform(jax.random.key(2), (2, 6))
        target = matrix @ jnp.full(6, 0.5)
        end = newton.minimise(
            lambda x, mu: cost @ x - mu * jnp.sum(jnp.log(x)) + 0.1 * jnp.sum(x**2),
            jnp.full(6, 0.5),
            newton.Problem(matrix, target, positive=True),
            smoothing(1e-1, 1e-2, 1e-4, 1e-6, 1e-9),
        )
        reference = scipy.optimize.minimize(
            lambda x: np.asarray(cost) @ x + 0.1 * np.sum(x**2),
            np.full(6, 0.5),
            constraints={"type": "eq", "fun": lambda x: np.asarray(matrix) @ x - np.asarray(target)},
            bounds=[(0, None)] * 6,
            method="SLSQP",
            options={"ftol": 1e-14},
        )
        np.testing.assert_allclose(end.x, reference.x, atol=1e-5)


def test_failures_have_codes():
    start = jnp.ones(2)
    plain = newton.unconstrained(start)
    unbounded = newton.minimise(lambda x, mu: -jnp.sum(jnp.log(x)), start, plain, smoothing(), max_steps=5)
    assert int(unbounded.code) == newton.STEP_LIMIT
    nan = newton.minimise(lambda x, mu: jnp.sum(jnp.log(x - 2)), start, plain, smoothing())
    assert int(nan.code) == newton.STALLED
    assert set(newton.MESSAGES) == {newton.CONVERGED, newton.STEP_LIMIT, newton.STALLED}
