"""Demski 2018: whether brute force is likelier than knowledge under a speed prior, as a model of the argument."""

from functools import partial

import numpy as np

from theodolite.core.claim import Claim, Item, Job, Row, Size, at_least, at_most, lower, row
from theodolite.foundations import speed_prior as sp

BITS = (16, 20, 24)
KEYS: dict[Size, int] = {"smoke": 3, "quick": 200, "full": 1_000}
TIMES: tuple[sp.Time, ...] = ("whole search", "until found")
ARMS = tuple(f"{overhead}, {time}" for overhead in sp.OVERHEADS for time in TIMES)
ALPHAS = (0.0, 0.5, 0.8, 1.0, 1.2, 1.5)
LOOPHOLES = (-20, -16, -12, -8)
"""log2 of the share of candidates that pass the training test wrongly."""
SIZES = (8, 16, 32, 64, 128)


def argument(keys: tuple[int, ...]) -> list[Row]:
    """Shares of brute force over random keys, how unequal all shares are, and both under tilted priors."""
    rows = []
    for seed in keys:
        rng = np.random.default_rng(seed)
        for bits in BITS:
            key = int(rng.integers(2**bits))
            for arm in ARMS:
                overhead, _, time = arm.partition(", ")
                w = sp.weights(sp.steps(key, bits, "whole search" if time == TIMES[0] else "until found"), overhead)
                shares = w / w.sum() * (bits + 1)
                rows.append(row(arm, f"random keys/{bits}", seed, brute=shares[0], imbalance=np.abs(shares - 1).max()))
    return rows


def curves() -> list[Row]:
    """What needs no key: tilted priors, loopholes, and insight."""
    rows, times = [], sp.steps(0, 16, "whole search")
    for alpha in ALPHAS:
        for overhead in sp.OVERHEADS:
            w = sp.weights(times, overhead, alpha)
            rows.append(row(overhead, f"tilted priors/{alpha:g}", 0, brute_share=w[0] / w.sum()))
    for log_share in LOOPHOLES:
        wrong = sp.p_wrong(16, 2.0**log_share)
        arms = {"nothing known": wrong[0], "half known": wrong[8], "all known": wrong[16]}
        for overhead, name in (("free", "prior, knowledge free"), ("Elias gamma", "prior, knowledge delimited")):
            w = sp.weights(times, overhead)
            arms[name] = wrong @ w / w.sum()
        rows += [row(arm, f"keys of 16 bits/{log_share}", 0, p_wrong=p) for arm, p in arms.items()]
    for alpha in (0.0, 0.5, 1.0, 1.2):
        rows += [
            row(f"α = {alpha:g}", f"problems with structure/{n}", 0, share=sp.structure_share(n, alpha)) for n in SIZES
        ]
    return rows


def jobs(size: Size, seeds: int | None) -> list[Job]:
    """Two tables."""
    keys = tuple(range(seeds or KEYS[size]))
    return [Job("all programs", "keys", keys, partial(argument, keys)), Job("all programs", "curves", (0,), curves)]


KEY_CASES = tuple(f"random keys/{bits}" for bits in BITS)
CLAIMS = (
    Claim(
        id="halving-argument",
        text="A bit of knowledge pays for itself: programs with any number of known bits have equal weight, if saying "
        "where knowledge ends costs nothing and time is that of the whole search.",
        metric="imbalance",
        arms=ARMS[:1],
        cases=KEY_CASES,
        exact=True,
        scope="toy",
        statistic="max",
        higher_is_better=False,
        unit="largest difference",
        expect=(at_most(ARMS[0], 0.1),),
    ),
    Claim(
        id="brute-force-is-no-likelier",
        text="Weight of brute force in equal shares (1: no likelier than any other number of known bits): the "
        "conclusion must survive codes that say where knowledge ends, and programs that stop when they have found.",
        metric="brute",
        arms=ARMS,
        cases=KEY_CASES,
        scope="toy",
        statistic="mean",
        higher_is_better=False,
        unit="weight, in equal shares",
        level="bits of the key",
        expect=tuple(at_most(arm, 2.0) for arm in ARMS),
    ),
    Claim(
        id="exchange-rate",
        text="Weight of brute force under 2^-length time^-α, 16 bits: equality holds at α = 1 alone, where a doubling "
        "of time costs exactly one bit.",
        metric="brute_share",
        arms=tuple(sp.OVERHEADS),
        cases=tuple(f"tilted priors/{alpha:g}" for alpha in ALPHAS),
        exact=True,
        scope="toy",
        higher_is_better=False,
        unit="share of brute force",
        level="α",
        expect=(
            at_least("free", 2 / 17, cases=("tilted priors/0.8",)),
            at_most("free", 0.5 / 17, cases=("tilted priors/1.2",)),
        ),
    ),
    Claim(
        id="knowledge-avoids-loopholes",
        text="Probability of returning a loophole, 16 bits: searchers that know less are wrong more often, so which of "
        "them a prior prefers does matter.",
        metric="p_wrong",
        arms=("nothing known", "half known", "all known", "prior, knowledge free", "prior, knowledge delimited"),
        cases=tuple(f"keys of 16 bits/{share}" for share in LOOPHOLES),
        exact=True,
        scope="toy",
        higher_is_better=False,
        unit="probability of a wrong answer",
        level="share of candidates that are loopholes, log2",
        expect=(
            *(lower("half known", than="nothing known", by=0.05, cases=(f"keys of 16 bits/{share}",))
              for share in (-16, -12, -8)),
            *(lower("all known", than="half known", by=0.005, cases=(f"keys of 16 bits/{share}",))
              for share in (-12, -8)),
        ),
    ),
    Claim(
        id="insight-is-not-search",
        text="Share of a program with 12 bits of insight that turns 2^n steps into n²: it outweighs every mixture of "
        "search and knowledge as problems grow, whatever the price of time.",
        source="newsletter",
        metric="share",
        arms=("α = 0", "α = 0.5", "α = 1", "α = 1.2"),
        cases=tuple(f"problems with structure/{n}" for n in SIZES),
        exact=True,
        scope="toy",
        unit="share of the prior",
        level="bits of the key",
        expect=tuple(at_least(f"α = {a}", 0.99, cases=("problems with structure/128",)) for a in (0, 0.5, 1, 1.2)),
    ),
)  # fmt: skip

ITEM = Item(
    name="speed_prior",
    edition="an17",
    module=__name__,
    title="Exorcizing the speed prior?",
    category="Agent foundations",
    papers=(sp.PAPER, sp.SCHMIDHUBER),
    claims=CLAIMS,
    jobs=jobs,
    summary="If a program's weight is halved by each bit of length and each doubling of time, a bit of knowledge that "
    "halves a search pays for itself, and brute-force searchers are no likelier than informed ones. The author calls "
    "the argument very fake; here it is tried on keys. A model of the argument, not evidence about AI systems.",
    equation="w(p) = 2^-l(p) / t(p)",
    notes=(
        "The conclusion flips with what it costs to say where knowledge ends, which no self-delimiting machine has "
        "for nothing (Kraft's inequality), and with whether time is that of the whole search.",
        "The small machine and GUESS in the module are tested against each other; they play no part in the claims.",
    ),
)
