"""Worley 2018: fewer assumptions or more estimated success, as a model of the argument."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from theodolite.core.claim import Claim, Item, Job, Row, Size, better, lower, row
from theodolite.core.scores import Scores
from theodolite.foundations import fundamental_uncertainty as fu

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COSTS = (1, 3, 10, 30, 100)
ERRORS: dict[str, dict[str, Any]] = {
    "no error": {"noise": 0.0},
    "noise 0.5": {"noise": 0.5},
    "noise 1": {"noise": 1.0},
    "noise 2": {"noise": 2.0},
    "overconfident by 1.5": {"noise": 0.0, "confidence": 1.5},
    "noise 1, half of it shared": {"noise": 1.0, "shared": 0.5},
    "noise 1, overconfident by 2": {"noise": 1.0, "confidence": 2.0},
    "noise 1, waiting costs 2%": {"noise": 1.0, "waiting": 0.02},
    "noise 1, waiting costs 10%": {"noise": 1.0, "waiting": 0.1},
}
CASES = tuple(f"{error}/{cost}" for error in ERRORS for cost in COSTS)
NOISY = tuple(f"{error}/{cost}" for error in ("noise 1", "noise 2") for cost in (10, 30, 100))
SEEDS: dict[Size, tuple[int, int]] = {"smoke": (2, 50), "quick": (20, 1_000), "full": (100, 10_000)}
"""Seeds, and draws of all assumptions in each."""


def programmes(error: str, seeds: tuple[int, ...], num: int) -> list[Row]:
    """Payoff, catastrophes and deployments of every rule on the same draws; payoffs are per unit of 1 + C."""
    rows = []
    for seed in seeds:
        for cost in COSTS:
            c = fu.Uncertainty(cost=float(cost), **ERRORS[error])
            true, seen = fu.draw(np.random.default_rng(seed), c, num)
            for rule in fu.RULES:
                payoff, disasters, deployed = fu.outcome(c, true, fu.choose(c, seen, rule))
                rows.append(row(rule, f"{error}/{cost}", seed, payoff=payoff / (1 + cost), disasters=disasters,
                                deployed=deployed))  # fmt: skip
    return rows


def jobs(size: Size, seeds: int | None) -> list[Job]:
    """One job for each way to err."""
    count, num = SEEDS[size]
    who = tuple(range(seeds or count))
    return [Job("all rules", error, who, partial(programmes, error, who, num)) for error in ERRORS]


SHOWN: dict[str, Any] = {
    "arms": fu.RULES,
    "cases": CASES,
    "scope": "toy",
    "statistic": "mean",
    "level": "C, cost of failure",
}
CLAIMS = (
    Claim(
        id="fewer-assumptions-fewer-catastrophes",
        text="Rate of catastrophes: with noisy beliefs and a costly failure (noise >= 1, C >= 10), making few "
        "assumptions avoids more of them than the greatest estimate does.",
        metric="disasters",
        higher_is_better=False,
        unit="rate of catastrophes",
        expect=tuple(lower("fewest assumptions", than="greatest estimate", cases=(case,)) for case in NOISY),
        **SHOWN,
    ),
    Claim(
        id="fewer-assumptions-pay",
        text="Mean payoff per unit of 1 + C: in the same region making few assumptions also pays more.",
        metric="payoff",
        unit="payoff / (1 + C)",
        expect=tuple(better("fewest assumptions", than="greatest estimate", cases=(case,)) for case in NOISY),
        **SHOWN,
    ),
    Claim(
        id="a-margin-avoids-catastrophes",
        text="Demanding half the failures that would break even, instead of few assumptions: fewer catastrophes.",
        metric="disasters",
        higher_is_better=False,
        unit="rate of catastrophes",
        expect=tuple(lower("margin", than="greatest estimate", cases=(case,)) for case in NOISY),
        **SHOWN,
    ),
    Claim(
        id="a-margin-pays",
        text="The same demand also pays more where beliefs are noisy and failure is costly.",
        metric="payoff",
        unit="payoff / (1 + C)",
        expect=tuple(better("margin", than="greatest estimate", cases=(case,)) for case in NOISY),
        **SHOWN,
    ),
    Claim(
        id="caution-needs-error",
        text="Where beliefs are right, or waiting has its own price, caution does not pay: the greatest estimate is at "
        "least as good as a margin.",
        metric="payoff",
        unit="payoff / (1 + C)",
        expect=(
            *(better("greatest estimate", than="margin", by=-1e-9, cases=(f"no error/{cost}",)) for cost in COSTS),
            *(better("greatest estimate", than="margin", by=-1e-3, cases=(f"noise 1, waiting costs 10%/{cost}",))
              for cost in (10, 30, 100)),
        ),
        **SHOWN,
    ),
)  # fmt: skip


DEPLOYED = replace(
    CLAIMS[0],
    id="share-deployed",
    text="No claim, but to be seen beside them: how often anything is deployed. Where nothing is, nothing can fail, "
    "and rules hardly differ.",
    metric="deployed",
    unit="share deployed",
)


def figure(scores: Scores) -> "Figure":
    """Catastrophes, payoffs, and how often anything is deployed."""
    from theodolite.core import figures  # matplotlib loads slowly, and worker processes do without

    return figures.of_claims([CLAIMS[0], CLAIMS[1], DEPLOYED], scores)


ITEM = Item(
    name="fundamental_uncertainty",
    edition="an17",
    module=__name__,
    title="Robustness to fundamental uncertainty",
    category="Agent foundations",
    papers=(fu.PAPER,),
    claims=CLAIMS,
    jobs=jobs,
    figure=figure,
    summary="Since outcomes are success or catastrophe, the paper advises to prefer dropping what would have worked to "
    "pursuing what fails, by choosing few assumptions. A model of the argument, not evidence about AI systems.",
    equation="works: e_i Π_{j in A_i} p_j",
    notes=(
        "The paper has no formal model: programmes, assumptions and rules are ours.",
        "Programmes with more assumptions are easier to make work, or the advice would be trivial.",
        "From C = 30 on, and with small errors, hardly anything is deployed by any rule: there rates and payoffs are "
        "near 0, and half of the claims' cases compare few deployments. The last rows of the figure show the share.",
        "Minimax regret is over errors of up to 1 that are common to all log-odds; no expectation is set for it. "
        "`break_even` computes the cost from which a rule pays more than the greatest estimate.",
        "The margin is not the paper's: it stands for preferring false negatives without counting assumptions.",
    ),
)
