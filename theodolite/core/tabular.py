"""Finite Markov decision processes solved exactly: occupancy measures, evaluation, optimal and soft-optimal policies.

    ρ_π(s,a) = π(a|s) Σ_t γ^t P(s_t = s),     E_π[Σ_t γ^t r] = Σ ρ_π r
    valid:     ρ >= 0,  Σ_a ρ(s,a) = p_0(s) + γ Σ_{s',a'} P(s|s',a') ρ(s',a')          (the Bellman flow)
    soft:      V(s) = λ log Σ_a exp(Q(s,a)/λ),  Q = r + γ P V,  π = exp((Q - V)/λ)

Everything is a linear solve or Newton's method, so nothing depends on an iteration count; functions take one MDP and
are vmapped over many, in float32 or float64. The normalised occupancy is (1 - γ) ρ and sums to one.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from theodolite.core.arrays import Arrays, Scalar

MAX_SWEEPS = 100
"""Limit of policy-iteration sweeps. Newton's method needs about ten; the limit only stops a cycle at rounding level."""


class MDP(Arrays):
    """A Markov decision process without reward; `transition[s, a, s']` is the probability of s' after a in s."""

    transition: Float[Array, "S A S"]
    initial: Float[Array, " S"]
    discount: Float[Array, ""]


def policy_transition(mdp: MDP, policy: Float[Array, "S A"]) -> Float[Array, "S S"]:
    """P_π(s'|s) = Σ_a π(a|s) P(s'|s,a)."""
    return jnp.einsum("sa,sat->st", policy, mdp.transition)


def occupancy(mdp: MDP, policy: Float[Array, "S A"], *, normalised: bool = False) -> Float[Array, "S A"]:
    """Discounted state-action visitation of a policy, ρ_π = π · (I - γ P_πᵀ)⁻¹ p_0."""
    system = jnp.eye(mdp.initial.size, dtype=mdp.initial.dtype) - mdp.discount * policy_transition(mdp, policy).T
    visits = jnp.linalg.solve(system, mdp.initial)[:, None] * policy
    return (1 - mdp.discount) * visits if normalised else visits


def policy_of(rho: Float[Array, "S A"]) -> Float[Array, "S A"]:
    """The policy that an occupancy belongs to, ρ(s,a) / Σ_a ρ(s,a); uniform in states of no occupancy."""
    total = rho.sum(-1, keepdims=True)
    uniform = jnp.full_like(rho, 1 / rho.shape[-1])
    return jnp.where(total > 0, rho / jnp.where(total > 0, total, 1), uniform)


def uniform_policy(mdp: MDP) -> Float[Array, "S A"]:
    """Every action equally likely in every state."""
    return jnp.full_like(mdp.transition[..., 0], 1 / mdp.transition.shape[1])


def flow(mdp: MDP, *, normalised: bool = False) -> tuple[Float[Array, "S SA"], Float[Array, " S"]]:
    """The Bellman-flow constraints as a matrix and a target: `matrix @ rho.ravel() == target` on the valid set."""
    states, actions = mdp.transition.shape[:2]
    leaving = jnp.repeat(jnp.eye(states, dtype=mdp.initial.dtype), actions, axis=1)
    arriving = mdp.discount * mdp.transition.reshape(states * actions, states).T
    return leaving - arriving, (1 - mdp.discount) * mdp.initial if normalised else mdp.initial


def causal_entropy(rho: Float[Array, "S A"]) -> Scalar:
    """H̄(ρ) = -Σ ρ log(ρ / Σ_a ρ), the discounted causal entropy; concave, and its gradient is -log π."""
    return jnp.sum(jax.scipy.special.entr(rho)) - jnp.sum(jax.scipy.special.entr(rho.sum(-1)))


def backup(mdp: MDP, reward: Float[Array, "S A"], value: Float[Array, " S"]) -> Float[Array, "S A"]:
    """Q(s,a) = r(s,a) + γ Σ_s' P(s'|s,a) V(s')."""
    return reward + mdp.discount * mdp.transition @ value


def evaluate(mdp: MDP, policy: Float[Array, "S A"], reward: Float[Array, "S A"]) -> Float[Array, " S"]:
    """Value of a policy in every state, (I - γ P_π)⁻¹ r_π."""
    system = jnp.eye(mdp.initial.size, dtype=mdp.initial.dtype) - mdp.discount * policy_transition(mdp, policy)
    return jnp.linalg.solve(system, jnp.sum(policy * reward, axis=-1))


def expected_return(mdp: MDP, policy: Float[Array, "S A"], reward: Float[Array, "S A"]) -> Scalar:
    """Expected discounted return from the initial distribution."""
    return mdp.initial @ evaluate(mdp, policy, reward)


def optimal_value(mdp: MDP, reward: Float[Array, "S A"]) -> Float[Array, " S"]:
    """V* by policy iteration."""
    actions = reward.shape[1]

    def improve(value: Array) -> Array:
        greedy = jax.nn.one_hot(jnp.argmax(backup(mdp, reward, value), axis=-1), actions, dtype=reward.dtype)
        return evaluate(mdp, greedy, reward)

    return _fixed_point(improve, jnp.zeros_like(mdp.initial))


def optimal_policy(mdp: MDP, reward: Float[Array, "S A"]) -> Float[Array, "S A"]:
    """A deterministic optimal policy; ties go to the first action."""
    best = jnp.argmax(backup(mdp, reward, optimal_value(mdp, reward)), axis=-1)
    return jax.nn.one_hot(best, reward.shape[1], dtype=reward.dtype)


@jax.custom_jvp
def soft_value(mdp: MDP, reward: Float[Array, "S A"], temperature: Scalar) -> Float[Array, " S"]:
    """V(s) = λ log Σ_a exp((r + γ P V)/λ), the fixed point, for λ > 0.

    Solved by soft policy iteration, which is Newton's method on the Bellman equation. Derivatives of every order are
    exact: they differentiate the equation, not the iterations. The gradient of p_0 · V with respect to the reward is
    ρ_π.
    """

    def improve(value: Array) -> Array:
        log_policy = jax.nn.log_softmax(backup(mdp, reward, value) / temperature)
        return evaluate(mdp, jnp.exp(log_policy), reward - temperature * log_policy)

    return _fixed_point(improve, jnp.zeros_like(mdp.initial))


@soft_value.defjvp
def _soft_value_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    mdp, reward, temperature = primals
    value = soft_value(mdp, reward, temperature)

    def bellman(mdp: MDP, reward: Array, temperature: Scalar) -> Array:
        return temperature * jax.nn.logsumexp(backup(mdp, reward, value) / temperature, axis=-1)

    _, direct = jax.jvp(bellman, primals, tangents)
    policy = jax.nn.softmax(backup(mdp, reward, value) / temperature)
    system = jnp.eye(mdp.initial.size, dtype=mdp.initial.dtype) - mdp.discount * policy_transition(mdp, policy)
    return value, jnp.linalg.solve(system, direct)


def soft_policy(mdp: MDP, reward: Float[Array, "S A"], temperature: Scalar) -> Float[Array, "S A"]:
    """The policy that maximises E_π[r] + λ H(π)."""
    return jax.nn.softmax(backup(mdp, reward, soft_value(mdp, reward, temperature)) / temperature)


def soft_curvature(mdp: MDP, reward: Float[Array, "S A"], temperature: Scalar) -> Float[Array, "SA SA"]:
    """Second derivative of p_0 · V with respect to the reward, which is dρ_π/dr of the soft policy's occupancy.

        H = Σ_{s,a} ρ_π(s,a) ∇A(s,a) ∇A(s,a)ᵀ / λ,    A = Q - V,    ∇V = (I - γ P_π)⁻¹ Π,    ∇Q = 1 + γ P ∇V

    It is 1/λ times the Fisher information of a path, hence positive semidefinite; rewards that only shape are its null
    space.
    """
    states, actions = reward.shape
    policy = soft_policy(mdp, reward, temperature)
    paid = jnp.einsum("st,ta->sta", jnp.eye(states, dtype=reward.dtype), policy).reshape(states, states * actions)
    system = jnp.eye(states, dtype=reward.dtype) - mdp.discount * policy_transition(mdp, policy)
    slope_v = jnp.linalg.solve(system, paid)
    slope_q = (
        jnp.eye(states * actions, dtype=reward.dtype) + mdp.discount * mdp.transition.reshape(-1, states) @ slope_v
    )
    advantage = slope_q - jnp.repeat(slope_v, actions, axis=0)
    return advantage.T @ (occupancy(mdp, policy).reshape(-1, 1) * advantage) / temperature


def _fixed_point(improve: Callable[[Array], Array], start: Array) -> Array:
    """Iterate a monotone improvement until it moves by rounding only."""

    def unfinished(carry: tuple[Array, Array, Array]) -> Array:
        value, before, sweep = carry
        rounding = 4 * jnp.finfo(value.dtype).eps * (1 + jnp.max(jnp.abs(value)))
        return (sweep < MAX_SWEEPS) & ~(jnp.max(jnp.abs(value - before)) <= rounding)

    def sweep(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        value, _, count = carry
        return improve(value), value, count + 1

    return jax.lax.while_loop(unfinished, sweep, (start, jnp.full_like(start, jnp.inf), jnp.int32(0)))[0]
