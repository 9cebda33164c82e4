"""Lyle et al. 2019 and the newsletter's question: why does it help to learn the distribution of the return?"""

from math import inf
from typing import Any

from theodolite.claims.an51 import distributional_rooms as four_rooms
from theodolite.claims.an51.distributional_arms import DEEP, PLAIN, PLAYED, QUESTION, STUDY
from theodolite.claims.an51.distributional_arms import jobs as deep_jobs
from theodolite.claims.an51.distributional_exact import CASES, RULES
from theodolite.claims.an51.distributional_figure import figure
from theodolite.control import dqn, iqn, representation
from theodolite.core.claim import (
    Claim,
    Expectation,
    Item,
    Job,
    Paper,
    Size,
    at_least,
    at_most,
    better,
    close,
    lower,
    premise,
)

LYLE = Paper(
    "A Comparative Analysis of Expected and Distributional Reinforcement Learning", "Lyle, Castro and Bellemare", 2019,
    arxiv="1901.11084",
)  # fmt: skip
FEDUS = Paper(
    "Hyperbolic Discounting and Learning over Multiple Horizons", "Fedus et al.", 2019, arxiv="1902.06865"
)  # fmt: skip
QUANTILES = Paper(
    "Distributional Reinforcement Learning with Quantile Regression", "Dabney et al.", 2018, arxiv="1710.10044"
)  # fmt: skip
FOURIER = tuple(f"{task}, Fourier/{order}" for task, orders in (("CartPole", (1, 2, 3, 4)), ("Acrobot", (1, 2)))
                for order in orders)  # fmt: skip
ROOMS: dict[str, Any] = {
    "arms": four_rooms.KINDS, "cases": tuple(four_rooms.case_of(w) for w in (4, 8, 16, 32)), "scope": "scaled-down",
    "level": "number of features",
}  # fmt: skip
AREA: dict[str, Any] = {"metric": "area", "unit": "mean score while learning, 1 is solved"}
GAIN = premise(better("QR-DQN", than="DQN", by=0.02, each=True))
"""Without it there is nothing that separate networks could lose."""


def _no_better(arm: str, than: str, by: float, **options: Any) -> Expectation:
    return Expectation(f"{arm} is not better than {than} by {by:g} or more", arm, high=by, than=than, **options)


CLAIMS = (
    Claim(
        id="same-means",
        text="Updates of mixtures and of CDFs keep the mean of plain Q-learning step for step, on tables and with "
        "linear features; gradients on probabilities and on a softmax do not.",
        metric="departure",
        arms=RULES,
        cases=tuple(CASES),
        statistic="max",
        exact=True,
        higher_is_better=False,
        unit="largest distance from the expected learner's value",
        expect=(
            at_most("mixture", 1e-9, each=True),
            at_most("cdf", 1e-9, each=True),
            at_least("pdf", 0.01, statistic="min", each=True),
            at_least("softmax", 0.01, statistic="min", each=True),
        ),
    ),
    Claim(
        id="linear-no-better",
        text="On Fourier features without a network, learning a distribution is no better than learning the mean.",
        arms=PLAIN,
        cases=FOURIER,
        scope="scaled-down",
        level="order of the basis",
        expect=tuple(_no_better(arm, "DQN", 0.05, cases=("*",), each=True) for arm in ("C51", "QR-DQN")),
        **AREA,
    ),
    Claim(
        id="deep-better",
        text="With a network it is better.",
        arms=PLAIN,
        cases=DEEP,
        scope="scaled-down",
        expect=tuple(better(arm, than="DQN", by=0.02, each=True) for arm in ("C51", "QR-DQN")),
        **AREA,
    ),
    Claim(
        id="games-better",
        text="And it is better on two games of MinAtar, which a convolution reads.",
        arms=PLAIN,
        cases=PLAYED,
        scope="scaled-down",
        expect=tuple(better(arm, than="DQN", by=0.02, each=True) for arm in ("C51", "QR-DQN")),
        metric="area",
        unit="mean score while learning, 1 is what gymnax publishes for PPO",
    ),
    Claim(
        id="separate-networks",
        text="If quantiles on a shared network do better than DQN, then one network per quantile loses the gain: it "
        "does about as well as DQN, and worse than the shared network.",
        source="newsletter",
        scope="scaled-down",
        arms=QUESTION[:-2],
        cases=DEEP,
        expect=(
            GAIN,
            close("separate", "DQN", 0.1, each=True),
            better("QR-DQN", than="separate", by=0.02, each=True),
        ),
        **AREA,
    ),
    Claim(
        id="not-the-distribution",
        text="If quantiles on a shared network do better than DQN: separate networks for quantiles do no better than "
        "as many networks that all learn the mean, at either width, so what they gain over DQN is an ensemble's.",
        source="newsletter",
        scope="scaled-down",
        arms=QUESTION[:-2],
        cases=DEEP,
        expect=(
            GAIN,
            _no_better("separate", "ensemble", 0.05, each=True),
            _no_better("separate, small", "ensemble, small", 0.05, each=True),
        ),
        **AREA,
    ),
    Claim(
        id="features",
        text="If quantiles on a shared network do better than DQN: quantiles that only shape the features, while the "
        "mean acts, keep the gain, and quantiles that act but do not shape the features lose it.",
        source="newsletter",
        scope="scaled-down",
        arms=("DQN", "QR-DQN", "auxiliary", "blocked", "histogram"),
        cases=DEEP,
        expect=(
            GAIN,
            better("auxiliary", than="DQN", by=0.02, each=True),
            better("QR-DQN", than="blocked", by=0.02, each=True),
        ),
        **AREA,
    ),
    Claim(
        id="implicit",
        text="Quantiles at levels that are drawn afresh (IQN) are no worse than quantiles at fixed ones; the paper "
        "finds them better.",
        scope="scaled-down",
        arms=("DQN", "QR-DQN", "IQN"),
        cases=DEEP,
        expect=(better("IQN", than="QR-DQN", by=-0.1, each=True),),
        **AREA,
    ),
    Claim(
        id="horizons",
        text="Learning ten discounts at once is no worse than one, whether the longest acts or all together.",
        scope="substitute",
        arms=("DQN", "horizons", "hyperbolic"),
        cases=DEEP,
        expect=(
            better("horizons", than="DQN", by=-0.05, each=True),
            better("hyperbolic", than="DQN", by=-0.05, each=True),
        ),
        **AREA,
    ),
    Claim(
        id="adversarial-features",
        text="Features fitted to adversarial value functions leave out less of unseen ones than features fitted to as "
        "many random policies, and these less than features fitted to the optimal value alone.",
        metric="left_out",
        statistic="iqm",
        higher_is_better=False,
        unit="share of an unseen value's variance that is not linear in the features",
        where="figure 3",
        expect=(
            lower("adversarial", than="random policies", by=0.02, cases=("*",), each=True),
            lower("random policies", than="optimal value", by=0.02, cases=("*",), each=True),
        ),
        **ROOMS,
    ),
    Claim(
        id="adversarial-control",
        text="SARSA on frozen features earns the most on those fitted to adversarial values, then random policies', "
        "then the optimal value alone.",
        metric="control",
        unit="share of the optimal return",
        where="figure 5",
        expect=(
            better("adversarial", than="random policies", by=0.02, cases=("*",), each=True),
            better("random policies", than="optimal value", by=0.02, cases=("*",), each=True),
        ),
        **ROOMS,
    ),
    Claim(
        id="rank",
        text="Features that serve a distribution have a higher effective rank than those that serve its mean.",
        source="newsletter",
        scope="scaled-down",
        metric="rank",
        arms=STUDY[:-1],
        cases=DEEP,
        unit="effective rank of the features, out of 64",
        expect=tuple(better(arm, than="DQN", by=1.0, each=True) for arm in ("C51", "QR-DQN", "auxiliary")),
    ),
    Claim(
        id="values-stay-possible",
        text="No arm ends up with values that exceed ten times what the largest reward, paid for ever, is worth.",
        source="newsletter",
        scope="scaled-down",
        metric="excess",
        arms=STUDY,
        cases=DEEP,
        statistic="max",
        higher_is_better=False,
        unit="largest value while learning, share of the largest possible",
        expect=tuple(Expectation(f"{arm} is at most 10", arm, low=-inf, high=10.0, each=True) for arm in STUDY),
    ),
)


def jobs(size: Size, seeds: int | None) -> list[Job]:
    """The exact part, the arms on networks and Fourier features, and the four rooms."""
    return [*deep_jobs(size, seeds), *four_rooms.jobs(size, seeds)]


ITEM = Item(
    name="distributional",
    edition="an51",
    module=__name__,
    title="Expected and distributional reinforcement learning",
    category="Deep learning",
    papers=(LYLE, QUANTILES, iqn.PAPER, FEDUS, representation.PAPER, dqn.PAPER),
    claims=CLAIMS,
    jobs=jobs,
    figure=figure,
    summary="Learning the distribution of the return helps although acting uses only its mean. In tables and with "
    "linear features it provably changes nothing, so what helps must be what it does to a network's features. The "
    "newsletter asks whether the gain goes when every quantile gets a network of its own. Its experiment is run here; "
    "it can answer only where quantiles on one network gain something, which is judged first.",
    equation="E[Z_t(s,a)] = Q_t(s,a)",
    how_to=("theodolite run distributional", "theodolite run distributional --size full"),
    notes=(
        "Scores are 0 at a fixed poor return and 1 at a solved task; areas are means over 20 points of training.",
        "After the first results, in which 24,000 one-step updates taught no arm its task and quantiles on a shared "
        "network were not better than DQN, that they are became a premise of the newsletter's three claims, and every "
        "arm got double targets of five steps; CartPole got 60,000 steps, in which one trial of DQN on seed 1000 "
        "solved it, and Acrobot 32,000.",
        "At size quick the arms of the newsletter's question have 20 seeds, the others on networks 10. IQN compares 8 "
        "levels with 8, as QR-DQN has 8 quantiles; its rank is not judged: its last features depend on the level.",
        "Every arm has the same stream of keys, exploration, optimiser, learning rate and initial features.",
        "docs/quantile_networks.md shows the newsletter's experiment by itself.",
        "The loss of quantiles sums over them; Adam makes the scale of the gradient irrelevant to the step.",
        "Rewards are divided by ten, so that all losses work on errors of the same order.",
        "Small networks have as many parameters together as the shared one.",
        "Four rooms without chance; arriving at the goal pays 1 and ends the episode. All kinds of features but the "
        "proto-values are learned by the same network; SARSA's step is chosen for each kind on a seed of its own.",
        "The optimal value is one target, horizons are ten, quantiles 51, the others 200.",
        "MinAtar's games are ours, without sticky actions, and run at full size only: 200,000 steps of the plain arms, "
        "five seeds; a network per quantile takes eight times as long there.",
    ),
)
