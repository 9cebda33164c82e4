"""Which pairs of state and action fitted Q-iteration is fitted to: weightings of the whole table, and of minibatches.

A `Weighting` is a function of what there is to see, `weigh(Sight) -> (S, A)`; fitted Q-iteration normalises it and asks
again every few steps. A `Sampler` says with what odds collected transitions are drawn, and how much each then weighs.

    entropy   H(w) = -Σ w log(w + 1e-6) / log(S A)        shift   TV(w, w') = Σ |w - w'| / 2

Prioritised replay (Schaul et al. 2016): odds ~ (|δ| + 1e-6)^0.6, corrected by (odds / uniform)^-β, β from 0.4 to 1 over
the run, divided by the largest of the batch. Difference: priorities are renewed for all transitions every few steps,
not for those of the last batch only.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from theodolite.core import oracle
from theodolite.core.arrays import PRNGKey, Scalar
from theodolite.core.oracle import Oracle, Scale

EXPONENT, FIRST_CORRECTION = 0.6, 0.4
FLOOR = 1e-6
"""Added to errors and to visits, so that nothing is divided by zero."""


class Sight(NamedTuple):
    """What a weighting may look at."""

    oracle: Oracle
    scale: Scale
    temperature: Scalar
    visits: Float[Array, "S A"]
    """Of the policy that this iteration began with."""
    replayed: Float[Array, "S A"]
    """Mean of the visits of all iterations so far."""
    recent: Float[Array, "S A"]
    """Mean of the last ten."""
    q: Float[Array, "S A"]
    """As it is at this step of the fit."""
    target: Float[Array, "S A"]
    features: Float[Array, "S F"]


Weighting = Callable[[Sight], Float[Array, "S A"]]


def uniform(x: Sight) -> Float[Array, "S A"]:
    """Every pair alike."""
    return jnp.ones_like(x.q)


def optimal(x: Sight) -> Float[Array, "S A"]:
    """The visits of the soft-optimal policy."""
    return x.scale.optimal_visits


def on_policy(x: Sight) -> Float[Array, "S A"]:
    """The visits of the current policy."""
    return x.visits


def random(x: Sight) -> Float[Array, "S A"]:
    """The visits of the uniform policy."""
    return x.scale.random_visits


def replay(x: Sight) -> Float[Array, "S A"]:
    """The visits of all policies so far."""
    return x.replayed


def replay10(x: Sight) -> Float[Array, "S A"]:
    """The visits of the last ten policies."""
    return x.recent


def prioritized(x: Sight) -> Float[Array, "S A"]:
    """By absolute error."""
    return jnp.abs(x.q - x.target)


def online(x: Sight) -> Float[Array, "S A"]:
    """The visits of the policy that the fit has arrived at."""
    return oracle.visitation(x.oracle, oracle.policy(x.q, x.temperature))


def adversarial(x: Sight) -> Float[Array, "S A"]:
    """The visits of a policy that seeks errors: soft Q-iteration of an episode's length with the error as reward."""
    seeking = x.oracle.paying(jnp.abs(x.q - x.target))
    backup = lambda _, q: oracle.backup(seeking, q, x.temperature)  # noqa: E731
    q = jax.lax.fori_loop(0, x.oracle.horizon, backup, jnp.zeros_like(x.q))
    return oracle.visitation(x.oracle, oracle.policy(q, x.temperature))


WEIGHTINGS: dict[str, Weighting] = {
    "uniform": uniform, "pi*": optimal, "pi": on_policy, "random": random, "replay": replay, "replay10": replay10,
    "prioritized": prioritized, "online": online, "adversarial": adversarial,
}  # fmt: skip


def normalised(weights: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """Weights that sum to one; uniform where all are zero."""
    total = jnp.sum(weights)
    return jnp.where(total > 0, weights / jnp.where(total > 0, total, 1), 1 / weights.size)


def entropy(weights: Float[Array, "S A"]) -> Float[Array, ""]:
    """Entropy of normalised weights as a share of the largest, log(S A)."""
    return -jnp.sum(weights * jnp.log(weights + 1e-6)) / jnp.log(float(weights.size))


def shift(weights: Float[Array, "S A"], before: Float[Array, "S A"]) -> Float[Array, ""]:
    """Total variation between two weightings."""
    return 0.5 * jnp.sum(jnp.abs(weights - before))


class Minibatch(NamedTuple):
    """What a sampler may look at once a minibatch is drawn."""

    obs: Float[Array, "B O"]
    action: Int[Array, " B"]
    squared: Float[Array, " B"]
    """Squared errors."""
    features: Float[Array, "B F"]
    favour: Float[Array, " B"]
    """How much likelier each was drawn than under uniform odds."""
    progress: Float[Array, ""]
    """Share of the run that is over."""


class Sampler(NamedTuple):
    """How minibatches come about."""

    init: Callable[[PRNGKey, tuple[int, int, int]], Any]
    """From a key and the numbers of observations, actions and features to what the sampler remembers."""
    odds: Callable[[Float[Array, "S A K"], Float[Array, "S A K"]], Float[Array, "S A K"]]
    """From the share of every outcome among what was collected, and its squared error, to that of what is drawn."""
    weigh: Callable[[Any, Minibatch], tuple[Any, Float[Array, " B"]]]


def _nothing(key: PRNGKey, sizes: tuple[int, int, int]) -> tuple[()]:
    return ()


def _evenly(memory: Any, batch: Minibatch) -> tuple[Any, Float[Array, " B"]]:
    return memory, jnp.full_like(batch.squared, 1 / batch.squared.size)


def _prioritized_odds(share: Float[Array, "S A K"], squared: Float[Array, "S A K"]) -> Float[Array, "S A K"]:
    return normalised(share * (jnp.sqrt(squared) + FLOOR) ** EXPONENT)


def _corrected(memory: Any, batch: Minibatch) -> tuple[Any, Float[Array, " B"]]:
    beta = FIRST_CORRECTION + (1 - FIRST_CORRECTION) * batch.progress
    weights = batch.favour ** (-beta)
    return memory, weights / jnp.max(weights) / weights.size


UNIFORM = Sampler(_nothing, lambda share, squared: share, _evenly)
PRIORITIZED = Sampler(_nothing, _prioritized_odds, _corrected)
