"""Where the arms of safe_option_critic go: a map of the four rooms for each, and curves over ψ."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from theodolite.claims.an17.safe_option_critic_arms import (
    ALL,
    CRITICS,
    FIRST,
    MILD,
    NEUTRAL,
    PANELS,
    PRINTED,
    PSIS,
    RELEASED,
    TV,
)
from theodolite.claims.an17.safe_option_critic_deep import CASES, DEEP, GAME, POLE
from theodolite.core.claim import Claim
from theodolite.core.scores import Scores
from theodolite.envs import rooms

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ARMS = (NEUTRAL, RELEASED, PRINTED, ALL, CRITICS)
MAPPED = (NEUTRAL, RELEASED, ALL, CRITICS)
QUANTITIES = {"sweep_deviation": "standard deviation of the return", "sweep_hazards": "noisy cells entered",
              "sweep_return": "mean return"}  # fmt: skip
NETWORKS = {
    POLE: ("deep", "Deep networks on a CartPole whose right half pays with noise, over ψ"),
    GAME: ("game", "Deep networks on Space Invaders with noise on hits from the left half, over ψ"),
}
"""Ids of the claims and a title for each task of the deep networks."""
FEWEST = 1e-2
"""Visits per episode at the white end of the scale."""


def figure(scores: Scores, claims: dict[str, Claim]) -> "Figure":
    """Maps of the visits, quantities over ψ, visits while learning, what options are for, deep networks, gambles."""
    from theodolite.core.panels import stacked  # matplotlib loads slowly, and worker processes do without

    shown = [panel for panel in (MILD, FIRST, TV) if scores.curves("visits", NEUTRAL, panel)]
    rows = [(2.75, partial(_maps, scores=scores, panel=panel)) for panel in shown]
    rows += [(2.9, partial(_sweep, scores=scores, panel=panel)) for panel in shown if panel in (MILD, FIRST)]
    rows += [(2.5, partial(_learning, scores=scores))] if MILD in shown else []
    rows += [(2.75, partial(_options, scores=scores))] if MILD in shown else []
    for name, (id, title) in NETWORKS.items():
        if cases := [case for case in CASES[name] if scores.by_seed("deep_return", DEEP, case)]:
            deep = [claims[f"{id}-{what}"] for what in ("visits", "spread", "return")]
            rows.append((2.6, partial(_deep, scores=scores, claims=deep, cases=cases, title=title)))
    rows += [(3.1, partial(_gambles, scores=scores, claim=claims["reasons-not-aversion"]))]
    return stacked(rows)


def _learning(part: Any, scores: Scores) -> None:
    """Noisy cells per episode as learning goes on, and how the frozen agents fare elsewhere."""
    from theodolite.core import figures, stats

    part.suptitle(f"Noise met while learning and afterwards, {MILD}", x=0.01, ha="left", fontsize=10)
    left, right = part.subplots(1, 2)
    figures.curves(left, scores, "hazards", ARMS, MILD, statistic="mean")
    left.set_xlabel("episodes of learning")
    left.set_ylabel("noisy cells per episode")
    left.set_title("as learning goes on", fontsize=8.5)
    right.set_title("all of learning, then frozen: means, 95% intervals", fontsize=8.5)
    cases, look = ("while learning", "frozen", "frozen, rougher world"), figures.looks(ARMS)
    ends = {}
    for i, arm in enumerate((NEUTRAL, CRITICS)):
        columns = [np.array(list(scores.by_seed("mistakes", arm, case).values())) for case in cases]
        found = [stats.bootstrap([c], "mean", np.random.default_rng(0), draws=1_000) for c in columns]
        x = np.arange(len(cases)) + 0.16 * i - 0.08
        right.vlines(x, *np.array([b.interval() for b in found]).T, color=look[arm].colour, linewidth=1.6)
        right.plot(x, [b.estimate for b in found], look[arm].marker, color=look[arm].colour, markersize=5.5)
        ends[arm] = found[-1].estimate
    right.set_xticks(range(len(cases)), ["while\nlearning", "frozen", "frozen, moves\nslip twice as often"])
    right.set_xlim(-0.5, len(cases) - 0.5)
    right.set_ylim(bottom=0)
    figures.name_arms(right, ends, look)


def _options(part: Any, scores: Scores) -> None:
    """Where options end, and how they are used over ψ."""
    from matplotlib.colors import Normalize

    from theodolite.core import figures

    part.suptitle(f"What options are for, {MILD}: where they end, and their use over ψ in nats", x=0.01, ha="left",
                  fontsize=10)  # fmt: skip
    grid, world, look = part.subplots(1, 4), rooms.rooms(**PANELS[MILD][0]), figures.looks(ARMS)
    found = {arm: scores.curves("endings", arm, MILD) for arm in (NEUTRAL, CRITICS)}
    maps = {arm: np.array(next(iter(curves.values()))[1]) for arm, curves in found.items() if curves}
    norm = Normalize(min(m.min() for m in maps.values()), max(m.max() for m in maps.values()))
    for axes, (arm, ending) in zip(grid[:2], maps.items(), strict=False):
        picture = _map(axes, world, ending, norm, cmap="Purples")
        axes.set_title(f"{arm}\nwhere options end", fontsize=8.5)
    part.colorbar(picture, ax=list(grid[:2]), shrink=0.7, label="probability")
    names = {"sweep_entropy": "entropy of use", "sweep_information": "room information"}
    for axes, (metric, name) in zip(grid[2:], names.items(), strict=True):
        for arm in ARMS:
            columns = [list(scores.by_seed(metric, arm, f"{MILD}/{psi:g}").values()) for psi in PSIS]
            if all(columns):
                means = [np.mean(c) for c in columns]
                axes.plot(PSIS, means, look[arm].marker + "-", color=look[arm].colour, markersize=4)
        axes.set_xscale("log")
        axes.set_xticks([PSIS[0], PSIS[2], PSIS[-1]], [f"{PSIS[i]:g}" for i in (0, 2, -1)])
        axes.minorticks_off()
        axes.set_xlabel("ψ; arms as above")
        axes.set_ylim(bottom=0)
        axes.set_title(name, fontsize=8.5)


def _deep(part: Any, scores: Scores, claims: list[Claim], cases: list[str], title: str) -> None:
    """Noise, spread and return of the deep networks over ψ."""
    from theodolite.core import figures, panels

    arms = claims[0].arms
    look = figures.looks(arms)
    for axes, claim in zip(part.subplots(1, 3), claims, strict=True):
        figures.dots(axes, claim, scores, cases, look)
        axes.set_title(claim.unit, fontsize=8.5)
        axes.set_xlabel("ψ")
    panels.named(part, look, arms, title)


def _gambles(part: Any, scores: Scores, claim: Claim) -> None:
    """Regret of every kind of caution, one panel per kind of world."""
    from theodolite.core import figures, panels

    look, shown = figures.looks(claim.arms), figures.panels_of(claim.cases or ())
    for axes, (panel, cases) in zip(part.subplots(1, len(shown), sharey=True), shown.items(), strict=True):
        figures.dots(axes, claim, scores, cases, look)
        axes.set_title(panel)
        axes.set_xlabel("steps" if panel == "long horizon" else "size of the outcome")
    title = "Regret in true return, 0 best and 1 worst, of agents that are averse or know"
    panels.named(part, look, claim.arms, title)


def _maps(part: Any, scores: Scores, panel: str) -> None:
    from matplotlib.colors import LogNorm

    arms = [arm for arm in MAPPED if scores.curves("visits", arm, panel)]
    world = rooms.rooms(**PANELS[panel][0])
    where = "Harmless noise on the short way" if panel == TV else f"Frozen rooms, {panel}"
    part.suptitle(f"{where}: expected visits per episode after learning, and where the noise is (dotted)",
                  x=0.01, ha="left", fontsize=10)  # fmt: skip
    grid = part.subplots(1, len(MAPPED), squeeze=False)[0]
    norm = LogNorm(FEWEST, 3.0, clip=True)
    for axes, arm in zip(grid, arms, strict=False):
        _, visits = next(iter(scores.curves("visits", arm, panel).values()))
        picture = _map(axes, world, np.maximum(visits, FEWEST), norm)
        per_episode = np.mean(list(scores.by_seed("hazards", arm, panel).values()))
        axes.set_title(f"{arm}\n{per_episode:.2g} noisy cells per episode", fontsize=8.5)
    for spare in grid[len(arms) :]:
        spare.remove()
    part.colorbar(picture, ax=list(grid[: len(arms)]), shrink=0.8, label="visits per episode")


def _map(axes: "Axes", world: rooms.World, values: np.ndarray, norm: Any, cmap: str = "Blues") -> Any:
    """One map: walls dark, values in colour, noisy cells dotted, the goal marked."""
    from theodolite.core import figures

    shape = len(world.drawing), len(world.drawing[0])
    table, cells = np.full(shape, np.nan), np.asarray(world.cells)
    table[tuple(cells.T)] = values
    walls = np.where(np.isnan(table), 1.0, np.nan)
    axes.imshow(walls, cmap="Greys", vmin=0, vmax=1.4)
    picture = axes.imshow(table, cmap=cmap, norm=norm)
    noisy, goal = cells[np.asarray(world.noisy)], cells[np.asarray(world.terminal)][0]
    axes.plot(noisy[:, 1], noisy[:, 0], ".", color=figures.COLOURS[1], markersize=4)
    axes.text(goal[1], goal[0], "G", color=figures.COLOURS[1], ha="center", va="center", fontsize=8, weight="bold")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    return picture


def _sweep(part: Any, scores: Scores, panel: str) -> None:
    """Means over the tuning seeds with 95% intervals, relative to option-critic's where they are spreads or visits."""
    from theodolite.core import figures, panels, stats

    arms = [arm for arm in ARMS
            if scores.by_seed("sweep_return", arm, f"{panel}/{PSIS[0]:g}")]  # fmt: skip
    look = figures.looks(ARMS)
    for axes, (metric, name) in zip(part.subplots(1, len(QUANTITIES)), QUANTITIES.items(), strict=True):
        for arm in arms:
            columns = [np.array(list(scores.by_seed(metric, arm, f"{panel}/{psi:g}").values())) for psi in PSIS]
            found = [stats.bootstrap([c], "mean", np.random.default_rng(0), draws=1_000) for c in columns]
            low, high = np.array([b.interval() for b in found]).T
            axes.fill_between(PSIS, low, high, color=look[arm].colour, alpha=0.14, linewidth=0)
            axes.plot(PSIS, [b.estimate for b in found], look[arm].marker + "-", color=look[arm].colour, markersize=4)
        axes.set_xscale("log")
        axes.set_xticks(PSIS, [f"{psi:g}" for psi in PSIS])
        axes.minorticks_off()
        axes.set_xlabel("ψ")
        axes.set_title(name if metric == "sweep_return" else f"{name},\nshare of {NEUTRAL}'s", fontsize=8.5)
        if metric != "sweep_return":
            axes.set_ylim(bottom=0)
    title = f"Frozen rooms, {panel}, over ψ"
    panels.named(part, look, arms, title, line="-", ncols=len(arms), handlelength=1.3)
