"""theodolite ask AGENT "why not ...?": what would follow from what you expected, instead of what the agent does."""

import json
from dataclasses import dataclass
from typing import Annotated

import tyro

from theodolite.commands.parsing import parse, stdout_kept_clean


@dataclass(frozen=True)
class Flags:
    """Ask an agent a contrastive question, such as "why not right until wall then up?"."""

    agent: Annotated[str, tyro.conf.Positional]
    """The folder of a run, or monster-grid, cliff, ten, garnet or loop for an optimal agent in that world."""
    question: Annotated[str | None, tyro.conf.Positional] = None
    """In English; a question that is not understood is answered with what can be asked."""
    serve: bool = False
    """Ask on a page of your own machine, with the world drawn, until Ctrl-C."""
    port: int = 8317
    """Of that page; 0 takes any free one."""
    region: tuple[tuple[int, int], ...] = ()
    """Cells as x y x y ...; questions call them the region."""
    slip: float | None = None
    """Probability that a move in a grid goes in a random direction."""
    start: tuple[int, int] | None = None
    """The cell where the agent starts, as x y; the world's own if left out."""
    worth: tuple[str, ...] = ()
    """What outcomes are worth to the agent, as outcome=value: forest=0 asks what if you did not mind the forest."""
    env_options: tuple[str, ...] = ()
    """Options of the world as name=value, such as seed=3; those of training if left out."""
    seed: int = 0
    """Which seed of a run is asked."""
    episodes: int = 512
    """Episodes for each side of an answer that cannot be computed exactly."""
    json: bool = False
    """Print one JSON object."""


def main(argv: list[str]) -> int:
    """Answer, or serve the page."""
    flags = parse(Flags, argv, "ask")
    if flags.question is None and not flags.serve:
        from theodolite.core.errors import UserError

        raise UserError(
            'QUESTION is missing: ask in English, such as "why not right until wall then up?", or draw the world with '
            "--serve. See theodolite ask --help."
        )
    return _serve(flags) if flags.serve else _answer(flags)


def _answer(flags: Flags) -> int:
    from theodolite.commands import asked

    with stdout_kept_clean():
        subject = asked.find(flags)
        found = asked.answer(subject, flags)
    print(json.dumps(found.data, ensure_ascii=False) if flags.json else found.text)
    return 0


def _serve(flags: Flags) -> int:
    from theodolite.commands import asked
    from theodolite.core.errors import UserError

    if flags.question is not None or flags.json:
        raise UserError("--serve opens a page on which questions are asked: leave the question and --json out.")
    from theodolite.interpret.asking_server import Server

    with stdout_kept_clean():
        server = Server(asked.drawable(asked.find(flags)), flags.port)
    where = f"{server.url} asks the agent, on this machine alone. Ctrl-C ends it."
    server.until_interrupted(lambda: print(where, flush=True))
    print("\nThe page is closed.")
    return 0
