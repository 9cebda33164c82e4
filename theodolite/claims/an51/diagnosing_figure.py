"""The figure of diagnosing: a panel per error source, each with the question that it answers."""

from functools import partial
from typing import TYPE_CHECKING, Any

from theodolite.claims.an51.diagnosing_arms import ALL_SCHEMES, ALPHAS, NEW, SAMPLERS
from theodolite.core.scores import Scores, natural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NETS = ("4 4", "16 16", "64 64", "256 256")
DOMAINS = {
    "cliffwalk": "cliff walk", "sparsegraph": "sparse graph", "grid16onehot": "grid, one-hot",
    "grid16randomobs": "grid, random inputs", "pendulum": "pendulum", "mountaincar": "mountain car",
    "grid64onehot": "large grid, one-hot", "grid64randomobs": "large grid, random inputs",
}  # fmt: skip
"""The worlds as the figure calls them."""
WEIGHTS = {
    "pi*": "visits of π*", "pi": "visits of π", "random policy": "visits of uniform π", "replay": "all π so far",
    "replay10": "the last ten π", "prioritized": "by error",
}  # fmt: skip
RETURN = "return: 0 uniform policy,\n1 soft-optimal policy"
HEIGHT = 105
"""Points of a panel beside which names stand."""
SOURCES = {"on-policy": "samples of the current policy", "replay": "a replay buffer"}


def figure(scores: Scores) -> "Figure":
    """Ten panels in four rows."""
    from theodolite.core.panels import page  # matplotlib loads slowly, and worker processes do without

    title = (
        "Fitted Q-iteration with one source of error at a time. Marks: means over seeds and worlds; upright lines: "
        "95% intervals"
    )
    return page(title, [*_exactly(), *_sampled()], scores)


def _exactly() -> list[Any]:
    """Panels of what is fitted without sampling: networks, targets, weightings."""
    from theodolite.core.panels import Panel

    networks = (
        Panel("Do wider networks return more?", _widths, {"width-return": "the wider, the more return"}),
        Panel("Is it bias that hurts the small ones?", _excess,
              {"width-bias": "bootstrapping adds less error to wide ones"}),
    )  # fmt: skip
    tables = (
        Panel("Do slow targets help?", _slow, {"slow-targets": "tiny networks only"}, share=0.9),
        Panel("Which weighting of the table is best?", partial(_weightings, cause="entropy"),
              {"weightings": "broad ones, and the visits of π* least"}),
        Panel("Does its shifting matter?", partial(_weightings, cause="shift"),
              {"entropy-not-shift": "return goes with entropy, not with shift"}, share=1.35),
    )  # fmt: skip
    return [(3.0, networks), (3.15, tables)]


def _sampled() -> list[Any]:
    """Panels of samples, steps, buffers and larger tasks."""
    from theodolite.core.panels import Panel

    samples = (
        Panel("Does more data lower the loss?", _samples,
              {"more-data": "it does", "replay-validates": "and at 32, a buffer's is lower"}),
        Panel("How many gradient steps per iteration?", _steps, {
            "gradient-steps": "current policy: few and many are both worse",
            "oracle-stop": "an oracle's stop costs nothing",
            "practical-stop": "nor does one by held-out data, on a buffer",
        }),
    )  # fmt: skip
    tasks = (
        Panel("Which way to draw from the buffer?", _samplers,
              {"feature-matching": "feature matching costs no return"}, share=1.1),
        Panel("Do larger tasks over-fit less?", partial(_sizes, metric="gap"),
              {"overfitting-fades": "the losses come nearer"}),
        Panel("Do more steps pay on larger tasks?", partial(_sizes, metric="more_steps"),
              {"steps-pay-later": "the more, the larger", "underfitting-sign": "on the largest"}),
    )  # fmt: skip
    return [(2.95, samples), (3.3, tasks)]


def _cases(scores: Scores, metric: str, arm: str, panel: str = "") -> list[str]:
    """The cases that an arm has, below a panel if one is named, or plain ones."""
    found = scores.cases(metric, [arm])
    return [c for c in found if c.startswith(panel + "/")] if panel else [c for c in found if "/" not in c]


def _units(net: str) -> str:
    return f"network ({net.replace(' ', ', ')})"


def _returns(axes: "Axes", label: str = RETURN) -> None:
    """Returns are read between the two policies that define their unit, the same in every panel."""
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -0.05), max(high, 1.05))
    axes.set_ylabel(label)


def _by_width(axes: "Axes", scores: Scores, metric: str) -> None:
    from theodolite.core import figures, panels

    nets = [net for net in ("table", *NETS) if scores.cases(metric, [net])]
    domains = sorted({case for net in nets for case in _cases(scores, metric, net)}, key=natural)
    look = figures.looks(domains)
    for i, domain in enumerate(domains):
        aside = panels.apart(i, len(domains), 0.09)
        found = {net: (j + aside, panels.pooled(scores, metric, net, [domain])) for j, net in enumerate(nets)}
        table = [found.pop("table")] if "table" in found else []
        panels.marks(axes, table, look[domain], line="")
        panels.marks(axes, list(found.values()), look[domain], DOMAINS.get(domain, domain))
    axes.set_xticks(range(len(nets)), [net if net == "table" else f"({net.replace(' ', ', ')})" for net in nets])
    axes.set_xlabel("a table, or units of two hidden layers")


def _widths(axes: "Axes", scores: Scores) -> None:
    _by_width(axes, scores, "late_return")
    _returns(axes)


def _excess(axes: "Axes", scores: Scores) -> None:
    from theodolite.core.panels import dashes

    _by_width(axes, scores, "excess")
    axes.set_ylabel("error beyond the best fit\nto Q*, share of the largest Q*")
    dashes(axes.axhline, 0)


def _slow(axes: "Axes", scores: Scores) -> None:
    from theodolite.core import figures, panels

    arms = [f"α = {alpha:g}" for alpha in ALPHAS]
    nets = sorted({c.partition("/")[0] for c in scores.cases("late_return", arms)}, key=natural)
    look = figures.looks(nets)
    for net in nets:
        found = [(i, panels.pooled(scores, "late_return", arm, _cases(scores, "late_return", arm, net)))
                 for i, arm in enumerate(arms)]  # fmt: skip
        panels.marks(axes, found, look[net], _units(net))
    axes.set_xticks(range(len(arms)), [f"{alpha:g}" for alpha in ALPHAS])
    axes.set_xlabel("α: share of new targets")
    _returns(axes)


def _weightings(axes: "Axes", scores: Scores, cause: str) -> None:
    """Return against a property of the weights; names stand at the right of the second panel."""
    from theodolite.core import figures, panels

    look, heights = figures.looks(ALL_SCHEMES), {}
    for arm in ALL_SCHEMES:
        cases = [c for c in _cases(scores, "entropy", arm) if scores.by_seed("shift", arm, c)]
        place, paid = (panels.pooled(scores, m, arm, cases) for m in (cause, "late_return"))
        if place is not None and paid is not None:
            panels.marks(axes, [(place[0], paid)], look[arm], line="")
            heights[WEIGHTS.get(arm, arm)] = paid[0]
    _returns(axes, "return")
    axes.margins(x=0.08)
    if cause == "entropy":
        axes.set_xlabel("entropy of weights\n(1: the same for all pairs)")
    else:
        axes.set_xlabel("shift of weights per iteration\n(total variation)")
        figures.name_arms(axes, heights, {WEIGHTS.get(arm, arm): one for arm, one in look.items()}, HEIGHT)


def _samples(axes: "Axes", scores: Scores) -> None:
    from theodolite.core import figures, panels

    look = figures.looks(NEW)
    for i, (kind, numbers) in enumerate(NEW.items()):
        arms = [(num * 1.09 ** (1 - 2 * i), f"{kind} {num}") for num in numbers]
        found = [(x, panels.pooled(scores, "log_validation", arm, _cases(scores, "log_validation", arm)))
                 for x, arm in arms]  # fmt: skip
        panels.marks(axes, found, look[kind], SOURCES[kind], power=True)
    axes.set_xscale("log", base=2)
    numbers = sorted({n for numbers in NEW.values() for n in numbers})
    axes.set_xticks(numbers, [str(n) for n in numbers])
    axes.minorticks_off()
    panels.logarithmic(axes, between=True)
    axes.set_xlabel("new samples per iteration")
    axes.set_ylabel("validation loss,\nshare of the largest Q*²")


def _steps(axes: "Axes", scores: Scores) -> None:
    """Return over fixed numbers of steps, and beside them what two ways to stop within a fit return."""
    from theodolite.core import figures, panels

    numbers = sorted(int(a.split()[0]) for a in scores.arms("late_return") if a.endswith(" steps") and a[0].isdigit())
    look = figures.looks(NEW)
    for i, kind in enumerate(NEW):

        def paid(x: float, arm: str, kind: str = kind) -> tuple[float, Any]:
            return x, panels.pooled(scores, "late_return", arm, _cases(scores, "late_return", arm, kind))

        aside, end = panels.apart(i, len(NEW), 0.1), len(numbers)
        fixed = [paid(j + aside, f"{num} steps") for j, num in enumerate(numbers)]
        panels.marks(axes, fixed, look[kind], SOURCES[kind])
        panels.marks(axes, [paid(end + aside, "oracle"), paid(end + 1 + aside, "held out")], look[kind], line="")
    axes.set_xticks(range(len(numbers) + 2), [*map(str, numbers), "stop by\noracle", "stop by\nheld-out"])
    axes.axvline(len(numbers) - 0.5, color=figures.FAINT, linewidth=0.8)
    axes.set_xlabel("gradient steps per iteration, 32 new samples in each")
    _returns(axes, "return")


def _samplers(axes: "Axes", scores: Scores) -> None:
    from theodolite.core import figures, panels

    arms = [arm for arm in SAMPLERS if scores.cases("late_return", [arm])]
    domains = sorted({c for arm in arms for c in _cases(scores, "late_return", arm)}, key=natural)
    look = figures.looks(SAMPLERS)
    for i, arm in enumerate(arms):
        found = [(j + panels.apart(i, len(arms), 0.16), panels.pooled(scores, "late_return", arm, [domain]))
                 for j, domain in enumerate(domains)]  # fmt: skip
        panels.marks(axes, found, look[arm], arm, line="")
    axes.set_xticks(range(len(domains)), [DOMAINS.get(d, d).replace(", ", ",\n") for d in domains], fontsize=8)
    axes.set_xlim(-0.5, max(len(domains), 1) - 0.5)
    axes.grid(visible=False, axis="x")
    _returns(axes)


def _sizes(axes: "Axes", scores: Scores, metric: str) -> None:
    from theodolite.core import figures, panels

    arms = sorted((a for a in scores.arms("more_steps") if a.startswith("grid ")), key=natural)
    nets = sorted({c for arm in arms for c in scores.cases("more_steps", [arm])}, key=natural)
    look, gap = figures.looks(nets), metric == "gap"
    for i, net in enumerate(nets):
        found = [(j + panels.apart(i, len(nets), 0.1), panels.pooled(scores, metric, arm, [net]))
                 for j, arm in enumerate(arms)]  # fmt: skip
        panels.marks(axes, found, look[net], _units(net), power=gap)
    if gap:
        panels.logarithmic(axes, True, lambda value, _: f"{value:g}")
    panels.dashes(axes.axhline, 1 if gap else 0)
    axes.set_ylabel("validation / training loss" if gap else "return gained by ten times\nthe gradient steps")
    axes.set_xticks(range(len(arms)), [f"{a.split()[1]} × {a.split()[1]}" for a in arms])
    axes.set_xlabel("cells of the grid")
