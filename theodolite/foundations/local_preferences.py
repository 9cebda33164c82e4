"""Local preferences against full utility maximisation, a model of an argument by Mennen (2018).

The argument: comparing two lotteries by expected utility means evaluating whole worlds, but decisions are local and so
are preferences. A world is n bits, independent with probabilities p; its utility is a sum of m factors over three
bits each; a decision sets the probabilities of k bits. Choosers, and what they pay for:

    enumerate   both expected utilities over all 2^n worlds
    sample      N worlds from each lottery, independently; the variance of the difference grows with n
    common      N worlds in which what the decision leaves alone is the same for both; the variance does not
    local       only the factors that touch the k bits, exactly
    elicit      von Neumann and Morgenstern's utility by noisy comparisons with mixtures of the best and worst world
    direct      one noisy comparison of the lotteries themselves

What a chooser loses against full maximisation (`regret`) is asked where bits are independent and where effects carry
on: bit i is a copy of bit i-1 with probability c, unless the decision sets it (`gap`, exact at any size).

Also here: the newsletter's larger worry, that a fixed utility predicts preferences which never change, as two filters
that predict the choices of somebody whose weights drift (`log_likelihoods`).

NumPy in double precision throughout; a toy, since the post has no formal model.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import special

from theodolite.core.claim import Paper
from theodolite.core.errors import UserError

PAPER = Paper(
    "Computational efficiency reasons not to model VNM-rational preference relations with utility functions", "Mennen",
    2018, venue="LessWrong",
)  # fmt: skip
PATTERNS = np.array([[b >> 2 & 1, b >> 1 & 1, b & 1] for b in range(8)])
"""The eight values of three bits; a factor's table is indexed by 4 a + 2 b + c."""


class World(NamedTuple):
    """A utility over n bits and a decision between two lotteries."""

    scopes: Int[np.ndarray, "M 3"]
    """The bits of each factor."""
    tables: Float[np.ndarray, "M 8"]
    first: Float[np.ndarray, " N"]
    """Probability of a one, bit by bit, if the first option is taken."""
    second: Float[np.ndarray, " N"]

    @property
    def decided(self) -> Bool[np.ndarray, " N"]:
        """The bits whose probability depends on the decision."""
        return self.first != self.second

    @property
    def touched(self) -> Bool[np.ndarray, " M"]:
        """The factors that contain such a bit."""
        return np.asarray(self.decided[self.scopes].any(1))


def world(rng: np.random.Generator, bits: int, *, decided: int = 3, gap: float = 0.5, proposals: int = 64) -> World:
    """As many factors as bits, standard normal tables; of some random decisions the one whose gap is nearest `gap`.

    Raises:
        UserError: fewer bits than a factor or the decision needs.
    """
    if bits < max(3, decided):
        raise UserError(f"bits = {bits}: at least {max(3, decided)} are needed for a factor and the decision.")
    scopes = np.argsort(rng.random((bits, bits)), axis=1)[:, :3] if bits <= 64 else rng.integers(0, bits, (bits, 3))
    if bits > 64:  # a factor needs three different bits; drawing again is rare
        while (clash := _repeats(scopes)).any():
            scopes[clash] = rng.integers(0, bits, (int(clash.sum()), 3))
    tables, prior = rng.normal(size=(bits, 8)), rng.uniform(0.2, 0.8, bits)
    best, closest = None, np.inf
    for _ in range(proposals):
        first, second = prior.copy(), prior.copy()
        where = rng.choice(bits, decided, replace=False)
        first[where], second[where] = rng.random((2, decided))
        proposal = World(scopes, tables, first, second)
        distance = abs(abs(local_gap(proposal)) - gap)
        if distance < closest:
            best, closest = proposal, distance
    assert best is not None
    return best


def _repeats(scopes: Int[np.ndarray, "M 3"]) -> Bool[np.ndarray, " M"]:
    return (scopes[:, 0] == scopes[:, 1]) | (scopes[:, 0] == scopes[:, 2]) | (scopes[:, 1] == scopes[:, 2])


def utility(w: World, bits: Int[np.ndarray, "W N"], factors: Bool[np.ndarray, " M"] | None = None) -> np.ndarray:
    """The utility of each world, or the part of it that some factors make up. [W]"""
    chosen = np.arange(len(w.tables)) if factors is None else np.flatnonzero(factors)
    return w.tables[chosen, bits[:, w.scopes[chosen]] @ np.array([4, 2, 1])].sum(-1)


def local_gap(w: World) -> float:
    """EU(first) - EU(second), from the touched factors alone: their cost does not depend on n."""
    total = 0.0
    for probabilities, sign in ((w.first, 1), (w.second, -1)):
        p = probabilities[w.scopes[w.touched]][:, None]
        chances = np.where(PATTERNS[None], p, 1 - p).prod(-1)
        total += sign * float((chances * w.tables[w.touched]).sum())
    return total


def gap(w: World, carry: float = 0.0, factors: Bool[np.ndarray, " M"] | None = None) -> float:
    """EU(first) - EU(second), or the part of it that some factors make up, where effects carry on along the bits.

    Exact: a bit is its predecessor's copy with probability `carry`, else drawn by its own, so that of two bits the
    later one depends on the earlier by carry^distance, or not at all if a bit between them is decided.
    """
    chosen = np.flatnonzero(np.ones(len(w.tables), bool) if factors is None else factors)
    order = np.argsort(w.scopes[chosen], axis=1)
    scopes, values = np.take_along_axis(w.scopes[chosen], order, 1), PATTERNS.T[order]  # [M 3], [M 3 8]
    links = carry ** np.diff(scopes, axis=1)[..., None]
    cut = np.cumsum(w.decided)[scopes]
    links = np.where(np.diff(cut, axis=1)[..., None] > 0, 0.0, links)
    total = 0.0
    for probabilities, sign in ((w.first, 1), (w.second, -1)):
        ones = marginals(w, probabilities, carry)[scopes][..., None]
        given = ones[:, 1:] + links * (values[:, :-1] - ones[:, :-1])
        chances = np.concatenate([np.broadcast_to(ones[:, :1], values[:, :1].shape), given], axis=1)
        joint = np.where(values == 1, chances, 1 - chances).prod(1)
        total += sign * float((joint * w.tables[chosen]).sum())
    return total


def marginals(w: World, probabilities: Float[np.ndarray, " N"], carry: float) -> Float[np.ndarray, " N"]:
    """Probability that each bit is one, where a bit that is not decided may be its predecessor's copy."""
    found, before = np.empty(len(probabilities)), probabilities[0]
    for i, own in enumerate(probabilities):
        before = own if i == 0 or w.decided[i] else carry * before + (1 - carry) * own
        found[i] = before
    return found


def carried_worlds(
    w: World, rng: np.random.Generator, num: int, carry: float, *, common: bool
) -> tuple[Int[np.ndarray, "W N"], Int[np.ndarray, "W N"]]:
    """Worlds of both lotteries; with common random numbers all that is random is shared, and only effects differ."""
    one = _chance(w, rng, num, carry)
    other = one if common else _chance(w, rng, num, carry)
    worlds = [
        np.take_along_axis(drawn < probabilities, source, 1).astype(int)
        for probabilities, (drawn, source) in ((w.first, one), (w.second, other))
    ]
    return worlds[0], worlds[1]


def _chance(
    w: World, rng: np.random.Generator, num: int, carry: float
) -> tuple[Float[np.ndarray, "W N"], Int[np.ndarray, "W N"]]:
    """Uniform draws, and the bit that each bit is a copy of, itself where it has its own."""
    shape = num, len(w.first)
    own = (rng.random(shape) >= carry) | w.decided
    own[:, 0] = True
    return rng.random(shape), np.maximum.accumulate(np.where(own, np.arange(shape[1]), 0), axis=1)


def sampled_gap(w: World, rng: np.random.Generator, num: int, carry: float, *, common: bool) -> float:
    """The mean difference of utilities over `num` worlds of each lottery."""
    first, second = carried_worlds(w, rng, num, carry, common=common)
    return float((utility(w, first) - utility(w, second)).mean())


def regret(gaps: Float[np.ndarray, " D"], estimates: Float[np.ndarray, " D"]) -> float:
    """What choosing by estimates loses of the expected utility that full maximisation gets: 0 none, 1 as by a coin.

    An estimate of zero is a toss.
    """
    lost = np.abs(gaps) * (1 - np.sign(gaps) * np.sign(estimates)) / 2
    return float(lost.sum() / (np.abs(gaps).sum() / 2))


def local_evaluations(w: World) -> int:
    """Table entries that `local_gap` reads."""
    return 16 * int(w.touched.sum())


def sampled_differences(w: World, rng: np.random.Generator, num: int, *, common: bool) -> Float[np.ndarray, " W"]:
    """U(a world of the first lottery) - U(one of the second), `num` times.

    With common random numbers the undecided bits are shared, so that only touched factors differ.
    """
    first = (rng.random((num, len(w.first))) < w.first).astype(int)
    second = (rng.random((num, len(w.second))) < w.second).astype(int)
    if not common:
        return utility(w, first) - utility(w, second)
    second = np.where(w.decided, second, first)
    return utility(w, first, w.touched) - utility(w, second, w.touched)


def worlds_needed(w: World, rng: np.random.Generator, *, common: bool, accuracy: float = 0.95, num: int = 500) -> float:
    """Worlds to be evaluated until the sign of the mean difference is right with the given probability.

    2 σ² z² / Δ² by the central limit theorem, with σ² estimated from `num` differences and the exact Δ.
    """
    spread = sampled_differences(w, rng, num, common=common).var()
    return float(2 * spread * special.ndtri(accuracy) ** 2 / local_gap(w) ** 2)


def elicited_choices(
    rng: np.random.Generator, gap: float, spread: float, noise: float, num: int
) -> tuple[Float[np.ndarray, " W"], Float[np.ndarray, " W"]]:
    """Whether (elicitation, one direct comparison) finds the better of two lotteries, in `num` trials; a tie is half.

    The worst and best worlds are `spread` apart; every comparison errs by normal noise on the difference of utilities.
    Elicitation bisects for the mixture that is as good as a lottery until it is narrower than a quarter of the gap.
    """
    better = rng.uniform(gap, spread, num)
    values = np.stack([better, better - gap])
    low, high = np.zeros_like(values), np.full_like(values, spread)
    for _ in range(int(np.ceil(np.log2(4 * spread / gap)))):
        middle = (low + high) / 2
        above = values - middle + noise * rng.normal(size=values.shape) > 0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    elicited = (1 + np.sign(low[0] - low[1])) / 2
    return elicited, (gap + noise * rng.normal(size=num) > 0).astype(float)


def unfactored_advantage(rng: np.random.Generator, bits: int, decided: int = 3, num: int = 4_000) -> float:
    """Variance with independent over variance with common worlds, when utility is a random function of all bits."""
    table, p = rng.normal(size=2**bits), rng.uniform(0.2, 0.8, bits)
    first, second = p.copy(), p.copy()
    first[:decided], second[:decided] = rng.random((2, decided))
    one, other = (rng.random((num, bits)) < first), (rng.random((num, bits)) < second)
    shared = np.where(np.arange(bits) < decided, other, one)
    u, v, s = (table[x @ (1 << np.arange(bits))] for x in (one, other, shared))
    return float((u - v).var() / (u - s).var())


def drifting_choices(
    rng: np.random.Generator, drift: float, num: int = 1_000, size: int = 4
) -> tuple[Float[np.ndarray, "T D"], Bool[np.ndarray, " T"]]:
    """Differences of options' features and whether the first was taken, by softmax of utilities whose weights walk.

    `drift` is the standard deviation that a weight moves in 100 choices.
    """
    steps = rng.normal(size=(num, size)) * drift / 10
    weights = rng.normal(size=size) + np.cumsum(steps, axis=0)
    options = rng.normal(size=(num, size)) * 2
    return options, rng.random(num) < special.expit((weights * options).sum(-1))


def log_likelihoods(
    options: Float[np.ndarray, "T D"], taken: Bool[np.ndarray, " T"], drift: float
) -> Float[np.ndarray, " T"]:
    """Log-probability of each choice given the earlier ones, by an extended Kalman filter for the weights.

    drift = 0 is the fixed utility: a bounded chooser whose weights are learned from all the past alike.
    """
    size = options.shape[1]
    mean, cov, found = np.zeros(size), np.eye(size), np.zeros(len(options))
    for t, (x, y) in enumerate(zip(options, taken, strict=True)):
        cov = cov + np.eye(size) * (drift / 10) ** 2
        variance = x @ cov @ x
        p = special.expit(mean @ x / np.sqrt(1 + np.pi * variance / 8))  # the logistic averaged over a normal
        found[t] = np.log(p if y else 1 - p)
        slope = special.expit(mean @ x)
        information = slope * (1 - slope)
        gain = cov @ x / (1 + information * variance)
        mean = mean + gain * (float(y) - slope)
        cov = cov - information * np.outer(gain, cov @ x)
    return found
