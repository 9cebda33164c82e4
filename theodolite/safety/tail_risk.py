"""Averse to surprise, to bad tails, or told the reason: a world of one gamble, taken up to H times, solved exactly.

Every step the agent plays safe, for `safe`, or gambles: `gain` with probability 1 - p, else `outcome`, which ends the
episode. A rare disaster is a large loss and a short horizon; a long horizon makes a small p compound to 1 - (1-p)^H;
a windfall is an outcome that is good. The agent may see the outcome clipped, as in Atari.

    neutral            max E[Z]
    controllability    max_a E[r + V'] - ψ Var[r + V'],   V the maximum: the TD error's variance, charged at every step
    tail               max over η of η - E[(η - Z)+]/α    (CVaR, Rockafellar and Uryasev 2000), Z the whole return

While an episode goes on nothing was random, so a plan is a sequence of choices and the safe steps taken so far are all
there is to remember: backward induction over (step, gambles won) is exact for all three. The best η is a return that
is possible; most of them are passed over by a bound.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from theodolite.core.claim import Paper
from theodolite.core.errors import UserError

PAPER = Paper("Optimization of Conditional Value-at-Risk", "Rockafellar, Uryasev", 2000, venue="Journal of Risk 2")
Plan = Bool[np.ndarray, " H"]
"""Whether to gamble, at every step that is reached."""


class Gamble(NamedTuple):
    """A world."""

    horizon: int
    p: float
    """Probability of the outcome at every gamble."""
    outcome: float
    """What it pays; negative is a loss. The episode ends."""
    gain: float = 1.0
    safe: float = 0.8

    def seen(self, clip: float) -> "Gamble":
        """The world with rewards clipped to ± clip."""
        gain, safe, outcome = (float(np.clip(x, -clip, clip)) for x in (self.gain, self.safe, self.outcome))
        return self._replace(gain=gain, safe=safe, outcome=outcome)


def law(g: Gamble, plan: Plan) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, " K"]]:
    """Returns that a plan may end with, and their probabilities."""
    paid = np.concatenate([[0.0], np.cumsum(np.where(plan, g.gain, g.safe))])
    alive = np.concatenate([[1.0], np.cumprod(np.where(plan, 1 - g.p, 1.0))])
    return np.append(paid[:-1] + g.outcome, paid[-1]), np.append(alive[:-1] * g.p * plan, alive[-1])


def expected(g: Gamble, plan: Plan) -> float:
    """Mean return of a plan."""
    values, chances = law(g, plan)
    return float(values @ chances)


def controllable(g: Gamble, psi: float) -> Plan:
    """The plan of an agent that charges itself ψ times the variance of every step; ψ = 0 is risk-neutral."""
    plan, value = np.zeros(g.horizon, bool), 0.0
    for t in range(g.horizon - 1, -1, -1):
        won = g.gain + value
        gamble = g.p * g.outcome + (1 - g.p) * won - psi * g.p * (1 - g.p) * (won - g.outcome) ** 2
        plan[t] = gamble > g.safe + value
        value = max(gamble, g.safe + value)
    return plan


def tail_averse(g: Gamble, alpha: float, coarse: int = 201) -> Plan:
    """The plan of greatest CVaR, over every return that is possible as η.

    The least expected shortfall G(η) = min E[(η - Z)+] rises with a slope between 0 and 1, so that of `coarse` values
    two neighbours bound what lies between them; only where the bound exceeds the best are all values looked at.

    Raises:
        UserError: α outside (0, 1].
    """
    if not 0 < alpha <= 1:
        raise UserError(f"alpha = {alpha}: must lie in (0, 1]. It is the share of worst returns that counts.")
    eta = _possible(g)
    some = eta[np.unique(np.linspace(0, len(eta) - 1, coarse).astype(int))]
    short = _shortfall(g, some)[0]
    first = int(np.argmax(some - short / alpha))
    # between two values η - G/α is at most what it would be, were G flat at first and then as steep as can be
    turn = some[1:] - np.diff(short)
    hopeful = np.flatnonzero(turn - short[:-1] / alpha > some[first] - short[first] / alpha)
    inside = [eta[(eta > some[i]) & (eta < some[i + 1])] for i in hopeful]
    tried = np.concatenate([some[[first]], *inside])
    short, choices = _shortfall(g, tried)
    row, plan, k = int(np.argmax(tried - short / alpha)), np.zeros(g.horizon, bool), 0
    for t, choice in enumerate(choices):
        plan[t] = choice[row, k]
        k += int(plan[t])
    return plan


def _possible(g: Gamble) -> Float[np.ndarray, " K"]:
    """Every return that some plan may end with, ascending."""
    steps, won = np.tril_indices(g.horizon + 1)
    paid = won * g.gain + (steps - won) * g.safe
    return np.unique(np.concatenate([paid[steps < g.horizon] + g.outcome, paid[steps == g.horizon]]))


def _shortfall(
    g: Gamble, eta: Float[np.ndarray, " K"]
) -> tuple[Float[np.ndarray, " K"], list[Bool[np.ndarray, "K T"]]]:
    """min E[(η - Z)+] over plans, and by step whether to gamble after so many gambles won."""
    won, choices = np.arange(g.horizon + 1), []
    short = np.maximum(eta[:, None] - (won * g.gain + (g.horizon - won) * g.safe), 0)
    for t in range(g.horizon - 1, -1, -1):
        paid = won[: t + 1] * g.gain + (t - won[: t + 1]) * g.safe
        gamble = g.p * np.maximum(eta[:, None] - paid - g.outcome, 0) + (1 - g.p) * short[:, 1 : t + 2]
        safe = short[:, : t + 1]
        choices.append(gamble < safe - 1e-12)
        short = np.minimum(gamble, safe)
    return short[:, 0], choices[::-1]


def regret(g: Gamble, plan: Plan) -> float:
    """What a plan loses of the best mean return, as a share of what the worst of the two extremes loses, at most 1."""
    best = expected(g, controllable(g, 0.0))
    worst = min(expected(g, np.zeros(g.horizon, bool)), expected(g, np.ones(g.horizon, bool)))
    return (best - expected(g, plan)) / max(best - worst, 1e-12)
