"""Figures of many questions: rows of panels, each a question under which stand the verdicts that answer it.

A panel's head is its question, a line for every claim that it shows, and the names of its marks: all above the data,
never over them. Heads of a row begin at one height.

    page(title, rows, scores)                    the figure; a row is its height in inches and its panels
    row(part, panels, scores), heads(whole, ...) the same by parts, for a figure that also draws other things
    pooled(scores, metric, arm, cases)           a statistic over cases with its interval, seeds resampled within each
    marks(axes, found, look, label)              estimates with their intervals along an axis
    logarithmic(axes)                            a logarithmic axis with few numbers
    dashes(axes.axhline, value, text)            a line that a reader compares with, and what it is
    stacked(rows)                                parts below each other that draw themselves; a row is (height, draw)
    named(part, look, title)                     the arms of a part, above it
"""

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullLocator
from matplotlib.transforms import blended_transform_factory

from theodolite.core import stats
from theodolite.core.figures import FAINT, INK, WIDTH, Look, style
from theodolite.core.judge import BADGES
from theodolite.core.scores import Scores

SMALL, LINE, TITLE = 8.0, 11.0, 12.6
"""Points: letters of a head but its question's, from one of its lines to the next, and from one of its question's."""
Found = tuple[float, float, float] | None
"""An estimate between the ends of its interval, if there is one."""


class Panel(NamedTuple):
    """A question and what draws its answer."""

    title: str
    """Empty if the head of the panel at its left is its own, too."""
    draw: Callable[[Axes, Scores], None]
    says: Mapping[str, str] = {}
    """What the claims that a panel shows say, in few words, by their ids."""
    share: float = 1.0
    """Of the width of its row."""
    flush: bool = False
    """Whether its head begins at the edge of the page, above the names of its rows."""


Row = list[tuple[Axes, Panel]]


@style()
def page(title: str, rows: Sequence[tuple[float, Sequence[Panel]]], scores: Scores) -> Figure:
    """Rows of panels below a line that says what all of them have in common."""
    heights = [height for height, _ in rows]
    whole = Figure(figsize=(WIDTH, sum(heights) + 0.3), layout=ConstrainedLayoutEngine(h_pad=0.06))
    whole.suptitle(title, x=0.01, ha="left", fontsize=9)
    parts = whole.subfigures(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0]
    drawn = [row(part, panels, scores) for part, (_, panels) in zip(parts, rows, strict=True)]
    heads(whole, drawn, scores)
    return whole


@style()
def stacked(rows: Sequence[tuple[float, Callable[[Any], None]]]) -> Figure:
    """Parts below each other, of a height in inches each, that draw themselves."""
    heights = [height for height, _ in rows]
    whole = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    parts = whole.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, (_, draw) in zip(parts, rows, strict=True):
        draw(part)
    return whole


def named(
    part: Any, look: Mapping[str, Look], arms: Iterable[str], title: str = "", *, line: Any = "none",
    size: float | None = None, **more: Any,
) -> None:  # fmt: skip
    """The arms of all panels of a part, above it and below its title; `line` and `size` are those of the marks."""
    marks = [
        Line2D([], [], color=look[a].colour, marker=look[a].marker, linestyle=line, markersize=size, label=a)
        for a in arms
    ]
    part.legend(handles=marks, title=title or None, loc="outside upper left", alignment="left", frameon=False,
                title_fontsize=10, **{"ncols": 3, "fontsize": 8.5, "columnspacing": 1.2, **more})  # fmt: skip


@style()
def row(part: Any, panels: Sequence[Panel], scores: Scores) -> Row:
    """The panels of one row, drawn but without heads; what is not there to be drawn leaves its panel empty."""
    shares = [panel.share for panel in panels]
    grid = list(part.subplots(1, len(panels), squeeze=False, width_ratios=shares).flat)
    for axes, panel in zip(grid, panels, strict=True):
        panel.draw(axes, scores)
    return list(zip(grid, panels, strict=True))


@style()
def heads(whole: Figure, rows: Sequence[Row], scores: Scores) -> None:
    """Questions, verdicts and names of marks above all panels that have a title, in lines as long as there is room."""
    engine: Any = whole.get_layout_engine()
    engine.execute(whole)  # from here on it is known how wide every panel is
    for drawn in rows:
        _heads([(axes, panel) for axes, panel in drawn if panel.title], scores, whole.dpi / 72)


def _heads(drawn: Row, scores: Scores, point: float) -> None:
    starts = [0.01 * WIDTH * 72 if panel.flush else axes.bbox.x0 / point for axes, panel in drawn]
    rooms = [end - start - 9 for start, end in zip(starts, [*starts[1:], WIDTH * 72], strict=True)]
    titles = [_wrapped(panel.title, room, 5.9) for (_, panel), room in zip(drawn, rooms, strict=True)]
    said = [_answers(panel, scores, room) for (_, panel), room in zip(drawn, rooms, strict=True)]
    names = [_names(axes, axes.bbox.width / point + 6) for axes, _ in drawn]
    above = max(LINE * (len(lines) + count) for lines, count in zip(said, names, strict=True))
    tallest = max(map(len, titles))
    for (axes, panel), title, lines in zip(drawn, titles, said, strict=True):
        top = above + TITLE * (tallest - len(title))
        part: Any = axes.get_figure(root=False)
        across: Any = part.transSubfigure if panel.flush else axes.transAxes
        left = 0.01 if panel.flush else 0.0
        question = axes.set_title("\n".join(title), pad=above + 5 + TITLE * tallest, va="top", x=left)
        question.set_transform(blended_transform_factory(across, question.get_transform()))
        text = axes.annotate("\n".join(lines), (left, 1), (0, top + 3), xycoords=(across, "axes fraction"), va="top",
                             textcoords="offset points", linespacing=1.25, fontsize=SMALL, color=INK)  # fmt: skip
        text.set_in_layout(False)


def _wrapped(text: str, points: float, letter: float) -> list[str]:
    return textwrap.wrap(text, max(12, int(points / letter)), break_on_hyphens=False)


def _answers(panel: Panel, scores: Scores, points: float) -> list[str]:
    """A line or more for every claim, behind its verdict if there is one."""
    said = {id: (scores.verdicts.get(id), text) for id, text in panel.says.items()}
    texts = [f"{BADGES[verdict]} {verdict.upper()}  {text}" if verdict else text for verdict, text in said.values()]
    return [line for text in texts for line in _wrapped(text, points, 4.3)]


def _names(axes: Axes, points: float) -> int:
    """Name the labelled marks of a panel right above it; returns how many lines that takes."""
    labels = axes.get_legend_handles_labels()[1]
    if not labels:
        return 0
    lines = next(n for n in range(1, len(labels) + 1) if n == len(labels) or _wide(labels, n) < points)
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=-(-len(labels) // lines), frameon=False, fontsize=SMALL,
        labelcolor=FAINT, handlelength=1.4, handletextpad=0.4, columnspacing=1.2, labelspacing=0.25, borderpad=0.1,
        borderaxespad=0.1,
    ).set_in_layout(False)  # fmt: skip
    return lines


def _wide(labels: Sequence[str], lines: int) -> float:
    """Points that names take in columns of so many lines."""
    columns = [labels[i : i + lines] for i in range(0, len(labels), lines)]
    return sum(24 + 4.0 * max(map(len, column)) for column in columns)


def pooled(scores: Scores, metric: str, arm: str, cases: Sequence[str], statistic: str = "mean") -> Found:
    """The statistic over cases with its interval, seeds resampled within each; cases that are not finite left out."""
    columns = [np.array(list(scores.by_seed(metric, arm, case).values())) for case in cases]
    columns = [c for c in columns if len(c) and np.isfinite(c).all()]
    if not columns:
        return None
    found = stats.bootstrap(columns, statistic, np.random.default_rng(0), draws=2_000)
    return (found.estimate, *found.interval())


def marks(
    axes: Axes, found: Sequence[tuple[float, Found]], look: Look, label: str = "", *, line: str = "-",
    power: bool = False,
) -> None:  # fmt: skip
    """Estimates with their intervals along an axis, joined unless `line` is empty; logarithms are raised by `power`."""
    points = [(x, *e) for x, e in found if e is not None]
    if not points:
        return
    x, middle, low, high = np.array(points).T
    if power:
        middle, low, high = 10**middle, 10**low, 10**high
    axes.vlines(x, low, high, color=look.colour, linewidth=1.5)
    axes.plot(x, middle, look.marker, linestyle=line or "none", color=look.colour, markersize=5, linewidth=1,
              label=label)  # fmt: skip


def apart(index: int, count: int, width: float) -> float:
    """How far to the side the marks of one of several arms are drawn, so that their intervals do not overlap."""
    return width * (index - (count - 1) / 2)


def dashes(draw: Callable[..., Any], value: float, text: str = "") -> None:
    """The line `draw` makes, `axes.axhline` or `axes.axvline`; a text stands at the right end of a level one."""
    line = draw(value, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1.5)
    if text:
        line.axes.annotate(text, (1, value), (0, 2), xycoords=line.axes.get_yaxis_transform(), ha="right",
                           textcoords="offset points", fontsize=7.5, color=FAINT)  # fmt: skip


def logarithmic(axes: Axes, between: bool = False, form: Callable[..., str] | None = None) -> None:
    """A logarithmic axis with numbers at powers of ten; `between` adds 2 and 5 times them, for a short range."""
    axes.set_yscale("log")
    axes.yaxis.set_minor_locator(NullLocator())
    if between:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(form or LogFormatterSciNotation(minor_thresholds=(9, 9)))
