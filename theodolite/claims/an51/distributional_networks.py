"""The newsletter's experiment by itself: does a network per quantile keep the gain? A figure and a page from scores."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from theodolite.claims.an51.distributional_arms import DEEP, QUESTION, scaled
from theodolite.claims.an51.distributional_figure import MEANINGS, areas, by_id
from theodolite.core.claim import Row
from theodolite.core.scores import Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES = ("DQN", "QR-DQN", "separate", "ensemble")
"""Arms whose learning is drawn: what acts by a mean or by quantiles, from one network or from eight."""
CLAIMS = ("separate-networks", "not-the-distribution", "features")
Json = dict[str, Any]


def figure(scores: Scores) -> "Figure":
    """Areas of the arms of the question on both tasks, and below them how four of the arms learn."""
    from theodolite.core import panels  # matplotlib loads slowly, and worker processes do without

    says = {
        "separate-networks": "if quantiles on one network beat DQN: on a network each they lose that gain",
        "not-the-distribution": "if so: separate quantiles do no better than an ensemble of as many means",
        "features": "if so: quantiles that only shape the features keep the gain, those that only act lose it",
    }
    first, *others = DEEP
    above = [
        panels.Panel("Does a network per quantile keep the gain?", partial(areas, task=first, arms=QUESTION), says,
                     flush=True),
        *(panels.Panel("", partial(areas, task=task, arms=QUESTION)) for task in others),
    ]  # fmt: skip
    below = [panels.Panel(f"How they learn: {task}", partial(_curves, task=task)) for task in DEEP]
    title = f"{_premise(scores)}Marks: interquartile means over seeds; lines and bands: 95% intervals"
    return panels.page(title, [(4.2, above), (2.7, below)], scores)


def _premise(scores: Scores) -> str:
    """Whether quantiles on one network beat DQN, task by task; nothing of scores that nobody judged."""
    from theodolite.claims.an51.distributional import ITEM
    from theodolite.core.judge import judge_claim

    if CLAIMS[0] not in scores.verdicts:
        return ""
    found = judge_claim(by_id(ITEM.claims, CLAIMS[0]), scores, "quick")["expect"]
    outcomes = [f"{e['outcome']} on {', '.join(e['cases'])}" for e in found if e.get("premise")]
    return f"The premise that quantiles on one network beat DQN is {' and '.join(outcomes)}.\n"


def _curves(axes: "Axes", scores: Scores, task: str) -> None:
    from theodolite.core import figures

    figures.curves(axes, _scored(scores, task), "score", CURVES, task)
    axes.set_xlabel("environment steps")
    axes.set_ylabel("score while exploring\n(0 poor, 1 solved)")


def _scored(scores: Scores, task: str) -> Scores:
    """Returns of one task as scores, the lowest as long as no episode has ended."""

    def renewed(r: Row) -> Row:
        steps, values = r["curves"]["return"]
        found = scaled(task, np.array([np.nan if v is None else v for v in values])).tolist()
        return {**r, "curves": {"score": [steps, found]}}

    return replace(scores, rows=tuple(renewed(r) for r in scores.rows if r["case"] == task and r["arm"] in CURVES))


def page(verdict: Json, scores: Scores) -> str:
    """What the experiment found, in Markdown: the verdicts with their reasons, then every number."""
    claims = {claim["id"]: claim for claim in verdict["claims"]}
    found = [claims[id] for id in CLAIMS]
    answers = [f"- **{c['verdict']}**: {c['text']}" + f" ({c['reason']})" * bool(c["reason"]) for c in found]
    games = [c for c in (claims["games-better"],) if c["verdict"] != "not run"]
    judged, areas = _judged([*found, *games]), _areas(claims["values-stay-possible"], scores)
    return "\n\n".join(["\n".join(answers), judged, areas])


def _judged(claims: list[Json]) -> str:
    said = {(e["says"], *e["cases"]): e for claim in claims for e in claim["expect"]}
    lines = [f"| {e['says']} | {', '.join(e['cases'])} | {_with_interval(e)} | {e['outcome']} |" for e in said.values()]
    return "\n".join(["| expectation | task | difference of areas | outcome |", "| --- | --- | --- | --- |", *lines])


def _areas(study: Json, scores: Scores) -> str:
    """Areas of every arm of the question, with its seeds and steps."""
    from theodolite.claims.an51.distributional import ITEM
    from theodolite.core.judge import estimate

    claim, lines = replace(by_id(ITEM.claims, "separate-networks"), arms=QUESTION), []
    for arm in (a for a in QUESTION if a in study["arms"]):
        cells = []
        for task in DEEP:
            at = estimate(claim, scores, arm, task)
            cells.append(_with_interval(dict(zip(("estimate", "low", "high"), at, strict=True))) if at else "not run")
        lines.append(f"| {arm} | {MEANINGS[arm][0]} | {' | '.join(cells)} |")
    heads = [f"{task}, {_run(scores, task)}" for task in DEEP]
    return "\n".join([f"| arm | what it learns | {' | '.join(heads)} |", "| --- | --- | --- | --- |", *lines])


def _run(scores: Scores, task: str) -> str:
    curves = scores.curves("return", "DQN", task)
    return f"{len(curves)} seeds of {next(iter(curves.values()))[0][-1]:,.0f} steps" if curves else "not run"


def _with_interval(found: Json) -> str:
    if found["estimate"] is None:
        return "not run"
    return f"{found['estimate']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"
