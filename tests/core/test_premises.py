"""A claim with a premise, and an arm that is all runs of a claim."""

import numpy as np
import pytest

from theodolite.core.claim import ALL_RUNS, Claim, at_most, better, premise, row
from theodolite.core.judge import judge_claim
from theodolite.core.scores import Scores

GAIN = premise(better("shared", than="plain", by=1.0, each=True))


def judged(claim: Claim, **levels: float):
    rng = np.random.default_rng(0)
    rows = [row(arm, "task", seed, score=level + 0.01 * rng.normal()) for arm, level in levels.items()
            for seed in range(8)]  # fmt: skip
    return judge_claim(claim, Scores(tuple(rows)), "quick")


def lost(*expect) -> Claim:
    return Claim(id="lost", text="", metric="score", arms=("plain", "shared", "separate"), expect=expect)


@pytest.mark.parametrize(("separate", "verdict"), [(0.0, "supported"), (5.0, "refuted")])
def test_a_premise_that_is_met_leaves_the_verdict_to_the_others(separate, verdict):
    claim = lost(GAIN, better("shared", than="separate"))
    assert judged(claim, plain=0.0, shared=2.0, separate=separate)["verdict"] == verdict


@pytest.mark.parametrize("separate", [-5.0, 5.0])
def test_without_its_premise_a_claim_is_undecided_whatever_the_others_are(separate):
    found = judged(lost(GAIN, better("shared", than="separate")), plain=0.0, shared=0.0, separate=separate)
    assert [e["outcome"] for e in found["expect"]] == ["refuted", "supported" if separate < 0 else "refuted"]
    assert found["verdict"] == "undecided"
    assert found["reason"] == "premise not met on task: shared is better than plain by at least 1 is refuted"


def test_a_claim_says_more_than_its_premise():
    with pytest.raises(ValueError, match="no expectation"):
        lost(GAIN)


def test_all_runs_are_those_of_every_arm_in_every_case():
    shares = {("a", "x"): [0, 0, 0, 1], ("b", "x"): [0, 0], ("b", "y"): [1, 1, 0, 0, 0, 0], ("other", "x"): [1]}
    rows = [row(*cell, seed, broke=v) for cell, values in shares.items() for seed, v in enumerate(values)]
    claim = Claim(id="rare", text="", metric="broke", arms=(ALL_RUNS, "a", "b"), statistic="mean",
                  expect=(at_most(ALL_RUNS, 0.9),))  # fmt: skip
    found = judge_claim(claim, Scores(tuple(rows)), "quick")
    assert found["expect"][0]["estimate"] == pytest.approx(3 / 12) and found["verdict"] == "supported"
    assert found["arms"][ALL_RUNS]["cases"]["x"]["estimate"] == pytest.approx(1 / 6)
    assert found["seeds"] == list(range(6))
