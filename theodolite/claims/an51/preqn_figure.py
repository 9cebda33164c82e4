"""The figure of PreQN: what diverges and why, what the step mends, and what it costs."""

from functools import partial
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
HEIGHT = 125
"""Points of the panel beside which the names of arms stand."""


def figure(scores: Scores) -> "Figure":
    """Rows of panels; tasks of MuJoCo have one where they were learned."""
    from theodolite.core.panels import page  # matplotlib loads slowly, and worker processes do without

    title = (
        "PreQN: a critic's step that moves its batch as a table would move. Lines through marks: 95% intervals over "
        "seeds"
    )
    return page(title, [*_learning(scores), *_steps()], scores)


def _games(scores: Scores) -> list[str]:
    """Tasks of MuJoCo that were learned."""
    return [task for task in list(preqn_control.TASKS)[1:] if scores.curves("return", "PreQN", task)]


def _learning(scores: Scores) -> list[Any]:
    """Panels of control and of the theory."""
    return [*_control(scores), (2.6, _apart()), (3.25, _theory())]


def _control(scores: Scores) -> list[Any]:
    from theodolite.core.panels import Panel

    learning = (
        Panel("Does it learn without a target network?", partial(_curves, task="Pendulum"), {
            "on-par": "PreQN keeps up with TD3 and SAC",
            "needs-its-preconditioner": "without target network and preconditioner returns are lower",
        }),
    )  # fmt: skip
    ends = (
        Panel("Does every seed learn?", _finals, {
            "no-seed-fails": "no seed of PreQN fails",
            "diverges-without": "without the preconditioner values diverge, with it they do not",
            "agrees-across": "steps that are right on a second batch, too, learn no worse",
            "generalisation-is-needed": "steps that leave a second batch alone learn less",
            "needs-its-parts": "it needs its line search and its sines",
        }, share=1.3, flush=True),
        Panel("Does β tell what diverges?", _bands, {"modulus": "nothing below 1, and more the larger β"}),
    )  # fmt: skip
    games = tuple(
        Panel(f"And on {preqn_control.TASKS[task].id}?", partial(_curves, task=task), {}) for task in _games(scores)
    )
    return [(2.9, learning), *([(2.3, games)] if games else []), (4.4 if games else 3.3, ends)]


def _theory() -> tuple[Any, ...]:
    from theodolite.core.panels import Panel

    return (
        Panel("What does the step mend?", _examples, {"counter-examples": "Baird's star, and what features tell apart"},
              share=1.15),
        Panel("Is divergence foretold?", _foretold, {"foretold": "by the first kernel"}),
        Panel("Which networks generalise most?", _ratios,
              {"kernel-rows": "relu; sin least", "rows-grow-with-depth": "deeper ones"}),
    )  # fmt: skip


def _apart() -> tuple[Any, ...]:
    from theodolite.core.panels import Panel

    return (
        Panel("Does it learn to choose, too?", _choices, {
            "choices-on-par": "PreQN for choices keeps up with DQN", "choices-stay-finite": "and does not diverge",
        }, share=1.1, flush=True),
        Panel("Which networks diverge by plain steps?", _shapes, {
            "sines-diverge-least": "sines least", "depth-diverges": "deep ones",
            "width-and-divergence": "at any width",
        }),
    )  # fmt: skip


def _steps() -> list[Any]:
    """Panels of steps on tables and on batches, and of their cost."""
    from theodolite.core.panels import Panel

    tables = (
        Panel("Whole tables as batches: what is learned?", _tables, {
            "tables-stay-finite": "PreQN never diverges, plain steps do",
            "tables-error": "it ends nearer to Q*, and the line search does not hurt",
        }, share=1.3),
        Panel("What does a step cost?", _cost, {"cost": "at most three of TD3's, at batches of 256"}),
    )  # fmt: skip
    batches = (
        Panel("Do values off the batch follow their errors?", partial(_off_batch, metric="held_out_alignment"),
              {"still-generalises": "they do"}),
        Panel("Does less spill off the batch?", partial(_off_batch, metric="spill"),
              {"spills-less": "less than a semi-gradient's"}),
        Panel("Which damping is best?", _damping, {"inner-optimum": "one in between, at batches of 32"}, share=1.1),
    )  # fmt: skip
    return [(3.0, tables), (3.15, batches)]


def _curves(axes: "Axes", scores: Scores, task: str) -> None:
    """Return while learning, every arm, and every seed of PreQN."""
    from theodolite.core import figures

    ends: dict[str, float] = {}
    for arm, colour in SHOWN.items():
        runs = list(scores.curves("return", arm, task).values())
        if not runs:
            continue
        length = min(len(values) for _, values in runs)
        steps, values = np.array(runs[0][0][:length]), np.array([r[1][:length] for r in runs])
        if arm == "PreQN":
            axes.plot(steps, values.T, color=colour, linewidth=0.6, alpha=0.35, zorder=1.8)
        axes.plot(steps, values.mean(0), color=colour, linewidth=2.4 if arm == "PreQN" else 1.2)
        ends[arm] = float(values.mean(0)[-1])
    kinds = " (thick: means; thin: every seed of PreQN)" if task == "Pendulum" else ""
    axes.set_xlabel(f"steps in {preqn_control.TASKS[task].id}{kinds}")
    axes.set_ylabel("return while exploring")
    axes.margins(x=0)
    axes.locator_params(axis="x", nbins=5)
    axes.get_xaxis().set_major_formatter(lambda value, _: f"{value / 1000:g}k" if value else "0")
    if ends:
        figures.name_arms(axes, ends, {arm: figures.Look(SHOWN[arm], "") for arm in ends}, HEIGHT)


def _finals(axes: "Axes", scores: Scores) -> None:
    """Scores of the noiseless policy in the end: an arm per row."""
    from theodolite.core import figures, panels

    def own(arm: str, task: str) -> np.ndarray:
        return np.array(list(scores.by_seed("score", arm, task).values()))

    tasks = [t for t in preqn_control.TASKS if any(len(own(arm, t)) for arm in preqn_control.ARMS)]
    arms = [arm for arm in SHOWN if any(len(own(arm, t)) for t in tasks)]
    for y, arm in enumerate(arms):
        for i, (task, marker) in enumerate(zip(tasks, "os^", strict=False)):
            at = panels.pooled(scores, "score", arm, [task], "iqm")
            if at is None:
                continue
            place, seeds = y + panels.apart(i, len(tasks), 0.24), own(arm, task)
            axes.plot(seeds, np.full(len(seeds), place), "|", color=SHOWN[arm], alpha=0.5, markersize=8)
            axes.hlines(place, at[1], at[2], color=SHOWN[arm], linewidth=1.6)
            axes.plot(at[0], place, marker, color=SHOWN[arm], markersize=5.5)
    for task, marker in zip(tasks if len(tasks) > 1 else (), "os^", strict=False):
        axes.plot([], [], marker, color=figures.INK, markersize=5, label=task)
    axes.set_yticks(range(len(arms)), arms)
    for label, arm in zip(axes.get_yticklabels(), arms, strict=True):
        label.set_color(SHOWN[arm])
    axes.set_ylim(len(arms) - 0.4, -0.6)
    axes.set_xlim(-0.8, 1.3)  # intervals of three seeds reach further than any run
    panels.dashes(axes.axvline, 1)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("score without noise: 0 poor, 1 solved\n(dot: interquartile mean; ticks: seeds)")


def _choices(axes: "Axes", scores: Scores) -> None:
    """Scores of the greedy policy, and how many seeds diverged."""
    from theodolite.core import panels

    (case,) = preqn_control.CHOICES
    for y, (arm, colour) in enumerate(CHOOSING.items()):
        own, gone = (list(scores.by_seed(metric, arm, case).values()) for metric in ("score", "diverged"))
        at = panels.pooled(scores, "score", arm, [case], "iqm")
        if at is None:
            continue
        axes.plot(own, np.full(len(own), y), "|", color=colour, alpha=0.5, markersize=8)
        axes.hlines(y, at[1], at[2], color=colour, linewidth=1.6)
        axes.plot(at[0], y, "o", color=colour, markersize=5.5)
        axes.annotate(f"{int(sum(gone))} of {len(gone)} diverged", (0.02, y - 0.32), color=colour, fontsize=8,
                      xycoords=("axes fraction", "data"), va="center")  # fmt: skip
    axes.set_yticks(range(len(CHOOSING)), list(CHOOSING))
    for label, colour in zip(axes.get_yticklabels(), CHOOSING.values(), strict=True):
        label.set_color(colour)
    axes.set_ylim(len(CHOOSING) - 0.5, -0.7)
    axes.set_xlim(left=min(0, axes.get_xlim()[0]))
    panels.dashes(axes.axvline, 1)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"score of the greedy policy on {case}: 1 solved")


def _shapes(axes: "Axes", scores: Scores) -> None:
    """Divergence of plain steps over depth, an activation a colour, the wider networks dotted; worlds pooled."""
    from theodolite.core import figures, panels

    shapes = preqn_tabular.ARCHITECTURES
    for i, (activation, look) in enumerate(figures.looks(preqn_theory.ACTIVATIONS).items()):
        for j, width in enumerate(sorted({w for a, w, _ in shapes if a == activation})):
            found = []
            for depth in sorted({d for a, w, d in shapes if (a, w) == (activation, width)}):
                arm = preqn_tabular.named((activation, width, depth))
                place = depth + panels.apart(2 * i + j, 6, 0.07)
                found.append((place, panels.pooled(scores, "diverged", arm, scores.cases("diverged", [arm]))))
            panels.marks(axes, found, look, f"{activation} {width}", line="-:"[j])
    axes.set_xticks(sorted({d for *_, d in shapes}))
    axes.set_xlabel("hidden layers")
    axes.set_ylabel("share of runs that diverge")
    axes.set_ylim(-0.05, 1.05)


def _bands(axes: "Axes", scores: Scores) -> None:
    from theodolite.core import figures, panels

    kinds = {"linear": "linear features", "network": "kernel of a network"}
    for (i, (kind, label)), look in zip(enumerate(kinds.items()), figures.looks(kinds).values(), strict=True):
        found = [(x + panels.apart(i, 2, 0.14), panels.pooled(scores, "diverged", band, [kind]))
                 for x, band in enumerate(preqn_theory.BANDS)]  # fmt: skip
        panels.marks(axes, found, look, label)
    axes.set_xticks(range(len(preqn_theory.BANDS)), [b.replace("β ", "").replace("above", ">").replace(" to ", "–")
                                                     for b in preqn_theory.BANDS])  # fmt: skip
    axes.set_xlabel("β: bound on how many times\nan error grows in one step")
    axes.set_ylabel("share of draws that diverge")
    axes.set_ylim(-0.05, 1.05)


def _foretold(axes: "Axes", scores: Scores) -> None:
    """How well two numbers of the first kernel rank what diverges and what does not."""
    from theodolite.core import figures, panels

    worlds = [w for w in preqn_tabular.WORLDS if scores.cases("auc", ["β", "row ratio"])
              and scores.by_seed("auc", "β", w)]  # fmt: skip
    for i, (arm, look) in enumerate(figures.looks(("β", "row ratio")).items()):
        found = [(x + panels.apart(i, 2, 0.2), panels.pooled(scores, "auc", arm, [w])) for x, w in enumerate(worlds)]
        panels.marks(axes, found, look, f"by {arm}", line="")
    panels.dashes(axes.axhline, 0.7, "margin")
    axes.set_xticks(range(len(worlds)), worlds)
    axes.set_xlim(-0.5, max(len(worlds), 1) - 0.5)
    axes.set_ylim(-0.05, 1.05)
    axes.grid(visible=False, axis="x")
    axes.set_ylabel("chance to be right\n(½: a coin)")


def _examples(axes: "Axes", scores: Scores) -> None:
    from theodolite.core import figures, panels

    names = {"semi-gradient": "semi-gradient", "preconditioned": "preconditioned",
             "preconditioned, aligned": "and tested for alignment"}  # fmt: skip
    for i, (arm, look) in enumerate(figures.looks(names).items()):
        found = [(x + panels.apart(i, 3, 0.2), panels.pooled(scores, "growth", arm, [world]))
                 for x, world in enumerate(preqn_theory.WORLDS)]  # fmt: skip
        panels.marks(axes, found, look, names[arm], line="")
    panels.dashes(axes.axhline, 0)
    ticks = [world.replace(" ", "\n", 1).replace(", ", ",\n") for world in preqn_theory.WORLDS]
    axes.set_xticks(range(len(ticks)), ticks, fontsize=8)
    axes.set_xlim(-0.5, len(ticks) - 0.5)
    axes.grid(visible=False, axis="x")
    axes.set_ylabel("log10 of the error's growth")


def _ratios(axes: "Axes", scores: Scores) -> None:
    """Row ratio over depth, widths and environments pooled."""
    from theodolite.core import figures, panels

    cases = sorted(scores.cases("ratio", scores.arms("ratio")), key=natural)
    for i, (activation, look) in enumerate(figures.looks(preqn_theory.ACTIVATIONS).items()):
        found = []
        for depth in preqn_theory.DEPTHS:
            arms = [a for a in scores.arms("ratio") if a.startswith(activation + " ") and a.endswith(f" {depth}")]
            found.append((depth + panels.apart(i, 3, 0.08), _over_arms(scores, "ratio", arms, cases)))
        panels.marks(axes, found, look, activation)
    axes.set_xticks(preqn_theory.DEPTHS)
    axes.set_xlabel("hidden layers")
    axes.set_ylabel("row ratio of the kernel\n(mean beside its diagonal)")
    axes.set_ylim(bottom=0)


def _over_arms(scores: Scores, metric: str, arms: list[str], cases: list[str]) -> Any:
    """A mean over arms as well as over cases."""
    from theodolite.core import panels

    both = Scores(tuple(
        {**r, "arm": "", "case": f"{r['arm']}/{r['case']}"} for r in scores.rows
        if r["arm"] in arms and r["case"] in cases and metric in r["metrics"]
    ))  # fmt: skip
    return panels.pooled(both, metric, "", both.cases(metric))


def _tables(axes: "Axes", scores: Scores) -> None:
    from theodolite.core import figures, panels

    worlds = [w for w in preqn_tabular.WORLDS if scores.cases("log_error", preqn_tabular.RULES)]
    colours = dict(zip(preqn_tabular.RULES, ("#c8500a", "#b3344a", "#0063a6", "#3f93cc"), strict=True))
    for i, arm in enumerate(preqn_tabular.RULES):
        found = [(x + panels.apart(i, 4, 0.18), panels.pooled(scores, "log_error", arm, [w]))
                 for x, w in enumerate(worlds)]  # fmt: skip
        panels.marks(axes, found, figures.Look(colours[arm], "s^ov"[i]), arm, line="", power=True)
    panels.logarithmic(axes)
    panels.dashes(axes.axhline, preqn_tabular.BLOWN, "diverged")
    axes.set_ylim(top=10 * preqn_tabular.BLOWN)
    axes.set_xticks(range(len(worlds)), [_with_skips(scores, w) for w in worlds])
    axes.set_xlim(-0.5, max(len(worlds), 1) - 0.5)
    axes.set_xlabel("world, and the share of its steps that PreQN skipped")
    axes.grid(visible=False, axis="x")
    axes.set_ylabel("largest error, share of\nthe largest Q*")


def _with_skips(scores: Scores, world: str) -> str:
    skipped = list(scores.by_seed("skipped", "PreQN", world).values())
    return f"{world}\n{np.mean(skipped):.0%}" if skipped else world


def _batches(scores: Scores) -> list[str]:
    cases = [c for c in scores.cases("spill", preqn_tabular.DAMPINGS) if "/" in c]
    return sorted({c.partition("/")[2] for c in cases}, key=lambda b: (b == "all", natural(b)))


def _worlds(scores: Scores) -> list[str]:
    return sorted({c.partition("/")[0] for c in scores.cases("spill", preqn_tabular.DAMPINGS) if "/" in c})


def _off_batch(axes: "Axes", scores: Scores, metric: str) -> None:
    """What happens to pairs outside a batch of each size that is not the whole table."""
    from theodolite.core import figures, panels

    batches, worlds = [b for b in _batches(scores) if b != "all"], _worlds(scores)
    names = {"λ = 1e-5": "PreQN", "semi-gradient": "semi-gradient"}
    for i, (arm, look) in enumerate(figures.looks(names).items()):
        found = [(x + panels.apart(i, 2, 0.1), panels.pooled(scores, metric, arm, [f"{w}/{b}" for w in worlds]))
                 for x, b in enumerate(batches)]  # fmt: skip
        panels.marks(axes, found, look, names[arm])
    axes.set_xticks(range(len(batches)), batches)
    axes.set_xlabel("pairs of a batch")
    axes.set_ylim(-0.05, max(1.05, axes.get_ylim()[1]))
    axes.set_ylabel("cosine of change and error" if metric != "spill" else "change off the batch,\nshare of that on it")


def _damping(axes: "Axes", scores: Scores) -> None:
    from theodolite.core import figures, panels

    batches, worlds = _batches(scores), _worlds(scores)
    for i, (b, look) in enumerate(figures.looks(batches).items()):
        found = [(x + panels.apart(i, len(batches), 0.1),
                  panels.pooled(scores, "log_error", arm, [f"{w}/{b}" for w in worlds]))
                 for x, arm in enumerate(preqn_tabular.DAMPINGS)]  # fmt: skip
        panels.marks(axes, found, look, "the table" if b == "all" else f"batch of {b}", power=True)
    panels.logarithmic(axes)
    ticks = [arm.replace("λ = ", "").replace("semi-", "semi-\n") for arm in preqn_tabular.DAMPINGS]
    axes.set_xticks(range(len(ticks)), ticks)
    axes.set_xlabel("damping λ, share of the diagonal")
    axes.set_ylabel("largest error, share of\nthe largest Q*")


def _cost(axes: "Axes", scores: Scores) -> None:
    from theodolite.core import figures, panels

    shapes = [s for s in preqn_cost.SHAPES if scores.by_seed("relative_cost", "PreQN", s)]
    for i, arm in enumerate(("PreQN", "PreQN, no line search")):
        for x, shape in enumerate(shapes):
            at = panels.pooled(scores, "relative_cost", arm, [shape], "iqm")
            if at is not None:
                place = x + panels.apart(i, 2, 0.36)
                axes.bar(place, at[0], 0.34, color=SHOWN[arm], label="" if x else arm)
                axes.vlines(place, at[1], at[2], color=figures.INK, linewidth=1.2)
    panels.dashes(axes.axhline, 1)
    panels.dashes(axes.axhline, 3, "margin")
    names = [f"({s.partition('/')[0].replace(' ', ', ')})\nbatch {s.partition('/')[2]}" for s in shapes]
    axes.set_xticks(range(len(shapes)), names)
    axes.set_xlabel("hidden units")
    axes.grid(visible=False, axis="x")
    axes.set_ylabel("processor time, in a step\nof TD3's critics")
    axes.set_ylim(0, 3.6)
