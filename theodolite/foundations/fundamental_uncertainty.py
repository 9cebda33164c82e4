"""Choosing among research programmes whose assumptions may be false, a model of Worley (2018).

The argument: outcomes are total success or catastrophe, so prefer dropping what would have worked to pursuing what
fails, and do so by making few assumptions. Programme i needs i of m assumptions, all true, and then succeeds with
probability e_i, which grows with i: otherwise few assumptions are trivially better. Assumption j holds with probability
p_j; the decider sees its log-odds times κ (overconfidence) plus noise of standard deviation τ, of which a share ρ is
common to all assumptions.

    deployed and works  +1       deployed and fails  -C       nothing deployed  -z C (somebody else's catastrophe)

    greatest estimate    the programme of the highest estimated payoff, if that beats waiting
    fewest assumptions   of the programmes whose estimate beats waiting, the one with the fewest
    margin               the greatest estimate, if it fails at most half as often as would break even
    minimax regret       the choice whose regret is least at worst, if all log-odds may be wrong by up to 1 together
    info-gap             the programme that stays worthwhile under the largest common loss of log-odds, if that is >= 1
    Bayesian             the greatest posterior expectation, knowing the prior, τ and κ, but not ρ

NumPy; a toy, since the paper has no formal model.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from theodolite.core.claim import Paper
from theodolite.core.config import at_least, config, non_negative, probability, require

PAPER = Paper("Robustness to Fundamental Uncertainty in AGI Alignment", "Worley", 2018, arxiv="1807.09836")
RULES = ("greatest estimate", "fewest assumptions", "margin", "minimax regret", "info-gap", "Bayesian")
NOTHING = -1
SHIFTS = np.linspace(-1, 1, 9)
"""Common errors of log-odds that minimax regret reckons with; info-gap asks for endurance as far."""
MOST = 6
"""Assumptions of the last programme."""
PRIOR_MEAN, PRIOR_SPREAD = 4.0, 1.5
"""Of the log-odds that an assumption holds: half of them are above 98%."""


@config
class Uncertainty:
    """What is at stake and how the decider errs."""

    cost: float = 10.0
    """C: how much worse catastrophe is than success is good."""
    noise: float = 1.0
    """τ: standard deviation of the error of a log-odds."""
    confidence: float = 1.0
    """κ: what true log-odds are multiplied with; above 1 is overconfidence."""
    shared: float = 0.0
    """ρ: share of the error's variance that is common to all assumptions."""
    waiting: float = 0.0
    """z: probability of somebody else's catastrophe if nothing is deployed."""
    assumptions: int = 12
    """m: how many there are to choose from."""

    def __post_init__(self) -> None:
        require(self, cost=non_negative, noise=non_negative, confidence=non_negative)
        require(self, shared=probability, waiting=probability, assumptions=at_least(MOST))


def engineering() -> Float[np.ndarray, " I"]:
    """e_i: success of programme i = 0..6 if its assumptions hold, 1 - 0.1 · 2^-i."""
    return 1 - 0.1 * 0.5 ** np.arange(MOST + 1)


def draw(
    rng: np.random.Generator, c: Uncertainty, num: int
) -> tuple[Float[np.ndarray, "B I J"], Float[np.ndarray, "B I J"]]:
    """True and seen log-odds of the assumptions that each programme needs; those beyond its number are infinite."""
    true = PRIOR_MEAN + PRIOR_SPREAD * rng.normal(size=(num, c.assumptions))
    error = np.sqrt(1 - c.shared) * rng.normal(size=true.shape) + np.sqrt(c.shared) * rng.normal(size=(num, 1))
    seen = c.confidence * true + c.noise * error
    needed = np.argsort(rng.random((num, MOST + 1, c.assumptions)), axis=-1)[..., :MOST]
    unneeded = np.arange(MOST) >= np.arange(MOST + 1)[:, None]
    each = np.arange(num)[:, None, None]
    true, seen = (np.where(unneeded, np.inf, odds[each, needed]) for odds in (true, seen))
    return true, seen


def success(log_odds: Float[np.ndarray, "*B I J"]) -> Float[np.ndarray, "*B I"]:
    """Probability that each programme works."""
    return engineering() * special.expit(log_odds).prod(-1)


def payoff(c: Uncertainty, works: Float[np.ndarray, "*B"]) -> Float[np.ndarray, "*B"]:
    """Expected payoff of deploying what works with a probability."""
    return works * (1 + c.cost) - c.cost


def posterior_success(c: Uncertainty, seen: Float[np.ndarray, "B I J"]) -> Float[np.ndarray, "B I"]:
    """Success given what is seen, each assumption by itself: E σ(x) of a normal posterior, by Gauss-Hermite."""
    precision = PRIOR_SPREAD**-2 + (c.confidence / max(c.noise, 1e-6)) ** 2
    finite = np.where(np.isfinite(seen), seen, 0.0)
    mean = (PRIOR_MEAN / PRIOR_SPREAD**2 + c.confidence * finite / max(c.noise, 1e-6) ** 2) / precision
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    holds = special.expit(mean[..., None] + nodes / np.sqrt(precision)) @ weights / weights.sum()
    return engineering() * np.where(np.isfinite(seen), holds, 1.0).prod(-1)


def robustness(c: Uncertainty, seen: Float[np.ndarray, "B I J"]) -> Float[np.ndarray, "B I"]:
    """The largest loss of log-odds, common to all assumptions, under which a programme still beats waiting; -1: none.

    By bisection on [0, 20]; a programme without assumptions is as robust as can be if it is worthwhile at all.
    """
    low, high = np.zeros(seen.shape[:2]), np.full(seen.shape[:2], 20.0)
    for _ in range(30):
        middle = (low + high) / 2
        enough = payoff(c, success(seen - middle[..., None])) >= -c.waiting * c.cost
        low, high = np.where(enough, middle, low), np.where(enough, high, middle)
    return np.where(payoff(c, success(seen)) >= -c.waiting * c.cost, low, -1.0)


def worst_regret(c: Uncertainty, seen: Float[np.ndarray, "B I J"]) -> Float[np.ndarray, "B K"]:
    """The most by which each programme, and last deploying nothing, falls short of the best if log-odds are shifted."""
    worst = np.zeros((len(seen), seen.shape[1] + 1))
    for shift in SHIFTS:
        worth = payoff(c, success(seen + shift)) + c.waiting * c.cost
        worth = np.concatenate([worth, np.zeros((len(seen), 1))], axis=1)
        worst = np.maximum(worst, worth.max(-1, keepdims=True) - worth)
    return worst


def choose(c: Uncertainty, seen: Float[np.ndarray, "B I J"], rule: str) -> Int[np.ndarray, " B"]:
    """The programme that a rule deploys, or `NOTHING`."""
    if rule == "info-gap":
        endures = robustness(c, seen)
        return np.where(endures.max(-1) >= 1, endures.argmax(-1), NOTHING)
    if rule == "minimax regret":
        regrets = worst_regret(c, seen)
        return np.where(regrets[:, :-1].min(-1) < regrets[:, -1], regrets[:, :-1].argmin(-1), NOTHING)
    works = posterior_success(c, seen) if rule == "Bayesian" else success(seen)
    worth = payoff(c, works) + c.waiting * c.cost
    if rule == "fewest assumptions":
        return np.where((worth > 0).any(-1), np.argmax(worth > 0, axis=-1), NOTHING)
    best = worth.argmax(-1)
    good = worth.max(-1) > 0
    if rule == "margin":
        break_even = (1 + c.waiting * c.cost) / (1 + c.cost)  # the failures at which deploying and waiting are equal
        good = 1 - works.max(-1) <= break_even / 2
    return np.where(good, best, NOTHING)


def outcome(
    c: Uncertainty, true: Float[np.ndarray, "B I J"], chosen: Int[np.ndarray, " B"]
) -> tuple[float, float, float]:
    """Mean payoff, rate of catastrophes (one's own and, where nothing was deployed, others'), and share deployed."""
    works = np.take_along_axis(success(true), np.maximum(chosen, 0)[:, None], -1)[:, 0]
    deployed = chosen != NOTHING
    gained = np.where(deployed, payoff(c, works), -c.waiting * c.cost)
    disasters = np.where(deployed, 1 - works, c.waiting)
    return float(gained.mean()), float(disasters.mean()), float(deployed.mean())


def break_even(
    seed: int, c: Uncertainty, rule: str = "fewest assumptions", num: int = 20_000, most: float = 1_000.0
) -> float:
    """C*(τ, z): the least cost of failure at which a rule pays more than the greatest estimate, on the same draws.

    First on a grid of 25 costs from 1 to `most`, equal steps in the logarithm, then by bisection; infinite if nowhere.
    """
    true, seen = draw(np.random.default_rng(seed), c, num)  # the same at every cost

    def gain(log_cost: float) -> float:
        at = replace(c, cost=float(np.exp(log_cost)))
        ours, theirs = (outcome(at, true, choose(at, seen, r))[0] for r in (rule, "greatest estimate"))
        return ours - theirs

    grid = np.linspace(0, np.log(most), 25)
    pays = [i for i, log_cost in enumerate(grid) if gain(log_cost) > 1e-12]
    if not pays:
        return float("inf")
    low, high = grid[max(0, pays[0] - 1)], grid[pays[0]]
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if gain(middle) > 1e-12 else (middle, high)
    return float(np.exp(high))
