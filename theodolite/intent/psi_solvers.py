"""Exact tabular imitation under any ψ, by three routes that must meet.

    direct:     min over valid occupancies of  -λ H̄(ρ) + ψ*(ρ - ρ_E)                         (occupancy matching)
    irl:        max over costs of  -ψ(c) + min_π(-λH(π) + E_π[c]) - E_E[c], then RL on it    (RL ∘ IRL)
    adversary:  best cost against the averaged policy, then RL on it, averaged in            (GAIL's loop, made exact)

The two ends bound each other: any valid ρ is above every c's dual value, and at the saddle point the gap is zero, so
each result carries its own certificate. All are pure and vmappable over MDPs; use float64 for the accuracies of the
tests. Every state must have positive initial probability or be reachable, otherwise its policy is not determined.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from theodolite.core import newton, tabular
from theodolite.core.arrays import Arrays, Scalar
from theodolite.core.errors import UserError
from theodolite.core.tabular import MDP
from theodolite.intent.psi import EXACT, TIGHT, Cost, Occupancy, Psi


class Solution(Arrays):
    """A policy with its certificate.

    `objective` is -λH̄ + ψ* at `occupancy`, `bound` the dual value of `cost`; the optimum lies between them. `code` is
    a key of `newton.MESSAGES`.
    """

    occupancy: Float[Array, "S A"]
    policy: Float[Array, "S A"]
    cost: Float[Array, "S A"]
    objective: Float[Array, ""]
    bound: Float[Array, ""]
    steps: Int[Array, ""]
    code: Int[Array, ""]

    @property
    def gap(self) -> Scalar:
        """How far the objective can at most be from the optimum."""
        return self.objective - self.bound


def objective(psi: Psi, rho: Occupancy, expert: Occupancy, temperature: Scalar) -> Float[Array, ""]:
    """-λ H̄(ρ) + ψ*(ρ - ρ_E)."""
    return jnp.asarray(psi.conjugate(rho, expert) - temperature * tabular.causal_entropy(rho))


def soft_cost(mdp: MDP, c: Cost, temperature: Scalar) -> Scalar:
    """min_π -λH(π) + E_π[c], of the normalised occupancy."""
    return -(1 - mdp.discount) * mdp.initial @ tabular.soft_value(mdp, -c, temperature)


def bound(psi: Psi, mdp: MDP, c: Cost, expert: Occupancy, temperature: Scalar) -> Float[Array, ""]:
    """The dual value of a cost: -ψ(c) + min_π(-λH(π) + E_π[c]) - E_E[c]."""
    return jnp.asarray(soft_cost(mdp, c, temperature) - jnp.sum(c * expert) - psi.value(c, expert))


def _solution(
    psi: Psi, mdp: MDP, rho: Array, c: Array, expert: Array, temperature: Scalar, steps: Array, code: Array
) -> Solution:
    upper, lower = objective(psi, rho, expert, temperature), bound(psi, mdp, c, expert, temperature)
    # the certificate outranks the solver's own opinion, which may be that rounding forbids a further step
    certified = upper - lower <= 10 * jnp.sqrt(jnp.finfo(upper.dtype).eps) * (1 + jnp.abs(upper))
    code = jnp.where(certified, newton.CONVERGED, code).astype(jnp.int32)
    return Solution(rho, tabular.policy_of(rho), c, upper, lower, steps, code)


def direct(psi: Psi, mdp: MDP, expert: Occupancy, temperature: Scalar) -> Solution:
    """Match occupancies without any cost: Newton's method on the valid set, from the uniform policy.

    Probabilities fall like exp(-cost/λ): a temperature many hundred times smaller than the costs ends at the step
    limit.
    """
    start = tabular.occupancy(mdp, tabular.uniform_policy(mdp), normalised=True)
    problem = newton.Problem(*tabular.flow(mdp, normalised=True), positive=True)

    exact = psi.smoothing == EXACT
    schedule = jnp.asarray((*TIGHT, 0.0) if exact else psi.smoothing, expert.dtype)

    def smooth(x: Array, mu: Array) -> Array:
        rho = x.reshape(expert.shape)
        # entropy alone lets probabilities fall too fast for Newton's method; a barrier leads the way and is gone at the
        # end
        barrier = jnp.where(mu > schedule[-1], mu / 100, 0) * jnp.sum(jnp.log(x))
        return psi.smooth(rho, expert, mu) - temperature * tabular.causal_entropy(rho) - barrier

    end = newton.minimise(smooth, start.ravel(), problem, schedule)
    rho = end.x.reshape(expert.shape)
    if psi.best_cost is not None and exact:
        c = psi.best_cost(rho, expert)
    else:  # at a kink many costs are best; the gradient of the smoothed conjugate is the one in equilibrium
        c = jax.grad(psi.smooth)(rho, expert, jnp.asarray(psi.smoothing[-1], expert.dtype))
    return _solution(psi, mdp, rho, c, expert, temperature, end.steps, end.code)


def nearest(mdp: MDP, target: Float[Array, "S A"]) -> tuple[Occupancy, Int[Array, ""]]:
    """The valid normalised occupancy nearest to a table in least squares (interior point), and the solver's code."""
    start = tabular.occupancy(mdp, tabular.uniform_policy(mdp), normalised=True).ravel()
    problem = newton.Problem(*tabular.flow(mdp, normalised=True), positive=True)

    def inside(x: Array, mu: Array) -> Array:
        return jnp.sum((x - target.ravel()) ** 2) / 2 - mu / 100 * jnp.sum(jnp.log(x))  # distances are of order 0.01

    end = newton.minimise(inside, start, problem, jnp.asarray(TIGHT, target.dtype))
    return end.x.reshape(target.shape), end.code


def irl(psi: Psi, mdp: MDP, expert: Occupancy, temperature: Scalar) -> Solution:
    """Find the cost that separates expert and policy most (IRL_ψ), then the policy that is soft-optimal for it (RL).

    Newton's method on the cost; soft value iteration answers with the policy inside. For surrogate ψ the expert must
    have positive occupancy everywhere: elsewhere the best cost is 0, on the edge of the domain.
    """
    start = psi.costs.start(expert)
    problem = newton.unconstrained(start, positive=psi.costs.positive)
    if psi.costs.sums_to_one:
        problem = newton.Problem(jnp.ones_like(start)[None], jnp.ones(1, start.dtype), positive=True)

    def separation(w: Array, mu: Array) -> Array:
        c = psi.costs.cost(w, expert)
        return jnp.sum(c * expert) - soft_cost(mdp, c, temperature) + psi.costs.penalty(w, expert, mu)

    # costs are linear in w, so the curvature in w follows from that in c
    slope = jax.jacobian(lambda w: psi.costs.cost(w, expert).ravel())(start)

    def derivatives(w: Array, mu: Array) -> tuple[Array, Array, Array]:
        curvature = tabular.soft_curvature(mdp, -psi.costs.cost(w, expert), temperature)
        hessian = (1 - mdp.discount) * slope.T @ curvature @ slope + jax.hessian(psi.costs.penalty)(w, expert, mu)
        return *jax.value_and_grad(separation)(w, mu), hessian

    smoothing = jnp.asarray(psi.smoothing, expert.dtype)
    end = newton.minimise(separation, start, problem, smoothing, derivatives=derivatives)
    c = psi.costs.cost(end.x, expert)
    rho = tabular.occupancy(mdp, tabular.soft_policy(mdp, -c, temperature), normalised=True)
    return _solution(psi, mdp, rho, c, expert, temperature, end.steps, end.code)


def adversary(
    psi: Psi, mdp: MDP, expert: Occupancy, temperature: Scalar, *, max_rounds: int = 5_000, tolerance: Scalar = 1e-6
) -> Solution:
    """GAIL's game played exactly: c ← best cost against ρ̄, π ← RL(c), ρ̄ ← (1-α) ρ̄ + α ρ_π, until the gap closes.

    This is the conditional-gradient method, α by exact line search. It needs a ψ whose best cost is unique and
    continuous (logistic, exponential, quadratic); against l2_ball and simplex the cost jumps and the play cycles.

    Raises:
        UserError: ψ has no best cost at all (constant).
    """
    best_cost = psi.best_cost
    if best_cost is None:
        raise UserError(f"ψ {psi.name} has no best cost to play against. Use direct or irl, or another ψ.")

    def reply(rho: Array) -> tuple[Array, Array, Array]:
        c = best_cost(rho, expert)
        answer = tabular.occupancy(mdp, tabular.soft_policy(mdp, -c, temperature), normalised=True)
        gap = objective(psi, rho, expert, temperature) - bound(psi, mdp, c, expert, temperature)
        return c, answer, gap

    def unfinished(carry: tuple[Array, Array, Array]) -> Array:
        _, gap, count = carry
        return (gap > tolerance) & (count < max_rounds)

    def one_round(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        rho, _, count = carry
        _, answer, gap = reply(rho)
        size = _exact_step(lambda x: objective(psi, x, expert, temperature), rho, answer - rho)
        return jnp.where(gap > tolerance, rho + size * (answer - rho), rho), gap, count + 1

    first = tabular.occupancy(mdp, tabular.uniform_policy(mdp), normalised=True)
    start = (first, jnp.asarray(jnp.inf, expert.dtype), jnp.int32(0))
    rho, gap, count = jax.lax.while_loop(unfinished, one_round, start)
    code = jnp.where(gap <= tolerance, newton.CONVERGED, newton.STEP_LIMIT).astype(jnp.int32)
    return _solution(psi, mdp, rho, best_cost(rho, expert), expert, temperature, count, code)


def _exact_step(f, x: Array, direction: Array) -> Array:
    """The step in [0, 1] at which a convex f stops falling, by bisection on its slope."""

    def bisect(_: Array, interval: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = interval
        middle = (low + high) / 2
        falling = jnp.sum(jax.grad(f)(x + middle * direction) * direction) < 0
        return jnp.where(falling, middle, low), jnp.where(falling, high, middle)

    low, _ = jax.lax.fori_loop(0, 30, bisect, (jnp.zeros((), x.dtype), jnp.ones((), x.dtype)))
    return low
