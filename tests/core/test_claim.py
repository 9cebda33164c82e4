import json
import subprocess
import sys
from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from theodolite.core.claim import Claim, Item, Paper, at_least, at_most, better, close, lower, row
from theodolite.core.errors import UserError
from theodolite.core.judge import estimate, judge, judge_claim
from theodolite.core.results import command, compare
from theodolite.core.scores import Scores, dumps, natural


def scores_of(arms: dict[str, list[float]], case: str = "Task") -> Scores:
    return Scores(tuple(row(a, case, seed, score=v) for a, values in arms.items() for seed, v in enumerate(values)))


def claim(*expect, arms=("a", "b"), **options) -> Claim:
    return Claim(id="an17/test/c", text="A claim.", metric="score", arms=arms, expect=expect, **options)


HIGH, LOW, WIDE = [0.9, 0.92, 0.94, 0.91, 0.93], [0.1, 0.12, 0.14, 0.11, 0.13], [0.1, 0.9, 0.2, 0.8, 0.55]


@pytest.mark.parametrize(
    ("expectation", "a", "b", "verdict"),
    [
        (better("a", "b", by=0.5), HIGH, LOW, "supported"),
        (better("a", "b", by=0.5), LOW, HIGH, "refuted"),
        (better("a", "b", by=0.5), HIGH, WIDE, "undecided"),
        (better("a", "b"), HIGH, HIGH, "refuted"),  # equal is not better
        (better("a", "b", by=-0.1), HIGH, HIGH, "supported"),  # and is not worse
        (lower("a", "b", by=0.5), LOW, HIGH, "supported"),
        (lower("a", "b"), HIGH, HIGH, "refuted"),
        (at_least("a", 0.8), HIGH, LOW, "supported"),
        (at_least("a", 0.8), LOW, LOW, "refuted"),
        (at_least("a", 0.5), WIDE, LOW, "undecided"),
        (at_least("a", 0.9), [0.9] * 5, LOW, "supported"),  # zero spread, exactly on the bar
        (at_most("a", 0.2), LOW, LOW, "supported"),
        (at_most("a", 0.2), HIGH, LOW, "refuted"),
        (close("a", 0.92, 0.1), HIGH, LOW, "supported"),
        (close("a", 0.92, 0.1), LOW, LOW, "refuted"),
        (close("a", 0.5, 0.1), WIDE, LOW, "undecided"),
        (close("a", "b", 0.05), HIGH, HIGH, "supported"),
        (close("a", "b", 0.05), HIGH, LOW, "refuted"),
        (at_least("a", 0.5, statistic="min"), WIDE, LOW, "refuted"),  # one stuck seed is a fact
        (at_most("a", 0.15, statistic="min"), WIDE, LOW, "supported"),
        (at_least("a", 0.9, statistic="max"), WIDE, LOW, "supported"),
        (at_least("a", 0.5, statistic="mean"), [1.0, 1.0, 1.0, 0.0, 0.0], LOW, "undecided"),
    ],
)
def test_an_expectation_is_decided_by_where_its_interval_lies(expectation, a, b, verdict):
    assert judge_claim(claim(expectation), scores_of({"a": a, "b": b}), "quick")["verdict"] == verdict


@pytest.mark.parametrize(
    ("expect", "verdict"),
    [
        ((at_least("a", 0.8), at_most("b", 0.2)), "supported"),
        ((at_least("a", 0.99), at_least("b", 0.8)), "refuted"),
        ((at_least("a", 0.8), at_least("b", 0.8)), "partly"),
        ((at_least("a", 0.8), at_least("w", 0.5)), "undecided"),
        ((at_least("a", 0.8), at_least("b", 0.8), at_least("w", 0.5)), "partly"),
    ],
)
def test_a_claim_is_the_sum_of_its_expectations(expect, verdict):
    found = judge_claim(claim(*expect, arms=("a", "b", "w")), scores_of({"a": HIGH, "b": LOW, "w": WIDE}), "full")
    assert found["verdict"] == verdict


def test_a_smoke_run_is_never_judged_and_a_claim_without_scores_was_not_run():
    scores = scores_of({"a": HIGH, "b": LOW})
    assert judge_claim(claim(at_least("a", 0.8)), scores, "smoke")["verdict"] == "not judged"
    assert judge_claim(claim(at_least("a", 0.8)), Scores(()), "quick")["verdict"] == "not run"


def test_two_seeds_decide_nothing_unless_the_metric_is_exact():
    scores = scores_of({"a": [0.9, 0.9], "b": [0.1, 0.1]})
    found = judge_claim(claim(at_least("a", 0.8)), scores, "quick")
    assert (found["verdict"], found["reason"]) == ("undecided", "2 seeds; at least 3 are needed")
    one = scores_of({"a": [1e-9], "b": [0.0]})
    exact = judge_claim(claim(at_most("a", 1e-6), close("a", "b", 1e-6), exact=True), one, "quick")
    assert exact["verdict"] == "supported"
    assert exact["expect"][0]["low"] == exact["expect"][0]["high"] == 1e-9


def test_a_missing_arm_and_a_score_that_is_not_finite_leave_a_claim_undecided_and_say_so():
    missing = judge_claim(claim(better("a", "b")), scores_of({"a": HIGH}), "quick")
    assert (missing["verdict"], missing["reason"]) == ("undecided", "no scores for b on Task")
    broken = judge_claim(claim(at_least("a", 0.1)), scores_of({"a": [*HIGH, float("nan")]}), "quick")
    assert (broken["verdict"], broken["reason"]) == ("undecided", "scores that are not finite: a on Task")
    json.loads(dumps(broken), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_an_undecided_claim_says_how_many_seeds_would_decide():
    found = judge_claim(claim(at_least("a", 0.3)), scores_of({"a": WIDE, "b": LOW}), "quick")["expect"][0]
    assert found["outcome"] == "undecided"
    assert 6 <= found["seeds_to_decide"] <= 60
    assert str(found["seeds_to_decide"]) in found["reason"]


def test_cases_are_chosen_by_pattern_and_each_stands_for_one_expectation_per_case():
    rows = scores_of({"a": HIGH, "b": LOW}, "Pole/1").rows + scores_of({"a": LOW, "b": LOW}, "Pole/10").rows
    rows += scores_of({"a": HIGH, "b": LOW}, "Car/1").rows
    found = judge_claim(claim(at_least("a", 0.8, each=True), at_least("a", 0.8, cases=("*/1",))), Scores(rows), "quick")
    assert [e["cases"] for e in found["expect"]] == [["Car/1"], ["Pole/1"], ["Pole/10"], ["Car/1", "Pole/1"]]
    assert [e["outcome"] for e in found["expect"]] == ["supported", "supported", "refuted", "supported"]
    nowhere = judge_claim(claim(at_least("a", 0.8, cases=("Hopper/*",))), Scores(rows), "quick")
    assert nowhere["verdict"] == "undecided"


def test_several_expectations_share_one_error_rate():
    close_call = [0.56, 0.44, 0.62, 0.51, 0.63, 0.58, 0.49, 0.6, 0.57]
    scores = scores_of({"a": close_call, "b": close_call, "w": WIDE})
    alone = judge_claim(claim(at_least("a", 0.48)), scores, "quick")["expect"][0]
    assert alone["outcome"] == "supported"
    with_others = claim(at_least("a", 0.48), *[at_least("w", 0.5 + k / 1e3) for k in range(12)], arms=("a", "w"))
    together = judge_claim(with_others, scores, "quick")["expect"][0]
    assert together["outcome"] == "undecided"
    assert together["confidence"] == pytest.approx(1 - 0.05 / 13)
    facts = [at_least("w", k / 1e3, statistic="min") for k in range(12)]
    assert judge_claim(claim(at_least("a", 0.48), *facts, arms=("a", "w")), scores, "quick")["expect"][0] == alone


@settings(max_examples=10, deadline=None)
@given(st.randoms())
def test_judging_twice_gives_equal_bytes_in_any_order_of_rows(random):
    scores = scores_of({"a": HIGH, "b": WIDE})
    shuffled = list(scores.rows)
    random.shuffle(shuffled)
    item = an_item(claim(better("a", "b"), at_least("a", 0.2)))
    assert dumps(judge(item, scores, "quick")) == dumps(judge(item, Scores(tuple(shuffled)), "quick"))


def an_item(*claims: Claim) -> Item:
    return Item(name="test", edition="an17", module="nowhere", title="T", category="C", papers=(Paper("P", "A", 2018),),
                claims=claims, jobs=lambda size, seeds: [])  # fmt: skip


def test_figures_show_the_intervals_of_the_verdict():
    scores, c = scores_of({"a": WIDE, "b": LOW}), claim(better("a", "b"))
    shown = judge_claim(c, scores, "quick")["arms"]["a"]["cases"]["Task"]
    assert estimate(c, scores, "a", "Task") == (shown["estimate"], shown["low"], shown["high"])
    assert estimate(c, scores, "a", "elsewhere") is None


def test_a_claim_about_an_arm_that_it_does_not_have_is_refused_at_once():
    with pytest.raises(ValueError, match="'c'"):
        claim(better("a", "c"))
    with pytest.raises(ValueError, match="no expectation"):
        claim()


def test_sentences():
    says = [e.says for e in (better("a", "b"), better("a", "b", by=0.1), better("a", "b", by=-0.1), close("a", 3, 0.5))]
    assert says == [
        "a is better than b",
        "a is better than b by at least 0.1",
        "a is at most 0.1 below b",
        "a is 3 ± 0.5",
    ]


def test_importing_claims_needs_none_of_the_heavy_packages():
    code = (
        "import sys, theodolite.core.claim, theodolite.claims.registry, theodolite.core.runner\n"
        "heavy = {'jax', 'matplotlib', 'jinja2'} & set(sys.modules); sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@given(st.lists(st.text(alphabet="ab/0123456789 ", max_size=6), max_size=6))
def test_natural_order_is_total_and_knows_numbers(names):
    assert sorted(sorted(names), key=natural) == sorted(sorted(names, reverse=True), key=natural)
    assert sorted(["n/10", "n/4", "m/7"], key=natural) == ["m/7", "n/4", "n/10"]


def test_compare_names_the_place():
    old, new = {"claims": [{"id": "x", "low": 0.1}]}, {"claims": [{"id": "x", "low": 0.2}]}
    assert list(compare(old, new)) == ["claims[x].low is stored as 0.1, recomputed as 0.2"]
    assert not list(compare({"claims": [], "versions": {}}, {"claims": []}))
    assert list(compare({"claims": [1]}, {"claims": []}))


def test_command_repeats_the_run():
    assert command(an_item(claim(at_least("a", 0))), "quick", 3) == "theodolite run an17/test --size quick --seeds 3"


def test_registry_finds_by_name_and_by_path_and_proposes_the_nearest():
    from theodolite.claims import registry

    assert registry.find("gail") == registry.find("an17/gail")
    with pytest.raises(UserError, match="Did you mean gail"):
        registry.find("gial")
    assert all(e.module == f"theodolite.claims.{e.path.replace('/', '.')}" for e in registry.ENTRIES)


def test_paper_links():
    assert Paper("T", "A", 2016, arxiv="1606.03476").link == "https://arxiv.org/abs/1606.03476"
    assert replace_link(Paper("T", "A", 2016)) == ""


def replace_link(paper: Paper) -> str:
    return paper._replace(arxiv="").link


def test_rows_hold_plain_numbers():
    found = row("a", "c", np.int64(3), curves={"return": (np.arange(2), np.ones(2))}, score=np.float32(0.5))
    assert json.loads(dumps(found)) == {"arm": "a", "case": "c", "seed": 3, "metrics": {"score": 0.5},
                                        "curves": {"return": [[0.0, 1.0], [1.0, 1.0]]}}  # fmt: skip


def test_expectations_keep_their_options():
    assert replace(at_least("a", 1.0, each=True), each=False) == at_least("a", 1.0)
