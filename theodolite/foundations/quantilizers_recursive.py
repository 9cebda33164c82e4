"""Quantilizing at three levels, a toy of "Stable Pointers to Value III": generators, utility functions, actions.

    1. a generator g from the q3-quantilizer of b_3 under the feedback S_3(g)
    2. a utility function u from the q2-quantilizer of b_2(. | g) under the feedback S_2(u; g)
    3. an action a from the q1-quantilizer of γ under u itself

The post is explicitly loose; this is one formal reading of it. What holds for any finite sets and any feedback:

    A   P(a) <= γ(a)/q1, whatever happens above
    B   P(g, u, a) <= b_3(g) b_2(u|g) γ(a) / (q1 q2 q3)
    C   hence all splits of the same bits Σ log2(1/q_i) have the same joint bound; only what they achieve differs

`aligned` is the instance that is measured. Generators are random centres μ_g, one of them right; the truth w of a task,
and a generator's utilities θ, lie s√d from the centre in a random direction; features of actions are normal. A share of
the actions exploits whatever utility is asked for, ranks first, and is worth nothing. The value of what is kept, per
unit of |w|, is then in closed form,

    E[V] = cos(θ, w) φ(z₁ ₋ q')/q' · (1 - exploits/q1),   q' = (q1 - exploits)/(1 - exploits).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm
from jaxtyping import Array, Float

from theodolite.core.arrays import PRNGKey, Scalar
from theodolite.core.config import at_least, config, positive, probability, require
from theodolite.foundations.quantilizers import quantile_law


def recursive_law(
    bases: tuple[Float[Array, " G"], Float[Array, "G U"], Float[Array, " A"]],
    feedback: tuple[Float[Array, " G"], Float[Array, "G U"]],
    utility: Float[Array, "G U A"],
    fractions: tuple[Scalar, Scalar, Scalar],
) -> Float[Array, "G U A"]:
    """The joint law of generator, utility function and action; `fractions` are q3, q2, q1."""
    q3, q2, q1 = fractions
    generators = quantile_law(bases[0], feedback[0], q3)
    utilities = jax.vmap(quantile_law, in_axes=(0, 0, None))(bases[1], feedback[1], q2)
    each_utility = jax.vmap(quantile_law, in_axes=(None, 0, None))
    actions = jax.vmap(each_utility, in_axes=(None, 0, None))(bases[2], utility, q1)
    return generators[:, None, None] * utilities[:, :, None] * actions


def split(bits: float, levels: int) -> tuple[float, float, float]:
    """q3, q2, q1 that share the bits equally among the lowest `levels` levels; the others do not choose."""
    q = 2 ** (-bits / levels)
    return (q if levels > 2 else 1.0, q if levels > 1 else 1.0, q)


@config
class Toy:
    """The world and the feedback."""

    dim: int = 8
    """Features of an action, which is also the size of a utility function."""
    spread: float = 0.7
    """s: how far the truths of tasks, and the utilities of a generator, lie from their centre."""
    exploits: float = 1e-3
    """Share of the base's actions that exploit the utility."""
    utility_noise: float = 1.0
    """Standard deviation of a rating of a utility function, whose truth is a cosine."""
    generator_noise: float = 1.0
    """Standard deviation of a rating of a generator on one task."""
    flattery: float = 0.0
    """Standard deviation of what makes raters like a generator on every task, whatever its worth."""
    generators: int = 16
    """How many generators there are; one of them is right."""
    utilities: int = 128
    """How many utility functions are drawn from a generator."""
    tasks: int = 16
    """Tasks on which a generator has been rated; one rating each."""

    def __post_init__(self) -> None:
        sizes = dict.fromkeys(("dim", "generators", "utilities", "tasks"), at_least(1))
        noises = dict.fromkeys(("utility_noise", "generator_noise", "flattery"), at_least(0))
        require(self, spread=positive, exploits=probability, **sizes, **noises)


class Outcome(NamedTuple):
    """Expectations under the joint law."""

    value: Array
    """True value of the action on the task, in units of |w| times the features' standard deviation."""
    exploited: Array
    """Probability of an action that exploits the utility."""


def level_one(q1: Scalar, exploits: Scalar) -> tuple[Array, Array]:
    """Per unit of cosine: the expected value of an action from the best q1, and the probability of an exploit."""
    taken = jnp.minimum(1.0, exploits / q1)
    rest = jnp.clip((q1 - exploits) / (1 - exploits), 1e-12, 1.0)
    chosen = jnp.where(rest < 1, norm.pdf(norm.ppf(1 - jnp.minimum(rest, 1 - 1e-9))) / rest, 0.0)
    return (1 - taken) * chosen, taken


def aligned(key: PRNGKey, c: Toy, fractions: tuple[Scalar, Scalar, Scalar]) -> Outcome:
    """Draw centres, truths, utilities and ratings; the expected outcome on a new task under the joint law."""
    keys = jax.random.split(key, 6)
    centres = jax.random.normal(keys[0], (c.generators, c.dim))
    spread = c.spread * jnp.sqrt(jnp.asarray(float(c.dim)))
    directions = _unit(jax.random.normal(keys[1], (c.tasks + 1, c.dim)))
    truths = _unit(centres[:1] + spread * directions)  # generators are exchangeable: the first is the right one
    offsets = spread * _unit(jax.random.normal(keys[2], (c.generators, c.utilities, c.dim)))
    thetas = _unit(centres[:, None] + offsets)
    cosines = jnp.einsum("gud,d->gu", thetas, truths[-1])
    on_seen = jnp.einsum("gd,kd->gk", thetas.mean(1), truths[:-1])
    ratings = on_seen + c.generator_noise * jax.random.normal(keys[3], on_seen.shape)
    liked = ratings.mean(1) + c.flattery * jax.random.normal(keys[4], (c.generators,))
    rated = cosines + c.utility_noise * jax.random.normal(keys[5], cosines.shape)
    q3, q2, q1 = fractions
    generators = quantile_law(jnp.full(c.generators, 1 / c.generators), liked, q3)
    uniform = jnp.full(c.utilities, 1 / c.utilities)
    utilities = jax.vmap(quantile_law, in_axes=(None, 0, None))(uniform, rated, q2)
    per_cosine, exploited = level_one(q1, c.exploits)
    cosine = jnp.sum(generators * jnp.sum(utilities * cosines, -1))
    return Outcome(per_cosine * cosine, jnp.asarray(exploited))


def _unit(x: Array) -> Array:
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)
