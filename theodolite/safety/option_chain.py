"""A learned set of options in a finite world as a Markov chain over pairs of state and option: exact risk and visits.

    P((s,ω) → (s',ω')) = Σ_a π(a|s,ω) P(s'|s,a) [(1 - β(s',ω)) 1(ω' = ω) + β(s',ω) π_O(ω'|s')]
    V = E[r] + γ P V                                                 the mean of the return
    M = E[r²] + 2γ P (r̄ V) + γ² P M                                  its second moment (Sobel 1982)

r̄ is the mean reward of the arrival; P leads nowhere from the end of an episode. `moments` solves both equations;
`capped` runs them, and the visits, for as many steps as an episode may have.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from theodolite.core.arrays import Arrays
from theodolite.envs.rooms import World


class Options(Arrays):
    """What an agent with options does."""

    policy: Float[Array, "S W A"]
    """π(a|s,ω)."""
    ending: Float[Array, "S W"]
    """β(s,ω)."""
    choice: Float[Array, "S W"]
    """π_O(ω|s)."""


class Moments(NamedTuple):
    """First two moments of the return from each pair."""

    mean: Float[Array, "S W"]
    second: Float[Array, "S W"]


class Risk(NamedTuple):
    """What an agent is worth and how much it leaves to chance, from the world's distribution of starts."""

    mean: Float[Array, ""]
    deviation: Float[Array, ""]
    """Standard deviation of the return, starts included."""
    within: Float[Array, ""]
    """Root of the mean variance of the return from a given start."""
    hazards: Float[Array, ""]
    """Expected arrivals at noisy states per episode."""
    steps: Float[Array, ""]
    """Expected steps per episode."""
    visits: Float[Array, " S"]
    """Expected arrivals at every state."""
    usage: Float[Array, "S W"]
    """Expected steps that every option takes from every state."""


def arrive(options: Options, value: Float[Array, "S W"]) -> Float[Array, "S W"]:
    """Expected value of the pair that acts next, by the state arrived at and the option that was running."""
    chosen = jnp.sum(options.choice * value, axis=-1, keepdims=True)
    return (1 - options.ending) * value + options.ending * chosen


def _act(world: World, options: Options, arriving: Float[Array, "S W"]) -> Float[Array, "S W"]:
    """Expectation over actions and moves of a quantity of (s', running option)."""
    return jnp.einsum("swa,saw->sw", options.policy, jnp.einsum("sat,tw->saw", world.mdp.transition, arriving))


def rewards(world: World) -> tuple[Float[Array, "S 1"], Float[Array, "S 1"], Float[Array, "S 1"]]:
    """E[r] and E[r²] of an arrival, and 1 where the episode goes on."""
    mean = world.mean[:, None]
    return mean, mean**2 + world.spread[:, None] ** 2, (~world.terminal[:, None]).astype(mean.dtype)


def backup(world: World, options: Options, after: Moments) -> Moments:
    """The moments with one more step in front."""
    (mean, square, goes_on), discount = rewards(world), world.mdp.discount
    value, second = (goes_on * arrive(options, x) for x in after)
    first = mean + discount * value
    return Moments(*(_act(world, options, x) for x in (
        first, square + 2 * discount * mean * value + discount**2 * second)))  # fmt: skip


def pair_transition(world: World, options: Options) -> Float[Array, "SW SW"]:
    """P over pairs, in the order s · W + ω; rows of pairs from which the episode may end sum to less than one."""
    goes_on = rewards(world)[2]
    moved = jnp.einsum("swa,sat->swt", options.policy, world.mdp.transition * goes_on[:, 0][None, None])
    states, num = options.ending.shape
    stays = jnp.einsum("tw,wv->twv", 1 - options.ending, jnp.eye(num, dtype=moved.dtype))
    switch = stays + options.ending[:, :, None] * options.choice[:, None, :]
    return jnp.einsum("swt,twv->swtv", moved, switch).reshape(states * num, states * num)


def moments(world: World, options: Options) -> Moments:
    """Mean and second moment of the return of episodes without a time limit, by two linear solves."""
    (mean, square, goes_on), discount = rewards(world), world.mdp.discount
    chain, shape = pair_transition(world, options), options.ending.shape
    eye = jnp.eye(len(chain), dtype=chain.dtype)
    expected = _act(world, options, jnp.broadcast_to(mean, shape))
    value = jnp.linalg.solve(eye - discount * chain, expected.ravel()).reshape(shape)
    crossed = square + 2 * discount * mean * goes_on * arrive(options, value)
    second = jnp.linalg.solve(eye - discount**2 * chain, _act(world, options, crossed).ravel())
    return Moments(value, second.reshape(shape))


def capped(world: World, options: Options, horizon: int) -> Moments:
    """The same moments of episodes that are cut after `horizon` steps."""
    nothing = jnp.zeros_like(options.ending)
    return jax.lax.fori_loop(0, horizon, lambda _, m: backup(world, options, m), Moments(nothing, nothing))


def arrivals(world: World, options: Options, horizon: int) -> tuple[Float[Array, " S"], Float[Array, "S W"]]:
    """Expected number of arrivals at every state, and of steps from every pair, in an episode of `horizon` at most."""
    goes_on = rewards(world)[2]

    def step(_: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        acting, total, usage = carry
        pairs = acting[:, :, None] * options.policy
        arrived = jnp.einsum("swa,sat->tw", pairs, world.mdp.transition)
        going = goes_on * arrived
        switching = jnp.sum(options.ending * going, axis=-1, keepdims=True)
        following = (1 - options.ending) * going + options.choice * switching
        return following, total + arrived.sum(-1), usage + acting

    begun = world.mdp.initial[:, None] * options.choice
    return jax.lax.fori_loop(0, horizon, step, (begun, jnp.zeros_like(world.mdp.initial), jnp.zeros_like(begun)))[1:]


def spread(world: World, options: Options, found: Moments) -> tuple[Array, Array, Array]:
    """Mean, standard deviation, and root of the mean variance within a start, of the return."""
    mean, second = (jnp.sum(options.choice * x, axis=-1) for x in found)
    expected = world.mdp.initial @ mean
    deviation = jnp.sqrt(jnp.maximum(world.mdp.initial @ second - expected**2, 0))
    return expected, deviation, jnp.sqrt(jnp.maximum(world.mdp.initial @ (second - mean**2), 0))


def risk(world: World, options: Options, horizon: int) -> Risk:
    """All of it, for episodes of at most `horizon` steps."""
    visits, usage = arrivals(world, options, horizon)
    hazards = jnp.sum(jnp.where(world.noisy, visits, 0))
    return Risk(*spread(world, options, capped(world, options, horizon)), hazards, visits.sum(), visits, usage)
