"""Fu et al. 2019: unit tests of Q-learning with oracles, adversarial feature matching, and tasks that grow."""

from typing import TYPE_CHECKING, Any

from theodolite.claims.an51 import diagnosing_figure as drawing
from theodolite.claims.an51.diagnosing_arms import (
    ALL_SCHEMES,
    ALPHAS,
    BUDGETS,
    NEW,
    SAMPLERS,
    STEPS,
    STOPS,
    WIDE,
    jobs,
)
from theodolite.control import fqi
from theodolite.core.claim import ALL_RUNS, Claim, Expectation, Item, at_least, at_most, better, lower
from theodolite.core.scores import Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTHS = ("4 4", "16 16", WIDE)
SIDES = tuple(f"grid {side}" for side in BUDGETS["quick"].sides)
SMOOTHINGS = tuple(f"α = {alpha:g}" for alpha in ALPHAS)
NUMBERS = tuple(f"{kind} {num}" for kind, numbers in NEW.items() for num in numbers)
KINDS = ("on-policy/*", "replay/*")
RUNS = (
    *WIDTHS, "256 256", *ALL_SCHEMES, *SMOOTHINGS, *NUMBERS, *(f"{steps} steps" for steps in STEPS), "oracle",
    "held out", *SAMPLERS, *(f"grid {side}" for side in BUDGETS["full"].sides),
)  # fmt: skip
"""Every run of a network that says whether it diverged; "no stop" is one of the numbers of steps."""
MEAN: dict[str, Any] = {"statistic": "mean", "scope": "scaled-down"}
RETURN: dict[str, Any] = {
    "metric": "late_return", "unit": "return: 0 uniform policy, 1 soft-optimal policy", **MEAN,
}  # fmt: skip
LOSS: dict[str, Any] = {
    "metric": "log_validation", "higher_is_better": False,
    "unit": "log10 of the squared Bellman error on the policy's visits", **MEAN,
}  # fmt: skip

CLAIMS = (
    Claim(
        id="width-return",
        text="Exact backups on all pairs: the wider the network, the higher the return, averaged over domains.",
        arms=("table", *WIDTHS, "256 256"),
        expect=(better("16 16", than="4 4"), better(WIDE, than="16 16")),
        **RETURN,
    ),
    Claim(
        id="width-bias",
        text="Bootstrapping amplifies the bias of small networks: the error to Q* in excess of the best fit to Q* "
        "shrinks with width.",
        metric="excess",
        arms=("table", *WIDTHS, "256 256"),
        **MEAN,
        higher_is_better=False,
        unit="largest error less that of the best fit, share of the largest Q*",
        expect=(lower("16 16", than="4 4"), lower(WIDE, than="16 16")),
    ),
    Claim(
        id="divergence-rare",
        text="Fewer than 5% of all runs diverge; the paper counts 0.9%.",
        metric="diverged",
        arms=(ALL_RUNS, *RUNS),
        higher_is_better=False,
        unit="share of runs whose Q was above ten times the largest Q*",
        expect=(at_most(ALL_RUNS, 0.05),),
        **MEAN,
    ),
    Claim(
        id="more-data",
        text="Does more data raise or lower the validation loss? It lowers it, on the current policy's data and on a "
        "buffer's.",
        source="newsletter",
        arms=NUMBERS,
        expect=(
            lower("on-policy 128", than="on-policy 32"),
            lower("on-policy 512", than="on-policy 128"),
            lower("replay 32", than="replay 8"),
        ),
        **LOSS,
    ),
    Claim(
        id="replay-validates",
        text="At as many new samples per iteration, replay has the lower validation loss on the policy's own visits.",
        arms=("on-policy 32", "replay 32"),
        expect=(lower("replay 32", than="on-policy 32"),),
        **LOSS,
    ),
    Claim(
        id="gradient-steps",
        text="Few samples of the current policy: a number of gradient steps in between is better than few and than "
        "many.",
        arms=("few steps", "in between", "many steps"),
        expect=(
            better("in between", than="few steps", cases=KINDS[:1]),
            better("in between", than="many steps", cases=KINDS[:1]),
        ),
        **RETURN,
    ),
    Claim(
        id="oracle-stop",
        text="Keeping the Q of least exact Bellman error within a fit does not cost return.",
        arms=tuple(STOPS),
        expect=tuple(better("oracle", than="no stop", by=-0.02, cases=(kind,)) for kind in KINDS),
        **RETURN,
    ),
    Claim(
        id="practical-stop",
        text="A tenth of the transitions held out stops as well as the oracle, and does not cost return.",
        source="newsletter",
        arms=tuple(STOPS),
        expect=(
            better("held out", than="no stop", by=-0.02, cases=KINDS[1:]),
            better("held out", than="oracle", by=-0.02, cases=KINDS[1:]),
        ),
        **RETURN,
    ),
    Claim(
        id="slow-targets",
        text="Targets that move slowly help tiny networks only: α = 1 is best for the wide one, and not for (4, 4).",
        arms=SMOOTHINGS,
        expect=(
            better("α = 1", than="α = 0.5", cases=(f"{WIDE}/*",)),
            better("α = 1", than="α = 0.1", cases=(f"{WIDE}/*",)),
            better("α = 0.5", than="α = 1", cases=("4 4/*",)),
        ),
        **RETURN,
    ),
    Claim(
        id="weightings",
        text="Exact backups under weightings of the table: broad ones return more than the policies' own visits, the "
        "optimal policy's least of all.",
        arms=ALL_SCHEMES,
        expect=(
            better("uniform", than="pi"),
            better("replay", than="pi"),
            better("uniform", than="pi*"),
            better("pi", than="pi*"),
        ),
        **RETURN,
    ),
    Claim(
        id="entropy-not-shift",
        text="Over weightings, return goes with the entropy of the weights (correlation above 0.5) and not with how "
        "fast they shift (within 0.3 of none).",
        metric="correlation",
        arms=("entropy", "shift"),
        **MEAN,
        unit="correlation with return over weightings, per seed",
        expect=(
            at_least("entropy", 0.5),
            Expectation("shift is within 0.3 of none", "shift", low=-0.3, high=0.3),
        ),
    ),
    Claim(
        id="feature-matching",
        text="Minibatches by adversarial feature matching return no less than uniform and than prioritised ones, to "
        "within 2 points.",
        arms=tuple(SAMPLERS),
        expect=(
            better("feature matching", than="uniform replay", by=-0.02),
            better("feature matching", than="prioritised replay", by=-0.02),
        ),
        **RETURN,
    ),
    Claim(
        id="overfitting-fades",
        text="As a grid grows at fixed network and samples, over-fitting turns into under-fitting: the validation loss "
        "comes nearer the training loss.",
        source="newsletter",
        metric="gap",
        arms=SIDES,
        cases=("16 16", WIDE),
        **MEAN,
        higher_is_better=False,
        unit="log10 of validation loss over training loss",
        expect=(lower(SIDES[-1], than=SIDES[0]),),
    ),
    Claim(
        id="steps-pay-later",
        text="More gradient steps per iteration bring more on a large grid than on a small one.",
        source="newsletter",
        metric="more_steps",
        arms=SIDES,
        cases=("16 16", WIDE),
        **MEAN,
        unit="return with ten times the steps, less return with few",
        expect=(better(SIDES[-1], than=SIDES[0]),),
    ),
    Claim(
        id="underfitting-sign",
        text="On the largest grid the network under-fits: ten times the gradient steps raise the return.",
        source="newsletter",
        metric="more_steps",
        arms=SIDES,
        cases=("16 16", WIDE),
        **MEAN,
        unit="return with ten times the steps, less return with few",
        expect=(at_least(SIDES[-1], 0.0),),
    ),
)


def figure(scores: Scores) -> "Figure":
    """One panel per error source."""
    return drawing.figure(scores)


ITEM = Item(
    name="diagnosing",
    edition="an51",
    module=__name__,
    title="Diagnosing bottlenecks in deep Q-learning",
    category="Reinforcement learning",
    papers=(fqi.PAPER,),
    claims=CLAIMS,
    jobs=jobs,
    figure=figure,
    summary="On eight small worlds the exact backup, the optimal values and every policy's visits are known, so that "
    "each source of error in fitted Q-iteration can be switched on alone: capacity, samples, moving targets, and the "
    "distribution that is trained on.",
    equation="Q_{k+1} = argmin_Q Σ w(s,a) (Q(s,a) - (T Q_k)(s,a))²",
    how_to=("theodolite run diagnosing", "theodolite run diagnosing --size full"),
    notes=(
        "Layouts of grids and graph are drawn anew: the authors' generators give other walls than ours.",
        "Returns are exact and averaged over the last third of the iterations; the paper averages 50 rollouts.",
        f"At size quick: {BUDGETS['quick'].iterations} iterations of at most {BUDGETS['quick'].steps} steps on "
        "five domains; the paper runs 300 of up to 300 on eight.",
        "At size full networks of (256, 256) are compared on the domains of up to 600 states.",
        "Width is ordered strictly, which for up to four widths is a rank correlation with return above 0.8.",
        "Slow targets get twice the iterations, each of two fifths of the steps.",
        f"Gradient steps per iteration are {', '.join(map(str, STEPS))}; 'in between' is the mean of the middle two.",
        "At size quick samples come from the domains that pay nearly everywhere: on the others a soft policy that has "
        "not yet been paid does not meet the reward in the 1,600 transitions of a run.",
        "Prioritised replay here renews all priorities every five steps, which favours it.",
        "That all runs are counted for divergence, and not those with exact backups alone, was decided after the first "
        "results.",
        "Over-fitting that fades is read off two losses that differ in their distribution and their noise as well; "
        "same_gap beside them is the loss at exact targets over the training loss on the same pairs.",
        "Not run: weightings of states alone, a temperature other than fitted Q-iteration's own, and feature matching "
        "inside DQN, TD3 or SAC, for which the paper gives curves on MuJoCo.",
        "The bar that feature matching is above both on two domains is read off the figure; it is not judged.",
    ),
)
