"""Asking an agent in a finite world, and what a page needs to draw the question and the answer.

The asker may mark a region, cells that become a thing of the world ("the region"), and start the agent elsewhere.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from theodolite.core.errors import UserError
from theodolite.envs.grids import MOVES, World
from theodolite.interpret import contrastive, contrastive_answers, contrastive_text, questions
from theodolite.interpret.contrastive import Agent
from theodolite.interpret.contrastive_answers import Answer
from theodolite.interpret.contrastive_places import vocabulary
from theodolite.interpret.questions import REGION

Cell = tuple[int, int]


class Subject(NamedTuple):
    """Who is asked: an agent in a finite world."""

    world: World
    agent: Agent
    horizon: int = contrastive.HORIZON
    command: str = ""
    """How it is named on the command line."""
    about: str = "an optimal agent"


class Said(NamedTuple):
    """An answer, with the world in which the question was meant."""

    world: World
    answer: Answer

    @property
    def text(self) -> str:
        """The answer in words."""
        return contrastive_text.render(self.world, self.answer)

    @property
    def drawing(self) -> str:
        """Both paths, drawn with characters."""
        return contrastive_text.drawing(self.world, self.answer)


def ask(subject: Subject, text: str, region: Sequence[Cell] = (), start: Cell | None = None) -> Said:
    """The answer to a sentence.

    Raises:
        UserError: the sentence, the region or the start is not understood, or the agent never meets the situation.
    """
    world = (subject if start is None else started(subject, start)).world
    world = marked(world, region) if region else world
    question = questions.parse(text, vocabulary(world))
    return Said(world, contrastive_answers.answer(world, subject.agent, question, subject.horizon))


def standing(world: World) -> set[Cell]:
    """The cells on which the agent may be."""
    found = {(int(x), int(y)) for x, y in world.cells[~world.over]}
    goal = world.things.get("goal")
    return found | (set() if goal is None else {(int(x), int(y)) for x, y in np.argwhere(goal)})


def marked(world: World, region: Sequence[Cell]) -> World:
    """The world with a region.

    Raises:
        UserError: a cell on which the agent can never be.
    """
    allowed, shape = standing(world), world.shape
    cells = np.zeros(shape, bool)
    for cell in region:
        if tuple(cell) not in allowed:
            raise UserError(
                f"region: the cell ({cell[0]}, {cell[1]}) {_what(world, cell)}, where the agent never is: a region is "
                f"made of other cells of the {shape[0]} × {shape[1]} map, counted from (0, 0) at the bottom left."
            )
        cells[cell[0], cell[1]] = True
    return world._replace(things={**world.things, REGION: cells})


def _what(world: World, cell: Cell) -> str:
    if not (0 <= cell[0] < world.shape[0] and 0 <= cell[1] < world.shape[1]):
        return "is off the map"
    found = [thing for thing in ("wall", "trap") if thing in world.things and world.things[thing][cell]]
    return f"is a {found[0]}" if found else "is no state"


def started(subject: Subject, start: Cell) -> Subject:
    """The same agent, elsewhere to begin with; a monster is where it was.

    Raises:
        UserError: no state has the agent there and the monster where it was.
    """
    world = subject.world
    same = np.all(world.monsters == world.monsters[world.start], axis=1)
    states = np.flatnonzero(~world.over & same & np.all(world.cells == start, axis=1))
    if not len(states):
        raise UserError(
            f"start: the agent cannot start at ({start[0]}, {start[1]}): expected a free cell of the {world.shape[0]} "
            f"× {world.shape[1]} map, counted from (0, 0) at the bottom left."
        )
    initial = None if world.initial is None else np.eye(len(world.cells))[states[-1]]
    return subject._replace(world=world._replace(start=int(states[-1]), initial=initial))


def world_json(subject: Subject) -> dict[str, Any]:
    """All that is needed to draw the world and to help with a question."""
    world = subject.world
    words = vocabulary(world)
    monster = world.monsters[world.start].tolist()
    own = contrastive.track(world, [], subject.agent, world.start, subject.horizon)
    names = None if world.names is None else [[x, y, name] for (x, y), name in world.names.items()]
    return {
        "name": world.name, "about": subject.about, "command": subject.command, "size": list(world.shape),
        "actions": list(world.actions), "words": list(words.things), "examples": list(words.examples()),
        "things": {} if names else {thing: np.argwhere(cells).tolist() for thing, cells in world.things.items()},
        "names": names, "standing": sorted(map(list, standing(world))), "start": world.cells[world.start].tolist(),
        "monster": None if monster[0] < 0 else monster, "slip": world.slip, "horizon": subject.horizon,
        "path": steps(world, own),
    }  # fmt: skip


def answer_json(found: Said) -> dict[str, Any]:
    """The answer as data, in words, and as two paths to draw."""
    fact, foil = (steps(found.world, track) for track in found.answer.tracks)
    rows = contrastive_text.rows(found.world, found.answer) if contrastive_text.told(found.answer) else []
    return {
        **contrastive_answers.as_json(found.world, found.answer), "text": found.text, "tracks": [fact, foil],
        "sentences": contrastive_text.sentences(found.world, found.answer),
        "rows": rows,
    }  # fmt: skip


def steps(world: World, track: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """Where the agent and the monster are along a path, what was done there, and what arriving there was."""
    found: list[dict[str, Any]] = []
    for s, action in track:
        cell, monster = world.cells[s].tolist(), world.monsters[s].tolist()
        if world.over[s] and found:  # an ending has no cell of its own: it is where the last move led
            move = MOVES[world.actions.index(found[-1]["action"])]
            cell, monster = [found[-1]["cell"][i] + move[i] for i in (0, 1)], found[-1]["monster"] or [-1, -1]
        event = next(name for name, mask in world.events.items() if mask[s])
        found.append({
            "cell": cell, "monster": None if monster[0] < 0 else monster, "event": event if found else "",
            "action": world.actions[action] if action >= 0 else "",
        })  # fmt: skip
    return found
