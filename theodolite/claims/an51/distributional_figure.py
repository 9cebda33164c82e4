"""The figure of distributional: whose networks are shared, what it brings, and what features look like in a house."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from theodolite.claims.an51.distributional_arms import DEEP, PLAIN, PLAYED, STUDY
from theodolite.claims.an51.distributional_rooms import KINDS, case_of, house
from theodolite.core.claim import Claim
from theodolite.core.scores import Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTHS = (16, 8)
"""Number of features that are shown: the first that there is."""
MEANINGS = {
    "DQN": ("the mean", 0), "C51": ("probabilities of 51 returns", 1), "QR-DQN": ("8 quantiles, one network", 1),
    "separate": ("a network per quantile", 2), "separate, small": ("together as large as one", 2),
    "two trunks": ("4 quantiles per network", 2), "ensemble": ("8 networks, all the mean", 3),
    "ensemble, small": ("together as large as one", 3), "auxiliary": ("quantiles shape, the mean acts", 4),
    "blocked": ("quantiles act, one of them shapes", 4), "histogram": ("the mean as a class", 4),
    "horizons": ("10 discounts, the longest acts", 5), "hyperbolic": ("10 discounts, all act", 5),
    "IQN": ("quantiles at drawn levels", 1),
}  # fmt: skip
"""What an arm learns, and the group of arms that it is coloured as."""
TARGETS = {
    "adversarial": "extreme in random directions", "random policies": "their values",
    "optimal value": "alone", "horizons": "10 discounts of one policy", "quantiles": "51 of the return",
    "proto-values": "smooth over transitions",
}  # fmt: skip
DIRECTIONS, HOUSES = 4, 6.3
"""Pictures of each kind of features, and the inches that all of them take."""


def figure(scores: Scores) -> "Figure":
    """Areas of all arms on both tasks, two questions on the four rooms, and their features as pictures."""
    from matplotlib.figure import Figure

    from theodolite.claims.an51.distributional import ITEM
    from theodolite.core import figures, panels  # matplotlib loads slowly, and worker processes do without

    case = next((c for c in map(case_of, WIDTHS) if scores.curves("feature 0", KINDS[0], c)), None)
    if case is None or not scores.cases("area", ["QR-DQN"]):
        return figures.of_claims(ITEM.claims, scores)
    played = any(scores.by_seed("area", "QR-DQN", game) for game in PLAYED)
    rows = [(4.6, _arms()), *([(1.9, _games())] if played else []), (3.0, _rooms(case))]
    heights = [height for height, _ in rows] + [HOUSES]
    with figures.style():
        whole = Figure(figsize=(figures.WIDTH, sum(heights) + 0.3), layout="constrained")
        parts: Any = whole.subfigures(len(heights), 1, height_ratios=heights)
        whole.suptitle("Marks: interquartile means over seeds; lines: 95% intervals", x=0.01, ha="left", fontsize=9)
        drawn = [panels.row(part, found, scores) for part, (_, found) in zip(parts, rows, strict=False)]
        panels.heads(whole, drawn, scores)
        _pictures(parts[-1], scores, case)
    return whole


def _arms() -> list[Any]:
    from functools import partial

    from theodolite.core.panels import Panel

    says = {
        "deep-better": "with a network, learning a distribution (C51, QR-DQN) is better than learning the mean (DQN)",
        "separate-networks": "if quantiles on one network beat DQN: on a network each they lose that gain",
        "not-the-distribution": "if so: separate quantiles do no better than an ensemble of as many means",
        "features": "if so: quantiles that only shape the features keep the gain, those that only act lose it",
        "implicit": "quantiles at drawn levels (IQN) are no worse than at fixed ones",
        "horizons": "ten discounts at once are no worse than one",
    }
    first, *others = DEEP
    title = "What is it, in learning a distribution, that helps a network?"
    return [
        Panel(title, partial(areas, task=first), says, flush=True),
        *(Panel("", partial(areas, task=task)) for task in others),
    ]


def _games() -> list[Any]:
    from functools import partial

    from theodolite.core.panels import Panel

    first, *others = PLAYED
    draw = partial(areas, id="games-better", arms=PLAIN)
    says = {"games-better": "with a convolution, learning a distribution is better than learning the mean"}
    return [
        Panel("And on MinAtar's games?", partial(draw, task=first), says, flush=True),
        *(Panel("", partial(draw, task=game)) for game in others),
    ]


def areas(
    axes: "Axes", scores: Scores, task: str, id: str = "separate-networks", arms: tuple[str, ...] = STUDY
) -> None:
    """Mean score while learning of a claim's arms and more on one task; a dashed line goes down from DQN."""
    from theodolite.claims.an51.distributional import CLAIMS
    from theodolite.core import figures, judge, panels

    claim = replace(by_id(CLAIMS, id), arms=arms)
    groups = {arm: MEANINGS[arm][1] for arm in claim.arms}
    look = {arm: figures.Look(figures.COLOURS[i], figures.MARKERS[i]) for arm, i in groups.items()}
    figures.rows_of_dots(axes, claim, scores, [task], look)
    plain = judge.estimate(claim, scores, "DQN", task)
    if plain is not None:
        panels.dashes(axes.axvline, plain[0])
    axes.set_yticks(range(len(claim.arms)), [f"{arm}: {MEANINGS[arm][0]}" for arm in claim.arms], fontsize=8)
    axes.tick_params(labelleft=task in (DEEP[0], PLAYED[0]))
    axes.locator_params(axis="x", nbins=5)
    scale = "1: as gymnax's PPO" if task in PLAYED else "0 poor, 1 solved"
    axes.set_xlabel(f"{task}: mean score while learning\n({scale}; dashes: DQN)")


def by_id(claims: tuple[Claim, ...], id: str) -> Claim:
    """The claim of that name."""
    return next(claim for claim in claims if claim.id == id)


def _rooms(case: str) -> list[Any]:
    from functools import partial

    from theodolite.core.panels import Panel

    number = case.partition("/")[2]
    return [
        Panel("Four rooms: which values should features be fitted to?",
              partial(_kinds, case=case, id="adversarial-features",
                      unit=f"left out of unseen values by {number} features,\nshare of variance (less is better)"),
              {"adversarial-features": "adversarial ones, then random policies'"}, flush=True),
        Panel("What does SARSA earn with them?",
              partial(_kinds, case=case, id="adversarial-control",
                      unit=f"return of SARSA on {number} features,\nshare of the optimum (more is better)"),
              {"adversarial-control": "most with adversarial ones, then random policies'"}),
    ]  # fmt: skip


def _kinds(axes: "Axes", scores: Scores, case: str, id: str, unit: str) -> None:
    from theodolite.claims.an51.distributional import CLAIMS
    from theodolite.core import figures

    claim = by_id(CLAIMS, id)
    figures.rows_of_dots(axes, claim, scores, [case])
    axes.set_yticks(range(len(claim.arms)), [f"{arm}: {TARGETS[arm]}" for arm in claim.arms], fontsize=8)
    axes.tick_params(labelleft=id == "adversarial-features")
    axes.set_xlim(left=0)
    axes.set_xlabel(unit)


def _pictures(part: Any, scores: Scores, case: str) -> None:
    """The leading directions of each kind's features over the map, a column per kind."""
    part.suptitle("What the features look like: leading directions over the four rooms, of one seed, the first on top",
                  x=0.01, ha="left", fontsize=9.5, fontweight="bold")  # fmt: skip
    grid = part.subplots(DIRECTIONS, len(KINDS), squeeze=False, gridspec_kw={"wspace": 0.02, "hspace": 0.02})
    for kind, column in zip(KINDS, grid.T, strict=True):
        column[0].set_title(kind, fontsize=8.5, fontweight="normal", loc="center", pad=4)
        for i, axes in enumerate(column):
            found = scores.curves(f"feature {i}", kind, case)
            axes.set_axis_off()
            if found:
                _draw(axes, np.asarray(next(iter(found.values()))[1]))
    bar = part.colorbar(
        grid[0, 0].images[0], ax=grid, location="bottom", shrink=0.4, aspect=40, pad=0.02, ticks=(-1, 0, 1)
    )
    bar.set_label("a direction in a state, share of its largest value (grey: walls; framed: the goal)", fontsize=8.5)
    bar.outline.set_visible(False)


def _draw(axes: "Axes", values: np.ndarray) -> None:
    """One direction, its largest number positive, on the map without its outer wall."""
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    from theodolite.core import figures

    world = house().world
    cells = np.asarray(world.cells)
    image = np.full((len(world.drawing), len(world.drawing[0])), np.nan)
    image[tuple(cells.T)] = values / values[np.abs(values).argmax()]
    colours = colormaps["RdBu_r"].with_extremes(bad="#9aa3ab")
    axes.imshow(image[1:-1, 1:-1], cmap=colours, vmin=-1, vmax=1, interpolation="nearest")
    for row, column in cells[np.asarray(world.terminal)]:
        axes.add_patch(Rectangle((column - 1.5, row - 1.5), 1, 1, fill=False, color=figures.INK, linewidth=1))
