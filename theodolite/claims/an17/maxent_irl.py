"""Ziebart et al. 2008, 2010: the reward whose soft-optimal policy visits what the demonstrator visited."""

from typing import TYPE_CHECKING

from theodolite.claims.an17.maxent_irl_arms import GRADIENTS, jobs
from theodolite.core.claim import Claim, Item, at_least, at_most, lower
from theodolite.core.scores import Scores
from theodolite.intent import maxent_irl

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLIFF = tuple(f"windy cliff/{slip}" for slip in ("0", "0.1", "0.3", "0.5"))
LOST = "return lost, share of optimal less uniform"
DEMONSTRATIONS = tuple(f"random MDPs/{n}" for n in ("1", "4", "16", "64", "256", "exact"))

CLAIMS = (
    Claim(
        id="exact-gradient",
        text="The gradient of the likelihood in the reward is a difference of visits, over any horizon and for either "
        "entropy.",
        metric="gradient_error",
        arms=tuple(GRADIENTS),
        cases=("random MDPs",),
        exact=True,
        higher_is_better=False,
        unit="largest difference to finite differences",
        where="Ziebart et al. 2010, section 3",
        expect=tuple(at_most(arm, 1e-6, statistic="max") for arm in GRADIENTS),
    ),
    Claim(
        id="recovers-states",
        text="Exact visits in a stochastic world give a reward of states away up to a constant.",
        metric="reward_error",
        arms=("maxent",),
        cases=("random MDPs/exact",),
        exact=True,
        higher_is_better=False,
        unit="largest difference, means removed",
        where="Fu et al. 2018, figure 1",
        expect=(at_most("maxent", 0.01, statistic="max"),),
    ),
    Claim(
        id="few-demonstrations",
        text="The optimal policy of the reward from 256 sampled episodes loses less than 5% of the return, and that "
        "from one episode more.",
        metric="regret",
        arms=("maxent",),
        cases=DEMONSTRATIONS,
        higher_is_better=False,
        unit=LOST,
        level="demonstrated episodes",
        expect=(
            at_most("maxent", 0.05, cases=("random MDPs/256",)),
            at_most("maxent", 0.001, cases=("random MDPs/exact",)),
            at_least("maxent", 0.05, cases=("random MDPs/1",)),
        ),
    ),
    Claim(
        id="chance-is-not-choice",
        text="Taking outcomes for choices, as in 2008, misreads the reward where the wind blows: its policy loses more "
        "of the return than that of causal entropy.",
        metric="regret",
        arms=("causal", "2008"),
        cases=CLIFF,
        higher_is_better=False,
        unit=LOST,
        level="probability of a gust",
        where="Ziebart et al. 2010, section 2",
        expect=(
            at_most("causal", 0.01),
            at_most("2008", 0.01, cases=("windy cliff/0",)),
            *(lower("causal", than="2008", cases=(f"windy cliff/{slip}",)) for slip in ("0.3", "0.5")),
        ),
    ),
)


def figure(scores: Scores) -> "Figure":
    """The two claims that have levels; the others are differences near zero."""
    from theodolite.core import figures  # matplotlib loads slowly, and worker processes do without

    return figures.of_claims([claim for claim in CLAIMS if claim.level], scores)


ITEM = Item(
    name="maxent_irl",
    edition="an17",
    module=__name__,
    title="Maximum-entropy inverse reinforcement learning",
    category="Learning human intent",
    papers=(maxent_irl.PAPER, maxent_irl.PAPER_2008),
    claims=CLAIMS,
    jobs=jobs,
    figure=figure,
    summary="What did the demonstrator want? Of all rewards, the one whose soft-optimal policy visits every state as "
    "often as the demonstrator did; found exactly, with exact gradients, where the world is known and finite.",
    equation="max_r E_demo[Σ_t γ^t log π_r(a_t|s_t)],   gradient (μ_E - μ_π) / α",
    how_to=("theodolite run maxent_irl",),
    notes=(
        "Random MDPs and a small windy cliff stand in for the road network of 2008, whose data are not public.",
        "`better` in the claim on chance means a larger loss: the arm that is named first loses more.",
    ),
)
