"""Grid worlds that can be talked about: a finite decision process with names for its cells, things and outcomes.

Coordinates (x, y) start at the bottom left. A map is drawn with one character per cell: S start, G goal, T trap,
F forest, # wall, r the monster's territory, . anything else. Rewards belong to what the agent arrives at. A monster
moves after the agent, while the agent is inside its territory: one step nearer, ties in the order of the actions, never
out of the territory. The state is then the pair of both cells.

    monster-grid    the world of van der Waa et al. 2018 as its public re-implementation has it, 7 × 7
    cliff           Sutton and Barto's cliff, 12 × 4, as traps
    ten             ten by ten with walls, traps and forest
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from theodolite.core.errors import UserError, unknown

ACTIONS = ("up", "right", "down", "left")
MOVES = ((0, 1), (1, 0), (0, -1), (-1, 0))
GOAL, TRAP, CAUGHT = "reach the goal", "fall into a trap", "be caught by the monster"
NEAR_MONSTER, FOREST, STEP = "come next to the monster", "walk through forest", "take a step"
REWARDS = {GOAL: 100.0, TRAP: -100.0, CAUGHT: -100.0, NEAR_MONSTER: -100.0, FOREST: -5.0, STEP: -1.0}
ENDINGS = (GOAL, TRAP, CAUGHT)
BARRED = {"#": "a wall", "G": "the goal", "T": "a trap"}
"""Where nothing can start, in words."""
MAPS: dict[str, tuple[tuple[str, ...], tuple[int, int] | None, str]] = {
    "monster-grid": ((
        "F.....G",
        "FF.....",
        "FF..r..",
        "...rrrr",
        "...rTrT",
        "...rrrr",
        "S.TrTrr",
    ), (4, 1), "(2,0)"),
    "cliff": ((
        "............",
        "............",
        "............",
        "STTTTTTTTTTG",
    ), None, ""),
    "ten": ((
        "...#.....G",
        ".F.#.T....",
        ".F...TT...",
        ".F.###....",
        ".......T..",
        "..T#......",
        "..T#.FFF..",
        ".......F..",
        ".##..T....",
        "S....T....",
    ), None, ""),
}  # fmt: skip
"""Drawing, the monster's cell, and traps that are its territory, too."""


class World(NamedTuple):
    """States, what they are called, and how they follow each other. The last states are the endings."""

    name: str
    drawing: tuple[str, ...]
    actions: tuple[str, ...]
    transition: sparse.csr_array
    """[S * A, S], the row of state s and action a is s * A + a."""
    start: int
    cells: Int[np.ndarray, "S 2"]
    """The agent's cell; (-1, -1) once it is over."""
    monsters: Int[np.ndarray, "S 2"]
    """The monster's cell, (-1, -1) if there is none."""
    blocked: Bool[np.ndarray, "S A"]
    """Where an action would lead into a wall."""
    events: dict[str, Bool[np.ndarray, " S"]]
    """Outcome to the states whose arrival is that outcome; every state belongs to one."""
    things: dict[str, Bool[np.ndarray, "X Y"]]
    """Thing to the cells that it occupies."""
    slip: float
    initial: Float[np.ndarray, " S"] | None = None
    """Where it starts, if that is random; `start` is then the likeliest state."""
    names: dict[tuple[int, int], str] | None = None
    """What cells are called, if not by their coordinates."""
    beside: Bool[np.ndarray, "X Y X Y"] | None = None
    """Which cells are a step apart, if not those that touch."""
    ends: dict[tuple[int, int], int] | None = None
    """The endings of cells that are told apart from others of their kind."""

    @property
    def begin(self) -> Float[np.ndarray, " S"]:
        """The distribution of the first state."""
        return np.eye(len(self.cells))[self.start] if self.initial is None else self.initial

    @property
    def shape(self) -> tuple[int, int]:
        """Of the map."""
        width, height = next(iter(self.things.values())).shape
        return width, height

    @property
    def over(self) -> Bool[np.ndarray, " S"]:
        """Ended."""
        return self.cells[:, 0] < 0


def grid(name: str = "monster-grid", *, slip: float = 0.0, start: tuple[int, int] | None = None) -> World:
    """A world by name; with probability `slip` a move goes in a random direction instead.

    Raises:
        UserError: unknown name, slip that is no probability, or a start that is no free cell.
    """
    if name not in MAPS:
        raise unknown("world", name, MAPS, f"The worlds are {', '.join(MAPS)}.")
    if not 0 <= slip <= 1:
        raise UserError(f"slip = {slip}: must lie between 0 and 1. It is the probability of a random move.")
    drawing, monster, extra = MAPS[name]
    chars = np.array([list(line) for line in drawing[::-1]]).T
    x, y = np.argwhere(chars == "S")[0]
    where = (int(x), int(y)) if start is None else start
    _check_start(chars, where)
    red = chars == "r"
    if monster is not None:
        red |= np.isin(chars, ["T"]) & (np.indices(chars.shape)[0] >= 3)
        red[tuple(int(v) for v in extra.strip("()").split(","))] = True
    return _build(name, drawing, chars, red, monster, where, slip)


def _check_start(chars: np.ndarray, where: tuple[int, int]) -> None:
    x, y = where
    inside = 0 <= x < chars.shape[0] and 0 <= y < chars.shape[1]
    if not inside or str(chars[x, y]) in BARRED:
        what = f"is {BARRED[str(chars[x, y])]}" if inside else "is off the map"
        raise UserError(f"the cell ({x}, {y}) {what}: a start must be a free cell of the {chars.shape[0]} × "
                        f"{chars.shape[1]} grid, counted from (0, 0) at the bottom left.")  # fmt: skip


def moved(chars: np.ndarray, cell: tuple[int, int], action: int) -> tuple[int, int]:
    """Where a move leads; walls and the border hold it back."""
    x, y = cell[0] + MOVES[action][0], cell[1] + MOVES[action][1]
    free = 0 <= x < chars.shape[0] and 0 <= y < chars.shape[1] and chars[x, y] != "#"
    return (x, y) if free else cell


def chased(red: np.ndarray, monster: tuple[int, int], agent: tuple[int, int]) -> tuple[int, int]:
    """The monster's next cell."""
    if not red[agent]:
        return monster
    options = [(monster[0] + dx, monster[1] + dy) for dx, dy in MOVES]
    inside = [c for c in options if 0 <= c[0] < red.shape[0] and 0 <= c[1] < red.shape[1] and red[c]]
    now = abs(monster[0] - agent[0]) + abs(monster[1] - agent[1])
    nearer = [c for c in inside if abs(c[0] - agent[0]) + abs(c[1] - agent[1]) < now]
    return nearer[0] if nearer else monster


def _ending(chars: np.ndarray, agent: tuple[int, int], monster: tuple[int, int]) -> str | None:
    if chars[agent] == "G":
        return GOAL
    if chars[agent] == "T":
        return TRAP
    return CAUGHT if agent == monster else None


def _build(name, drawing, chars, red, monster, where, slip) -> World:
    free = [(int(x), int(y)) for x, y in np.argwhere(~np.isin(chars, ["#", "G", "T"]))]
    lairs = [(int(x), int(y)) for x, y in np.argwhere(red)] if monster else [(-1, -1)]
    states = [(a, m) for a in free for m in lairs if a != m]
    index = {pair: i for i, pair in enumerate(states)} | {e: len(states) + i for i, e in enumerate(ENDINGS)}
    size, rows, columns, chances = len(index), [], [], []
    blocked = np.zeros((size, len(ACTIONS)), bool)
    for (agent, lair), s in [(p, i) for p, i in index.items() if isinstance(p, tuple)]:
        arrivals = []
        for action in range(len(ACTIONS)):
            to = moved(chars, agent, action)
            blocked[s, action] = to == agent
            then = chased(red, lair, to) if monster and chars[to] not in "GT" else lair
            arrivals.append(index[_ending(chars, to, then) or (to, then)])
        for action, intended in enumerate(arrivals):
            rows += [s * len(ACTIONS) + action] * 5
            columns += [intended, *arrivals]
            chances += [1 - slip, *[slip / 4] * 4]
    for ending in ENDINGS:
        rows += [index[ending] * len(ACTIONS) + a for a in range(len(ACTIONS))]
        columns += [index[ending]] * len(ACTIONS)
        chances += [1.0] * len(ACTIONS)
    transition = sparse.csr_array((chances, (rows, columns)), shape=(size * len(ACTIONS), size))
    transition.eliminate_zeros()
    nowhere = [(-1, -1)] * len(ENDINGS)
    cells = np.array([a for a, _ in states] + nowhere)
    monsters = np.array([m for _, m in states] + nowhere)
    first = index[(int(where[0]), int(where[1])), monster or (-1, -1)]
    things = {"forest": chars == "F", "trap": chars == "T", "goal": chars == "G", "wall": chars == "#",
              "territory": red}  # fmt: skip
    events = _events(chars, cells, monsters, size)
    return World(name, drawing, ACTIONS, transition, first, cells, monsters, blocked, events, things, slip)


def _events(chars: np.ndarray, cells: np.ndarray, monsters: np.ndarray, size: int) -> dict[str, np.ndarray]:
    found = {ending: np.arange(size) == size - len(ENDINGS) + i for i, ending in enumerate(ENDINGS)}
    going = cells[:, 0] >= 0
    near = going & (monsters[:, 0] >= 0) & (np.abs(cells - monsters).sum(1) == 1)
    forest = going & ~near & (chars[cells[:, 0], cells[:, 1]] == "F")
    return {**found, NEAR_MONSTER: near, FOREST: forest, STEP: going & ~near & ~forest}


def rewards(world: World, values: dict[str, float] | None = None) -> Float[np.ndarray, " S"]:
    """The reward for arriving at each state; `values` may change what outcomes are worth."""
    worth = REWARDS | (values or {})
    return sum((worth[name] * mask.astype(float) for name, mask in world.events.items()), np.zeros(len(world.cells)))
