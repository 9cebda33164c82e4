"""Dacyn 2018 and the newsletter: meta-fairness, and whether fairness arises in the repeated Ultimatum game."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from theodolite.core.claim import Claim, Item, Job, Row, Size, at_most, better, close, row
from theodolite.core.scores import Scores
from theodolite.foundations import ultimatum as ug

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FAIR = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
SIDES = ((0.6, 0.6), (0.7, 0.5), (0.8, 0.4), (0.9, 0.9))
INFORMED = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
SELECTIONS = {"strong selection": 10.0, "weak selection": 1.0}
STARTS = {"from all norms": 1.0, "from norms near 0": 0.05}
NORM_SELECTIONS = (1, 5, 20)
NORM, TAKEN, MIRRORED = "norm", "all accepted", "offers mirrored"
PLAYS: dict[str, ug.Play] = {NORM: "norm", TAKEN: "accept all", MIRRORED: "mirror"}
"""With rejection below the norm, and twice without."""
DISCOUNTS = (0.0, 0.5, 0.9, 0.99)
LENIENCY = {"thresholds start at 0": 0.5, "no threshold at first": 0.0}
BUDGETS: dict[Size, dict[str, int]] = {
    "smoke": {"seeds": 2, "size": 50, "generations": 20, "pairs": 2, "rounds": 100},
    "quick": {"seeds": 5, "size": 1_000, "generations": 2_000, "pairs": 20, "rounds": 30_000},
    "full": {"seeds": 20, "size": 1_000, "generations": 10_000, "pairs": 100, "rounds": 300_000},
}


def one_shot() -> list[Row]:
    """What undercutting a fair share earns, and what two sides get by demanding in turn and by the best mixture."""
    rows = [row("best offer below it", f"fair share/{fair}", 0, gain=ug.exploitation(fair)) for fair in FAIR]
    for fair in SIDES:
        one, other, _ = ug.best_mixture(fair)
        case = f"fair shares/{fair[0]} and {fair[1]}"
        closed = max(abs(one - (1 - fair[1])), abs(other - (1 - fair[0])))
        rows.append(row("best mixture", case, 0, total=one + other, difference=closed))
        rows.append(row("demands in turn", case, 0, total=sum(ug.alternating(fair))))
    return rows


def reputation(panel: str, seeds: tuple[int, ...], size: int, generations: int) -> list[Row]:
    """Offers and thresholds that evolve, by the share of encounters in which the proposer knows the threshold."""
    points = [(w, seed) for w in INFORMED for seed in seeds]
    c = ug.Population(size=size, generations=generations)
    informed = np.array([w for w, _ in points])
    found = ug.evolve(np.random.default_rng(17), c, informed, np.full(len(points), SELECTIONS[panel]))
    return [row(arm, f"{panel}/{w:g}", seed, level=level)
            for arm, levels in zip(("offer", "threshold"), found, strict=True)
            for (w, seed), level in zip(points, levels, strict=True)]  # fmt: skip


def norms(start: str, seeds: tuple[int, ...], size: int, generations: int) -> list[Row]:
    """Where norms settle that are offered and demanded alike, and offers that nobody rejects."""
    points = [(s, seed) for s in NORM_SELECTIONS for seed in seeds]
    c = ug.Population(size=size, generations=generations, initial=STARTS[start])
    strengths = np.array([float(s) for s, _ in points])
    rows = []
    for arm, play in PLAYS.items():
        found, _ = ug.evolve(np.random.default_rng(51), c, np.zeros(len(points)), strengths, play=play)
        rows += [row(arm, f"{start}/{s}", seed, norm=h) for (s, seed), h in zip(points, found, strict=True)]
    return rows


def repeated(start: str, discount: float, seeds: tuple[int, ...], rounds: int) -> list[Row]:
    """What pairs of Q-learners offer and accept in the end."""
    c = ug.Learners(discount=discount, rounds=rounds, leniency=LENIENCY[start])
    found = ug.learn(np.random.default_rng(seeds[0]), c, len(seeds))
    return [row(arm, f"{start}/{discount:g}", seed, share=v)
            for arm, values in (("offer", found.offer), ("accepted", found.accepted))
            for seed, v in zip(seeds, values, strict=True)]  # fmt: skip


def jobs(size: Size, seeds: int | None) -> list[Job]:
    """The exact table, evolution, norms, and learners."""
    b = BUDGETS[size]
    who, pairs = tuple(range(seeds or b["seeds"])), tuple(range(seeds or b["pairs"]))
    few = max(10, b["generations"] // 5)
    return [
        Job("all", "one shot", (0,), one_shot),
        *(Job("evolution", panel, who, partial(reputation, panel, who, b["size"], b["generations"]), cost=20)
          for panel in SELECTIONS),
        *(Job("norms", start, pairs, partial(norms, start, pairs, b["size"], few), cost=30) for start in STARTS),
        *(Job("learners", f"{start}/{d:g}", pairs, partial(repeated, start, d, pairs, b["rounds"]), cost=15)
          for start in LENIENCY for d in DISCOUNTS),
    ]  # fmt: skip


CLAIMS = (
    Claim(
        id="meta-fairness",
        text="Against a responder who accepts less than its fair share just too rarely, no lower offer pays.",
        metric="gain",
        arms=("best offer below it",),
        cases=tuple(f"fair share/{fair}" for fair in FAIR),
        exact=True,
        scope="toy",
        statistic="max",
        higher_is_better=False,
        unit="gain over the fair offer",
        level="the responder's fair share",
        expect=(at_most("best offer below it", 0.0),),
    ),
    Claim(
        id="mixture-is-best",
        text="The mixture of both sides' fair divisions and no deal, (1 - f2, 1 - f1), is the best lottery that gives "
        "neither more than the other thinks fair (linear program).",
        metric="difference",
        arms=("best mixture",),
        cases=tuple(f"fair shares/{a} and {b}" for a, b in SIDES),
        exact=True,
        scope="toy",
        statistic="max",
        higher_is_better=False,
        unit="distance to the linear program's optimum",
        expect=(at_most("best mixture", 1e-6),),
    ),
    Claim(
        id="mixture-beats-demands",
        text="Sum of both sides' payoffs: the mixture loses less than demanding in turn what one thinks fair.",
        metric="total",
        arms=("best mixture", "demands in turn"),
        cases=tuple(f"fair shares/{a} and {b}" for a, b in SIDES),
        exact=True,
        scope="toy",
        unit="sum of both payoffs",
        level="what each side thinks its fair share",
        expect=(better("best mixture", than="demands in turn", by=0.01, each=True, cases=("fair shares/*",)),),
    ),
    Claim(
        id="fairness-by-reputation",
        text="Evolved offers between 0.4 and 0.5 would be fairness, however often the proposer knows the threshold.",
        source="newsletter",
        metric="level",
        arms=("offer", "threshold"),
        cases=tuple(f"{panel}/{w:g}" for panel in SELECTIONS for w in INFORMED),
        scope="toy",
        statistic="mean",
        unit="mean trait",
        level="share of encounters with a known threshold",
        expect=tuple(
            close("offer", 0.45, 0.05, cases=(f"strong selection/{w}",)) for w in ("0.1", "0.3", "0.5", "0.7", "0.9")
        ),
    ),
    Claim(
        id="norms-are-near-a-half",
        text="Roles alternate and one offers what one would accept: half and half is where norms settle.",
        source="newsletter",
        metric="norm",
        arms=(NORM,),
        cases=tuple(f"{start}/{s}" for start in STARTS for s in NORM_SELECTIONS),
        scope="toy",
        statistic="mean",
        unit="mean norm",
        level="strength of selection",
        expect=tuple(close(NORM, 0.5, 0.05, cases=(f"{start}/*",)) for start in STARTS),
    ),
    Claim(
        id="rejection-does-the-work",
        text="Where low offers are rejected norms rise from nothing; where all is accepted they do not, whether offers "
        "are mirrored or not.",
        source="newsletter",
        metric="norm",
        arms=(NORM, MIRRORED, TAKEN),
        cases=tuple(f"{start}/{s}" for start in STARTS for s in NORM_SELECTIONS),
        scope="toy",
        statistic="mean",
        unit="mean norm",
        level="strength of selection",
        expect=tuple(
            better(NORM, than=arm, by=0.1, cases=(f"from norms near 0/{s}",))
            for arm in (MIRRORED, TAKEN)
            for s in NORM_SELECTIONS
        ),
    ),
    Claim(
        id="fairness-arises-in-repeated-play",
        text="Q-learners who remember the last round: patient pairs come to offer 0.4 to 0.5, myopic ones less than "
        "a quarter.",
        source="newsletter",
        metric="share",
        arms=("offer", "accepted"),
        cases=tuple(f"{start}/{d:g}" for start in LENIENCY for d in DISCOUNTS),
        scope="toy",
        statistic="mean",
        unit="mean offer, share accepted",
        level="discount factor of both",
        expect=(
            *(close("offer", 0.45, 0.05, cases=(f"thresholds start at 0/{d}",)) for d in ("0.9", "0.99")),
            at_most("offer", 0.25, cases=("thresholds start at 0/0",)),
        ),
    ),
)

EXACT = ("meta-fairness", "mixture-is-best")
"""Claims that are differences near zero, which the figure leaves out."""


def figure(scores: Scores) -> "Figure":
    """One row per claim with something to see."""
    from theodolite.core import figures  # matplotlib loads slowly, and worker processes do without

    return figures.of_claims([claim for claim in CLAIMS if claim.id not in EXACT], scores)


ITEM = Item(
    name="ultimatum",
    edition="an17",
    module=__name__,
    title="Meta-fairness and the repeated Ultimatum game",
    category="Agent foundations",
    papers=(ug.PAPER, ug.REPUTATION),
    claims=CLAIMS,
    jobs=jobs,
    figure=figure,
    summary="What is a sensible outcome if each side thinks that it should have 60%? A post proposes a fairness that "
    "cannot be exploited; the newsletter answers that fairness would arise in the repeated game. Models of both "
    "arguments, not evidence about AI systems.",
    equation="accept x < f with probability (1-ε)(1-f)/(1-x)",
    notes=(
        "Neither source has a formal model. Fairness is read as offers between 0.4 and 0.5, mutation is local and "
        "reflected, and everybody meets everybody.",
        "Mirroring is the literal tit for tat of this game: offer what you were last offered, accept all. It pays the "
        "same whatever the level, so only mutation moves it; where all is accepted and nothing mirrored, offers sink.",
        "The claim about reputation is the newsletter's fairness under the best known mechanism for it, that of Nowak, "
        "Page and Sigmund; it is not a claim of theirs.",
        "The iterated prisoner's dilemma, to which the newsletter compares, is not rerun.",
    ),
)
