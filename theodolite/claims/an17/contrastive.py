"""van der Waa et al. 2018: explanations by what would follow from what was expected, for questions of one's own."""

from typing import Any

from theodolite.claims.an17.contrastive_arms import SLIPS, jobs
from theodolite.core.claim import Claim, Item, at_least, at_most, better
from theodolite.interpret import contrastive as why

FOILS = tuple(f"foils/{slip:g}" for slip in SLIPS)
ENDINGS = tuple(f"endings/{slip:g}" for slip in SLIPS)
LISTENERS: dict[str, Any] = {
    "metric": "accuracy",
    "arms": ("nothing", "one action", "outcomes", "contrast", "both", "four outcomes"),
    "cases": ("listeners",),
    "scope": "substitute",
    "statistic": "mean",
    "unit": "share of 50 actions predicted",
}

CLAIMS = (
    Claim(
        id="foils-are-followed",
        text="Foil policies do what was asked: the printed reward R(foil) - R(fact) hardly ever makes the agent take "
        "another action, with Q in place of R it does; of plans of novel questions, a referee sees that actions are "
        "taken until their condition holds, places are reached nearly as surely as they can be, and what is avoided is "
        "not stepped into on purpose.",
        metric="adherence",
        arms=("printed formula", "with Q in place of R", "until", "go to", "avoid"),
        cases=FOILS,
        statistic="mean",
        unit="share that does what was asked",
        level="probability of a random move",
        where="section 4",
        expect=(
            at_least("with Q in place of R", 0.95),
            at_least("until", 0.95),
            at_least("go to", 0.95),
            at_least("avoid", 0.95),
            at_most("printed formula", 0.5),
        ),
    ),
    Claim(
        id="consequences-are-expectations",
        text="Distance of the reported endings from 20,000 rollouts: the most probable path misses what may happen.",
        metric="error",
        arms=("expectation", "most probable path"),
        cases=ENDINGS,
        statistic="mean",
        higher_is_better=False,
        unit="total variation",
        level="probability of a random move",
        where="section 5",
        expect=(at_most("expectation", 0.02), at_least("most probable path", 0.1, cases=("endings/0.2",))),
    ),
    Claim(
        id="novel-questions",
        text="Questions drawn from the grammar without looking at the agent are understood and answered rightly: the "
        "probability that the plan is carried out is within 0.05 of a referee's episodes, and what can never be is "
        "said to be so.",
        source="newsletter",
        metric="share",
        arms=("understood", "answered rightly", "impossible, and said so"),
        cases=("novel questions",),
        scope="toy",
        statistic="mean",
        unit="share of questions",
        expect=(at_least("answered rightly", 0.9), at_least("impossible, and said so", 0.95)),
    ),
    Claim(
        id="contrast-tells-more",
        text="Simulated listeners predict 50 actions of the agent better after two contrasted outcomes than after two "
        "outcomes of what it does.",
        expect=(better("contrast", than="outcomes"),),
        **LISTENERS,
    ),
    Claim(
        id="policies-tell-more-than-actions",
        text="They predict better by at least 5 points after outcomes and contrasts than after one action: people in "
        "the paper's survey preferred explanations of the policy.",
        expect=(better("both", than="one action", by=0.05),),
        where="section 6",
        **LISTENERS,
    ),
    Claim(
        id="contrast-against-completeness",
        text="At equal length, two outcomes with two contrasts tell more than four outcomes.",
        source="newsletter",
        expect=(better("both", than="four outcomes"),),
        **LISTENERS,
    ),
)

ITEM = Item(
    name="contrastive",
    edition="an17",
    module=__name__,
    title="Contrastive explanations by expected consequences",
    category="Interpretability",
    papers=(why.PAPER,),
    claims=CLAIMS,
    jobs=jobs,
    summary="An agent is asked why it does not do something else, and answers with what would follow: a foil policy is "
    "made from the question, both policies are followed through, and the outcomes are compared.",
    equation="Σ_o value_o (N_o(foil) - N_o(fact)) = difference of returns",
    how_to=(
        'theodolite ask monster-grid "why not right until wall then up?"',
        'theodolite ask ten "what if you avoid the forest until at (5, 5)?" --slip 0.1',
        "theodolite run contrastive",
    ),
    notes=(
        "No people were asked: listeners are simulated; they know the world, and others whose rewards differ, some of "
        "whom seek what the agent shuns.",
        "Agents are optimal for random rewards in the monster's grid, not learned by sampling.",
        "Novel questions are drawn from the grammar itself: that they are understood says nothing of people's English.",
        "Novel questions are about two small grids; the referee is a second program by the same hand, which shares "
        "the map, the moves and the reading of the sentence with the first, but neither its probabilities nor its "
        "conditions.",
        "On slippery ground avoiding is of intention: how often a slip leads there is reported, not prevented.",
        "Outcomes and things are written by hand, as in the paper.",
    ),
)
