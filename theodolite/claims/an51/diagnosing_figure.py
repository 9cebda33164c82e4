"""The figure of diagnosing: a panel per error source, each with the question that it answers."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from theodolite.claims.an51.diagnosing_arms import ALL_SCHEMES, ALPHAS, NEW, SAMPLERS, STOPS
from theodolite.core.scores import Scores, natural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NETS = ("table", "4 4", "16 16", "64 64", "256 256")
RETURN, LOSS = "return (1: soft-optimal policy)", "squared Bellman error"
HEIGHT = 2.75
"""Inches of a row of two panels."""


def figure(scores: Scores) -> "Figure":
    """Eight panels, two a row."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    from theodolite.core import figures  # matplotlib loads slowly, and worker processes do without

    panels: tuple[tuple[str, Callable[..., None]], ...] = (
        ("Do wider networks return more?", _widths), ("Is it bias that hurts the small ones?", _excess),
        ("Do slow targets help?", _slow), ("Which weighting of the table is best?", _weightings),
        ("Does more data lower the loss?", _samples), ("How many gradient steps per iteration?", _steps),
        ("Which way to draw from the buffer?", _samplers), ("Do larger tasks over-fit less?", _sizes),
    )  # fmt: skip
    with figures.style():
        whole = Figure(
            figsize=(figures.WIDTH, HEIGHT * (len(panels) // 2)),
            layout=ConstrainedLayoutEngine(wspace=0.06, hspace=0.06),
        )
        whole.suptitle("Fitted Q-iteration with one source of error at a time: means over seeds and domains, upright "
                       "lines are 95% intervals", x=0.01, ha="left", fontsize=9)  # fmt: skip
        grid = whole.subplots(len(panels) // 2, 2)
        for axes, (title, draw) in zip(grid.flat, panels, strict=True):
            axes.set_title(title)
            draw(axes, scores)
    return whole


def _pooled(scores: Scores, metric: str, arm: str, cases: Sequence[str]) -> tuple[float, float, float] | None:
    """Mean over cases with its interval, seeds resampled within each."""
    from theodolite.core import stats

    columns = [np.array(list(scores.by_seed(metric, arm, case).values())) for case in cases]
    columns = [c for c in columns if len(c) and np.isfinite(c).all()]
    if not columns:
        return None
    found = stats.bootstrap(columns, "mean", np.random.default_rng(0), draws=2_000)
    return (found.estimate, *found.interval())


def _line(axes: "Axes", found: Sequence[tuple[float, Any]], look: Any, label: str, power: bool = False) -> None:
    """Estimates with their intervals along an axis."""
    points = [(x, *e) for x, e in found if e is not None]
    if not points:
        return
    x, middle, low, high = np.array(points).T
    if power:
        middle, low, high = 10**middle, 10**low, 10**high
    axes.vlines(x, low, high, color=look.colour, linewidth=1.5)
    axes.plot(x, middle, look.marker + "-", color=look.colour, markersize=4.5, linewidth=1, label=label)


def _cases(scores: Scores, metric: str, arm: str, panel: str = "") -> list[str]:
    """The cases that an arm has, below a panel if one is named, or plain ones."""
    found = scores.cases(metric, [arm])
    return [c for c in found if c.startswith(panel + "/")] if panel else [c for c in found if "/" not in c]


def _key(axes: "Axes", **options: Any) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=7.5, handlelength=1.4, labelspacing=0.3, **options)


def _by_width(axes: "Axes", scores: Scores, metric: str) -> None:
    from theodolite.core import figures

    nets = [net for net in NETS if scores.cases(metric, [net])]
    domains = sorted({case for net in nets for case in _cases(scores, metric, net)}, key=natural)
    look = figures.looks(domains)
    for domain in domains:
        found = [(i, _pooled(scores, metric, net, [domain])) for i, net in enumerate(nets)]
        _line(axes, found, look[domain], domain)
    axes.set_xticks(range(len(nets)), [net if net == "table" else f"({net.replace(' ', ', ')})" for net in nets])
    axes.set_xlabel("units of the two hidden layers")


def _widths(axes: "Axes", scores: Scores) -> None:
    _by_width(axes, scores, "late_return")
    axes.set_ylabel(RETURN)
    _key(axes)


def _excess(axes: "Axes", scores: Scores) -> None:
    _by_width(axes, scores, "excess")
    axes.set_ylabel("error beyond the best fit to Q*")
    axes.axhline(0, color="#5d6873", linewidth=0.8, linestyle=(0, (4, 3)))


def _slow(axes: "Axes", scores: Scores) -> None:
    from theodolite.core import figures

    arms = [f"α = {alpha:g}" for alpha in ALPHAS]
    nets = sorted({c.partition("/")[0] for c in scores.cases("late_return", arms)}, key=natural)
    look = figures.looks(nets)
    for net in nets:
        found = [(i, _pooled(scores, "late_return", arm, _cases(scores, "late_return", arm, net)))
                 for i, arm in enumerate(arms)]  # fmt: skip
        _line(axes, found, look[net], f"network ({net.replace(' ', ', ')})")
    axes.set_xticks(range(len(arms)), [f"{alpha:g}" for alpha in ALPHAS])
    axes.set_xlabel("α: share of the new target, 1 is all")
    axes.set_ylabel(RETURN)
    _key(axes)


def _weightings(axes: "Axes", scores: Scores) -> None:
    """Return against entropy; how fast the weights shift is the size of the dot."""
    from theodolite.core import figures

    look = figures.looks(ALL_SCHEMES)
    spots = []
    for arm in ALL_SCHEMES:
        cases = [c for c in _cases(scores, "entropy", arm) if scores.by_seed("shift", arm, c)]
        place, paid, moved = (_pooled(scores, m, arm, cases) for m in ("entropy", "late_return", "shift"))
        if place is None or paid is None or moved is None:
            continue
        x, (y, low, high), size = place[0], paid, moved[0]
        axes.vlines(x, low, high, color=look[arm].colour, linewidth=1.3)
        axes.scatter(x, y, s=18 + 240 * size, color=look[arm].colour, alpha=0.85, linewidths=0)
        spots.append((y, x, arm))
    for i, (y, x, arm) in enumerate(sorted(spots)):  # to alternate sides keeps names apart
        side = 1 if i % 2 else -1
        axes.annotate(arm, (x, y), (7 * side, 0), textcoords="offset points", ha="left" if side > 0 else "right",
                      va="center", fontsize=7.5, color=look[arm].colour)  # fmt: skip
    axes.margins(x=0.25, y=0.12)
    axes.set_xlabel("entropy of weights (large dots shift fast)")
    axes.set_ylabel(RETURN)


def _samples(axes: "Axes", scores: Scores) -> None:
    from theodolite.core import figures

    look = figures.looks(NEW)
    for kind, numbers in NEW.items():
        arms = [(num, f"{kind} {num}") for num in numbers]
        found = [(num, _pooled(scores, "log_validation", arm, _cases(scores, "log_validation", arm)))
                 for num, arm in arms]  # fmt: skip
        label = "of the current policy only" if kind == "on-policy" else "into a replay buffer"
        _line(axes, found, look[kind], label, power=True)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sorted({n for numbers in NEW.values() for n in numbers}))
    axes.get_xaxis().set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()
    axes.set_xlabel("new samples per iteration")
    axes.set_ylabel("validation loss, share of Q*²")
    _key(axes)


def _steps(axes: "Axes", scores: Scores) -> None:
    from theodolite.core import figures

    numbers = sorted(int(a.split()[0]) for a in scores.arms("late_return") if a.endswith(" steps") and a[0].isdigit())
    look = figures.looks((*NEW, *STOPS))
    for kind in NEW:
        found = [(num, _pooled(scores, "late_return", f"{num} steps",
                               _cases(scores, "late_return", f"{num} steps", kind))) for num in numbers]  # fmt: skip
        _line(axes, found, look[kind], "current policy, 32 new" if kind == "on-policy" else "replay, 32 new")
        for arm, face in (("oracle", "none"), ("held out", look[kind].colour)):
            at = _pooled(scores, "late_return", arm, _cases(scores, "late_return", arm, kind))
            if at is not None and numbers:
                axes.plot(numbers[-1] * (1.6 if arm == "oracle" else 2.4), at[0], "*", color=look[kind].colour,
                          markerfacecolor=face, markersize=9)  # fmt: skip
    axes.plot([], [], "*", color=figures.INK, markerfacecolor="none", markersize=8, label="oracle's stop", linewidth=0)
    axes.plot([], [], "*", color=figures.INK, markersize=8, label="held-out stop", linewidth=0)
    axes.set_xscale("log", base=2)
    axes.set_xticks(numbers, [str(n) for n in numbers])
    axes.minorticks_off()
    axes.set_xlabel("steps per iteration (stars: best of a fit kept)")
    axes.set_ylabel(RETURN)
    _key(axes)


def _samplers(axes: "Axes", scores: Scores) -> None:
    from theodolite.core import figures

    arms = [arm for arm in SAMPLERS if scores.cases("late_return", [arm])]
    domains = sorted({c for arm in arms for c in _cases(scores, "late_return", arm)}, key=natural)
    look = figures.looks(SAMPLERS)
    for i, arm in enumerate(arms):
        for j, domain in enumerate(domains):
            at = _pooled(scores, "late_return", arm, [domain])
            if at is None:
                continue
            y = j + 0.2 * (i - (len(arms) - 1) / 2)
            axes.hlines(y, at[1], at[2], color=look[arm].colour, linewidth=1.5)
            axes.plot(at[0], y, look[arm].marker, color=look[arm].colour, markersize=4.5, label="" if j else arm)
    axes.set_yticks(range(len(domains)), domains)
    axes.set_ylim(len(domains) - 0.4, -0.6 - 0.42 * len(arms))
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(RETURN)
    _key(axes, loc="upper left")


def _sizes(axes: "Axes", scores: Scores) -> None:
    from theodolite.core import figures

    arms = sorted((a for a in scores.arms("more_steps") if a.startswith("grid ")), key=natural)
    nets = sorted({c for arm in arms for c in scores.cases("more_steps", [arm])}, key=natural)
    look = figures.looks([f"{metric} {net}" for net in nets for metric in ("more_steps", "gap")])
    for net in nets:
        for metric, label in (("more_steps", "return gained by ten times the steps"),
                              ("gap", "log10 validation / training loss")):  # fmt: skip
            found = [(i, _pooled(scores, metric, arm, [net])) for i, arm in enumerate(arms)]
            _line(axes, found, look[f"{metric} {net}"], f"{label}, ({net.replace(' ', ', ')})")
    axes.axhline(0, color="#5d6873", linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_xticks(range(len(arms)), [f"{a.split()[1]} x {a.split()[1]}" for a in arms])
    axes.set_xlabel("cells of the grid")
    _key(axes)
