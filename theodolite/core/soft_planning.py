"""Soft-optimal planning and visitation in known finite worlds, dense or sparse, over any horizon.

    Q_t(s,a) = r(s,a) + γ Σ_s' P(s'|s,a) V_{t+1}(s'),    V_t(s) = α log Σ_a exp(Q_t(s,a)/α),    π_t = exp((Q_t - V_t)/α)
    μ(s,a) = Σ_t γ^t P(s_t = s) π_t(a|s)

`causal=False` lets the planner choose the outcomes too, at the price of their log-probability (Ziebart et al. 2008):
Q(s,a) = α log Σ_s' P(s'|s,a) exp((r + γ V(s'))/α). That is the same in deterministic worlds and optimistic elsewhere;
its paths live in the tilted dynamics P̃ ∝ P exp((r + γ V)/α), and so do its visits.

A reward is an array over (s), (s,a) or (s,a,k), where k counts the successors: all states in a dense MDP, the listed
ones in a sparse MDP. A state without an available action is the end: its value is 0 and nothing leaves it, which also
makes it padding. Functions take one MDP and are vmapped over many.
"""

from typing import cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from theodolite.core.arrays import Arrays, Scalar
from theodolite.core.errors import UserError
from theodolite.core.tabular import MDP

MAX_SWEEPS = 100
"""Limit of Newton's sweeps for the infinite horizon; about ten are needed."""


class SparseMDP(Arrays):
    """An MDP without reward whose pairs have K listed successors; a listed one of probability 0 is padding."""

    successor: Int[Array, "S A K"]
    probability: Float[Array, "S A K"]
    available: Bool[Array, "S A"]
    initial: Float[Array, " S"]
    discount: Float[Array, ""]


Model = MDP | SparseMDP
Reward = Float[Array, "S ..."]


class Plan(Arrays):
    """The soft-optimal policy with its values; with a horizon all have a leading time axis, values one entry more."""

    value: Float[Array, "... S"]
    log_policy: Float[Array, "... S A"]
    reward: Reward
    temperature: Scalar
    horizon: int | None = eqx.field(static=True)
    sweeps: int | None = eqx.field(static=True)
    causal: bool = eqx.field(static=True)

    @property
    def policy(self) -> Float[Array, "... S A"]:
        """Probabilities of actions; zero for those that are not available."""
        return jnp.exp(self.log_policy)


def sparsify(mdp: MDP, width: int) -> SparseMDP:
    """The same MDP with the `width` likeliest successors of every pair; exact if no pair has more."""
    probability, successor = jax.lax.top_k(mdp.transition, width)
    every = jnp.ones(mdp.transition.shape[:2], bool)
    return SparseMDP(successor.astype(jnp.int32), probability, every, mdp.initial, mdp.discount)


def densify(m: SparseMDP) -> MDP:
    """The same MDP as a dense one, whose ends are states that every action keeps.

    Only for rewards that are zero at the ends: a dense MDP has no others.
    """
    states, actions = m.available.shape
    s, a = (x[..., None] for x in jnp.indices((states, actions)))
    full = jnp.zeros((states, actions, states), m.probability.dtype).at[s, a, m.successor].add(m.probability)
    stay = jnp.eye(states, dtype=full.dtype)[:, None]
    return MDP(jnp.where(m.available[..., None], full, jnp.broadcast_to(stay, full.shape)), m.initial, m.discount)


def probabilities(m: Model) -> Float[Array, "S A K"]:
    """Those of the successors."""
    return m.transition if isinstance(m, MDP) else m.probability


def available(m: Model) -> Bool[Array, "S A"]:
    """Which actions there are."""
    return jnp.ones(m.transition.shape[:2], bool) if isinstance(m, MDP) else m.available


def at_successors(m: Model, value: Float[Array, " S"]) -> Float[Array, "S A K"]:
    """What the successors of every pair are worth."""
    return jnp.broadcast_to(value[None, None], m.transition.shape) if isinstance(m, MDP) else value[m.successor]


def expect(m: Model, value: Float[Array, " S"]) -> Float[Array, "S A"]:
    """Σ_s' P(s'|s,a) V(s')."""
    return m.transition @ value if isinstance(m, MDP) else jnp.sum(m.probability * value[m.successor], -1)


def arrive(m: Model, mass: Float[Array, "S A"], weights: Float[Array, "S A K"]) -> Float[Array, " S"]:
    """Where mass on pairs goes in one step of dynamics `weights`."""
    if isinstance(m, MDP):
        return mass.reshape(-1) @ weights.reshape(mass.size, -1)
    return jnp.zeros(mass.shape[0], mass.dtype).at[m.successor].add(mass[..., None] * weights)


def under(m: Model, policy: Float[Array, "S A"], weights: Float[Array, "S A K"]) -> Float[Array, "S S"]:
    """The Markov chain of a policy in dynamics `weights`."""
    if isinstance(m, MDP):
        return jnp.einsum("sa,sat->st", policy, weights)
    rows = jnp.broadcast_to(jnp.arange(policy.shape[0])[:, None, None], m.successor.shape)
    return jnp.zeros((policy.shape[0],) * 2, policy.dtype).at[rows, m.successor].add(policy[..., None] * weights)


def per_pair(m: Model, reward: Reward) -> Float[Array, "S A"]:
    """The expected reward of every pair.

    Raises:
        UserError: the shape is none of (S), (S, A), (S, A, K).
    """
    shape = probabilities(m).shape
    if reward.ndim not in (1, 2, 3) or reward.shape != shape[: reward.ndim]:
        states, pairs = shape[:1], shape[:2]
        raise UserError(
            f"the reward has the shape {reward.shape}: expected {states} for states, {pairs} for states and actions, "
            f"or {shape} for states, actions and successors."
        )
    if reward.ndim == 1:
        return jnp.broadcast_to(reward[:, None], shape[:2])
    return reward if reward.ndim == 2 else jnp.sum(probabilities(m) * reward, -1)


def _per_outcome(m: Model, reward: Reward, value: Float[Array, " S"]) -> Float[Array, "S A K"]:
    """r + γ V(s') of every outcome."""
    paid = reward if reward.ndim == 3 else per_pair(m, reward)[..., None]
    return paid + m.discount * at_successors(m, value)


def backup(
    m: Model, reward: Reward, value: Float[Array, " S"], temperature: Scalar, causal: bool = True
) -> Float[Array, "S A"]:
    """Q from the value of what follows."""
    if causal:
        return per_pair(m, reward) + m.discount * expect(m, value)
    outcomes = _per_outcome(m, reward, value) / temperature
    return temperature * jax.nn.logsumexp(outcomes, axis=-1, b=probabilities(m))


def dynamics(
    m: Model, reward: Reward, value: Float[Array, " S"], temperature: Scalar, causal: bool = True
) -> Float[Array, "S A K"]:
    """The probabilities of successors on the planner's paths: P, or P tilted towards what is worth more."""
    if causal:
        return probabilities(m)
    outcomes = _per_outcome(m, reward, value) / temperature
    total = jax.nn.logsumexp(outcomes, axis=-1, b=probabilities(m), keepdims=True)
    return probabilities(m) * jnp.exp(outcomes - jnp.where(jnp.isfinite(total), total, 0))


def soften(m: Model, q: Float[Array, "S A"], temperature: Scalar) -> tuple[Float[Array, " S"], Float[Array, "S A"]]:
    """V and log π of Q, over the available actions."""
    there = available(m)
    goes_on = there.any(-1)
    scores = jnp.where(there, q / temperature, -jnp.inf)
    total = jax.nn.logsumexp(jnp.where(goes_on[:, None], scores, 0), axis=-1)
    return jnp.where(goes_on, temperature * total, 0), jnp.where(there, scores - total[:, None], -jnp.inf)


def plan(
    m: Model,
    reward: Reward,
    temperature: Scalar = 1.0,
    *,
    horizon: int | None = None,
    sweeps: int | None = None,
    causal: bool = True,
    start: Float[Array, " S"] | None = None,
) -> Plan:
    """The soft-optimal policy of a reward.

    With a `horizon` of H actions the policy depends on time. Without, it is the fixed point: exact, by Newton's method
    (which solves a dense system of S equations), or after `sweeps` backups from `start` for worlds too large for that,
    at an error of γ^sweeps. γ = 1 without a horizon needs an end that every policy reaches.

    Raises:
        UserError: the reward's shape fits neither states, pairs nor outcomes.
    """

    def improve(value: Array) -> tuple[Array, Array]:
        return soften(m, backup(m, reward, value, temperature, causal), temperature)

    per_pair(m, reward)  # refuses a wrong shape before anything else meets it
    zero = jnp.zeros_like(m.initial)
    if horizon is not None:

        def earlier(value: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
            value, log_policy = improve(value)
            return value, (value, log_policy)

        _, (values, log_policy) = jax.lax.scan(earlier, zero, None, length=horizon, reverse=True)
        return Plan(jnp.concatenate([values, zero[None]]), log_policy, reward, temperature, horizon, None, causal)
    first = zero if start is None else start
    if sweeps is None:
        value = _newton(m, reward, temperature, causal, first)
    else:
        value = jax.lax.scan(lambda v, _: (improve(v)[0], None), first, None, length=sweeps)[0]
    return Plan(value, improve(value)[1], reward, temperature, None, sweeps, causal)


def _newton(m: Model, reward: Reward, temperature: Scalar, causal: bool, start: Array) -> Array:
    """The fixed point of the soft backup T, by V ← V + (I - γ P̃_π)⁻¹ (T V - V): soft policy iteration if causal."""

    def unfinished(carry: tuple[Array, Array, Array]) -> Array:
        value, moved, sweep = carry
        rounding = 8 * jnp.finfo(value.dtype).eps * (1 + jnp.max(jnp.abs(value)))
        return (sweep < MAX_SWEEPS) & ~(moved <= rounding)

    def sweep(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        value, _, count = carry
        better, log_policy = soften(m, backup(m, reward, value, temperature, causal), temperature)
        weights = dynamics(m, reward, value, temperature, causal)
        change = jnp.linalg.solve(_system(m, jnp.exp(log_policy), weights), better - value)
        return value + change, jnp.max(jnp.abs(change)), count + 1

    first = start, jnp.asarray(jnp.inf, start.dtype), jnp.int32(0)
    return jax.lax.stop_gradient(jax.lax.while_loop(unfinished, sweep, first)[0])


def _system(m: Model, policy: Array, weights: Array) -> Array:
    return jnp.eye(policy.shape[0], dtype=policy.dtype) - m.discount * under(m, policy, weights)


def visits(m: Model, p: Plan, inflow: Float[Array, "... S"]) -> Float[Array, "... S A"]:
    """Discounted visits of the pairs, un-normalised, when `inflow` enters the states.

    That is the derivative of Σ inflow · V with respect to the reward of the pairs, so inflow may be of either sign.
    With a horizon it enters at the first step, or per step if it has a time axis, and so are the visits then [H, S, A].
    """
    if p.horizon is not None:
        return _finite_visits(m, p, inflow)
    weights = dynamics(m, p.reward, p.value, p.temperature, p.causal)
    if p.sweeps is None:
        entered = jnp.linalg.solve(_system(m, p.policy, weights).T, inflow)
    else:

        def onward(entered: Array, _: None) -> tuple[Array, None]:
            return inflow + m.discount * arrive(m, entered[:, None] * p.policy, weights), None

        entered = jax.lax.scan(onward, inflow, None, length=p.sweeps)[0]
    return entered[:, None] * p.policy


def _finite_visits(m: Model, p: Plan, inflow: Array) -> Array:
    horizon = cast(int, p.horizon)
    per_step = inflow if inflow.ndim == 2 else jnp.zeros((horizon, inflow.size), inflow.dtype).at[0].set(inflow)

    def onward(arrived: Array, row: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        entering, policy, next_value = row
        mass = (arrived + entering)[:, None] * policy
        weights = dynamics(m, p.reward, next_value, p.temperature, p.causal)
        return m.discount * arrive(m, mass, weights), mass

    rows = per_step, p.policy, p.value[1:]
    return jax.lax.scan(onward, jnp.zeros_like(per_step[0]), rows)[1]


def outcome_visits(m: Model, p: Plan, mass: Float[Array, "... S A"]) -> Float[Array, "S A K"]:
    """How mass on pairs spreads over their successors on the planner's paths, summed over time."""
    if p.horizon is None:
        return mass[..., None] * dynamics(m, p.reward, p.value, p.temperature, p.causal)
    if p.causal:
        return mass.sum(0)[..., None] * probabilities(m)
    weights = jax.vmap(lambda value: dynamics(m, p.reward, value, p.temperature, p.causal))(p.value[1:])
    return jnp.sum(mass[..., None] * weights, 0)


def lead(m: Model, p: Plan, mass: Float[Array, "... S A"]) -> Float[Array, "... S"]:
    """Discounted mass that pairs send to their successors; with a horizon, one step later than it left."""
    if p.horizon is None:
        return m.discount * arrive(m, mass, dynamics(m, p.reward, p.value, p.temperature, p.causal))

    def one(mass: Array, next_value: Array) -> Array:
        return m.discount * arrive(m, mass, dynamics(m, p.reward, next_value, p.temperature, p.causal))

    sent = jax.vmap(one)(mass, p.value[1:])
    return jnp.concatenate([jnp.zeros_like(sent[:1]), sent[:-1]])
