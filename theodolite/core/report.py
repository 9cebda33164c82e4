"""The report of a run: one HTML file with its figure, style and provenance inside, without scripts.

Every text is escaped; the figure is inlined after its comments and anything active are taken out.
"""

import math
import re
from collections import Counter
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from theodolite.core.claim import STATISTIC_WORDS, Item, Number
from theodolite.core.files import write_text
from theodolite.core.judge import BADGES, Json
from theodolite.core.scores import Scores

COMMENT = re.compile(r"<!--.*?-->", re.S)
ACTIVE = re.compile(r"<\?.*?\?>|<!.*?>|<metadata>.*?</metadata>|<(script|foreignObject)\b.*?</\1\s*>", re.S)


def write(folder: Path, item: Item, verdict: Json, scores: Scores) -> Path:
    """Write report.html into a run folder that may hold a figure.svg."""
    drawing = folder / "figure.svg"
    path = folder / "report.html"
    write_text(path, render(item, verdict, scores, drawing.read_text(encoding="utf-8") if drawing.exists() else ""))
    return path


def render(item: Item, verdict: Json, scores: Scores, figure: str = "") -> str:
    """The page."""
    from markupsafe import Markup

    jobs = {r.get("job"): r.get("wall_s", 0.0) for r in scores.rows}
    return _template().render(
        item=item,
        verdict=verdict,
        claims=[
            {**laid_out(claim), "shares": _shares(verdict["claims"], i)} for i, claim in enumerate(verdict["claims"])
        ],
        figure=Markup(inline(figure)),  # our own drawing, made inert by `inline`
        caption=caption(verdict),
        rows=len(scores.rows),
        compute=sum(jobs.values()),
    )


def inline(figure: str) -> str:
    """An SVG that can stand in a page: no prologue, comments or metadata, nothing active, scaled by the page."""
    body = ACTIVE.sub("", COMMENT.sub("", figure)).strip()
    return re.sub(r"<svg\b[^>]*>", lambda tag: _scalable(tag[0]), body, count=1)


def _scalable(tag: str) -> str:
    return re.sub(r' (width|height)="[^"]*"', "", tag).replace("<svg", '<svg aria-hidden="true"', 1)


def caption(verdict: Json) -> str:
    """The figure in words, with the estimate and interval of every arm: what a reader without images gets."""
    sentences = []
    for claim in verdict["claims"]:
        arms = [f"{name} {interval(arm)}" for name, arm in claim["arms"].items() if arm["estimate"] is not None]
        if arms:
            sentences.append(f"{claim['metric']}: {', '.join(arms)}")
    return "; ".join(sentences)


def number(value: Any, scale: Number | None = None) -> str:
    """A number with as many digits as a table needs whose largest entry is `scale`."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    size = abs(value) if scale is None else scale
    if value and size < 1e-2:
        return f"{value:.1e}".replace("e-0", "e-").replace("-", "−")
    digits = 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 0.3 else 3
    return f"{round(value, digits) + 0.0:,.{digits}f}".replace("-", "−")  # adding zero makes -0.00 plain


def bracket(found: Json, scale: Number | None = None) -> str:
    """The interval alone, empty where the scores do not vary."""
    if found["estimate"] is None or found["low"] == found["high"]:
        return ""
    return f"[{number(found['low'], scale)}, {number(found['high'], scale)}]"


def interval(found: Json, scale: Number | None = None) -> str:
    """An estimate with its interval, or alone where the scores do not vary."""
    if found["estimate"] is None:
        return "–"
    scale = scale or max(abs(found[k]) for k in ("estimate", "low", "high"))
    return f"{number(found['estimate'], scale)} {bracket(found, scale)}".strip()


def margin(bounds: list[Number | None]) -> str:
    """The region in which an expectation puts its quantity."""
    low, high = bounds
    if low is not None and high is not None:
        return f"{low:.6g} to {high:.6g}".replace("-", "−")
    if low is not None:
        return "above 0" if 0 < low < 1e-300 else f"≥ {low:.6g}".replace("-", "−")
    return "below 0" if high is not None and -1e-300 < high < 0 else f"≤ {high:.6g}".replace("-", "−")


def duration(seconds: Number | None) -> str:
    """Seconds in words."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def laid_out(claim: Json) -> Json:
    """A claim with its table laid out: cases in rows, arms in columns; expectations of one wording together."""
    arms, paper = claim["arms"], claim["paper_value"]
    rows = [(case, [_cell(arms, paper, arm, case) for arm in arms]) for case in claim["cases"]]
    pooled = [_cell(arms, {}, arm, None) for arm in arms] if len(claim["cases"]) > 1 else []
    shown = [abs(cell["estimate"]) for _, cells in rows for cell in cells if cell["estimate"] is not None]
    groups = [list(group) for _, group in groupby(claim["expect"], key=lambda e: (e["says"], e["statistic"]))]
    return {**claim, "table": rows, "pooled": pooled, "scale": max(shown, default=1.0), "groups": groups}


def _shares(claims: list[Json], index: int) -> int | None:
    """The number of the first claim before this one whose table would be the same; None if there is none."""
    speaks_of = [(c["metric"], c["statistic"], list(c["arms"]), c["cases"]) for c in claims[: index + 1]]
    first = speaks_of.index(speaks_of[index])
    return first + 1 if first < index and claims[index]["cases"] else None


def _cell(arms: Json, paper: Json, arm: str, case: str | None) -> Json:
    found = arms[arm] if case is None else arms[arm]["cases"].get(case, {"estimate": None})
    return {**found, "paper": paper.get(arm, {}).get(case)}


def tally(group: list[Json]) -> str:
    """How the outcomes of several cases are spread."""
    return ", ".join(f"{count} {outcome}" for outcome, count in Counter(e["outcome"] for e in group).most_common())


@cache
def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("theodolite.core", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "number": number,
        "interval": interval,
        "bracket": bracket,
        "margin": margin,
        "duration": duration,
        "tally": tally,
    }
    globals_: dict[str, Any] = environment.globals
    globals_ |= {"badges": BADGES, "statistic_words": STATISTIC_WORDS}
    return environment.get_template("report.html.jinja")
