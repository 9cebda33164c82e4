"""Newton's method for small smooth convex problems, with linear equalities, positivity and a smoothing schedule.

    min_x f(x, μ)   subject to  A x = b  (and x > 0),   for μ = μ_1 > μ_2 > ... , each started where the last one ended

A step solves the optimality conditions of the local quadratic (Boyd and Vandenberghe 2004, section 10.2) in the
coordinates x = √x_k · u when x is positive, which keeps the system well scaled however small an entry becomes. Pure and
vmappable: a batch of problems runs until the slowest has converged.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from theodolite.core.arrays import Arrays

CONVERGED, STEP_LIMIT, STALLED = 0, 1, 2
MESSAGES = {
    CONVERGED: "converged",
    STEP_LIMIT: "stopped at the step limit: raise max_steps, or use float64",
    STALLED: "no step lowers the objective: use float64, or check that the starting point is feasible and finite",
}


class Minimum(Arrays):
    """Where Newton's method ended; `MESSAGES[int(code)]` says how."""

    x: Float[Array, " n"]
    steps: Int[Array, ""]
    code: Int[Array, ""]


class Problem(Arrays):
    """The constraints of a problem: `matrix @ x == target`, and x > 0 if `positive`."""

    matrix: Float[Array, "m n"]
    target: Float[Array, " m"]
    positive: bool = eqx.field(static=True)


Objective = Callable[[Array, Array], Array]
Derivatives = Callable[[Array, Array], tuple[Array, Array, Array]]
"""The value, the gradient and the Hessian of f at (x, μ)."""


def unconstrained(start: Float[Array, " n"], *, positive: bool = False) -> Problem:
    """No equality; positivity if wanted."""
    none = jnp.zeros((0, start.size), start.dtype)
    return Problem(none, jnp.zeros(0, start.dtype), positive)


def minimise(
    f: Objective,
    start: Float[Array, " n"],
    problem: Problem,
    smoothing: Float[Array, " K"],
    *,
    derivatives: Derivatives | None = None,
    max_steps: int = 500,
) -> Minimum:
    """The minimum of f(·, μ) for the last μ of the schedule; `start` must be strictly feasible and f finite there.

    `derivatives` may be given where a closed form is cheaper than automatic differentiation.
    """
    expand = derivatives or (lambda x, mu: (*jax.value_and_grad(f)(x, mu), jax.hessian(f)(x, mu)))

    def stage(x: Array, mu: Array) -> tuple[Array, Minimum]:
        end = _minimise_stage(lambda x: f(x, mu), lambda x: expand(x, mu), x, problem, max_steps)
        return end.x, end

    _, ends = jax.lax.scan(stage, start, smoothing)
    return Minimum(ends.x[-1], jnp.sum(ends.steps), ends.code[-1])


Function = Callable[[Array], Array]


def _minimise_stage(f: Function, derivatives: Callable, start: Array, problem: Problem, max_steps: int) -> Minimum:
    # the decrement is tested before the step is taken, so what is returned has its square as error
    tolerance = jnp.finfo(start.dtype).eps ** 0.75

    def unfinished(carry: tuple[Minimum, Array]) -> Array:
        at, decrement = carry
        return (decrement > tolerance) & (at.steps < max_steps) & (at.code != STALLED)

    def step(carry: tuple[Minimum, Array]) -> tuple[Minimum, Array]:
        at, _ = carry
        value, gradient, hessian = derivatives(at.x)
        direction = _direction(gradient, hessian, at.x, problem)
        slope = gradient @ direction
        size, accepted = _line_search(f, at.x, value, direction, slope, problem)
        x = jnp.where(accepted, at.x + size * direction, at.x)
        # a refused step at rounding level is convergence; a refused step elsewhere is a failure
        small = jnp.isfinite(value) & (jnp.abs(slope) < jnp.sqrt(tolerance))
        decrement = jnp.where(~accepted & small, 0, jnp.abs(slope))
        failed = ~accepted & ~small | ~jnp.isfinite(slope)
        code = jnp.where(failed, STALLED, STEP_LIMIT).astype(jnp.int32)
        return Minimum(x, at.steps + 1, code), decrement

    first = Minimum(start, jnp.int32(0), jnp.int32(STEP_LIMIT)), jnp.asarray(jnp.inf, start.dtype)
    end, decrement = jax.lax.while_loop(unfinished, step, first)
    return Minimum(
        end.x,
        end.steps,
        jnp.where((decrement <= tolerance) & (end.code != STALLED), CONVERGED, end.code).astype(jnp.int32),
    )


def _direction(gradient: Array, hessian: Array, x: Array, problem: Problem) -> Array:
    """Newton's direction within the equalities."""
    scale = jnp.sqrt(x) if problem.positive else jnp.ones_like(x)
    hessian = hessian * jnp.outer(scale, scale)
    ridge = jnp.finfo(x.dtype).eps * jnp.max(
        jnp.diagonal(hessian)
    )  # flat directions get a step, not a division by zero
    matrix = problem.matrix * scale[None]
    system = jnp.block(
        [
            [hessian + ridge * jnp.eye(x.size, dtype=x.dtype), matrix.T],
            [matrix, jnp.zeros((problem.target.size, problem.target.size), x.dtype)],
        ]
    )
    right = jnp.concatenate([-gradient * scale, problem.target - problem.matrix @ x])
    return jnp.linalg.solve(system, right)[: x.size] * scale


def _line_search(
    f: Function, x: Array, value: Array, direction: Array, slope: Array, problem: Problem
) -> tuple[Array, Array]:
    """Halve the step until f falls by Armijo's rule, starting short of the boundary; f not finite counts as too far."""
    rounding = 16 * jnp.finfo(x.dtype).eps * (1 + jnp.abs(value))
    reach = jnp.max(-direction / x) if problem.positive else jnp.zeros((), x.dtype)
    first = jnp.minimum(1, 0.99 / jnp.maximum(reach, 1e-30))

    def unfinished(carry: tuple[Array, Array]) -> Array:
        size, good = carry
        return ~good & (size > 1e-12)

    def halve(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        size = carry[0] / 2
        return size, f(x + size * direction) <= value + 1e-4 * size * slope + rounding

    return jax.lax.while_loop(unfinished, halve, (2 * first.astype(x.dtype), jnp.bool_(False)))
