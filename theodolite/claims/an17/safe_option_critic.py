"""Jain et al. 2018: options that are averse to surprise, as released, as printed and through the critics."""

from math import inf
from typing import TYPE_CHECKING, Any

from theodolite.claims.an17 import safe_option_critic_figure as drawing
from theodolite.claims.an17.safe_option_critic_arms import (
    ALL,
    CRITICS,
    FIRST,
    FLAT,
    FLAT_CRITICS,
    MILD,
    NEUTRAL,
    PANELS,
    PLANNED,
    PRINTED,
    PSIS,
    RELEASED,
    SARSA,
    SHOWN,
    TV,
    jobs,
)
from theodolite.claims.an17.safe_option_critic_deep import CLAIMS as DEEP_CLAIMS
from theodolite.claims.an17.safe_option_critic_linear import OUTCOMES, POLE_PSIS, PUDDLE_PSIS
from theodolite.core.claim import Claim, Expectation, Item, at_least, at_most, better, close, lower
from theodolite.core.scores import Scores
from theodolite.safety import a2oc
from theodolite.safety import option_critic as oc
from theodolite.safety import safe_option_critic as safe
from theodolite.safety import tail_risk as tail

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOMS = tuple(panel for panel in PANELS if panel != TV)
SWEEP = tuple(f"{panel}/{psi:g}" for panel in PANELS for psi in PSIS)
CAUTIONS = (
    "neutral, clipped",
    "controllability, clipped",
    "tail, clipped",
    "the reason given",
    "controllability",
    "tail",
)
GAMBLES = tuple(f"{panel}/{level}" for panel, levels in OUTCOMES.items() for level in levels)
PLAIN: dict[str, Any] = {"statistic": "mean", "higher_is_better": False}


def _spread(id: str, rule: str, panels: tuple[str, ...], text: str, source: Any, than: str = NEUTRAL) -> list[Claim]:
    """The bar in its three parts: spread at least 10% lower, noisy visits 20%, return not by more than an error."""
    same: dict[str, Any] = {"arms": (than, *([] if than == FLAT else [RELEASED, PRINTED, ALL]), rule), "cases": panels,
                            "source": source, "statistic": "mean"}  # fmt: skip
    same["arms"] = tuple(dict.fromkeys([*same["arms"], *([SARSA] if panels == (MILD,) and than == NEUTRAL else [])]))
    two: dict[str, Any] = same | {"arms": (than, rule)}
    return [
        Claim(id=f"{id}-spread", text=f"{text}: the standard deviation of the return is at least 10% lower.",
              metric="relative_deviation", higher_is_better=False, unit=f"standard deviation, share of {NEUTRAL}'s",
              expect=(lower(rule, than=than, by=0.1),), **same),
        Claim(id=f"{id}-visits", text=f"{text}: noisy cells are entered at least 20% less often.",
              metric="relative_hazards", higher_is_better=False, unit=f"noisy cells per episode, share of {NEUTRAL}'s",
              expect=(lower(rule, than=than, by=0.2),), **same),
        Claim(id=f"{id}-return", text=f"{text}: the mean return is not lower by more than one standard error.",
              metric="return_in_errors", unit="mean return, in standard errors of the difference",
              expect=(better(rule, than=than, by=-1.0),), **two),
    ]  # fmt: skip


CLAIMS = (
    *_spread("released", RELEASED, (FIRST,), "The start pair's penalty as released, in the frozen rooms", "paper"),
    *_spread("critics", CRITICS, (MILD,), "The penalty in both critics, in the frozen rooms", "newsletter"),
    *_spread("flat", FLAT_CRITICS, (MILD,), "The same without options", "newsletter", than=FLAT),
    Claim(
        id="over-psi",
        text="Standard deviation of the return over the whole range of ψ, on the seeds that choose it.",
        metric="sweep_deviation",
        arms=(NEUTRAL, RELEASED, PRINTED, ALL, CRITICS),
        cases=SWEEP,
        level="ψ",
        unit=f"share of {NEUTRAL}'s",
        expect=(
            lower(CRITICS, than=NEUTRAL, by=0.1, cases=(f"{MILD}/0.02", f"{MILD}/0.05")),
            close(RELEASED, NEUTRAL, 0.1, cases=(f"{FIRST}/0.05", f"{FIRST}/0.1")),
        ),
        **PLAIN,
    ),
    Claim(
        id="must-visit-first",
        text="To learn that a cell is risky it must be entered: in the first twentieth of the episodes the averse "
        "learner enters noisy cells as often as the risk-neutral one.",
        source="newsletter",
        metric="first_hazards",
        arms=(NEUTRAL, CRITICS),
        cases=(MILD,),
        unit=f"visits, share of {NEUTRAL}'s",
        expect=(close(CRITICS, NEUTRAL, 0.2),),
        **PLAIN,
    ),
    Claim(
        id="no-safer-while-learning",
        text="Over all of learning, aversion saves less than a fifth of the visits.",
        source="newsletter",
        metric="learning_hazards",
        arms=(NEUTRAL, CRITICS),
        cases=(MILD,),
        unit=f"visits, share of {NEUTRAL}'s",
        expect=(
            Expectation(f"{CRITICS} enters at least 0.8 of {NEUTRAL}'s", CRITICS, low=-0.2, high=inf, than=NEUTRAL),
        ),
        **PLAIN,
    ),
    Claim(
        id="simulate-then-freeze",
        text="Noisy cells per episode: trained first and then frozen, the averse agent enters fewer than while it "
        "learns and than a risk-neutral one, also where moves slip twice as often.",
        source="newsletter",
        metric="mistakes",
        arms=(NEUTRAL, CRITICS),
        cases=("while learning", "frozen", "frozen, rougher world"),
        unit="noisy cells per episode",
        expect=(
            lower(CRITICS, than=NEUTRAL, by=0.5, cases=("frozen",)),
            lower(CRITICS, than=NEUTRAL, by=0.5, cases=("frozen, rougher world",)),
            at_most(CRITICS, 1.0, cases=("frozen",)),
            at_least(CRITICS, 1.0, cases=("while learning",)),
        ),
        **PLAIN,
    ),
    Claim(
        id="noisy-tv",
        text="Where the noise is harmless and on the only short way, aversion costs return.",
        source="newsletter",
        metric="mean_return",
        arms=(NEUTRAL, CRITICS, PLANNED),
        cases=(TV,),
        statistic="mean",
        unit="mean return, the goal pays 50",
        expect=(lower(CRITICS, than=NEUTRAL, by=1.0),),
    ),
    Claim(
        id="clipped-disasters",
        text="Regret in true return where a rare disaster is seen clipped to -1: variance and tail aversion still "
        "avoid it, risk-neutral agents do not.",
        source="newsletter",
        metric="regret",
        arms=CAUTIONS,
        cases=GAMBLES,
        scope="toy",
        unit="regret: 0 best, 1 worst",
        level="size of the outcome, or steps",
        expect=(
            lower("controllability, clipped", than="neutral, clipped", by=0.2, cases=("rare disaster/1000",)),
            lower("tail, clipped", than="neutral, clipped", by=0.2, cases=("rare disaster/1000",)),
        ),
        **PLAIN,
    ),
    Claim(
        id="reasons-not-aversion",
        text="Regret in true return: who knows the true cost and the horizon does better than who is averse to "
        "variance; an aversion to bad tails alone does, too.",
        source="newsletter",
        metric="regret",
        arms=CAUTIONS,
        cases=GAMBLES,
        scope="toy",
        unit="regret: 0 best, 1 worst",
        level="size of the outcome, or steps",
        expect=tuple(
            lower(arm, than="controllability", by=0.1, cases=(f"{panel}/*",))
            for arm in ("the reason given", "tail")
            for panel in OUTCOMES
        ),
        **PLAIN,
    ),
    Claim(
        id="cartpole",
        text="CartPole with tile coding: the start pair's penalty as released, at ψ = 0.25, improves the discounted "
        "return by at least half of what the paper's curves show.",
        metric="late_return",
        arms=(NEUTRAL, RELEASED, CRITICS),
        cases=tuple(f"CartPole/{psi:g}" for psi in POLE_PSIS),
        scope="substitute",
        statistic="mean",
        unit="discounted return, last tenth",
        level="ψ",
        paper_values={
            (NEUTRAL, "CartPole/0.25"): 66,
            (RELEASED, "CartPole/0.25"): 72,
            (RELEASED, "CartPole/0.3"): 61.5,
        },
        expect=(better(RELEASED, than=NEUTRAL, by=3.0, cases=("CartPole/0.25",)),),
    ),
    Claim(
        id="puddle",
        text="The puddle world with tile coding: steps inside the puddle in the last tenth of the episodes.",
        metric="late_hazards",
        arms=(NEUTRAL, RELEASED, CRITICS),
        cases=tuple(f"puddle/{psi:g}" for psi in PUDDLE_PSIS),
        level="ψ",
        unit="steps in the puddle per episode",
        expect=(
            lower(RELEASED, than=NEUTRAL, by=0.5, cases=("puddle/0.015",)),
            lower(CRITICS, than=NEUTRAL, by=0.5, cases=("puddle/0.015",)),
        ),
        **PLAIN,
    ),
    Claim(
        id="puddle-return",
        text="The puddle world with tile coding: safe options return more in the last tenth of the episodes.",
        metric="late_return",
        arms=(NEUTRAL, RELEASED, CRITICS),
        cases=tuple(f"puddle/{psi:g}" for psi in PUDDLE_PSIS),
        statistic="mean",
        level="ψ",
        unit="discounted return, last tenth",
        expect=(
            better(RELEASED, than=NEUTRAL, cases=("puddle/0.015",)),
            better(CRITICS, than=NEUTRAL, cases=("puddle/0.015",)),
        ),
    ),
    *DEEP_CLAIMS,
)


def figure(scores: Scores) -> "Figure":
    """Maps, curves over ψ, visits while learning, and the gambles."""
    return drawing.figure(scores, {claim.id: claim for claim in CLAIMS})


ITEM = Item(
    name="safe_option_critic",
    edition="an17",
    module=__name__,
    title="Safe Option-Critic",
    category="Preventing bad behavior",
    papers=(safe.PAPER, oc.PAPER, a2oc.PAPER, tail.PAPER),
    claims=CLAIMS,
    jobs=jobs,
    figure=figure,
    summary="Options are penalised for the squared error of their predictions, so that they keep away from what "
    "surprises them. As released the penalty acts on the first action only; charged to the critics it acts everywhere.",
    equation="J = E[Q(s0,ω0) - ψ E[δ²|s0,ω0]]",
    how_to=(
        "theodolite run safe_option_critic",
        "theodolite run safe_option_critic --seeds 50",
        "theodolite train a2oc --env CartPole-v1 --psi 0.1",
    ),
    notes=(
        "Standard deviations are of the return of one learned agent, in closed form, starts included; the paper's are "
        "over runs and episodes.",
        "ψ is chosen on separate seeds, as the least spread among those whose return is not lower by more than a "
        "standard error; the noisy TV is seen with the default ψ.",
        "Milder settings are a temperature of 0.1 and smaller steps; the versions' settings are the authors'.",
        f"At size quick the panels are {', '.join(SHOWN['quick'])}, with half the episodes.",
        "Of the games a small one stands in, 80 million frames being out of reach; at size quick with a third of the "
        "steps and ψ = 0.5 alone. Deep networks also learn on a CartPole whose right half pays with noise; then they "
        "play, drawing their actions.",
        "What is released for the games penalises all steps and lets the penalty into the critic, whatever its "
        "condition on the start says; as printed it is that of an episode's first step.",
        "The cap of 20 on a step's penalty, and the values of ψ, were made for the rooms, where the goal pays 50. On "
        "CartPole, which pays 1 a step, a single penalty may outweigh twenty steps, and both critics end in short "
        "episodes: a rule out of its scale.",
        "CartPole's velocities are clipped to ±3 and ±3.5 before coding; the authors' range collapses them.",
        "On CartPole the authors' step of 0.1 on ten tilings is a full step of 1, after which the start pair has no "
        "error left: the released penalty is then none.",
        "In the gambles ψ = 1 and α = 0.05 are fixed, and the outcome ends the episode.",
    ),
)
