"""Taylor 2016 and Demski 2018: limited optimisation of a proxy, its guarantee, and feedback at higher levels."""

from dataclasses import replace
from typing import TYPE_CHECKING

from theodolite.claims.an17.quantilizers_arms import EXACT_CASE, FRACTIONS, HARD, LEVELS, MODERATE, RATIOS, WORLDS, jobs
from theodolite.core.claim import Claim, Item, at_least, at_most, better, close
from theodolite.core.scores import Scores
from theodolite.foundations import quantilizers as qz
from theodolite.foundations import quantilizers_sequential as sequential

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEAVY = ("t, 4 d.f.", "t, 2 d.f.", "t, 1.5 d.f.")
CURVES = tuple(f"{tail}/{q:g}" for tail in qz.TAILS for q in FRACTIONS)
GARDENERS = ("true optimum", "capped proxy", "policy level", "soft", "per step", "base", "proxy optimum")
GARDENS = tuple(f"gardens/{ratio}" for ratio in RATIOS)

CLAIMS = (
    Claim(
        id="cost-bound",
        text="For every non-negative cost a q-quantilizer's expectation is at most 1/q times the base's, and the best "
        "of n draws' at most n times.",
        metric="excess",
        arms=("quantilizer", "best of n", "counted"),
        cases=(EXACT_CASE,),
        exact=True,
        statistic="max",
        higher_is_better=False,
        unit="largest P(a) - γ(a) · bound",
        where="section 2",
        expect=(at_most("quantilizer", 1e-6), at_most("best of n", 1e-6)),
    ),
    Claim(
        id="cost-bound-is-tight",
        text="No smaller factor would do: some cost attains the bound.",
        metric="slack",
        arms=("quantilizer",),
        cases=(EXACT_CASE,),
        exact=True,
        statistic="max",
        higher_is_better=False,
        unit="1 - q · largest ratio",
        where="section 2",
        expect=(at_most("quantilizer", 1e-6),),
    ),
    Claim(
        id="optimal-under-the-bound",
        text="No distribution with the same guarantee has more expected utility (linear program).",
        metric="gap",
        arms=("quantilizer",),
        cases=(EXACT_CASE,),
        exact=True,
        statistic="max",
        higher_is_better=False,
        unit="difference to the optimum",
        where="section 2",
        expect=(at_most("quantilizer", 1e-9),),
    ),
    Claim(
        id="goodhart",
        text="When the proxy's errors have heavy tails, optimising it harder loses the true value again; "
        "with normal errors it does not, and with exponential tails nothing more is won.",
        metric="chosen_value",
        arms=(MODERATE, HARD),
        cases=tuple(qz.TAILS),
        scope="toy",
        unit="true value, standard deviations",
        expect=(
            *(better(MODERATE, than=HARD, by=0.1, cases=(tail,)) for tail in HEAVY),
            *(at_least(MODERATE, 0.3, cases=(tail,)) for tail in HEAVY),
            better(HARD, than=MODERATE, by=0.1, cases=("normal",)),
            close(MODERATE, HARD, 0.15, cases=("Laplace",)),
        ),
    ),
    Claim(
        id="against-softmax",
        text="True value of what a proxy V + error selects, by strength of selection: at an equal worst-case ratio the "
        "quantilizer is at least as good as softmax.",
        metric="true_value",
        arms=("quantilizer", "softmax, same ratio", "softmax, same KL", "best of 1/q"),
        cases=CURVES,
        scope="toy",
        unit="true value, standard deviations",
        level="fraction q that is kept",
        expect=tuple(
            better("quantilizer", than="softmax, same ratio", by=-0.02, cases=(f"{t}/*",)) for t in qz.TAILS
        ),
    ),
    Claim(
        id="once-is-better-than-stepwise",
        text="Tomato gardens, 20 steps: at an equal bound on the likelihood ratio of a trajectory, quantilizing once "
        "over policies waters more than quantilizing every step.",
        metric="true_share",
        arms=GARDENERS,
        cases=GARDENS,
        scope="substitute",
        statistic="mean",
        unit="true return: 0 base, 1 optimum",
        level="largest likelihood ratio allowed",
        expect=tuple(better("policy level", than="per step", cases=(case,)) for case in GARDENS),
    ),
    Claim(
        id="steps-multiply-the-bound",
        text="The proxy return gained under the same bound: a quantilizer at each of 20 steps may only use "
        "q = ratio^(-1/20), and then barely optimises.",
        metric="proxy_share",
        arms=("proxy optimum", "policy level", "soft", "per step", "base"),
        cases=GARDENS,
        scope="substitute",
        statistic="mean",
        unit="proxy return: 0 base, 1 optimum",
        level="largest likelihood ratio allowed",
        expect=tuple(better("policy level", than="per step", by=0.02, cases=(case,)) for case in GARDENS),
    ),
    Claim(
        id="once-is-best-without-chance",
        text="The same gardens where nothing dries and all start in one place: there the best policies are the best "
        "trajectories, and no stepwise rule under the same bound gains more proxy return.",
        metric="proxy_share",
        arms=("proxy optimum", "policy level", "soft", "per step", "base"),
        cases=tuple(f"gardens without chance/{ratio}" for ratio in RATIOS),
        scope="substitute",
        statistic="mean",
        unit="proxy return: 0 base, 1 optimum",
        level="largest likelihood ratio allowed",
        expect=tuple(
            better("policy level", than="per step", cases=(f"gardens without chance/{ratio}",)) for ratio in RATIOS
        ),
    ),
    Claim(
        id="recursion-keeps-the-bounds",
        text="Whatever happens at the levels above, the action's bound stays 1/q1; the whole process is bounded by the "
        "product of all levels.",
        metric="violation",
        arms=("A: actions", "B: all levels"),
        cases=(EXACT_CASE,),
        exact=True,
        statistic="max",
        higher_is_better=False,
        unit="largest P - base · bound",
        scope="toy",
        expect=(at_most("A: actions", 1e-9), at_most("B: all levels", 1e-9)),
    ),
    Claim(
        id="meta-feedback-trade-off",
        text="Feedback on generators of utility functions is noisier, but there are fewer of them: spending a third of "
        "the bits there wins with many tasks and few generators, and loses with one task, many generators and noise.",
        source="newsletter",
        metric="value",
        arms=tuple(LEVELS),
        cases=tuple(f"{world}/{noise}" for world in WORLDS for noise in ("0", "0.5", "1", "2", "4", "8")),
        scope="toy",
        statistic="mean",
        unit="true value of the action",
        level="noise in ratings of generators",
        expect=(
            *(better("+ generators", than=arm, cases=(f"64 tasks, 4 generators/{noise}",))
              for arm in ("actions", "+ utilities") for noise in ("0.5", "1", "2")),
            *(better("+ utilities", than="+ generators", cases=(f"1 task, 64 generators/{noise}",))
              for noise in ("4", "8")),
        ),
    ),
)  # fmt: skip

DRAWN = (
    "against-softmax",
    "once-is-better-than-stepwise",
    "steps-multiply-the-bound",
    "once-is-best-without-chance",
    "meta-feedback-trade-off",
)
"""The claims of the figure; the exact ones are differences near zero."""


def figure(scores: Scores) -> "Figure":
    """One row per drawn claim."""
    from theodolite.core import figures  # matplotlib loads slowly, and worker processes do without

    crowded = tuple(case for case in CURVES if not case.endswith(("/0.05", "/0.02")))  # their labels would overlap
    drawn = [claim for claim in CLAIMS if claim.id in DRAWN]
    return figures.of_claims([replace(c, cases=crowded) if c.cases == CURVES else c for c in drawn], scores)


ITEM = Item(
    name="quantilizers",
    edition="an17",
    module=__name__,
    title="Quantilizers and recursive quantilization",
    category="Agent foundations",
    papers=(qz.PAPER, qz.RECURSION, sequential.PAPER),
    claims=CLAIMS,
    jobs=jobs,
    figure=figure,
    summary="An agent that draws from the best q-fraction of a trusted distribution, instead of taking the best action "
    "of all, pays at most 1/q times the cost that the trusted distribution would have paid, whatever the cost is. "
    "Recursive quantilization does so also when it chooses a utility function, and what generates it.",
    equation="max_P E_P[U]  subject to  P(a) <= γ(a)/q",
    how_to=("theodolite run quantilizers",),
    notes=(
        "Actions of equal utility share what is left of q in proportion to the base.",
        "The post on recursion has no formal model: the three levels and the measured instance are our reading, a toy.",
        "The garden is a 3 × 3 tomato world with 4 tomatoes, solved exactly, in place of the 29-cell one.",
        "Stepwise quantilizing wins in the stochastic garden because it reacts to what has dried, while drawn policies "
        "that differ at states never met are hardly told apart; the claim about gardens without chance was added after "
        "that result, as a check of it.",
        "A rating of a utility function has noise 1 throughout.",
        "The base of the garden is a noisy planner for the true reward, in place of human demonstrations.",
    ),
)
