"""The pictures of `image_parameterizations` from its scores: strips of frames, pairs of bases, and the numbers beside.

    python -m theodolite.claims.an17.image_parameterizations_figure results/an17/image_parameterizations/quick OUT

writes the interpolations as animations.
"""

import sys
import textwrap
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from theodolite.claims.an17 import image_parameterizations_3d as solid
from theodolite.claims.an17.image_parameterizations_alpha import BLACK, FULL, OPAQUE, UNPAID
from theodolite.claims.an17.image_parameterizations_flat import ALIGNED, APART, CPPNS, FOURIER, FRAMES, PULLED
from theodolite.claims.an17.image_parameterizations_runs import unpacked
from theodolite.claims.an17.image_parameterizations_style import (
    ADAM,
    BOTH,
    NETWORKS,
    PIXELS,
    SGD,
    SGD_METRIC,
    SGD_WAVES,
)
from theodolite.core import scores as scores_
from theodolite.core.claim import Claim
from theodolite.core.scores import Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Cell = tuple[str, np.ndarray]
"""A title and a picture."""
NUMBERS = {
    "frames-align": "Distance of neighbouring frames", "style-without-noise": "Less noise than with pixels",
    "basis-alone": "Share of the gap between pixels and Fourier that is closed",
    "cppn-reaches-half": "Activation of CPPNs", "what-matters-remains": "Activation that transparent pictures keep",
}  # fmt: skip


def picture(scores: Scores, name: str, arm: str, case: str) -> np.ndarray | None:
    """The stored picture of an arm, of its first seed."""
    found = scores.curves(name, arm, case)
    return unpacked(next(iter(found.values()))) if found else None


def figure(scores: Scores, claims: dict[str, Claim]) -> "Figure":
    """Rows of pictures by technique, then numbers."""
    from theodolite.core.panels import stacked  # matplotlib loads slowly, and worker processes do without

    rows = [*frame_rows(scores), *style_rows(scores), *descent_rows(scores), *cppn_rows(scores), *alpha_rows(scores)]
    rows += solid.rows_3d(scores) if hasattr(solid, "rows_3d") else []
    for name, title in NUMBERS.items():
        cases = sorted(scores.cases(claims[name].metric, claims[name].arms), key=scores_.natural)
        rows += [(2.5, partial(_numbers, scores=scores, claim=claims[name], cases=cases, title=title))] if cases else []
    if not rows:
        raise ValueError("no scores to draw")
    return stacked(rows)


def _row(title: str, cells: Sequence[Cell], height: float = 1.35) -> tuple[float, Any]:
    return height, partial(_pictures, title=title, cells=cells)


def _pictures(part: Any, title: str, cells: Sequence[Cell]) -> None:
    """Pictures side by side, seven to a row at most, with their names."""
    if title:
        part.suptitle(title, x=0.01, ha="left", fontsize=10)
    grid = part.subplots(1, max(len(cells), 6), squeeze=False)[0]
    for axes in grid:
        axes.set_axis_off()
    for axes, (name, shown) in zip(grid, cells, strict=False):
        axes.imshow(np.clip(shown, 0, 1), interpolation="lanczos")
        axes.set_title(name, fontsize=7.5, fontweight="normal", pad=2)


def frames_of(scores: Scores, arm: str, case: str) -> list[np.ndarray]:
    """The frames of an interpolation."""
    found = [picture(scores, f"frame {k}", arm, case) for k in range(FRAMES)]
    return [frame for frame in found if frame is not None]


def strips(scores: Scores) -> dict[tuple[str, str], list[np.ndarray]]:
    """All stored interpolations by arm and case."""
    found = {}
    for case in sorted(scores.cases("distance_share"), key=scores_.natural):
        for arm in (APART, ALIGNED, PULLED):
            if frames := frames_of(scores, arm, case):
                found[arm, case] = frames
    return found


def frame_rows(scores: Scores) -> list[tuple[float, Any]]:
    """Each interpolation as a strip."""
    return [_row(f"From one channel to another, {arm} frames: {case}", [("", f) for f in frames])
            for (arm, case), frames in strips(scores).items()]  # fmt: skip


def style_rows(scores: Scores) -> list[tuple[float, Any]]:
    """A row per basis, a picture per network."""
    rows = []
    for arm, said in ((PIXELS, "pixels"), (BOTH, "a decorrelated Fourier basis")):
        cells = [(name, picture(scores, "picture", arm, name)) for name in NETWORKS]
        if kept := [(name, p) for name, p in cells if p is not None]:
            rows.append(_row(f"Style transfer in {said}, the loss unchanged", kept))
    return rows


def descent_rows(scores: Scores) -> list[tuple[float, Any]]:
    """Bases with plain descent and with Adam."""
    arms = [arm + more for more in ("", ADAM) for arm in (SGD, SGD_METRIC, SGD_WAVES)]
    names = [a.replace(", gradient", ",\ngradient").replace(" with", "\nwith") for a in arms]
    cells = [(n, picture(scores, "picture", a, "descent")) for n, a in zip(names, arms, strict=True)]
    kept = [(n, p) for n, p in cells if p is not None]
    return [_row("One loss, three metrics, two optimisers (SqueezeNet)", kept, 1.7)] if kept else []


def cppn_rows(scores: Scores) -> list[tuple[float, Any]]:
    """A row per channel, a picture per family."""
    rows = []
    for case in sorted(scores.cases("activation_share"), key=scores_.natural):
        cells = [(arm, picture(scores, "picture", arm, case)) for arm in (FOURIER, *CPPNS)]
        if kept := [(arm, p) for arm, p in cells if p is not None]:
            rows.append(_row(f"A channel through coordinate networks: {case}", kept))
    return rows


def on_paper(rgba: np.ndarray) -> np.ndarray:
    """A transparent picture in front of a checkerboard."""
    h, w = rgba.shape[:2]
    board = np.where((np.add.outer(np.arange(h) // 8, np.arange(w) // 8) % 2)[..., None] == 0, 0.95, 0.6)
    return board * (1 - rgba[..., 3:]) + rgba[..., :3] * rgba[..., 3:]


def alpha_rows(scores: Scores) -> list[tuple[float, Any]]:
    """A row per neuron: arms in front of a checkerboard, and the opacity of the one that pays."""
    rows = []
    for case in sorted(scores.cases("retention"), key=scores_.natural):
        cells: list[Cell] = []
        for arm in (OPAQUE, UNPAID, BLACK, FULL):
            rgba = picture(scores, "picture", arm, case)
            if rgba is None:
                continue
            if rgba.shape[-1] == 3:  # a picture without transparency loses its alpha on the way
                rgba = np.concatenate([rgba, np.ones((*rgba.shape[:2], 1))], -1)
            cells.append((arm, on_paper(rgba)))
            if arm == FULL:
                cells.append(("its opacity", np.repeat(rgba[..., 3:], 3, -1)))
        rows += [_row(f"With an alpha channel: {case}", cells)] if cells else []
    return rows


def _numbers(part: Any, scores: Scores, claim: Claim, cases: Sequence[str], title: str) -> None:
    from theodolite.core import figures, panels

    axes, look = part.subplots(), figures.looks(claim.arms)
    figures.dots(axes, claim, scores, cases, look)
    axes.set_ylabel(textwrap.fill(claim.unit, 34), fontsize=8)
    panels.named(part, look, claim.arms, title, fontsize=8)


def animations(scores: Scores, folder: Path) -> list[Path]:
    """Every stored interpolation there and back, as a small animated WebP."""
    from theodolite.interpret.vision import images

    written = []
    for (arm, case), frames in strips(scores).items():
        path = folder / f"{arm}, {case}.webp".replace(", ", "-").replace(" ", "-").replace("+", "and")
        between = [(1 - t) * a + t * b for a, b in pairwise(frames) for t in (0, 0.5)]
        forth = [*between, frames[-1]]
        images.animate(path, [*forth, *forth[-2:0:-1]], 0.12)
        written.append(path)
    return written


if __name__ == "__main__":
    scored = scores_.read(next(Path(sys.argv[1]).glob("scores.jsonl*")))
    print("\n".join(map(str, animations(scored, Path(sys.argv[2])))))
