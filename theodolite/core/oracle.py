"""Finite worlds that answer exactly what a learner would have to estimate: oracles for unit tests of Q-learning.

    backup       (T Q)(s,a) = r(s,a) + γ Σ_s' P(s'|s,a) V(s'),     V(s) = τ log Σ_a exp(Q(s,a)/τ), max at τ = 0
    policy       π = softmax(Q/τ), uniform over ties at τ = 0
    visitation   μ(s,a) = (1/T) Σ_{t<T} P(s_t = s) π(a|s),         return = E[Σ_{t<T} r_t] = T Σ μ r, undiscounted

An episode has exactly T steps and is cut, never ended: backups do not see the limit. Dynamics are listed successors, so
a backup is a gather and a visitation T scatters. Pure functions of one world, to be vmapped over seeds.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from theodolite.core import soft_planning
from theodolite.core.arrays import Arrays, PRNGKey, Scalar
from theodolite.core.soft_planning import SparseMDP

MAX_SWEEPS = 5_000
"""Limit of value-iteration sweeps; γ = 0.95 needs about 300 for single precision."""


class Oracle(Arrays):
    """A world with what it pays, what is seen of its states, and the steps of an episode."""

    mdp: SparseMDP
    reward: Float[Array, "S A"]
    obs: Float[Array, "S O"]
    reachable: Bool[Array, " S"]
    """States that some policy visits; errors elsewhere are of no consequence."""
    horizon: int = eqx.field(static=True)
    name: str = eqx.field(static=True)

    @property
    def num_states(self) -> int:
        """How many states there are."""
        return self.reward.shape[0]

    @property
    def num_actions(self) -> int:
        """How many actions there are, everywhere the same."""
        return self.reward.shape[1]

    def paying(self, reward: Float[Array, "S A"]) -> "Oracle":
        """The same world with another reward."""
        return eqx.tree_at(lambda o: o.reward, self, reward)


class Steps(NamedTuple):
    """Transitions by index: state, action, and which of the listed successors followed."""

    state: Int[Array, "*B"]
    action: Int[Array, "*B"]
    outcome: Int[Array, "*B"]


def reachable(successor: Int[np.ndarray, "S A K"], probability: np.ndarray, initial: np.ndarray) -> np.ndarray:
    """Which states can be arrived at, by breadth-first search from the starts."""
    seen, front = initial > 0, initial > 0
    while front.any():
        found = np.zeros_like(seen)
        found[successor[front][probability[front] > 0]] = True
        front = found & ~seen
        seen = seen | found
    return seen


def soft_max(q: Float[Array, "*S A"], temperature: Scalar) -> Float[Array, "*S"]:
    """τ log Σ exp(Q/τ), the largest at τ = 0."""
    best, heat = jnp.max(q, -1), jnp.maximum(temperature, 1e-8)
    spread = jnp.sum(jnp.exp((q - best[..., None]) / heat), -1)
    return best + jnp.where(temperature > 0, heat * jnp.log(spread), 0)


def policy(q: Float[Array, "*S A"], temperature: Scalar) -> Float[Array, "*S A"]:
    """Softmax of Q/τ; uniform over the best actions at τ = 0."""
    ties = (q == jnp.max(q, -1, keepdims=True)).astype(q.dtype)
    heat = jnp.maximum(temperature, 1e-8)
    return jnp.where(temperature > 0, jax.nn.softmax(q / heat), ties / jnp.sum(ties, -1, keepdims=True))


def outcomes(o: Oracle, value: Float[Array, " S"]) -> Float[Array, "S A K"]:
    """r(s,a) + γ V(s') of every listed successor: what a single sample would be backed up to."""
    return o.reward[..., None] + o.mdp.discount * value[o.mdp.successor]


def backup(o: Oracle, q: Float[Array, "S A"], temperature: Scalar) -> Float[Array, "S A"]:
    """T Q, the exact soft Bellman backup."""
    return o.reward + o.mdp.discount * soft_planning.expect(o.mdp, soft_max(q, temperature))


def optimal(o: Oracle, temperature: Scalar) -> Float[Array, "S A"]:
    """Q* of the soft problem, by value iteration until it moves by rounding only."""

    def unfinished(carry: tuple[Array, Array, Array]) -> Array:
        q, moved, sweep = carry
        return (sweep < MAX_SWEEPS) & ~(moved <= 4 * jnp.finfo(q.dtype).eps * (1 + jnp.max(jnp.abs(q))))

    def sweep(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        q, _, count = carry
        better = backup(o, q, temperature)
        return better, jnp.max(jnp.abs(better - q)), count + 1

    first = (jnp.zeros_like(o.reward), jnp.asarray(jnp.inf, o.reward.dtype), jnp.int32(0))
    return jax.lax.while_loop(unfinished, sweep, first)[0]


def visitation(o: Oracle, pi: Float[Array, "S A"]) -> Float[Array, "S A"]:
    """Share of an episode's steps that are spent on every pair."""

    def onward(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        arrived, total = carry
        return (soft_planning.arrive(o.mdp, arrived[:, None] * pi, o.mdp.probability), total + arrived), None

    (_, total), _ = jax.lax.scan(onward, (o.mdp.initial, jnp.zeros_like(o.mdp.initial)), None, length=o.horizon)
    return total[:, None] * pi / o.horizon


def expected_return(o: Oracle, pi: Float[Array, "S A"]) -> Float[Array, ""]:
    """Expected undiscounted return of an episode, by backward induction."""

    def earlier(value: Array, _: None) -> tuple[Array, None]:
        return jnp.sum(pi * (o.reward + soft_planning.expect(o.mdp, value)), -1), None

    value, _ = jax.lax.scan(earlier, jnp.zeros_like(o.mdp.initial), None, length=o.horizon)
    return o.mdp.initial @ value


class Scale(Arrays):
    """The references of a world at a temperature: the values to be found, and the returns that frame all others."""

    q: Float[Array, "S A"]
    optimal_return: Float[Array, ""]
    random_return: Float[Array, ""]
    optimal_visits: Float[Array, "S A"]
    random_visits: Float[Array, "S A"]

    def normalised(self, paid: Float[Array, "..."]) -> Float[Array, "..."]:
        """0 for the uniform policy, 1 for the soft-optimal one."""
        return (paid - self.random_return) / (self.optimal_return - self.random_return)


@jax.jit
def scale(o: Oracle, temperature: Scalar) -> Scale:
    """Q*, and the returns and visits of its policy and of the uniform one."""
    q = optimal(o, temperature)
    best, uniform = policy(q, temperature), jnp.full_like(q, 1 / q.shape[-1])
    return Scale(q, expected_return(o, best), expected_return(o, uniform), visitation(o, best), visitation(o, uniform))


def rollout(o: Oracle, pi: Float[Array, "S A"], key: PRNGKey, episodes: int) -> Steps:
    """Whole episodes of a policy. [episodes, T]"""
    choices, follows = jnp.cumsum(pi, -1)[:, :-1], jnp.cumsum(o.mdp.probability, -1)[..., :-1]
    begin_key, step_key = jax.random.split(key)
    begins = jnp.cumsum(o.mdp.initial)[:-1]
    first = jnp.searchsorted(begins, jax.random.uniform(begin_key, (episodes,), pi.dtype), side="right")

    def step(state: Array, uniform: Array) -> tuple[Array, Steps]:
        action = jnp.sum(uniform[0][:, None] >= choices[state], -1, dtype=jnp.int32)
        outcome = jnp.sum(uniform[1][:, None] >= follows[state, action], -1, dtype=jnp.int32)
        return o.mdp.successor[state, action, outcome].astype(jnp.int32), Steps(state, action, outcome)

    draws = jax.random.uniform(step_key, (o.horizon, 2, episodes), pi.dtype)
    _, steps = jax.lax.scan(step, first.astype(jnp.int32), draws)
    return jax.tree.map(lambda x: x.T, steps)


def collect(o: Oracle, pi: Float[Array, "S A"], key: PRNGKey, num: int) -> Steps:
    """`num` transitions of a policy: a random subset of as many whole episodes as that takes."""
    roll_key, order_key = jax.random.split(key)
    steps = jax.tree.map(jnp.ravel, rollout(o, pi, roll_key, -(-num // o.horizon)))
    if steps.state.shape[0] == num:
        return steps
    chosen = jax.lax.top_k(jax.random.uniform(order_key, steps.state.shape), num)[1]
    return jax.tree.map(lambda x: x[chosen], steps)


def counted(o: Oracle, steps: Steps, weight: Float[Array, "*B"] | float = 1.0) -> Float[Array, "S A K"]:
    """How often every outcome occurred, or the sum of its weights."""
    zero = jnp.zeros(o.mdp.probability.shape, o.reward.dtype)
    return zero.at[steps.state, steps.action, steps.outcome].add(weight)
