"""The figure of distributional: whose networks are shared, what it brings, and what features look like in a house."""

from typing import TYPE_CHECKING, Any

import numpy as np

from theodolite.claims.an51.distributional_arms import DEEP
from theodolite.claims.an51.distributional_rooms import KINDS, PICTURED, case_of, house
from theodolite.core.scores import Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTHS = (16, 8)
"""Number of features that are shown: the first that there is."""


def figure(scores: Scores) -> "Figure":
    """Areas of all arms on both tasks, two questions on the four rooms, and their features as pictures."""
    from matplotlib.figure import Figure

    from theodolite.claims.an51.distributional import CLAIMS, ITEM
    from theodolite.core import figures  # matplotlib loads slowly, and worker processes do without

    case = next((c for c in map(case_of, WIDTHS) if scores.curves("feature 0", KINDS[0], c)), None)
    if case is None or not scores.cases("area", ["QR-DQN"]):
        return figures.of_claims(ITEM.claims, scores)
    by_id = {c.id: c for c in CLAIMS}
    with figures.style():
        page = Figure(figsize=(figures.WIDTH, 9.6), layout="constrained")
        parts: Any = page.subfigures(3, 1, height_ratios=(1.25, 0.95, 1.7))
        parts[0].suptitle("Mean score while learning (1 is solved), 95% intervals: who shares a network with whom?",
                          x=0.01, ha="left", fontsize=9.5)  # fmt: skip
        everything = by_id["values-stay-possible"].arms
        for axes, task in zip(parts[0].subplots(1, len(DEEP)), DEEP, strict=True):
            area = _of_all(by_id["separate-networks"], everything)
            figures.rows_of_dots(axes, area, scores, [task])
            axes.set_title(task)
        axes.tick_params(labelleft=False)
        _rooms(parts[1], by_id, scores, case)
        _pictures(parts[2], scores, case)
    return page


def _of_all(claim: Any, arms: tuple[str, ...]) -> Any:
    """A claim's metric for more arms than it compares."""
    from dataclasses import replace

    return replace(claim, arms=arms)


def _rooms(part: Any, by_id: dict[str, Any], scores: Scores, case: str) -> None:
    from theodolite.core import figures

    number = case.partition("/")[2]
    part.suptitle(f"Four rooms, {number} features fitted to different values", x=0.01, ha="left", fontsize=9.5)
    titles = {"adversarial-features": "left out of unseen values (less is better)",
              "adversarial-control": "earned by SARSA, share of the optimum"}  # fmt: skip
    for axes, (claim, title) in zip(part.subplots(1, 2), titles.items(), strict=True):
        figures.rows_of_dots(axes, by_id[claim], scores, [case])
        axes.set_title(title)
    axes.tick_params(labelleft=False)


def _pictures(part: Any, scores: Scores, case: str) -> None:
    """The leading directions of each kind's features over the map, a row per kind."""
    part.suptitle(
        "What the features look like: their leading directions over the house", x=0.01, ha="left", fontsize=9.5
    )
    grid = part.subplots(len(KINDS), PICTURED, squeeze=False)
    for kind, row in zip(KINDS, grid, strict=True):
        for i, axes in enumerate(row):
            found = scores.curves(f"feature {i}", kind, case)
            axes.set_axis_off()
            if found:
                _draw(axes, np.asarray(next(iter(found.values()))[1]))
        row[0].text(-0.12, 0.5, kind, transform=row[0].transAxes, ha="right", va="center", fontsize=8.5)


def _draw(axes: "Axes", values: np.ndarray) -> None:
    cells, drawing = np.asarray(house().world.cells), house().world.drawing
    image = np.full((len(drawing), len(drawing[0])), np.nan)
    image[tuple(cells.T)] = values * np.sign(values[np.abs(values).argmax()])
    most = np.nanmax(np.abs(image))
    axes.imshow(image, cmap="RdBu_r", vmin=-most, vmax=most, interpolation="nearest")
