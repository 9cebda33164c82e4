"""The page of a diagnosis: the return and every measure over training, and in words what limits the run."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from theodolite.commands import diagnosable
from theodolite.control import diagnosis
from theodolite.core import figures
from theodolite.core.files import write_text
from theodolite.core.judge import Json
from theodolite.core.scores import dumps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = {
    "return": "return of the policy", "fit": "error on the buffer, held out dotted",
    "gap": "held-out error over the buffer's", "shift": "the policy's error over the buffer's",
    "overestimate": "Q less the return that followed", "rank": "feature rank over a fresh net's",
    "row_ratio": "row ratio of the kernel", "drift": "move of the targets at a time",
    "reach": "reach beyond the buffer",
}  # fmt: skip
SOFT = {"return": "return of the policy as it acts", "overestimate": "Q less the soft return that followed"}
"""Where chance is part of what the policy is paid for."""


def write(folder: Path, found: Json) -> None:
    """The numbers as .json and the page as .svg and .png, by the name that this diagnosis has."""
    stem = folder / diagnosable.name_of(found)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(stem.with_suffix(".json"), dumps(found, indent=1) + "\n")
    figures.save(page(found), stem)


def page(found: Json) -> "Figure":
    """Bars dashed, what is beyond its bar in colour."""
    from matplotlib.figure import Figure

    limits, looks = found["limits"], found["looks"]
    says = [f"{i}. {TITLES.get(name, name)}: {m['says']}" for i, (name, m) in enumerate(limits.items(), 1)]
    text = "\n".join(textwrap.fill(line, 112, subsequent_indent="    ", break_on_hyphens=False) for line in says)
    head = (
        f"{found['method']} on {found['env']}{_seeds(found)}"
        + ("what limits this run, the worst first" if says else "no measure is beyond its bar")
        + " (dashes: bars; orange: beyond)" * bool(looks)
    )
    above = f"{head}\n{text}" if text else head
    lines = above.count("\n")
    with figures.style():
        whole = Figure(figsize=(figures.WIDTH, (6.6 if looks else 0.6) + 0.17 * lines), layout="constrained")
        whole.suptitle(above, x=0.01, ha="left", fontsize=9)
        if looks:
            grid = whole.subplots(3, 3)
            titles = TITLES | (SOFT if found["policy"] == "stochastic" else {})
            for axes, (name, title) in zip(grid.flat, titles.items(), strict=True):
                _panel(axes, name, title, looks, name in limits)
            for axes in grid[-1]:
                axes.set_xlabel("environment steps")
    return whole


def _seeds(found: Json) -> str:
    """What follows the names in the title: which seed of a finished run this is, and the look's own."""
    if found["while_training"]:
        return ": "
    return f", seed {found['of_seed']} of the run with seed {found['run_seed']}, look seed {found['look_seed']}:\n"


def _panel(axes: "Axes", name: str, title: str, looks: list[Json], beyond: bool) -> None:
    colour = figures.COLOURS[1] if beyond else figures.COLOURS[0]
    drawn = _line(axes, looks, name, "o-", colour)
    if name == "fit":
        _line(axes, looks, "validation", ".:", colour)
    axes.set_title(title, color=colour if beyond else figures.INK)
    rule = diagnosis.RULES.get(name)
    if not drawn:
        axes.text(0.5, 0.5, "not measured here", transform=axes.transAxes, ha="center", color=figures.FAINT)
        axes.set_xticks([]), axes.set_yticks([])
        return
    if rule:
        axes.axhline(rule.bar, color=figures.FAINT, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k" if x >= 1000 else f"{x:g}")
    axes.set_xlim(0, 1.06 * looks[-1]["steps"])
    axes.locator_params(axis="x", nbins=4)
    axes.set_ylim(bottom=min(0, *axes.get_ylim()))


def _line(axes: "Axes", looks: list[Json], name: str, form: str, colour: str) -> bool:
    """Draw a measure where there is one."""
    there: list[tuple[Any, Any]] = [(one["steps"], one[name]) for one in looks if one[name] is not None]
    if there:
        axes.plot(*zip(*there, strict=True), form, color=colour, markersize=4, clip_on=False)
    return bool(there)
