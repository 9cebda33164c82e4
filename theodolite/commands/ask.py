"""theodolite ask WORLD "why not ...?": what would follow from what you expected, instead of what the agent does."""

import json
from dataclasses import dataclass
from typing import Annotated

import tyro

from theodolite.commands.parsing import parse


@dataclass(frozen=True)
class Flags:
    """Ask an optimal agent of a grid world a contrastive question, such as "why not right until wall then up?"."""

    world: Annotated[str, tyro.conf.Positional]
    """monster-grid, cliff or ten."""
    question: Annotated[str, tyro.conf.Positional]
    """In English; a question that is not understood is answered with what can be asked."""
    slip: float = 0.0
    """Probability that a move goes in a random direction."""
    start: tuple[int, int] | None = None
    """The cell where the agent starts, as x y; the world's own if left out."""
    worth: tuple[str, ...] = ()
    """What outcomes are worth to the agent, as outcome=value: forest=0 asks what if you did not mind the forest."""
    json: bool = False
    """Print one JSON object."""


def main(argv: list[str]) -> int:
    """Answer."""
    flags = parse(Flags, argv, "ask")
    from theodolite.envs import grids
    from theodolite.interpret import contrastive, contrastive_text, questions

    world = grids.grid(flags.world, slip=flags.slip, start=flags.start)
    question = questions.parse(flags.question, contrastive.vocabulary(world))
    agent = contrastive.train(world, grids.rewards(world, worths(flags.worth, grids.REWARDS)))
    found = contrastive.answer(world, agent, question)
    if flags.json:
        print(json.dumps(contrastive.as_json(world, found), ensure_ascii=False))
    else:
        print(f"{contrastive_text.render(world, found)}\n\n{contrastive_text.drawing(world, found)}")
    return 0


SHORT = {
    "goal": "reach the goal", "trap": "fall into a trap", "caught": "be caught by the monster",
    "monster": "come next to the monster", "forest": "walk through forest", "step": "take a step",
}  # fmt: skip


def worths(pairs: tuple[str, ...], known: dict[str, float]) -> dict[str, float]:
    """The changed values.

    Raises:
        UserError: a pair that is no outcome=number.
    """
    from theodolite.core.errors import UserError, unknown

    found = {}
    for pair in pairs:
        name, equals, number = pair.partition("=")
        if name not in SHORT:
            raise unknown("outcome", name, SHORT, f"The outcomes are {', '.join(SHORT)}.")
        try:
            found[SHORT[name]] = float(number)
        except ValueError:
            raise UserError(f"--worth {pair}: expected outcome=number, such as forest=-5.") from None
        if not equals or SHORT[name] not in known:
            raise UserError(f"--worth {pair}: expected outcome=number, such as forest=-5.")
    return found
