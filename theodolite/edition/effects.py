"""Effect sizes over all claims: how far our estimates are from the source's numbers, the farthest first.

The gap of one arm in one case is (ours - theirs) / s, with s the largest number that the source reports for the claim,
so that claims in different units can stand in one drawing.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from theodolite.edition.evidence import System

EDGE = 1.0
"""Gaps beyond this are drawn at the edge."""
LEFT, RIGHT, ROW, TOP = 14, 688, 30, 26


class Gap(NamedTuple):
    """One number of the source beside ours."""

    arm: str
    case: str
    ours: float
    theirs: float
    gap: float


class Row(NamedTuple):
    """A claim with its gaps."""

    system: System
    claim: dict[str, Any]
    gaps: list[Gap]
    missing: int
    """Numbers of the source that our run has no finite estimate for."""
    mean: float
    """Mean absolute gap."""
    worst: Gap


def rows(systems: Iterable[System]) -> list[Row]:
    """Claims whose source gives numbers, the farthest first; equal comparisons of one system are shown once."""
    found: list[Row] = []
    for system in systems:
        seen: set[tuple[Gap, ...]] = set()
        for claim in system.claims:
            gaps, missing = compared(claim)
            if gaps and tuple(gaps) not in seen:
                seen.add(tuple(gaps))
                mean = sum(abs(g.gap) for g in gaps) / len(gaps)
                found.append(Row(system, claim, gaps, missing, mean, max(gaps, key=lambda g: abs(g.gap))))
    return sorted(found, key=lambda row: (-row.mean, row.system.entry.path, row.claim["id"]))


def compared(claim: dict[str, Any]) -> tuple[list[Gap], int]:
    """Every number of the source that ours can stand beside, and how many cannot be."""
    numbers = [
        (arm, case, value)
        for arm, cases in claim["paper_value"].items()
        for case, value in cases.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    scale = max((abs(value) for *_, value in numbers), default=0.0) or 1.0
    gaps = []
    for arm, case, theirs in numbers:
        ours = claim["arms"].get(arm, {}).get("cases", {}).get(case, {}).get("estimate")
        if ours is not None:
            gaps.append(Gap(arm, case, ours, theirs, (ours - theirs) / scale))
    return gaps, len(numbers) - len(gaps)


def context(systems: Iterable[System]) -> dict[str, Any]:
    """What the template draws: a strip of dots per claim, zero in the middle."""
    found = rows(systems)
    strips = []
    for i, row in enumerate(found):
        y = TOP + ROW * i + ROW // 2
        dots = sorted({round(_x(gap.gap), 1) for gap in row.gaps})
        strips.append({"y": y, "dots": dots, "label": i + 1})
    ticks = [(_x(v), f"{v:+.1f}".replace("-", "−") if v else "0") for v in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    return {"rows": found, "strips": strips, "ticks": ticks, "width": 720, "height": TOP + ROW * len(found) + 8}


def _x(gap: float) -> float:
    part = (max(-EDGE, min(EDGE, gap)) + EDGE) / (2 * EDGE)
    return LEFT + 28 + part * (RIGHT - LEFT - 28)


def without_numbers(systems: Iterable[System]) -> list[tuple[System, dict[str, Any], list[dict[str, Any]]]]:
    """Claims whose source gives no number that ours stands beside: their expectations with estimate and margin."""
    return [
        (system, claim, [e for e in claim["expect"] if e["estimate"] is not None])
        for system in systems
        for claim in system.claims
        if not compared(claim)[0]
    ]
