"""Leong 2018, reconstructed: deciders before predictors, and the genie whose clones suffer for a perfect life."""

from typing import TYPE_CHECKING

import numpy as np

from theodolite.core.claim import Claim, Item, Job, Row, Size, at_least, at_most, close, row
from theodolite.core.scores import Scores
from theodolite.foundations import evil_genie as eg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLKLORE = {
    "Newcomb": (eg.newcomb(), "boxes", ("two boxes", "one box", "one box")),
    "transparent Newcomb": (eg.transparent_newcomb(), "full", ("two boxes", "two boxes", "one box")),
    "counterfactual mugging": (eg.counterfactual_mugging(), "asked", ("refuse", "refuse", "pay")),
    "Parfit's hitchhiker": (eg.hitchhiker(), "town", ("refuse", "refuse", "pay")),
    "dilemma with a copy": (eg.copy_dilemma(), "dilemma", ("defect", "cooperate", "cooperate")),
}
"""Problem, observation, and what causal, evidential and policy-choosing agents are said to do."""
CARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
CLONES = (1, 4, 16)
ACCURACIES = (0.6, 0.9, 1.0)
WORST = [(n, a) for n in (0, 1, 2, 4, 8, 16) for a in (0.5, 0.6, 0.75, 0.9, 1.0)]
"""What the adversarial genie may choose from."""


def table() -> list[Row]:
    """Agreement with the folklore, wishes over care, clones and accuracy, and the worst genie for each decider."""
    rows = []
    for name, (problem, where, said) in FOLKLORE.items():
        for decider, act in zip(eg.DECIDERS, said, strict=True):
            rows.append(row(decider, f"puzzles/{name}", 0, agrees=eg.decide(problem, decider)[where] == act))
    for clones in CLONES:
        for accuracy in ACCURACIES:
            for care in CARES:
                panel = f"{clones} clone{'s' * (clones > 1)}, right in {accuracy:.0%}/{care:g}"
                for decider in eg.DECIDERS:
                    wish = eg.decide(eg.genie(clones, care, accuracy), decider)["wish"]
                    rows.append(row(decider, panel, 0, perfect=wish == "perfect"))
                exact = "good" if care > eg.threshold(clones, accuracy) else "perfect"
                policy = eg.decide(eg.genie(clones, care, accuracy), "policy")["wish"]
                rows.append(row("policy", "closed form", len(rows), differs=policy != exact))
    for care in CARES:
        for average in (False, True):
            for decider in eg.DECIDERS:
                lives = [eg.realised(n, a, eg.decide(eg.genie(n, care, a, average=average), decider)["wish"])
                         for n, a in WORST]  # fmt: skip
                panel = "care for the average" if average else "care for the sum"
                rows.append(row(decider, f"{panel}/{care:g}", 0, worst=np.min(lives)))
    return rows


def jobs(size: Size, seeds: int | None) -> list[Job]:
    """One exact table, the same at every size."""
    return [Job("all deciders", "all", (0,), table)]


PANELS = tuple(f"{n} clone{'s' * (n > 1)}, right in {a:.0%}" for n in CLONES for a in ACCURACIES)
CLAIMS = (
    Claim(
        id="folklore",
        text="The engine decides the known puzzles as decision theorists say that causal, evidential and "
        "policy-choosing agents do.",
        metric="agrees",
        arms=eg.DECIDERS,
        cases=tuple(f"puzzles/{name}" for name in FOLKLORE),
        exact=True,
        scope="toy",
        statistic="min",
        unit="1: as said",
        expect=tuple(at_least(decider, 1.0) for decider in eg.DECIDERS),
    ),
    Claim(
        id="care-turns-the-wish",
        text="Who wishes for the perfect life (1) or the good one (0), by care for the clones: causal agents always "
        "take it; the others stop where 3 < 10 · clones · care · (2 accuracy - 1).",
        metric="perfect",
        arms=eg.DECIDERS,
        cases=tuple(f"{panel}/{care:g}" for panel in PANELS for care in CARES),
        exact=True,
        scope="toy",
        statistic="mean",
        unit="1: perfect, 0: good",
        level="care for a clone",
        expect=(
            at_least("causal", 1.0),
            *(at_least(d, 1.0, cases=("*/0",)) for d in ("evidential", "policy")),
            *(at_most(d, 0.0, cases=("4 clones, right in 100%/1", "16 clones, right in 90%/0.5"))
              for d in ("evidential", "policy")),
        ),
    ),
    Claim(
        id="closed-form",
        text="The policy's wish turns exactly where the closed form says.",
        metric="differs",
        arms=("policy",),
        cases=("closed form",),
        exact=True,
        scope="toy",
        statistic="max",
        higher_is_better=False,
        unit="1: differs",
        expect=(at_most("policy", 0.0),),
    ),
    Claim(
        id="adversarial-genie",
        text="Average life of all who exist when an adversary picks clones and accuracy: full care for the others "
        "protects agents who choose policies; causal agents are ruined however much they care.",
        metric="worst",
        arms=eg.DECIDERS,
        cases=tuple(f"{panel}/{care:g}" for panel in ("care for the sum", "care for the average") for care in CARES),
        exact=True,
        scope="toy",
        statistic="mean",
        unit="average life in the worst case",
        level="care for a clone",
        expect=(
            at_least("policy", 0.0, cases=("care for the sum/1", "care for the average/1")),
            close("causal", -8.82, 0.01),
        ),
    ),
)  # fmt: skip


def figure(scores: Scores) -> "Figure":
    """The wishes and the adversary."""
    from theodolite.core import figures  # matplotlib loads slowly, and worker processes do without

    return figures.of_claims([c for c in CLAIMS if c.id in ("care-turns-the-wish", "adversarial-genie")], scores)


ITEM = Item(
    name="evil_genie",
    edition="an17",
    module=__name__,
    title="The evil genie puzzle",
    category="Agent foundations",
    papers=(eg.PAPER,),
    claims=CLAIMS,
    jobs=jobs,
    figure=figure,
    summary="A genie that foretells wishes has made suffering clones of those who would wish for the perfect life, and "
    "tells you that you are the original. A model of the puzzle, not evidence about AI systems.",
    equation="value(perfect) = u_perfect + care · n · u_rotten · P(foretold)",
    notes=(
        "RECONSTRUCTION: only the title stands in the newsletter, and the post's text was not at hand. Lives are worth "
        "10, 7 and -10.",
        "What flips the conclusion is care for the clones, how many there are, and how often the genie is right; a "
        "causal agent is moved by none of them.",
    ),
)
