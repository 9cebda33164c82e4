"""Quantilizers (Taylor 2016): draw from the best q-fraction of a trusted base instead of taking the best action.

    Q_q(a) = γ(a) κ(a) / q,   κ = 1 above the (1-q)-quantile of utility under γ, 0 below it, a fraction on it
    bound:      Q_q(a) <= γ(a)/q, hence E_Q[c] <= E_γ[c]/q for every cost c >= 0, known or not
    optimality: no other distribution with P(a) <= γ(a)/q has a higher E[U]           (the fractional knapsack)
    sampled:    n draws from γ, one of the best m uniformly: P(a) <= γ(a) n/m, exactly; m = 1 is best-of-n

Functions take one problem and are vmapped over many; each law keeps its bound in floating point, too, because it is the
base times a factor that is clipped.

Differences from the paper: (1) actions of equal utility share what is left of q in proportion to the base, where the
paper breaks ties by an order of the actions; expected utility and bounds are the same. (2) `decide` refuses to act when
the base's sample is too small to say anything about its q-quantile.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from theodolite.core.arrays import PRNGKey, Scalar
from theodolite.core.claim import Paper
from theodolite.core.errors import UserError

PAPER = Paper(
    "Quantilizers: A Safer Alternative to Maximizers for Limited Optimization", "Taylor", 2016,
    venue="AAAI Workshop on AI, Ethics, and Society",
)  # fmt: skip
RECURSION = Paper("Stable Pointers to Value III: Recursive Quantilization", "Demski", 2018, venue="LessWrong")

ENOUGH = 10
"""Draws that must lie in the kept fraction, on average, before `decide` certifies anything: n >= 10/q."""
BISECTIONS = 60


def mass_above(base: Float[Array, " A"], utility: Float[Array, " A"]) -> tuple[Float[Array, " A"], Float[Array, " A"]]:
    """For each action, the base's probability of strictly more utility, and of at least as much."""
    order = jnp.argsort(-utility)
    descending = -utility[order]
    total = jnp.concatenate([jnp.zeros(1, base.dtype), jnp.cumsum(base[order])])
    first = jnp.searchsorted(descending, -utility, side="left")
    last = jnp.searchsorted(descending, -utility, side="right")
    return total[first], total[last]


def quantile_law(base: Float[Array, " A"], utility: Float[Array, " A"], q: Scalar) -> Float[Array, " A"]:
    """The q-quantilizer as a distribution.

    Raises:
        UserError: q is a plain number outside (0, 1].
    """
    _check_fraction(q)
    above, through = mass_above(base, utility)
    tied = through - above
    kept = jnp.where(tied > 0, jnp.clip((q - above) / jnp.where(tied > 0, tied, 1), 0, 1), 0)
    return base * kept / q


def sampled_law(base: Float[Array, " A"], utility: Float[Array, " A"], n: int, m: int = 1) -> Float[Array, " A"]:
    """The distribution of `quantilize_samples` over a finite set, from order statistics.

    The j-th best of n draws has more than a given utility with probability I_F(j, n - j + 1), F the base's mass there.

    Raises:
        UserError: not 1 <= m <= n.
    """
    _check_counts(n, m)
    above, through = mass_above(base, utility)
    j = jnp.arange(1, m + 1, dtype=base.dtype)[:, None]

    def cumulative(mass: Array) -> Array:
        inside = jnp.broadcast_to(jnp.clip(mass, 0, 1)[None], (m, mass.size))
        return jax.scipy.special.betainc(jnp.broadcast_to(j, inside.shape), n - j + 1 + 0 * inside, inside).mean(0)

    tied = through - above
    return base * jnp.where(tied > 0, (cumulative(through) - cumulative(above)) / jnp.where(tied > 0, tied, 1), 0)


def quantilize(
    key: PRNGKey, base: Float[Array, " A"], utility: Float[Array, " A"], q: Scalar
) -> tuple[Int[Array, ""], Float[Array, ""]]:
    """Draw an action from the q-quantilizer; returns its index and log(Q(a)/γ(a)), at most log(1/q)."""
    law = quantile_law(base, utility, q)
    action = jax.random.categorical(key, jnp.log(law))
    return action, jnp.log(law[action]) - jnp.log(base[action])


def quantilize_samples(
    key: PRNGKey,
    sampler: Callable[[PRNGKey], Array],
    utility: Callable[[Array], Float[Array, ""]],
    n: int,
    m: int = 1,
) -> Array:
    """Draw n actions from the base and return one of the best m, each with the same chance; ties break by the draw.

    Raises:
        UserError: not 1 <= m <= n.
    """
    _check_counts(n, m)
    draw_key, pick_key = jax.random.split(key)
    draws = jax.vmap(sampler)(jax.random.split(draw_key, n))
    best = jnp.argsort(-jax.vmap(utility)(draws))[:m]
    return draws[jax.random.choice(pick_key, best)]


def certificate(q: float | None = None, *, n: int | None = None, m: int = 1) -> float:
    """By what factor the expected cost may exceed the base's at most: 1/q exactly, n/m from samples.

    Raises:
        UserError: neither q nor n was given, or both, or one is out of range.
    """
    if (q is None) == (n is None):
        raise UserError(f"q = {q}, n = {n}: give q for an exact quantilizer, or n (and m) for a sampled one.")
    if q is not None:
        _check_fraction(q)
        return 1 / q
    _check_counts(n or 0, m)
    return (n or 0) / m


class Decision(NamedTuple):
    """What a self-auditing quantilizer did and what it vouches for."""

    index: int
    """Which of the base's draws was taken."""
    q: float
    kept: int
    """How many of the draws it chose from."""
    certificate: float
    """Factor on the base's expected cost that cannot be exceeded."""
    cost_bound: float
    """The factor times the 95% upper bound of the base's mean cost, for costs in [0, 1]; 1 if no cost is known."""


def decide(
    key: PRNGKey, utility: Float[np.ndarray, " N"], q: float, cost: Float[np.ndarray, " N"] | None = None
) -> Decision:
    """Quantilize over N draws of the base whose utilities, and perhaps costs in [0, 1], are known.

    Raises:
        UserError: q out of range, utilities that are not numbers, costs outside [0, 1], or fewer than 10/q draws.
    """
    _check_fraction(q)
    n = len(utility)
    if not np.isfinite(utility).all():
        raise UserError("a utility is not finite: a ranking needs numbers. Leave such draws out, or score them.")
    if n < ENOUGH / q:
        raise UserError(
            f"{n} draws of the base say too little about its best {q:g}: at least {int(np.ceil(ENOUGH / q))} are "
            "needed. Draw more, or choose a larger q."
        )
    kept = int(np.ceil(q * n))
    index = int(jax.random.choice(key, jnp.asarray(np.argsort(-utility, kind="stable")[:kept])))
    factor = certificate(n=n, m=kept)
    if cost is None:
        return Decision(index, q, kept, factor, 1.0)
    if not ((cost >= 0) & (cost <= 1)).all():
        raise UserError(f"costs lie between {cost.min():g} and {cost.max():g}: they must lie in [0, 1]. Rescale them.")
    upper = float(cost.mean()) + float(np.sqrt(np.log(20) / (2 * n)))  # Hoeffding
    return Decision(index, q, kept, factor, min(1.0, factor * upper))


def fraction_for(base_cost: float, tolerable_cost: float) -> float:
    """The smallest q whose bound keeps the expected cost tolerable: q = E_γ[c] / t, at most 1.

    Raises:
        UserError: a cost is not positive.
    """
    if not (base_cost > 0 and tolerable_cost > 0):
        raise UserError(f"costs {base_cost}, {tolerable_cost}: both must be positive for q = base / tolerable.")
    return min(1.0, base_cost / tolerable_cost)


def best_fraction(
    base: Float[Array, " A"], utility: Float[Array, " A"], penalty: Scalar
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The q that maximises E_{Q_q}[U] - penalty/q, and that maximum; `penalty` is λ E_γ[c].

    Between two atoms the objective is (constant)/q + constant, hence monotone: an atom's end is optimal.
    """
    order = jnp.argsort(-utility)
    q = jnp.cumsum(base[order])
    value = (jnp.cumsum(base[order] * utility[order]) - penalty) / q
    best = jnp.argmax(jnp.where(base[order] > 0, value, -jnp.inf))
    return q[best], value[best]


def softmax_law(base: Float[Array, " A"], utility: Float[Array, " A"], beta: Scalar) -> Float[Array, " A"]:
    """γ(a) exp(β U(a)) / Z, the softly optimal law: highest E[U] at a given KL from the base."""
    return jax.nn.softmax(jnp.log(base) + beta * utility)


def worst_ratio(law: Float[Array, " A"], base: Float[Array, " A"]) -> Float[Array, ""]:
    """max P(a)/γ(a): the factor of the law's own cost bound."""
    return jnp.max(jnp.where(law > 0, law / jnp.where(law > 0, base, 1), 0))


def divergence(law: Float[Array, " A"], base: Float[Array, " A"]) -> Float[Array, ""]:
    """KL(P ‖ γ) in nats."""
    return jnp.sum(jnp.where(law > 0, law * jnp.log(jnp.where(law > 0, law / jnp.where(base > 0, base, 1), 1)), 0))


def softmax_with(
    base: Float[Array, " A"],
    utility: Float[Array, " A"],
    target: Scalar,
    measure: Callable[[Array, Array], Array] = worst_ratio,
) -> Float[Array, " A"]:
    """The softmax law whose `measure` (worst ratio, or divergence) is the target, by bisection; both grow with β."""
    scale = 1 / jnp.maximum(jnp.std(utility), jnp.finfo(utility.dtype).tiny)
    ends = (jnp.asarray(-12.0, base.dtype), jnp.asarray(12.0, base.dtype))

    def halve(_: Int[Array, ""], ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        short = measure(softmax_law(base, utility, scale * jnp.exp(middle)), base) < target
        return jnp.where(short, middle, low), jnp.where(short, high, middle)

    low, _ = jax.lax.fori_loop(0, BISECTIONS, halve, ends)
    return softmax_law(base, utility, scale * jnp.exp(low))


TAILS: dict[str, Callable[[PRNGKey, tuple[int, ...]], Array]] = {
    "normal": jax.random.normal,
    "Laplace": jax.random.laplace,
    "t, 4 d.f.": lambda key, shape: jax.random.t(key, 4.0, shape),
    "t, 2 d.f.": lambda key, shape: jax.random.t(key, 2.0, shape),
    "t, 1.5 d.f.": lambda key, shape: jax.random.t(key, 1.5, shape),
}
"""Laws of the proxy's error, from light to heavy tails."""


def goodhart(key: PRNGKey, tail: str, fractions: Float[Array, " Q"], n: int = 20_000) -> dict[str, Float[Array, " Q"]]:
    """True value V of what is chosen by a proxy U = V + error, V ~ N(0, 1), at each optimisation strength q.

    Keys: quantilizer; softmax_ratio and softmax_kl, softmax laws of the same worst ratio and of the same KL;
    best_of_n, the best of 1/q draws; proxy, the quantilizer's expected U; proxy_ratio, that of softmax_ratio.
    """
    value_key, error_key = jax.random.split(key)
    value = jax.random.normal(value_key, (n,))
    proxy = value + TAILS[tail](error_key, (n,))
    base = jnp.full(n, 1 / n, value.dtype)

    def at(q: Array) -> dict[str, Array]:
        law = quantile_law(base, proxy, q)
        same_ratio = softmax_with(base, proxy, worst_ratio(law, base))
        same_kl = softmax_with(base, proxy, divergence(law, base), divergence)
        above, through = mass_above(base, proxy)
        best = (1 - above) ** (1 / q) - (1 - through) ** (1 / q)
        return {
            "quantilizer": law @ value, "softmax_ratio": same_ratio @ value, "softmax_kl": same_kl @ value,
            "best_of_n": best @ value, "proxy": law @ proxy, "proxy_ratio": same_ratio @ proxy,
        }  # fmt: skip

    return jax.lax.map(at, fractions)


def _check_fraction(q: Scalar) -> None:
    if isinstance(q, float | int) and not 0 < q <= 1:
        raise UserError(f"q = {q}: must lie in (0, 1]. It is the fraction of the base that is kept; 1 is the base.")


def _check_counts(n: int, m: int) -> None:
    if not 1 <= m <= n:
        raise UserError(f"n = {n}, m = {m}: 1 <= m <= n is required. One of the best m of n draws is returned.")
