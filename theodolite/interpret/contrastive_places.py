"""What words mean in a finite world: where its conditions hold.

A state that is over has no cell. The goal, the trap and where the monster is are therefore their endings, and so is the
cell of one trap, once `told_apart` has given it an ending of its own.
"""

import numpy as np
from jaxtyping import Bool
from scipy import sparse

from theodolite.envs.grids import CAUGHT, GOAL, MOVES, TRAP, World
from theodolite.interpret.contrastive import Agent, States
from theodolite.interpret.questions import Cond, Question, Vocabulary, said

Cell = tuple[int, int]


def named(world: World, state: int) -> str:
    """Where a state is, in words."""
    x, y = world.cells[state].tolist()
    return f"({x}, {y})" if world.names is None else world.names[x, y]


def vocabulary(world: World) -> Vocabulary:
    """What can be said about a world."""
    things = [thing for thing, cells in world.things.items() if cells.any()]
    return Vocabulary(world.actions, (*things, *["monster"] * bool((world.monsters >= 0).any())), world.shape)


def states_of(world: World, cond: Cond, action: str = "") -> States:
    """Where a condition holds; "wall" is about the action."""
    if cond.kind == "not":
        return ~states_of(world, cond.parts[0], action) & ~world.over
    if cond.kind in ("and", "or"):
        first, second = (states_of(world, part, action) for part in cond.parts)
        return first & second if cond.kind == "and" else first | second
    if cond.kind == "wall":
        return world.blocked[:, world.actions.index(action)] if action else np.asarray(world.blocked.any(1))
    within = 1 if cond.kind == "near" else 0
    if cond.place == "monster":
        together = ~world.over & (np.abs(world.cells - world.monsters).sum(1) <= within)
        return together if cond.kind == "near" else together | world.events[CAUGHT]
    grid = _cells(world, cond.place)
    wanted = beside(world, grid) if cond.kind == "near" else grid
    found = ~world.over & wanted[world.cells[:, 0], world.cells[:, 1]]
    return found if cond.kind == "near" else found | _endings(world, cond.place, grid)


def _cells(world: World, place: Cell | str | None) -> Bool[np.ndarray, "X Y"]:
    if not isinstance(place, tuple):
        return world.things[str(place)]
    grid = np.zeros(world.shape, bool)
    grid[place] = True
    return grid


def _endings(world: World, place: Cell | str | None, grid: Bool[np.ndarray, "X Y"]) -> States:
    """The states that are over where a place is."""
    found = np.zeros(len(world.cells), bool)
    if GOAL in world.events and grid[world.things["goal"]].any():
        found |= world.events[GOAL]
    if place == "trap" and TRAP in world.events:
        found |= world.events[TRAP]
    if isinstance(place, tuple) and world.ends is not None and place in world.ends:
        found[world.ends[place]] = True
    return found


def beside(world: World, grid: Bool[np.ndarray, "X Y"]) -> Bool[np.ndarray, "X Y"]:
    """The cells outside some cells that are a step away from one of them."""
    if world.beside is not None:
        return ~grid & world.beside[:, :, grid].any(-1)
    x, y = np.indices(world.shape)
    distance = np.stack([np.abs(x - i) + np.abs(y - j) for i, j in np.argwhere(grid)] or [x + 99]).min(0)
    return distance == 1


def told_apart(world: World, agent: Agent, question: Question) -> tuple[World, Agent]:
    """The same with an ending of its own, after all states, for each trap that a question names by its cell."""
    if TRAP not in world.events or world.names is not None:
        return world, agent
    conds = [c for step in question.steps for c in (step.until, step.target)] + [question.when]
    for cell in sorted({cell for cond in conds if cond is not None for cell in _named(cond)}):
        if world.things["trap"][cell]:
            world, agent = _split(world, agent, cell)
    return world, agent


def _named(cond: Cond) -> set[Cell]:
    own = {cond.place} if isinstance(cond.place, tuple) and cond.kind != "near" else set()
    return own.union(*map(_named, cond.parts))


def _split(world: World, agent: Agent, cell: Cell) -> tuple[World, Agent]:
    """A move into the cell, meant or by a slip, leads to a state of its own, of the same event."""
    size, num = len(world.cells), len(world.actions)
    trap = int(np.flatnonzero(world.events[TRAP])[0])
    enters = np.stack([~world.over & (world.cells + move == cell).all(1) for move in MOVES], axis=1)
    share = ((1 - world.slip) * enters + world.slip / num * np.any(enters, axis=1, keepdims=True)).ravel()
    rows = np.flatnonzero(share)
    shape = size * num, size
    moved = sparse.csr_array((share[rows], (rows, np.full(len(rows), trap))), shape=shape)
    column = sparse.csr_array((share[rows], (rows, np.zeros(len(rows), int))), shape=(size * num, 1))
    rest = sparse.csr_array(world.transition - moved)
    rest.data[np.abs(rest.data) < 1e-12] = 0
    rest.eliminate_zeros()
    stays = sparse.csr_array(np.ones((num, 1)))
    transition = sparse.csr_array(sparse.block_array([[rest, column], [None, stays]]))
    nowhere, unblocked = np.full((1, 2), -1), np.zeros((1, num), bool)
    events = {name: np.append(mask, name == TRAP) for name, mask in world.events.items()}
    split = world._replace(
        transition=transition, cells=np.concatenate([world.cells, nowhere]), events=events,
        monsters=np.concatenate([world.monsters, nowhere]), blocked=np.append(world.blocked, unblocked, 0),
        initial=None if world.initial is None else np.append(world.initial, 0.0),
        ends={**(world.ends or {}), cell: size},
    )  # fmt: skip
    reward = np.append(agent.reward, agent.reward[trap])
    return split, Agent(reward, np.append(agent.q, np.zeros((1, num)), 0), np.append(agent.policy, 0))


def barred(world: World, cond: Cond) -> str:
    """Why a condition holds nowhere, in words."""
    if isinstance(cond.place, tuple) and "wall" in world.things and world.things["wall"][cond.place]:
        return f"{said(cond.place)} is a wall"
    return f"there is no state in which I am {cond}"
