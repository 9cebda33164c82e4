"""Figures: one style, drawn from scores, the same bytes for the same scores.

Colours are told apart by colour-blind readers, and arms also by marker, and an arm looks the same in every row; names
stand in a line above the panels or beside the curves, never in a box over the data; the source's own numbers are hollow
diamonds. Judged claims are titles behind their verdict, since what they say may be wrong. Matplotlib's object interface
only, so nothing is global.

    of_item(item, scores)  =  of_claims(claims, scores)  what `run` draws unless an item draws something of its own
    dots(axes, ...), curves(axes, ...), name_arms(...)   the parts, for an item's own figure, inside `with style():`
"""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from io import BytesIO
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from theodolite.core import stats
from theodolite.core.claim import Claim, Item
from theodolite.core.files import write_bytes
from theodolite.core.judge import BADGES, estimate
from theodolite.core.scores import Scores, natural
from theodolite.core.svg import slim

INK, FAINT, GRID, BACKGROUND = "#1f262e", "#5d6873", "#e4e8eb", "#ffffff"
COLOURS = ("#0063a6", "#c8500a", "#00805e", "#8f3a84", "#857000", "#3f93cc", "#5b6570", "#b3344a")
REFERENCES = {"random": "#8b959e", "expert": "#2b333b"}
"""Arms that frame the others are grey."""
MARKERS = ("o", "s", "^", "v", "P", "X", "h", "p")  # no diamonds: those are the source's
WIDTH = 8.4
"""Inches: one column of a page."""
CLOSE = 0.2
"""Share of the gap between two numbers over which the arms of one number are spread, less where gaps are wide."""
SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 9, "text.color": INK,
    "axes.titlesize": 9.5, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlepad": 7,
    "axes.edgecolor": FAINT, "axes.linewidth": 0.8, "axes.labelcolor": FAINT, "axes.titlecolor": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False,
    "axes.axisbelow": True, "axes.grid": True, "grid.color": GRID, "grid.linewidth": 0.9,
    "xtick.color": FAINT, "ytick.color": FAINT, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
    "xtick.major.size": 0, "ytick.major.size": 0, "xtick.major.pad": 5,
    "lines.solid_capstyle": "round", "figure.facecolor": BACKGROUND, "figure.dpi": 100,
    "axes.formatter.limits": (-3, 5), "axes.formatter.use_mathtext": True,
    "svg.hashsalt": "theodolite", "svg.fonttype": "path",
}  # fmt: skip


class Look(NamedTuple):
    """How an arm is drawn, the same in every panel."""

    colour: str
    marker: str


@contextmanager
def style() -> Iterator[None]:
    """Our style and nothing of the reader's own settings; also a decorator, `@style()`."""
    defaults = {k: v for k, v in matplotlib.rcParamsDefault.items() if not k.startswith("backend")}
    with matplotlib.rc_context({**defaults, **SETTINGS}):
        yield


def looks(arms: Iterable[str]) -> dict[str, Look]:
    """A colour and a marker for each arm, in order."""
    arms = list(dict.fromkeys(arms))
    others = [arm for arm in arms if arm not in REFERENCES]
    found = {arm: Look(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, arm in enumerate(others)}
    return {arm: found.get(arm) or Look(REFERENCES[arm], "_") for arm in arms}


def shared_looks(claims: Iterable[Claim]) -> dict[str, Look]:
    """One look per arm over several claims; arms of one claim never look alike while there are looks enough."""
    found: dict[str, Look] = {}
    plain = [Look(*pair) for pair in zip(COLOURS, MARKERS, strict=True)]
    for claim in claims:
        used = list(found.values())
        here = [found[arm] for arm in claim.arms if arm in found]
        free = sorted((look for look in plain if look not in here), key=used.count) or plain
        fresh = [arm for arm in claim.arms if arm not in found and arm not in REFERENCES]
        found |= dict(zip(fresh, cycle(free), strict=False))
    return found | {arm: Look(colour, "_") for arm, colour in REFERENCES.items()}


def panels_of(cases: Iterable[str]) -> dict[str, list[str]]:
    """Cases by panel, in the order given: "CartPole/4" is level 4 of panel CartPole."""
    grouped: dict[str, list[str]] = {}
    for case in dict.fromkeys(cases):
        grouped.setdefault(case.partition("/")[0], []).append(case)
    return grouped


def of_item(item: Item, scores: Scores) -> Figure:
    """What the item draws of its scores, or every claim in the common way."""
    return item.figure(scores) if item.figure else of_claims(item.claims, scores)


def titled(claim: Claim, scores: Scores) -> str:
    """The claim behind its verdict, as `theodolite run` prints it; the claim alone where nothing was judged."""
    verdict = scores.verdicts.get(claim.id)
    return f"{BADGES[verdict]} {verdict.upper()}  {claim.text}" if verdict else claim.text


@style()
def of_claims(claims: Sequence[Claim], scores: Scores) -> Figure:
    """One row of panels per claim: estimates with their intervals, the source's numbers, the bars."""
    drawn = [claim for claim in claims if _panels(claim, scores)]
    drawn = list({(c.metric, c.arms, c.cases): c for c in reversed(drawn)}.values())[::-1]
    if not drawn:
        raise ValueError("none of the claims has scores to draw")
    heights = [_height(claim, scores) for claim in drawn]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    parts = figure.subfigures(len(drawn), 1, height_ratios=heights, squeeze=False)[:, 0]
    look = shared_looks(drawn)
    for part, claim in zip(parts, drawn, strict=True):
        _claim_row(part, claim, scores, look)
    return figure


def _panels(claim: Claim, scores: Scores) -> dict[str, list[str]]:
    present = scores.cases(claim.metric, claim.arms)
    if claim.cases is None:
        return panels_of(sorted(present, key=natural))
    return panels_of(case for case in claim.cases if case in present)


def _height(claim: Claim, scores: Scores) -> float:
    panels = _panels(claim, scores)
    rows = -(-len(panels) // 3)
    levels = max(map(len, panels.values())) > 1
    return 0.87 + rows * (2.6 if levels else 0.55 + 0.27 * len(claim.arms))


def _claim_row(part: Any, claim: Claim, scores: Scores, look: dict[str, Look]) -> None:
    panels = _panels(claim, scores)
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    levels = max(map(len, panels.values())) > 1
    share = _comparable(claim, scores, panels)
    grid = part.subplots(rows, columns, squeeze=False, sharey=not levels or share, sharex=not levels and share)
    for axes, (panel, cases) in zip(grid.flat, panels.items(), strict=False):
        (dots if levels else rows_of_dots)(axes, claim, scores, cases, look)
        axes.set_title(panel)
    for spare in list(grid.flat)[len(panels) :]:
        spare.remove()
    unit = claim.unit or claim.metric
    (grid[0, 0].set_ylabel if levels else grid[-1, 0].set_xlabel)(unit)
    _heading(part, claim, titled(claim, scores), look if levels else {})
    if levels and claim.level:
        for axes in list(grid.flat)[: len(panels)]:
            axes.set_xlabel(claim.level)


def _comparable(claim: Claim, scores: Scores, panels: dict[str, list[str]]) -> bool:
    """Whether the panels' scores are of one order, so that a common axis helps and does not flatten."""
    spans = []
    for cases in panels.values():
        values = [v for a in claim.arms for c in cases for v in scores.by_seed(claim.metric, a, c).values()]
        finite = np.array([v for v in values if np.isfinite(v)] or [0.0])
        spans.append(max(float(np.ptp(finite)), float(np.abs(finite).max()), 1e-12))
    return max(spans) <= 4 * min(spans)


def _is_number(level: str) -> bool:
    try:
        float(level)
    except ValueError:
        return False
    return True


def _offsets(arms: Sequence[str], width: float) -> dict[str, float]:
    middle = (len(arms) - 1) / 2
    return {arm: (i - middle) * width / max(1, len(arms)) for i, arm in enumerate(arms)}


@style()
def dots(axes: Axes, claim: Claim, scores: Scores, cases: Sequence[str], look: dict[str, Look] | None = None) -> None:
    """Estimates over the levels of one panel, arms side by side, with 95% intervals and the source's numbers.

    Where levels are numbers arms stand almost above each other and lines join them: a mark must not seem to be of
    another level. Arms that frame the others, `random` and `expert`, are dashes across each level.
    """
    look = look or looks(claim.arms)
    ordered = len(cases) > 1 and all(_is_number(case.partition("/")[2]) for case in cases)
    beside = [arm for arm in claim.arms if arm not in REFERENCES]
    shift = dict.fromkeys(REFERENCES, 0.0) | _offsets(beside, CLOSE * min(1, len(cases) / 6) if ordered else 0.72)
    seen = False
    for arm in claim.arms:
        found = [(x + shift[arm], estimate(claim, scores, arm, case)) for x, case in enumerate(cases)]
        points = np.array([(x, *e) for x, e in found if e is not None])
        if not len(points):
            continue
        seen = True
        x, middle, low, high = points.T
        colour, marker = look[arm]
        dash = marker == "_"
        axes.plot(x, middle, color=colour, linewidth=0.9, alpha=0.55 if ordered else 0.3, zorder=2)
        axes.vlines(x, low, high, color=colour, linewidth=1.6, zorder=3)
        axes.plot(x, middle, marker, color=colour, markersize=18 if dash else 5.5, markeredgewidth=1.6 * dash, zorder=4)
        source = [] if dash else [(x + shift[arm], claim.paper_values.get((arm, case))) for x, case in enumerate(cases)]
        _diamonds(axes, [(x, v) for x, v in source if isinstance(v, int | float)], colour)
    if seen:
        _bars(axes.axhline, claim, cases)
    else:
        axes.text(0.5, 0.5, "no valid scores", transform=axes.transAxes, ha="center", va="center", color=FAINT)
        axes.set_yticks([])
    axes.set_xticks(range(len(cases)), [case.partition("/")[2] or case for case in cases])
    axes.set_xlim(-0.5, len(cases) - 0.5)
    axes.grid(visible=False, axis="x")
    axes.margins(y=0.08)


@style()
def rows_of_dots(
    axes: Axes, claim: Claim, scores: Scores, cases: Sequence[str], look: dict[str, Look] | None = None
) -> None:
    """Estimates of one case, an arm per row, with 95% intervals and the source's numbers."""
    look = look or looks(claim.arms)
    for y, arm in enumerate(claim.arms):
        found = estimate(claim, scores, arm, cases[0])
        colour, marker = look[arm]
        if found is not None:
            axes.hlines(y, found[1], found[2], color=colour, linewidth=1.6, zorder=3)
            axes.plot(
                found[0], y, marker, color=colour, markersize=5.5, markeredgewidth=1.6 * (marker == "_"), zorder=4
            )
        value = claim.paper_values.get((arm, cases[0]))
        _diamonds(axes, [(value, y)] if isinstance(value, int | float) else [], colour)
    _bars(axes.axvline, claim, cases)
    axes.set_yticks(range(len(claim.arms)), claim.arms)
    axes.set_ylim(len(claim.arms) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.08)


def _diamonds(axes: Axes, points: Sequence[tuple[float, float]], colour: str) -> None:
    for x, y in points:
        axes.plot(
            x,
            y,
            "D",
            markersize=7.5,
            markerfacecolor="none",
            markeredgecolor=colour,
            markeredgewidth=0.8,
            alpha=0.75,
            zorder=2.5,
        )


def _bars(draw: Any, claim: Claim, cases: Sequence[str]) -> None:
    plain = [e for e in claim.expect if e.than is None and any(fnmatchcase(c, p) for c in cases for p in e.cases)]
    for edge in sorted({edge for e in plain for edge in (e.low, e.high) if np.isfinite(edge)}):
        draw(edge, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1.5)


@style()
def name_arms(axes: Axes, heights: dict[str, float], look: dict[str, Look], points: float | None = None) -> None:
    """Write each arm's name right of a panel, near the height where it ends, without overlap.

    `points` is the panel's height once it is laid out, if heads above it will take much of what it has now.
    """
    bottom, top = axes.get_ylim()
    figure: Any = axes.get_figure(root=True)
    points = points or axes.bbox.height * 72 / figure.dpi
    gap = 12 / points * (top - bottom)
    at = axes.get_yaxis_transform()
    for arm, y in _spread(heights, gap, bottom, top).items():
        colour, marker = look[arm]
        indent = 0.05 if marker else 0.0
        axes.plot(1.045, y, marker, transform=at, clip_on=False, color=colour, markersize=5, markeredgewidth=1.6)
        axes.text(1.03 + indent, y, arm, transform=at, va="center", color=colour, fontsize=9)


def _spread(heights: dict[str, float], gap: float, bottom: float, top: float) -> dict[str, float]:
    """Heights moved as little as keeps them `gap` apart and between the ends."""
    names = sorted(heights, key=lambda a: heights[a])
    places = np.array([heights[a] for a in names], dtype=float)
    for _ in range(200):
        for i in range(len(places) - 1):
            overlap = gap - (places[i + 1] - places[i])
            if overlap > 0:
                places[i] -= overlap / 2
                places[i + 1] += overlap / 2
        if len(places):
            places += max(0.0, bottom - places[0]) - max(0.0, places[-1] - top)
    return dict(zip(names, places.tolist(), strict=True))


def _heading(part: Any, claim: Claim, title: str, look: dict[str, Look]) -> None:
    """The claim, and under it what every mark of its row means; without looks, arms are named elsewhere."""
    marks = [_mark(arm, *look[arm]) for arm in claim.arms if look]
    marks.append(
        Line2D([], [], color=INK, linewidth=0, marker="|", markersize=9, markeredgewidth=1.6, label="95% interval")
    )
    if any(isinstance(v, int | float) for v in claim.paper_values.values()):
        marks.append(_mark(f"the {claim.source}'s number", INK, "D", markersize=6, markerfacecolor="none"))
    if any(e.than is None for e in claim.expect):
        marks.append(Line2D([], [], color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)), label="margin"))
    lines = -(-sum(len(str(mark.get_label())) + 7 for mark in marks) // 125)  # as many as a row of the page takes
    part.legend(
        handles=marks, title=textwrap.fill(title, 108), loc="outside upper left", ncols=-(-len(marks) // lines),
        alignment="left", frameon=False, fontsize=8.5, title_fontsize=10, labelcolor=FAINT, handlelength=1.3,
        handletextpad=0.4, columnspacing=1.4, borderaxespad=0.0, borderpad=0.5,
    )  # fmt: skip


def _mark(label: str, colour: str, marker: str, **options: Any) -> Line2D:
    wide: dict[str, Any] = {"markersize": 10, "markeredgewidth": 1.8} if marker == "_" else {"markersize": 5}
    return Line2D([], [], color=colour, marker=marker, linewidth=0, label=label, **{**wide, **options})


@style()
def curves(axes: Axes, scores: Scores, name: str, arms: Sequence[str], case: str, statistic: str = "iqm") -> None:
    """Learning curves of one case: the statistic over seeds, and a 95% band from the bootstrap at every step."""
    look, ends = looks(arms), {}
    for arm in arms:
        runs = list(scores.curves(name, arm, case).values())
        if not runs:
            continue
        length = min(len(values) for _, values in runs)
        steps = np.array(runs[0][0][:length])
        values = np.array([run[1][:length] for run in runs])
        generator = np.random.default_rng(0)
        bands = [stats.bootstrap([column], statistic, generator, draws=2_000) for column in values.T]
        low, high = np.array([b.interval() for b in bands]).T
        middle = [b.estimate for b in bands]
        axes.fill_between(steps, low, high, color=look[arm].colour, alpha=0.16, linewidth=0, zorder=2)
        axes.plot(steps, middle, color=look[arm].colour, linewidth=1.6, zorder=3)
        ends[arm] = middle[-1]
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.margins(x=0)
    name_arms(axes, ends, {arm: one._replace(marker="") for arm, one in look.items()})


@style()
def save(figure: Figure, stem: Path) -> None:
    """Write `stem`.svg and `stem`.png, without date, so that equal figures give equal bytes."""
    FigureCanvasAgg(figure)
    for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        if kind == "svg":  # which keeps pixels as they are, for the reader's browser to enlarge
            for shown in figure.findobj(AxesImage):
                if shown.get_interpolation() == "lanczos":
                    shown.set_interpolation("none")
        content = BytesIO()
        figure.savefig(content, format=kind, metadata=metadata, dpi=160)
        drawn = content.getvalue()
        write_bytes(stem.with_suffix(f".{kind}"), slim(drawn) if kind == "svg" else drawn)
