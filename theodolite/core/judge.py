"""From scores to verdicts: a pure function of the score rows, so that nobody types a badge.

A claim whose expectations are all supported is supported, all refuted: refuted, some of each: partly, else undecided.
It is undecided as well while a premise of it is not supported; a premise that is met counts no further.
Several expectations of one claim share an error rate of 5% (Holm). Smoke runs are never judged. The draws of the
bootstrap of an expectation are seeded from the claim's id: the same scores give the same bytes.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

import numpy as np

from theodolite.core import stats
from theodolite.core.claim import ALL_RUNS, STATISTIC_WORDS, Claim, Expectation, Item, Number, Size
from theodolite.core.scores import Scores, natural, plain

BADGES = {
    "supported": "✓", "refuted": "✗", "partly": "◐", "undecided": "?", "not run": "–", "not judged": "–",
}  # fmt: skip
"""A sign beside each verdict, so that colour is not alone in telling them apart."""
FEWEST_SEEDS = 3
"""With fewer in any case, a claim about a random outcome is left undecided."""
Cells = dict[tuple[str, str], dict[int, float]]
Json = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """An expectation with its scores: one quantity, one region, one bootstrap."""

    expectation: Expectation
    cases: tuple[str, ...]
    seeds: int
    """Fewest seeds in any case."""
    bootstrap: stats.Bootstrap | None
    probability: float | None
    obstacle: str = ""
    """Why it cannot be decided, empty if it can."""


def judge(item: Item, scores: Scores, size: Size) -> Json:
    """The verdict on every claim of an item, as strict JSON."""
    claims = [judge_claim(claim, scores, size) for claim in item.claims]
    return {"item": item.path, "size": size, "claims": claims, "scores_sha256": scores.digest()}


def judge_claim(claim: Claim, scores: Scores, size: Size) -> Json:
    """The verdict on one claim, with every number that led to it."""
    cells = _cells(claim, scores)
    cases = _in_order(claim, (case for _, case in cells))
    questions = [_question(claim, cells, e) for e in _expanded(claim, cases)]
    expect = _decide(claim, questions)
    verdict, reason = _verdict(expect, size) if cells else ("not run", f"no scores at size {size}")
    return plain({
        "id": claim.id, "text": claim.text, "source": claim.source, "where": claim.where, "scope": claim.scope,
        "size": size,
        "seeds": sorted({seed for (arm, _), cell in cells.items() if arm != ALL_RUNS for seed in cell}), "cases": cases,
        "metric": claim.metric, "unit": claim.unit, "level": claim.level, "higher_is_better": claim.higher_is_better,
        "statistic": claim.statistic, "exact": claim.exact,
        "arms": {arm: _arm(claim, cells, arm) for arm in claim.arms if any(a == arm for a, _ in cells)},
        "expect": expect, "verdict": verdict, "reason": reason, "paper_value": _paper_values(claim),
    })  # fmt: skip


def estimate(claim: Claim, scores: Scores, arm: str, case: str) -> tuple[float, float, float] | None:
    """The estimate, lower and upper end that tables and figures show for an arm in a case; None without finite ones."""
    cell = _cells(claim, scores).get((arm, case))
    found = _summary(claim, {case: cell}) if cell else None
    return (found["estimate"], found["low"], found["high"]) if found and found["estimate"] is not None else None


def _cells(claim: Claim, scores: Scores) -> Cells:
    cases = scores.cases(claim.metric, claim.arms) if claim.cases is None else list(claim.cases)
    cells = {(arm, case): scores.by_seed(claim.metric, arm, case) for arm in claim.arms for case in cases}
    if ALL_RUNS in claim.arms:
        for case in cases:
            runs = [value for (_, c), cell in cells.items() if c == case for value in cell.values()]
            cells[ALL_RUNS, case] = dict(enumerate(runs))
    return {key: cell for key, cell in cells.items() if cell}


def _in_order(claim: Claim, cases: Iterable[str]) -> list[str]:
    found = set(cases)
    return sorted(found, key=natural) if claim.cases is None else [c for c in claim.cases if c in found]


def _generator(claim: Claim, *purpose: str) -> np.random.Generator:
    name = "\n".join((claim.id, *purpose)).encode()
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name).digest()[:16], "big"))


def _values(cell: dict[int, float]) -> np.ndarray:
    return np.array([cell[seed] for seed in sorted(cell)])


def _arm(claim: Claim, cells: Cells, arm: str) -> Json:
    by_case = {case: cells[arm, case] for case in _in_order(claim, (c for a, c in cells if a == arm))}
    rows = {case: _summary(claim, {case: cell}) for case, cell in by_case.items()}
    return {**_summary(claim, by_case), "cases": rows}


def _summary(claim: Claim, by_case: dict[str, dict[int, float]]) -> Json:
    """What tables and figures show of some scores: the same for every claim that looks at them."""
    estimate, low, high = _described(claim.statistic, tuple(_values(cell).tobytes() for cell in by_case.values()))
    return {"estimate": estimate, "low": low, "high": high}


@lru_cache(maxsize=8192)
def _described(statistic: str, cells: tuple[bytes, ...]) -> tuple[float | None, float | None, float | None]:
    strata = [np.frombuffer(cell) for cell in cells]
    if not np.isfinite(np.concatenate(strata)).all():
        return None, None, None
    draws = stats.affordable(stats.TO_SHOW, strata)
    found = _resample(statistic, strata, [], [], draws, np.random.default_rng(0))
    return found.estimate, *found.interval()


def _paper_values(claim: Claim) -> Json:
    arms = dict.fromkeys(arm for arm, _ in claim.paper_values)
    return {arm: {c: value for (a, c), value in claim.paper_values.items() if a == arm} for arm in arms}


def _expanded(claim: Claim, cases: list[str]) -> list[Expectation]:
    expanded = []
    for expectation in claim.expect:
        matching = [c for c in cases if _matches(expectation, c)]
        expanded += [expectation.on(c) for c in matching] if expectation.each and matching else [expectation]
    return expanded


def _matches(expectation: Expectation, case: str) -> bool:
    return any(case == pattern or fnmatchcase(case, pattern) for pattern in expectation.cases)


def _question(claim: Claim, cells: Cells, expectation: Expectation) -> Question:
    """Gather the scores of an expectation and resample them, or say what stands in the way."""
    cases = tuple(_in_order(claim, (c for _, c in cells if _matches(expectation, c))))
    arms = [expectation.arm] + ([expectation.than] if expectation.than else [])
    missing = [f"{arm} on {case}" for arm in arms for case in cases if (arm, case) not in cells]
    if missing or not cases:
        what = ", ".join(missing) if missing else f"any case like {', '.join(expectation.cases)}"
        return Question(expectation, cases, 0, None, None, f"no scores for {what}")
    first, second = ([cells[arm, c] for c in cases] for arm in (arms[0], arms[-1]))
    seeds = min(map(len, first + second))
    unsound = [f"{a} on {c}" for a in arms for c in cases if not np.isfinite(_values(cells[a, c])).all()]
    if unsound:
        return Question(expectation, cases, seeds, None, None, f"scores that are not finite: {', '.join(unsound)}")
    paired = [x.keys() == y.keys() for x, y in zip(first, second, strict=True)] if expectation.than else []
    ours, theirs = ([_values(cell) for cell in side] for side in (first, second if expectation.than else []))
    generator = _generator(claim, expectation.says, expectation.statistic or "", *cases)
    draws = stats.affordable(stats.TO_DECIDE, ours, theirs)
    found = _resample(expectation.statistic or claim.statistic, ours, theirs, paired, draws, generator)
    few = not claim.exact and seeds < FEWEST_SEEDS
    obstacle = f"{seeds} seed{'s' * (seeds > 1)}; at least {FEWEST_SEEDS} are needed" if few else ""
    return Question(expectation, cases, seeds, found, _probability(expectation, ours, theirs), obstacle)


def _resample(
    statistic: str, first: list[np.ndarray], second: list[np.ndarray], paired: list[bool], draws: int, generator: Any
) -> stats.Bootstrap:
    """Bootstrap of an arm, or of the difference of two; extremes are facts about the seeds and get no interval."""
    if statistic in stats.FACTS:
        apply = stats.STATISTICS[statistic]
        fact = float(apply(np.concatenate(first))) - (float(apply(np.concatenate(second))) if second else 0.0)
        return stats.Bootstrap(fact, np.full(1, fact), 0, 1.0)
    return stats.bootstrap_difference(first, second, statistic, generator, draws, paired)


def _probability(expectation: Expectation, first: list[np.ndarray], second: list[np.ndarray]) -> float | None:
    """Chance that a run improves on one of the other arm, or the share of runs inside the region."""
    if second:
        sides = (second, first) if expectation.lower_wins else (first, second)
        return stats.probability_of_improvement(*sides)
    values = np.concatenate(first)
    return float(np.mean((values >= expectation.low) & (values <= expectation.high)))


def _decide(claim: Claim, questions: list[Question]) -> list[Json]:
    """Outcomes of all expectations of a claim, under one error rate; numbers that cannot err do not share it."""
    tested = [(q, q.bootstrap) for q in questions if q.bootstrap is not None and q.bootstrap.freedom]
    p_values = [found.p_value(q.expectation.low, q.expectation.high) for q, found in tested]
    levels = {id(q): level for (q, _), level in zip(tested, stats.holm_levels(p_values), strict=True)}
    return [_outcome(claim, q, levels.get(id(q), 1 - stats.CONFIDENCE)) for q in questions]


def _outcome(claim: Claim, question: Question, level: float) -> Json:
    e = question.expectation
    statistic = e.statistic or claim.statistic
    answer: Json = {
        "says": e.says, "sentence": sentence(e, statistic), "statistic": statistic, "cases": list(question.cases),
        "difference": e.than is not None,
        "estimate": None, "low": None, "high": None, "confidence": None, "margin": [e.low, e.high],
        "outcome": "undecided", "probability": question.probability, "seeds_to_decide": None,
        "reason": question.obstacle,
    } | ({"premise": True} if e.premise else {})  # fmt: skip
    if question.bootstrap is None:
        return answer
    interval = question.bootstrap.interval(1 - level)
    answer |= {"estimate": question.bootstrap.estimate, "low": interval[0], "high": interval[1]}
    answer["confidence"] = 1 - level
    if question.obstacle:
        return answer
    answer["outcome"] = _compare(interval, (e.low, e.high))
    if answer["outcome"] == "undecided":
        region = (e.low, e.high)
        more = stats.seeds_to_decide(question.seeds, question.bootstrap.estimate, interval, region)
        answer["seeds_to_decide"] = more
        answer["reason"] = "the interval crosses the margin" + (f"; about {more} seeds would decide" if more else "")
    return answer


def _compare(interval: tuple[float, float], region: tuple[Number, Number]) -> str:
    if region[0] <= interval[0] and interval[1] <= region[1]:
        return "supported"
    return "refuted" if interval[1] < region[0] or interval[0] > region[1] else "undecided"


def sentence(expectation: Expectation, statistic: str) -> str:
    """The expectation in words, with its statistic and the cases that it speaks of."""
    every = expectation.cases == ("*",)
    where = "" if every else f", {', '.join(expectation.cases)}"
    return f"{expectation.says} ({STATISTIC_WORDS[statistic]}{where})"


def _verdict(expect: list[Json], size: Size) -> tuple[str, str]:
    if size == "smoke":
        return "not judged", "a smoke run shows that the code works, not what it finds"
    unmet = [answer for answer in expect if "premise" in answer and answer["outcome"] != "supported"]
    if unmet:
        what = "; ".join(f"{', '.join(a['cases'])}: {a['says'].partition(': ')[2]} is {a['outcome']}" for a in unmet)
        return "undecided", f"premise not met on {what}"
    expect = [answer for answer in expect if "premise" not in answer]
    outcomes = {answer["outcome"] for answer in expect}
    if {"supported", "refuted"} <= outcomes:
        return "partly", ""
    if len(outcomes) == 1:
        verdict = outcomes.pop()
        return verdict, expect[0]["reason"] if verdict == "undecided" else ""
    return "undecided", next(answer["reason"] for answer in expect if answer["outcome"] == "undecided")
