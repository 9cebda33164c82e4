"""Mennen 2018: local preferences are cheaper than utilities, as a model of the argument."""

from functools import partial

import numpy as np

from theodolite.core.claim import Claim, Item, Job, Row, Size, at_least, at_most, better, close, lower, row
from theodolite.foundations import local_preferences as local

BITS: dict[Size, tuple[int, ...]] = {
    "smoke": (8, 32), "quick": (8, 16, 32, 64, 128, 256, 512, 1_024),
    "full": (8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096),
}  # fmt: skip
SEEDS: dict[Size, int] = {"smoke": 2, "quick": 40, "full": 200}
SPREADS = (4, 10, 30, 100, 300, 1_000)
DRIFTS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)
ASSUMED = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Drifts among which the drifting model chooses by what predicted the choices before the held-out ones."""
LEARNED, CHOICES, TRIALS = 700, 1_000, 2_000
BUDGET, DECISIONS = 100, 10
"""Worlds of each lottery that samplers may evaluate for one decision; decisions of each seed and size."""
CARRIES = {"effects stay put": 0.0, "half of an effect carries on": 0.5, "nine tenths carry on": 0.9}
INDEPENDENT, COMMON, LOCAL, ALL = "independent worlds", "common worlds", "touched factors", "all worlds"


def costs(seeds: tuple[int, ...], sizes: tuple[int, ...]) -> list[Row]:
    """What each chooser evaluates until it is right with 95%, and the slope of its logarithm over log n."""
    rows = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        found: dict[str, list[float]] = {INDEPENDENT: [], COMMON: [], LOCAL: []}
        for n in sizes:
            w = local.world(rng, n)
            found[INDEPENDENT].append(local.worlds_needed(w, rng, common=False))
            found[COMMON].append(local.worlds_needed(w, rng, common=True))
            found[LOCAL].append(local.local_evaluations(w))
            if n <= 32:
                rows.append(row(ALL, f"worlds/{n}", seed, log_cost=np.log10(2.0 * 2**n)))
        for arm, values in found.items():
            slope = np.polyfit(np.log(sizes), np.log(values), 1)[0]
            rows.append(row(arm, "all sizes", seed, slope=slope))
            rows += [row(arm, f"worlds/{n}", seed, log_cost=np.log10(v)) for n, v in zip(sizes, values, strict=True)]
        advantage = {"factored": found[INDEPENDENT][1] / found[COMMON][1]}
        advantage["not factored"] = local.unfactored_advantage(rng, sizes[1] if sizes[1] <= 16 else 12)
        rows += [row(arm, "16 bits", seed, advantage=v) for arm, v in advantage.items()]
    return rows


def regrets(panel: str, seeds: tuple[int, ...], sizes: tuple[int, ...]) -> list[Row]:
    """What choosers lose against full maximisation, and how much more with every doubling of the world."""
    carry, rows = CARRIES[panel], []
    for seed in seeds:
        found: dict[str, list[float]] = {INDEPENDENT: [], COMMON: [], LOCAL: []}
        for n in sizes:
            rng = np.random.default_rng((seed, n))
            worlds = [local.world(rng, n, proposals=1) for _ in range(DECISIONS)]
            gaps = np.array([local.gap(w, carry) for w in worlds])
            estimates = {
                INDEPENDENT: [local.sampled_gap(w, rng, BUDGET, carry, common=False) for w in worlds],
                COMMON: [local.sampled_gap(w, rng, BUDGET, carry, common=True) for w in worlds],
                LOCAL: [local.gap(w, carry, w.touched) for w in worlds],
            }
            for arm, estimate in estimates.items():
                found[arm].append(local.regret(gaps, np.array(estimate)))
                rows.append(row(arm, f"{panel}/{n}", seed, regret=found[arm][-1]))
        for arm, values in found.items():
            rows.append(row(arm, panel, seed, growth=np.polyfit(np.log2(sizes), values, 1)[0]))
    return rows


def elicitation(seeds: tuple[int, ...]) -> list[Row]:
    """How often elicitation and a direct comparison find the better lottery; the gap is 1, the noise 0 or 1."""
    rows = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        for noise, panel in ((0.0, "exact comparisons"), (1.0, "comparisons as noisy as the gap")):
            for spread in SPREADS:
                found = local.elicited_choices(rng, 1.0, float(spread), noise, TRIALS)
                rows += [row(arm, f"{panel}/{spread}", seed, accuracy=right.mean())
                         for arm, right in zip(("elicited utility", "direct"), found, strict=True)]  # fmt: skip
    return rows


def drifting(seeds: tuple[int, ...]) -> list[Row]:
    """Log-likelihood of the held-out last choices under a fixed utility and under one that drifts."""
    rows = []
    for seed in seeds:
        for drift in DRIFTS:
            options, taken = local.drifting_choices(np.random.default_rng(seed), drift, CHOICES)
            each = [local.log_likelihoods(options, taken, assumed) for assumed in ASSUMED]
            chosen = max(each, key=lambda found: found[:LEARNED].sum())
            for arm, found in (("fixed utility", each[0]), ("drifting utility", chosen)):
                rows.append(row(arm, f"drifting choosers/{drift:g}", seed, log_likelihood=found[LEARNED:].mean()))
    return rows


def jobs(size: Size, seeds: int | None) -> list[Job]:
    """Costs, regrets, elicitation and drift."""
    who = tuple(range(seeds or SEEDS[size]))
    few = who[: max(1, len(who) // 2)]
    return [
        Job("all choosers", "bits", who, partial(costs, who, BITS[size]), cost=10),
        *(Job("all choosers", panel, who, partial(regrets, panel, who, BITS[size]), cost=8) for panel in CARRIES),
        Job("both elicitations", "spread", few, partial(elicitation, few)),
        Job("both models", "drift", few, partial(drifting, few), cost=5),
    ]


NOISY = "comparisons as noisy as the gap"
CLAIMS = (
    Claim(
        id="local-is-cheap",
        text="Evaluations until the better of two lotteries is found with 95%: whole worlds cost more as the world "
        "grows; preferences over what the decision touches do not.",
        metric="slope",
        arms=(INDEPENDENT, COMMON, LOCAL),
        cases=("all sizes",),
        scope="toy",
        statistic="mean",
        unit="slope of log evaluations over log bits",
        expect=(close(INDEPENDENT, 1.0, 0.15), close(COMMON, 0.0, 0.1), close(LOCAL, 0.0, 0.1)),
    ),
    Claim(
        id="whole-worlds-are-dear",
        text="Evaluations until the better of two lotteries is found with 95%, by size of the world.",
        metric="log_cost",
        arms=(ALL, INDEPENDENT, COMMON, LOCAL),
        cases=tuple(f"worlds/{n}" for n in BITS["full"]),
        scope="toy",
        higher_is_better=False,
        unit="evaluations, log10",
        level="bits of the world",
        expect=(
            lower(COMMON, than=INDEPENDENT, by=1.0, cases=("worlds/1024",)),
            lower(LOCAL, than=INDEPENDENT, by=1.0, cases=("worlds/1024",)),
        ),
    ),
    Claim(
        id="regret-stays-small",
        text="Regret against full utility maximisation, with 100 worlds per lottery for those who sample: in large "
        "worlds who looks only at what the decision touches loses less than who samples whole worlds, also where "
        "half of an effect carries on.",
        metric="regret",
        arms=(INDEPENDENT, COMMON, LOCAL),
        cases=tuple(f"{panel}/{n}" for panel in CARRIES for n in BITS["full"]),
        scope="toy",
        statistic="mean",
        higher_is_better=False,
        unit="regret: 0 none, 1 a coin's",
        level="bits of the world",
        expect=(
            close(LOCAL, 0.0, 1e-9, cases=("effects stay put/*",)),
            *(
                lower(LOCAL, than=INDEPENDENT, by=0.2, cases=(f"{panel}/{n}",))
                for panel in ("effects stay put", "half of an effect carries on")
                for n in (256, 1_024)
            ),
        ),
    ),
    Claim(
        id="regret-does-not-grow",
        text="Growth of that regret with every doubling of the world: none for who looks only at what is touched, "
        "nor with common worlds; some with independent ones.",
        metric="growth",
        arms=(INDEPENDENT, COMMON, LOCAL),
        cases=tuple(CARRIES),
        scope="toy",
        statistic="mean",
        higher_is_better=False,
        unit="regret added per doubling",
        expect=tuple(
            one
            for panel in ("effects stay put", "half of an effect carries on")
            for one in (
                close(LOCAL, 0.0, 0.03, cases=(panel,)),
                close(COMMON, 0.0, 0.03, cases=(panel,)),
                at_least(INDEPENDENT, 0.05, cases=(panel,)),
            )
        ),
    ),
    Claim(
        id="elicitation-fails",
        text="Share of right choices: utilities elicited against the best and worst world fail where one direct "
        "comparison of the same precision succeeds.",
        metric="accuracy",
        arms=("direct", "elicited utility"),
        cases=tuple(f"{panel}/{s}" for panel in ("exact comparisons", NOISY) for s in SPREADS),
        scope="toy",
        statistic="mean",
        unit="share of right choices",
        level="best minus worst world, in units of the gap",
        expect=(
            at_most("elicited utility", 0.75, cases=(f"{NOISY}/300", f"{NOISY}/1000")),
            at_least("direct", 0.75, cases=(f"{NOISY}/300", f"{NOISY}/1000")),
        ),
    ),
    Claim(
        id="needs-factors",
        text="The advantage of common worlds at 16 bits is gone when utility is a random function of all bits.",
        metric="advantage",
        arms=("factored", "not factored"),
        cases=("16 bits",),
        scope="toy",
        unit="worlds needed, independent over common",
        expect=(at_most("not factored", 1.5), at_least("factored", 1.5)),
    ),
    Claim(
        id="preferences-change",
        text="Predicting a chooser whose weights drift: a fixed utility loses to one that may change.",
        source="newsletter",
        metric="log_likelihood",
        arms=("drifting utility", "fixed utility"),
        cases=tuple(f"drifting choosers/{d:g}" for d in DRIFTS),
        scope="toy",
        statistic="mean",
        unit="log-likelihood per choice, nats",
        level="drift of a weight in 100 choices",
        expect=(
            *(
                better("drifting utility", than="fixed utility", cases=(f"drifting choosers/{d}",))
                for d in ("0.2", "0.5", "1")
            ),
            close("drifting utility", "fixed utility", 0.005, cases=("drifting choosers/0",)),
        ),
    ),
)

ITEM = Item(
    name="local_preferences",
    edition="an17",
    module=__name__,
    title="Local preferences and the price of utility functions",
    category="Agent foundations",
    papers=(local.PAPER,),
    claims=CLAIMS,
    jobs=jobs,
    summary="A post argues that comparing lotteries by expected utility means evaluating everything else in the world, "
    "while a decision's effects, and preferences, are local. A model of the argument, not evidence about AI systems.",
    equation="EU(A) - EU(B) = Σ_{j touches the decision} (E_A - E_B) f_j",
    notes=(
        "The post has no formal model: bits, factors and choosers are ours, and so are the margins.",
        "Sampling choosers are charged per world evaluated, whatever evaluating a world costs; the number needed is "
        "2σ²z²/Δ² with the variance estimated and the gap exact.",
        "What would flip the conclusion is factorisation: a utility that is a random function of all bits has no local "
        "comparison.",
        "Regret is 1 where a coin would lose as much. The local chooser reads the touched factors exactly and nothing "
        "else, so it errs only where effects carry on to other bits; nine tenths is the region where it should not do "
        "well, and is shown without an expectation. Full maximisation is exact there through the chain of bits.",
        "An elicitation that ends in a tie counts half.",
    ),
)
