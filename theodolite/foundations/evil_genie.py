"""Decision problems with predictors, and three ways to decide; one is the evil genie (Leong 2018, a reconstruction).

A problem is a small causal graph. Nature tosses a coin, a predictor foretells what the agent does at one observation
and is right with probability a, the two fix what the agent sees, and payoffs follow from coin, prediction and act.

    causal        the prediction is as it is: maximise Σ P(coin, prediction | seen) payoff, predictions equally likely
    evidential    the same with P(prediction | own act) in place of P(prediction)
    policy        choose the whole map from observations to acts, with the prediction following it, before seeing

The genie grants a perfect life or a good one. It has made n clones, doomed to a rotten life, if it foretold the wish
for the perfect one, and assures you that you are no clone. Only the post's title is known to us: this is our reading.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from theodolite.core.claim import Paper
from theodolite.core.errors import UserError, unknown

PAPER = Paper("The Evil Genie Puzzle", "Leong", 2018, venue="LessWrong")
DECIDERS = ("causal", "evidential", "policy")
Policy = dict[str, str]


class Problem(NamedTuple):
    """What can be seen and done, and what follows."""

    acts: dict[str, tuple[str, ...]]
    """Observation to acts, in the order of preference at ties."""
    predicted: str
    """The observation at which the predictor foretells the act."""
    seen: Callable[[int, str], str]
    """(coin, prediction) to observation."""
    payoff: Callable[[int, str, str], float]
    """(coin, prediction, act) to payoff."""
    accuracy: float = 1.0
    coin: float = 0.0
    """Probability that the coin is 1."""


def chances(p: Problem, act: str | None) -> dict[tuple[int, str], float]:
    """P(coin, prediction) if the agent does `act` where it is predicted; None: predictions are equally likely.

    A wrong prediction is any other act, with equal chances.
    """
    options = p.acts[p.predicted]
    found = {}
    for coin, prediction in itertools.product((0, 1), options):
        if act is None or len(options) == 1:
            chance = 1 / len(options)
        else:
            chance = p.accuracy if prediction == act else (1 - p.accuracy) / (len(options) - 1)
        found[coin, prediction] = chance * (p.coin if coin else 1 - p.coin)
    return found


def value(p: Problem, policy: Policy) -> float:
    """Expected payoff of a policy before anything is seen, the predictor foretelling it."""
    weights = chances(p, policy[p.predicted])
    return sum(w * p.payoff(c, pred, policy[p.seen(c, pred)]) for (c, pred), w in weights.items())


def situated(p: Problem, observation: str, act: str, *, evidential: bool) -> float:
    """Expected payoff of an act given the observation; -inf if the two cannot both be.

    Evidentially, one's act is evidence about the prediction where that is the predicted act.
    """
    weights = chances(p, act if evidential and observation == p.predicted else None)
    seen = {key: w for key, w in weights.items() if w > 0 and p.seen(*key) == observation}
    total = sum(seen.values())
    return sum(w * p.payoff(*key, act) for key, w in seen.items()) / total if total > 0 else -np.inf


def decide(p: Problem, decider: str) -> Policy:
    """What an agent of a kind does at each observation.

    Raises:
        UserError: an unknown kind of decider, or an accuracy or coin that is no probability.
    """
    if not (0 <= p.accuracy <= 1 and 0 <= p.coin <= 1):
        raise UserError(f"accuracy = {p.accuracy}, coin = {p.coin}: both must be probabilities, between 0 and 1.")
    if decider == "policy":
        every = (dict(zip(p.acts, chosen, strict=True)) for chosen in itertools.product(*p.acts.values()))
        return max(every, key=lambda policy: value(p, policy))
    if decider not in ("causal", "evidential"):
        raise unknown("decider", decider, DECIDERS)
    evidential = decider == "evidential"
    return {o: max(acts, key=lambda a, o=o: situated(p, o, a, evidential=evidential)) for o, acts in p.acts.items()}


def newcomb(accuracy: float = 0.99) -> Problem:
    """An opaque box holds a million if one-boxing was foretold; a clear one holds a thousand."""
    return Problem(
        {"boxes": ("one box", "two boxes")}, "boxes", lambda coin, pred: "boxes",
        lambda coin, pred, act: 1_000_000.0 * (pred == "one box") + 1_000.0 * (act == "two boxes"), accuracy,
    )  # fmt: skip


def transparent_newcomb(accuracy: float = 0.99) -> Problem:
    """Both boxes are clear; the million is there if one-boxing on seeing it was foretold."""
    acts = ("one box", "two boxes")
    return Problem(
        {"full": acts, "empty": acts}, "full", lambda coin, pred: "full" if pred == "one box" else "empty",
        lambda coin, pred, act: 1_000_000.0 * (pred == "one box") + 1_000.0 * (act == "two boxes"), accuracy,
    )  # fmt: skip


def counterfactual_mugging(accuracy: float = 0.99) -> Problem:
    """Heads: pay 100? Tails: 10,000 if you would have paid."""

    def payoff(coin: int, pred: str, act: str) -> float:
        return (10_000.0 if pred == "pay" else 0.0) if coin else (-100.0 if act == "pay" else 0.0)

    acts: dict[str, tuple[str, ...]] = {"asked": ("refuse", "pay"), "tails": ("nothing",)}
    return Problem(acts, "asked", lambda coin, pred: "tails" if coin else "asked", payoff, accuracy, coin=0.5)


def hitchhiker(accuracy: float = 0.99) -> Problem:
    """A driver saves you from the desert if she foretells that you pay once in town."""
    acts: dict[str, tuple[str, ...]] = {"town": ("refuse", "pay"), "desert": ("nothing",)}
    return Problem(
        acts, "town", lambda coin, pred: "town" if pred == "pay" else "desert",
        lambda coin, pred, act: (1_000_000.0 if pred == "pay" else 0.0) - (1_000.0 if act == "pay" else 0.0), accuracy,
    )  # fmt: skip


def copy_dilemma(accuracy: float = 1.0) -> Problem:
    """The prisoner's dilemma against a copy of oneself: the prediction is its act."""
    payoffs = {("c", "c"): 3.0, ("c", "d"): 0.0, ("d", "c"): 5.0, ("d", "d"): 1.0}
    return Problem(
        {"dilemma": ("cooperate", "defect")}, "dilemma", lambda coin, pred: "dilemma",
        lambda coin, pred, act: payoffs[act[0], pred[0]], accuracy,
    )  # fmt: skip


PERFECT, GOOD, ROTTEN = 10.0, 7.0, -10.0


def genie(clones: int, care: float, accuracy: float = 1.0, *, average: bool = False) -> Problem:
    """The wish: clones count by `care` each, summed; or `average`: one may be any of those who exist.

    Raises:
        UserError: fewer than no clones, or care that is no share.
    """
    if clones < 0 or not 0 <= care <= 1:
        raise UserError(f"clones = {clones}, care = {care}: clones must be >= 0 and care lie in [0, 1].")

    def payoff(coin: int, pred: str, act: str) -> float:
        own, weight = PERFECT if act == "perfect" else GOOD, care * clones * (pred == "perfect")
        return (own + weight * ROTTEN) / (1 + weight) if average else own + weight * ROTTEN

    return Problem({"wish": ("good", "perfect")}, "wish", lambda coin, pred: "wish", payoff, accuracy)


def threshold(clones: int, accuracy: float) -> float:
    """Care above which a policy's total is better without the perfect life: (u_p - u_g) / (n |u_r| (2a - 1))."""
    worth = clones * -ROTTEN * (2 * accuracy - 1)
    return (PERFECT - GOOD) / worth if worth > 0 else np.inf


def realised(clones: int, accuracy: float, wish: str) -> float:
    """Average life of all who exist, over many such genies: what an adversary who picks the puzzle can inflict."""
    own = PERFECT if wish == "perfect" else GOOD
    foretold = accuracy if wish == "perfect" else 1 - accuracy
    return foretold * (own + clones * ROTTEN) / (1 + clones) + (1 - foretold) * own
