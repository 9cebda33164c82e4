"""Cross-check of `foundations.ultimatum` with nashpy, once: the norm game's equilibria, payoffs and dynamics.

    python -m venv games && games/bin/pip install nashpy numpy scipy jax equinox jaxtyping
    PYTHONPATH=. games/bin/python bench/games_crosscheck.py

1. Every norm h of the norm game is a strict symmetric equilibrium: nashpy's support enumeration on 5 norms must find
   all of them, and our table of payoffs must agree with nashpy's expected payoffs.
2. Replicator dynamics of two norms l < h must tip where our payoffs say that they are equal.

With nashpy 0.0.43: 5 of 5 equilibria, payoffs equal, no pair tips elsewhere.
"""

import sys

import nashpy
import numpy as np

from theodolite.foundations import ultimatum as ug

NORMS = np.array([0, 250, 400, 500, 750])


def table() -> np.ndarray:
    """Our payoff of each norm against a population of each other one."""
    found = np.zeros((len(NORMS), len(NORMS)))
    for j, norm in enumerate(NORMS):
        crowd = ug.counts(np.full((1, 10), norm))
        proposer, responder = ug.payoffs(crowd, crowd, np.zeros(1))
        found[:, j] = proposer[0, NORMS] + responder[0, NORMS]
    return found


def main() -> int:
    payoff = table()
    game = nashpy.Game(payoff, payoff.T)
    pure = {int(np.argmax(a)) for a, b in game.support_enumeration() if a.max() == b.max() == 1 and (a == b).all()}
    missing = sorted(set(range(len(NORMS))) - pure)
    print(f"symmetric pure equilibria: {len(pure)} of {len(NORMS)} norms; missing {missing}")
    worst = 0.0
    for i in range(len(NORMS)):
        for j in range(len(NORMS)):
            theirs = game[np.eye(len(NORMS))[i], np.eye(len(NORMS))[j]]
            worst = max(worst, abs(theirs[0] - payoff[i, j]), abs(theirs[1] - payoff[j, i]))
    print(f"largest difference of payoffs: {worst:.2g}")
    wrong = 0
    for low in range(len(NORMS) - 1):
        for high in range(low + 1, len(NORMS)):
            two = payoff[np.ix_([low, high], [low, high])]
            share = (two[1, 1] - two[0, 1]) / (two[0, 0] - two[1, 0] + two[1, 1] - two[0, 1])
            for start, winner in ((share + 0.05, 0), (share - 0.05, 1)):
                if 0 < start < 1:
                    path = nashpy.Game(two).replicator_dynamics(
                        y0=[start, 1 - start], timepoints=np.linspace(0, 400, 200)
                    )
                    wrong += int(np.argmax(path[-1]) != winner)
    print(f"pairs of norms whose dynamics tip elsewhere: {wrong}")
    return int(bool(missing) or worst > 1e-12 or wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
