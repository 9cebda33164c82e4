"""The figure of PreQN: what diverges and why, what the step mends, and what it costs."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from theodolite.claims.an51 import preqn_control, preqn_cost, preqn_tabular, preqn_theory
from theodolite.core.scores import Scores, natural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = {
    "PreQN": "#0063a6", "PreQN, no line search": "#3f93cc", "PreQN, relu": "#8f3a84",
    "PreQN, right across": "#2b8a99", "PreQN, still across": "#6a4fb0", "no preconditioning": "#c8500a",
    "DDPG, no target": "#b3344a", "DDPG": "#857000", "TD3": "#00805e", "SAC": "#5b6570",
}  # fmt: skip
CHOOSING = {"PreQ-DQN": "#0063a6", "DQN, no target": "#b3344a", "DQN": "#00805e"}
NETS = {"relu": "#b3344a", "tanh": "#857000", "sin": "#0063a6"}
HEIGHT = 2.75
"""Inches of a row of two panels."""


def figure(scores: Scores) -> "Figure":
    """Ten panels, two a row."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    from theodolite.core import figures  # matplotlib loads slowly, and worker processes do without

    panels: tuple[tuple[str, Callable[..., None]], ...] = (
        ("Learning without a target network", _curves), ("What was learned", _finals),
        ("Where actions are choices: CartPole", _choices), ("Which shapes diverge?", _shapes),
        ("Does β tell what diverges?", _bands), ("Which networks generalise most?", _ratios),
        ("Whole tables as batches", _tables), ("Off the batch", _off_batch),
        ("Which damping is best?", _damping), ("What does a step cost?", _cost),
    )  # fmt: skip
    with figures.style():
        whole = Figure(
            figsize=(figures.WIDTH, HEIGHT * (len(panels) // 2)),
            layout=ConstrainedLayoutEngine(wspace=0.06, hspace=0.06),
        )
        whole.suptitle("PreQN: a critic's step that moves its batch as a table would move; bands and bars are 95% "
                       "intervals over seeds", x=0.01, ha="left", fontsize=9)  # fmt: skip
        grid = whole.subplots(len(panels) // 2, 2)
        for axes, (title, draw) in zip(grid.flat, panels, strict=True):
            axes.set_title(title)
            draw(axes, scores)
    return whole


def _estimate(values: Sequence[np.ndarray], statistic: Any = "mean") -> tuple[float, float, float] | None:
    """The statistic of finite scores with its interval, seeds resampled within each case."""
    from theodolite.core import stats

    columns = [c for c in values if len(c) and np.isfinite(c).all()]
    if not columns:
        return None
    found = stats.bootstrap(columns, statistic, np.random.default_rng(0), draws=2_000)
    return (found.estimate, *found.interval())


def _scores(scores: Scores, metric: str, arm: str, case: str) -> np.ndarray:
    return np.array(list(scores.by_seed(metric, arm, case).values()))


def _key(axes: "Axes", **options: Any) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=7.5, handlelength=1.4, labelspacing=0.3, **options)


def _spots(axes: "Axes", found: Sequence[tuple[float, Any]], colour: str, marker: str, label: str = "") -> None:
    """Estimates with their intervals along an axis, joined by a faint line."""
    points = [(x, *e) for x, e in found if e is not None]
    if not points:
        return
    x, middle, low, high = np.array(points).T
    axes.vlines(x, low, high, color=colour, linewidth=1.5)
    axes.plot(x, middle, marker + "-", color=colour, markersize=4.5, linewidth=1, label=label)


def _curves(axes: "Axes", scores: Scores) -> None:
    """Return while learning on the first task, every arm."""
    task = "Pendulum"
    for arm, colour in SHOWN.items():
        runs = list(scores.curves("return", arm, task).values())
        if not runs:
            continue
        length = min(len(values) for _, values in runs)
        steps, values = np.array(runs[0][0][:length]), np.array([r[1][:length] for r in runs])
        ours = arm == "PreQN"
        if ours:
            axes.fill_between(steps, values.min(0), values.max(0), color=colour, alpha=0.15, linewidth=0)
        axes.plot(steps, values.mean(0), color=colour, linewidth=2.2 if ours else 1.1, label=arm)
    axes.set_xlabel(f"steps in {preqn_control.TASKS[task].id} (names at the right)")
    axes.set_ylabel("return with exploration")
    axes.get_xaxis().set_major_formatter(lambda value, _: f"{value / 1000:g}k" if value else "0")


def _finals(axes: "Axes", scores: Scores) -> None:
    """Scores of the noiseless policy in the end: an arm per row, also the key of the panel beside."""
    tasks = [t for t in preqn_control.TASKS if scores.cases("score", preqn_control.ARMS) and any(
        len(_scores(scores, "score", arm, t)) for arm in preqn_control.ARMS)]  # fmt: skip
    arms = [arm for arm in SHOWN if any(len(_scores(scores, "score", arm, t)) for t in tasks)]
    for y, arm in enumerate(arms):
        for task, marker in zip(tasks, "os^", strict=False):
            own = _scores(scores, "score", arm, task)
            at = _estimate([own], "iqm")
            if at is None:
                continue
            place = y + 0.22 * (tasks.index(task) - (len(tasks) - 1) / 2)
            axes.plot(own, np.full(len(own), place), "|", color=SHOWN[arm], alpha=0.45, markersize=7)
            axes.hlines(place, at[1], at[2], color=SHOWN[arm], linewidth=1.6)
            axes.plot(at[0], place, marker, color=SHOWN[arm], markersize=5.5, label=task if not y else "")
    axes.set_yticks(range(len(arms)), arms)
    for label, arm in zip(axes.get_yticklabels(), arms, strict=True):
        label.set_color(SHOWN[arm])
    axes.set_ylim(len(arms) - 0.4, -0.6)
    axes.axvline(1, color="#5d6873", linewidth=0.8, linestyle=(0, (4, 3)))
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("score of the policy without noise (1: solved)")
    if len(tasks) > 1:
        _key(axes, loc="lower right")


def _choices(axes: "Axes", scores: Scores) -> None:
    """Scores of the greedy policy, and how many seeds diverged."""
    for y, (arm, colour) in enumerate(CHOOSING.items()):
        own, gone = (_scores(scores, metric, arm, "CartPole") for metric in ("score", "diverged"))
        at = _estimate([own], "iqm")
        if at is None:
            continue
        axes.plot(own, np.full(len(own), y), "|", color=colour, alpha=0.45, markersize=9)
        axes.hlines(y, at[1], at[2], color=colour, linewidth=1.8)
        axes.plot(at[0], y, "o", color=colour, markersize=6)
        said = f"{int(gone.sum())} of {len(gone)} diverged"
        place = {"xy": (0.02, y - 0.3), "xycoords": ("axes fraction", "data")}
        axes.annotate(said, **place, fontsize=7.5, color=colour, va="center")
    axes.set_yticks(range(len(CHOOSING)), list(CHOOSING))
    for label, colour in zip(axes.get_yticklabels(), CHOOSING.values(), strict=True):
        label.set_color(colour)
    axes.set_ylim(len(CHOOSING) - 0.4, -0.6)
    axes.axvline(1, color="#5d6873", linewidth=0.8, linestyle=(0, (4, 3)))
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("score of the greedy policy (1: solved)")


def _shapes(axes: "Axes", scores: Scores) -> None:
    """Divergence of plain steps over depth, an activation a colour and a width a marker; worlds pooled."""
    shapes = preqn_tabular.ARCHITECTURES
    for i, (activation, colour) in enumerate(NETS.items()):
        for j, width in enumerate(sorted({w for a, w, _ in shapes if a == activation})):
            found = []
            for depth in sorted({d for a, w, d in shapes if (a, w) == (activation, width)}):
                arm = preqn_tabular.named((activation, width, depth))
                cases = scores.cases("diverged", [arm])
                columns = [_scores(scores, "diverged", arm, case) for case in cases]
                found.append((depth + 0.07 * (2 * i + j - 2.5), _estimate(columns)))
            _spots(axes, found, colour, "o^"[j], f"{activation} {width}")
    axes.set_xticks(sorted({d for *_, d in shapes}))
    axes.set_xlabel("hidden layers (colour: activation; marker: width)")
    axes.set_ylabel("share that diverges")
    axes.set_ylim(-0.05, 1.5)
    axes.set_yticks([0, 0.5, 1])
    _key(axes, loc="upper left", ncols=3)


def _bands(axes: "Axes", scores: Scores) -> None:
    for i, (kind, label) in enumerate((("linear", "linear features"), ("network", "kernel of a network"))):
        found = [(x + 0.12 * i, _estimate([_scores(scores, "diverged", band, kind)]))
                 for x, band in enumerate(preqn_theory.BANDS)]  # fmt: skip
        _spots(axes, found, ("#0063a6", "#c8500a")[i], "os"[i], label)
    axes.set_xticks(range(len(preqn_theory.BANDS)), list(preqn_theory.BANDS))
    axes.set_xlabel("β, a bound on the growth of errors in one step")
    axes.set_ylabel("share that diverges")
    axes.set_ylim(-0.05, 1.05)
    _key(axes, loc="upper left")


def _ratios(axes: "Axes", scores: Scores) -> None:
    """Row ratio over depth, widths pooled, on the first environment."""
    cases = sorted(scores.cases("ratio", scores.arms("ratio")), key=natural)
    for i, activation in enumerate(preqn_theory.ACTIVATIONS):
        found = []
        for depth in preqn_theory.DEPTHS:
            arms = [a for a in scores.arms("ratio") if a.startswith(activation + " ") and a.endswith(f" {depth}")]
            columns = [_scores(scores, "ratio", arm, case) for arm in arms for case in cases]
            found.append((depth + 0.06 * (i - 1), _estimate(columns)))
        _spots(axes, found, NETS[activation], "os^"[i], activation)
    axes.set_xticks(preqn_theory.DEPTHS)
    axes.set_xlabel("hidden layers (widths and tasks pooled)")
    axes.set_ylabel("row ratio of a fresh network")
    axes.margins(y=0.25)
    _key(axes, loc="upper left", ncols=3)


def _tables(axes: "Axes", scores: Scores) -> None:
    worlds = [w for w in preqn_tabular.WORLDS if scores.cases("log_error", preqn_tabular.RULES)]
    colours = ("#c8500a", "#b3344a", "#0063a6", "#3f93cc")
    for i, arm in enumerate(preqn_tabular.RULES):
        found = [(x + 0.14 * (i - 1.5), _estimate([_scores(scores, "log_error", arm, w)]))
                 for x, w in enumerate(worlds)]  # fmt: skip
        points = [(x, *e) for x, e in found if e is not None]
        for j, (x, middle, low, high) in enumerate(points):
            axes.vlines(x, 10**low, 10**high, color=colours[i], linewidth=1.5)
            axes.plot(x, 10**middle, "s^ov"[i], color=colours[i], markersize=5, label="" if j else arm)
    axes.set_yscale("log")
    axes.axhline(preqn_tabular.BLOWN, color="#5d6873", linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_xticks(range(len(worlds)), [_with_skips(scores, w) for w in worlds], fontsize=8)
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("world, and how many of its steps PreQN skipped")
    axes.set_ylabel("error to Q* (dashes: diverged)")
    axes.margins(y=0.3)
    _key(axes, ncols=2, loc="lower left")


def _with_skips(scores: Scores, world: str) -> str:
    """A world's name, and what share of its steps PreQN gave up."""
    skipped = _scores(scores, "skipped", "PreQN", world)
    return f"{world}\n{skipped.mean():.0%}" if len(skipped) else world


def _batches(scores: Scores) -> list[str]:
    cases = [c for c in scores.cases("spill", preqn_tabular.DAMPINGS) if "/" in c]
    return sorted({c.partition("/")[2] for c in cases}, key=lambda b: (b == "all", natural(b)))


def _worlds(scores: Scores) -> list[str]:
    return sorted({c.partition("/")[0] for c in scores.cases("spill", preqn_tabular.DAMPINGS) if "/" in c})


def _off_batch(axes: "Axes", scores: Scores) -> None:
    """Alignment off the batch, and how far values move there, over the size of a batch."""
    batches, worlds = _batches(scores), _worlds(scores)
    looks = (("held_out_alignment", "λ = 1e-5", "o", "alignment, PreQN"), ("spill", "λ = 1e-5", "s", "spill, PreQN"),
             ("held_out_alignment", "semi-gradient", "o", "alignment, semi-gradient"),
             ("spill", "semi-gradient", "s", "spill, semi-gradient"))  # fmt: skip
    for metric, arm, marker, label in looks:
        found = [(x, _estimate([_scores(scores, metric, arm, f"{w}/{b}") for w in worlds]))
                 for x, b in enumerate(batches)]  # fmt: skip
        _spots(axes, found, "#0063a6" if arm != "semi-gradient" else "#c8500a", marker, label)
    axes.set_xticks(range(len(batches)), [f"{b} pairs" if b == batches[0] else b for b in batches])
    axes.set_xlabel("pairs of a batch (worlds pooled)")
    axes.set_ylabel("on pairs not in the batch")
    axes.margins(y=0.35)
    _key(axes, loc="upper left", ncols=2, columnspacing=0.8, borderpad=0.1, handletextpad=0.5)


def _damping(axes: "Axes", scores: Scores) -> None:
    batches, worlds = _batches(scores), _worlds(scores)
    colours = ("#857000", "#c8500a", "#8f3a84", "#0063a6")
    for i, b in enumerate(batches):
        found = [(x + 0.08 * (i - 1.5), _estimate([_scores(scores, "log_error", arm, f"{w}/{b}") for w in worlds]))
                 for x, arm in enumerate(preqn_tabular.DAMPINGS)]  # fmt: skip
        _spots(axes, found, colours[i % 4], "os^v"[i % 4], f"batch of {b}")
    axes.set_xticks(range(len(preqn_tabular.DAMPINGS)), [a.replace("λ = ", "") for a in preqn_tabular.DAMPINGS])
    axes.set_xlabel("damping λ, share of the kernel's diagonal")
    axes.set_ylabel("log10 error to Q* in the end")
    axes.margins(y=0.3)
    _key(axes, loc="upper left", ncols=2)


def _cost(axes: "Axes", scores: Scores) -> None:
    shapes = [s for s in preqn_cost.SHAPES if len(_scores(scores, "relative_cost", "PreQN", s))]
    for i, (arm, colour) in enumerate((("PreQN", "#0063a6"), ("PreQN, no line search", "#3f93cc"), ("TD3", "#00805e"))):
        for x, shape in enumerate(shapes):
            at = _estimate([_scores(scores, "relative_cost", arm, shape)], "iqm")
            if at is None:
                continue
            axes.bar(x + 0.26 * (i - 1), at[0], 0.24, color=colour, label="" if x else arm)
            axes.vlines(x + 0.26 * (i - 1), at[1], at[2], color="#1f262e", linewidth=1.2)
    axes.axhline(3, color="#5d6873", linewidth=0.8, linestyle=(0, (4, 3)))
    names = [f"({s.partition('/')[0].replace(' ', ', ')})\nbatch {s.partition('/')[2]}" for s in shapes]
    axes.set_xticks(range(len(shapes)), names)
    axes.grid(visible=False, axis="x")
    axes.set_ylabel("a critic step, in TD3's")
    axes.set_ylim(0, 4.2)
    _key(axes, loc="upper left", ncols=3)
