"""Ultimatum games: meta-fair responders (Dacyn 2018), and whether fairness arises when the game is repeated.

One unit is divided: the proposer offers x and keeps 1 - x, the responder accepts or both get nothing.

    meta-fair responder   fair share f; accepts x >= f, and x < f with probability (1-ε)(1-f)/(1-x), so that offering
                          less than f earns the proposer (1-ε)(1-f) < 1-f: a biased notion of fairness does not pay
    mixture               sides that think f1 and f2 fair share the deals so that neither gets more than the other
                          thinks fair: (1-f2, 1-f1), no deal in f1 + f2 - 1 of the cases
    evolution             strategies (offer p, least accepted q), fitness exp(s · payoff), local reflecting mutation;
                          with probability w a proposer knows q and offers min(p, q)
    norm                  one number h: offer h, reject less; roles alternate
    without rejection     the same, but all is accepted: h is what one offers, or offers first and then mirrors
    learning              proposer and responder are Q-learners that remember the last offer and answer

Many parameter points run side by side as the leading axis. NumPy; a toy of the newsletter's claim that fairness would
arise in the repeated game as tit for tat does in the prisoner's dilemma.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import optimize

from theodolite.core.claim import Paper
from theodolite.core.config import above, at_least, between, config, probability, require
from theodolite.core.errors import UserError

PAPER = Paper("Conceptual problems with utility functions, second attempt at explaining", "Dacyn", 2018,
              venue="LessWrong")  # fmt: skip
REPUTATION = Paper("Fairness versus Reason in the Ultimatum Game", "Nowak, Page, Sigmund", 2000, venue="Science 289")


def p_accept(offer: Float[np.ndarray, "*B"], fair: float, eps: float = 0.01) -> Float[np.ndarray, "*B"]:
    """How often the meta-fair responder accepts an offer."""
    short = (1 - eps) * (1 - fair) / np.maximum(1 - offer, 1e-300)
    return np.where(offer >= fair, 1.0, np.minimum(1.0, short))


def exploitation(fair: float, eps: float = 0.01, grid: int = 10_001) -> float:
    """The most that any offer below f earns the proposer beyond the fair 1 - f; negative: none pays."""
    offers = np.linspace(0, 1, grid)
    offers = offers[offers < fair]
    return float((p_accept(offers, fair, eps) * (1 - offers)).max() - (1 - fair)) if len(offers) else -1.0


def alternating(fair: tuple[float, float], eps: float = 0.01) -> tuple[float, float]:
    """Average payoffs of two meta-fair agents who propose in turn and demand what they think fair."""
    payoff = np.zeros(2)
    for proposer in (0, 1):
        offer = np.array(1 - fair[proposer])
        chance = float(p_accept(offer, fair[1 - proposer], eps))
        payoff[proposer] += chance * (1 - float(offer)) / 2
        payoff[1 - proposer] += chance * float(offer) / 2
    return float(payoff[0]), float(payoff[1])


def best_mixture(fair: tuple[float, float], grid: int = 101) -> tuple[float, float, float]:
    """Payoffs and share of deals of the best lottery over divisions and no deal, by linear programming.

    The sum is maximal such that neither side gets more than the other thinks it fair to get.
    """
    x = np.linspace(0, 1, grid)
    divisions = np.stack([x, 1 - x])
    limits = [1 - fair[1], 1 - fair[0]]
    found = optimize.linprog(-np.ones(grid), A_ub=np.vstack([divisions, np.ones(grid)]), b_ub=[*limits, 1.0])
    payoff = divisions @ found.x
    return float(payoff[0]), float(payoff[1]), float(found.x.sum())


LEVELS = 1_001
"""Traits are thousandths, 0 to 1."""


@config
class Population:
    """A population of strategies."""

    size: int = 1_000
    """Individuals."""
    generations: int = 10_000
    """Generations."""
    mutation: float = 0.2
    """Probability that a trait changes."""
    step: int = 20
    """Largest change of a trait, in thousandths; beyond 0 and 1 it is reflected."""
    initial: float = 1.0
    """Traits start uniform between 0 and this."""

    def __post_init__(self) -> None:
        require(self, size=at_least(2), generations=at_least(1), mutation=probability)
        require(self, step=between(1, LEVELS - 1), initial=probability)


Play = Literal["two traits", "norm", "accept all", "mirror"]
"""Offer and threshold apart; offer what one would accept; accept all; accept all and offer what one was offered."""
Traits = Int[np.ndarray, "P N"]
Table = Float[np.ndarray, "P L"]


def counts(traits: Traits) -> Table:
    """Share of the population at each level."""
    points, size = traits.shape
    flat = traits + LEVELS * np.arange(points)[:, None]
    return np.bincount(flat.ravel(), minlength=points * LEVELS).reshape(points, LEVELS) / size


def payoffs(offers: Table, thresholds: Table, informed: Float[np.ndarray, " P"]) -> tuple[Table, Table]:
    """Expected payoff of each offer against the thresholds, and of each threshold against the offers.

    Everybody meets everybody, also itself. An informed proposer offers the smaller of its offer and the threshold.
    """
    x, w = np.linspace(0, 1, LEVELS), informed[:, None]
    below = np.cumsum(thresholds, axis=1)
    proposer = (1 - w) * (1 - x) * below + w * np.cumsum(thresholds * (1 - x), axis=1)
    willing = np.cumsum(offers[:, ::-1], axis=1)[:, ::-1]
    gifts = np.cumsum((offers * x)[:, ::-1], axis=1)[:, ::-1]
    return proposer, (1 - w) * gifts + w * x * willing


def mirrored(first: Float[np.ndarray, "..."], second: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """What the first player earns in a round in either role if both accept all and offer what they were last offered.

    The one who begins sets the level of the whole match; each begins half of them.
    """
    begins, follows = (1 - first) + first, second + (1 - second)
    return (begins + follows) / 2


def parents(rng: np.random.Generator, fitness: Float[np.ndarray, "P N"]) -> Int[np.ndarray, "P N"]:
    """Parents drawn in proportion to fitness within each population, in order; flat indices.

    Sums of exponentials, normalised, are uniform draws that are already sorted.
    """
    points, size = fitness.shape
    total = np.cumsum(fitness, axis=1)
    place = np.arange(points)[:, None]
    gaps = np.cumsum(rng.standard_exponential((points, size + 1)), axis=1)
    draws = gaps[:, :-1] / gaps[:, -1:] + place
    found = np.searchsorted((total / total[:, -1:] + place).ravel(), draws.ravel(), side="right").reshape(points, size)
    return np.clip(found, size * place, size * place + size - 1)  # rounding at the seams


def mutated(rng: np.random.Generator, c: Population, traits: Traits) -> Traits:
    """Some traits moved by up to `step` levels either way, reflected at the ends."""
    u = rng.random(traits.shape)  # one draw decides whether, and by how much
    moved = traits + np.floor(u / max(c.mutation, 1e-300) * (2 * c.step + 1)).astype(traits.dtype) - c.step
    reflected = LEVELS - 1 - np.abs(LEVELS - 1 - np.abs(moved))
    return np.where(u < c.mutation, reflected, traits)


def evolve(
    rng: np.random.Generator,
    c: Population,
    informed: Float[np.ndarray, " P"],
    selection: Float[np.ndarray, " P"],
    *,
    play: Play = "two traits",
) -> tuple[Float[np.ndarray, " P"], Float[np.ndarray, " P"]]:
    """Mean offer and mean threshold over the second half of the generations, for each point (w, s).

    Fitness is exp(s · payoff), the payoff that of a round in either role. A norm ties the two traits: offer what you
    would accept.
    """
    tie = {"two traits": lambda p, q: q, "norm": lambda p, q: p}.get(play, lambda p, q: np.zeros_like(p))
    points, rows = len(informed), np.arange(len(informed))[:, None]
    p, q = np.floor(rng.random((2, points, c.size)) * (c.initial * (LEVELS - 1) + 1)).astype(np.int64)
    sums = np.zeros((2, points))
    for generation in range(c.generations):
        q = tie(p, q)
        if play == "mirror":
            payoff = mirrored(p / (LEVELS - 1), p.mean(1, keepdims=True) / (LEVELS - 1))  # linear in the other's
        else:
            proposer, responder = payoffs(counts(p), counts(q), informed)
            payoff = proposer[rows, p] + responder[rows, q]
        if generation >= c.generations // 2:
            sums += p.mean(1), q.mean(1)
        chosen = parents(rng, np.exp(selection[:, None] * (payoff - payoff.max(1, keepdims=True))))
        p = mutated(rng, c, p.ravel()[chosen])
        q = mutated(rng, c, q.ravel()[chosen]) if play == "two traits" else q
    offers, thresholds = sums / (c.generations - c.generations // 2) / (LEVELS - 1)
    return offers, thresholds


@config
class Learners:
    """A pair of Q-learners."""

    offers: int = 11
    """Size of the grid of offers, 0 to 1."""
    discount: float = 0.9
    """δ of both."""
    learning_rate: float = 0.1
    """Step of Q-learning."""
    exploration: float = 0.2
    """Probability of a random action at the start; it falls linearly to 0.01 at half the rounds."""
    leniency: float = 0.5
    """Initial Q of accepting; that of rejecting is 0, so thresholds start at nothing where this is positive."""
    rounds: int = 100_000
    """Rounds of the repeated game."""

    def __post_init__(self) -> None:
        require(self, offers=at_least(2), discount=probability, learning_rate=above(0), exploration=probability)
        require(self, leniency=at_least(0), rounds=at_least(10))


class Learned(NamedTuple):
    """What pairs do in the last tenth of the rounds."""

    offer: Float[np.ndarray, " P"]
    accepted: Float[np.ndarray, " P"]
    proposer: Float[np.ndarray, " P"]
    responder: Float[np.ndarray, " P"]


def learn(rng: np.random.Generator, c: Learners, pairs: int) -> Learned:
    """Independent pairs; roles are fixed, the proposer sees the last (offer, answer), the responder also the new offer.

    Raises:
        UserError: no pairs.
    """
    if pairs < 1:
        raise UserError(f"pairs = {pairs}: at least one is needed.")
    n, who = c.offers, np.arange(pairs)
    propose = np.zeros((pairs, 2 * n, n))
    answer = np.zeros((pairs, 2 * n, n, 2)) + np.array([0.0, c.leniency])
    last, sums, tail = np.zeros(pairs, int), np.zeros((4, pairs)), c.rounds // 10
    pending: tuple | None = None
    for t in range(c.rounds):
        rate = max(0.01, c.exploration * (1 - 2 * t / c.rounds))
        offer = _choice(rng, propose[who, last], rate)
        said = _choice(rng, answer[who, last, offer], rate)
        if pending is not None:  # the responder's next state holds the new offer
            before, old, took, gain = pending
            target = gain + c.discount * answer[who, last, offer].max(-1)
            answer[who, before, old, took] += c.learning_rate * (target - answer[who, before, old, took])
        share = offer / (n - 1)
        gains = np.stack([(1 - share) * said, share * said])
        following = 2 * offer + said
        target = gains[0] + c.discount * propose[who, following].max(-1)
        propose[who, last, offer] += c.learning_rate * (target - propose[who, last, offer])
        pending, last = (last, offer, said, gains[1]), following
        if t >= c.rounds - tail:
            sums += np.stack([share, said, *gains])
    return Learned(*(sums / tail))


def _choice(rng: np.random.Generator, values: Float[np.ndarray, "P K"], rate: float) -> Int[np.ndarray, " P"]:
    noise = rng.random(values.shape)
    best = np.argmax(values + 1e-9 * noise, axis=1)
    return np.where(rng.random(len(values)) < rate, np.argmax(noise, axis=1), best)
