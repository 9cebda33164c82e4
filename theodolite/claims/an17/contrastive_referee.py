"""Novel questions, and a referee who plays what was answered and judges it by the words of the question.

The referee knows the map and the rules, but neither the matrices nor the conditions that answers are computed with: a
move is made as meant or, with the probability of a slip, in a random direction; where an episode is, is where its last
move led, also where that ended it.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from theodolite.envs import grids
from theodolite.envs.grids import World
from theodolite.interpret import contrastive as why
from theodolite.interpret.questions import Cond, Question, Step

WALLED = 0.15
"""How often a place is drawn that is a wall, in a world with walls."""
TRIES = 10
KINDS = ("do", "until", "avoid", "go to")


class Board(NamedTuple):
    """Of every state and move: the next state, where that led, and where the monster is then."""

    next: np.ndarray
    cell: np.ndarray
    monster: np.ndarray


class Game(NamedTuple):
    """Episodes over time: [T + 1, N], and the actions [T, N]."""

    states: np.ndarray
    cells: np.ndarray
    monsters: np.ndarray
    actions: np.ndarray


@cache
def board(name: str) -> Board:
    """The rules of a world."""
    world = grids.grid(name)
    dense = world.transition.toarray().reshape(len(world.cells), 4, -1)
    to = dense.argmax(2)
    led = np.where(world.blocked[..., None], world.cells[:, None], world.cells[:, None] + np.array(grids.MOVES))
    caught, nowhere = world.events[grids.CAUGHT][to][..., None], np.array([-9, -9])
    hunter = np.where(caught, led, np.where(world.over[to][..., None], nowhere, world.monsters[to]))
    return Board(to, led, hunter)


def meets(world: World, cond: Cond, cell: np.ndarray, monster: np.ndarray, over: np.ndarray, action: str) -> np.ndarray:
    """Whether episodes meet a condition, from where they are."""
    if cond.kind in ("and", "or", "not"):
        parts = [meets(world, part, cell, monster, over, action) for part in cond.parts]
        return (
            ~parts[0] & ~over
            if cond.kind == "not"
            else (parts[0] & parts[1] if cond.kind == "and" else parts[0] | parts[1])
        )
    if cond.kind == "wall":
        drawn = np.array([list(line) for line in world.drawing[::-1]]).T
        ahead = cell + np.array(grids.MOVES[grids.ACTIONS.index(action)])
        off = np.any((ahead < 0) | (ahead >= drawn.shape), axis=-1, keepdims=True)
        x, y = np.moveaxis(np.where(off, 0, ahead), -1, 0)
        return ~over & (off[..., 0] | (drawn[x, y] == "#"))
    if cond.place == "monster":
        apart = np.abs(cell - monster).sum(-1)
        return ~over & (apart <= 1) if cond.kind == "near" else apart == 0
    last = cond.place in ("goal", "trap")  # what ends an episode; being caught somewhere is not being there
    if isinstance(cond.place, tuple):
        last = bool(world.things["goal"][cond.place] or world.things["trap"][cond.place])
    where = np.argwhere(world.things[cond.place]) if isinstance(cond.place, str) else np.array([cond.place])
    apart = np.abs(cell[..., None, :] - where).sum(-1).min(-1)
    if cond.kind == "near":
        return ~over & (apart == 1)
    return (apart == 0) & (~over | last)


def play(world: World, plan: list[why.Phase], agent: why.Agent, starts: np.ndarray, steps: int, rng) -> Game:
    """Episodes of a plan, and then of the agent."""
    rules, num, k = board(world.name), len(starts), np.zeros(len(starts), int)
    size = len(world.cells)
    every = np.stack([*(phase.policy[:size] for phase in plan), agent.policy[:size]])
    single = np.array([*(phase.single for phase in plan), False])
    states, cells, monsters, actions = [starts], [world.cells[starts]], [world.monsters[starts]], []
    for _ in range(steps):
        s, over = states[-1], world.over[states[-1]]
        for i, phase in enumerate(plan):
            if phase.until is not None:
                k = np.where((k == i) & phase.until[s], i + 1, k)
        action = every[k, s]
        k = k + single[k]
        move = np.where(rng.random(num) < world.slip, rng.integers(0, 4, num), action)
        actions.append(action)
        states.append(rules.next[s, move])
        cells.append(np.where(over[:, None], cells[-1], rules.cell[s, move]))
        monsters.append(np.where(over[:, None], monsters[-1], rules.monster[s, move]))
    return Game(*(np.stack(x) for x in (states, cells, monsters, actions)))


def starts(
    world: World, agent: why.Agent, when: Cond | None, steps: int, num: int, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Where the agent first meets a condition, as often as in `TRIES` times as many episodes, and how often it does."""
    if when is None:
        return np.full(num, world.start), 1.0
    first = np.full(TRIES * num, world.start)
    game = play(world, [], agent, first, steps, rng)
    met = meets(world, when, game.cells, game.monsters, world.over[game.states], "") & ~world.over[game.states]
    found = game.states[met.argmax(0), np.arange(len(first))][met.any(0)]
    return rng.choice(found, num) if len(found) else found, len(found) / len(first)


class Judged(NamedTuple):
    """Of every episode."""

    kept: np.ndarray
    """Whether the plan came to its end, nothing that it avoids having been met."""
    obeyed: np.ndarray
    """Whether each action that is asked for was taken."""
    kept_out: np.ndarray
    """Share of the steps of avoiding that were meant to stay outside, where that was possible."""


def judge(world: World, question: Question, game: Game) -> Judged:
    """What episodes made of a question."""
    num, steps, rules = game.states.shape[1], question.steps, board(world.name)
    k, n = np.zeros(num, int), np.zeros(num, int)
    broken, disobeyed, meant, out = (np.zeros(num, int) for _ in range(4))
    for t, s in enumerate(game.states):
        at = game.cells[t], game.monsters[t], world.over[s]
        for i, step in enumerate(steps):
            ends = (n >= step.times) if step.times else _holds(world, step, at)
            k, n = np.where((k == i) & ends, [i + 1], k), np.where((k == i) & ends, 0, n)
        if t == len(game.actions):
            break
        going, action = ~at[2], game.actions[t]
        for i, step in enumerate(steps):
            mine = going & (k == i)
            if step.kind == "do":
                disobeyed += mine & (action != grids.ACTIONS.index(step.action))
            if step.kind == "avoid" and step.target is not None:
                to = rules.next[s]
                inside = meets(world, step.target, rules.cell[s], rules.monster[s], world.over[to], "")
                choice = mine & inside.any(1) & ~inside.all(1)
                meant += choice
                out += choice & ~inside[np.arange(num), action]
                later = game.cells[t + 1], game.monsters[t + 1], world.over[game.states[t + 1]]
                broken += mine & meets(world, step.target, *later, "")
        n += going
    endless = steps[-1].kind == "avoid"
    return Judged(
        ~broken.astype(bool) & (k >= len(steps) - endless), disobeyed == 0, np.where(meant, out / meant.clip(1), 1.0)
    )


def _holds(world: World, step: Step, at: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    cond = step.target if step.kind == "reach" else step.until
    return np.zeros(len(at[2]), bool) if cond is None else meets(world, cond, *at, step.action)


def surest(world: World, question: Question, starts: np.ndarray, steps: int) -> float:
    """The greatest probability of coming to all places that a plan goes to, one by one; 1 if there are none."""
    rules = board(world.name)
    over = world.over[rules.next]
    after, counts = np.ones(len(world.cells)), np.ones(rules.next.shape)  # at a state, and on arriving by a move
    for place in [step.target for step in question.steps[::-1] if step.kind == "reach" and step.target is not None]:
        arrives = meets(world, place, rules.cell, rules.monster, over, "")
        here = meets(world, place, world.cells, world.monsters, world.over, "") & ~world.over
        value = np.where(here, after, 0.0)
        for _ in range(steps):
            to = np.where(arrives, counts, np.where(over, 0.0, value[rules.next]))
            q = (1 - world.slip) * to + world.slip * to.mean(1, keepdims=True)
            value = np.where(here, after, np.where(world.over, 0.0, q.max(1)))
        after, counts = value, np.where(arrives, counts, np.where(over, 0.0, value[rules.next]))  # one may be in both
    return float(after[starts].mean())


def sampled_question(rng: np.random.Generator, world: World, kind: str = "") -> str:
    """A sentence of the grammar, without looking at any agent; of a kind, if one is given."""
    things = [thing for thing in ("forest", "trap", "territory") if world.things[thing].any()]
    thing = str(rng.choice([*things, *["monster"] * bool((world.monsters >= 0).any())]))
    place = _place(rng, world) if rng.random() < 0.5 else f"the {thing}"
    action, other = (str(a) for a in rng.choice(grids.ACTIONS, 2, replace=False))
    cond = str(rng.choice(["wall", f"near the {thing}", f"at {place}", f"not near the {thing}"]))
    steps = {
        "do": (action, f"{action} {rng.integers(1, 5)} times", f"{action} then {other}"),
        "until": (f"{action} until {cond}", f"{action} until {cond} and then {other}"),
        "avoid": (f"avoid the {thing}", f"avoid the {thing} until {cond.replace('wall', 'at the goal')}"),
        "go to": (f"go to {place}", f"go to {place} through {_place(rng, world)}"),
    }  # fmt: skip
    step = str(rng.choice(steps[kind or str(rng.choice(KINDS))]))
    opening = str(rng.choice(["why not", "what if you", f"why {other} instead of", "why don't you"]))
    when = f" when near the {thing}" if rng.random() < 0.2 else ""
    return f"{opening} {step}{when}?"


def walled_question(rng: np.random.Generator, world: World) -> str:
    """A sentence that asks for what cannot be: a way to a wall, or through one."""
    opening = str(rng.choice(["why not", "what if you", "why don't you"]))
    wall, place = _place(rng, world, walled=1.0), _place(rng, world, walled=0.0)
    return f"{opening} {rng.choice([f'go to {wall}', f'go to {place} through {wall}'])}?"


def _place(rng: np.random.Generator, world: World, walled: float = WALLED) -> str:
    """A cell; traps and the goal are cells, too."""
    walls = world.things["wall"]
    cells = np.argwhere(walls if walls.any() and rng.random() < walled else ~walls)
    x, y = cells[rng.integers(len(cells))].tolist()
    return f"({x}, {y})"
