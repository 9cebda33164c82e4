"""Chunks of an ascent, watched: live progress, and what is kept when somebody presses Ctrl-C."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple


class Progress(NamedTuple):
    """What the display of training reads."""

    update: int
    metrics: dict[str, Any]


class Seen(NamedTuple):
    """The last chunk that there is, and whether there would have been more."""

    chunk: Any
    interrupted: bool

    @property
    def code(self) -> int:
        """The exit code after this chunk was saved.

        Raises:
            KeyboardInterrupt: more was to come; `cli` turns it into a sentence and exit code 130.
        """
        if self.interrupted:
            raise KeyboardInterrupt
        return 0


def shown(title: str, chunks: Iterable[Any], steps: int) -> Iterator[Any]:
    """The chunks, with live progress."""
    import numpy as np

    from theodolite.commands.progress import TrainingDisplay

    with TrainingDisplay(title, steps, 1, 1) as display:
        for done, chunk in enumerate(chunks, 1):
            objective = np.asarray(getattr(chunk, "objective", getattr(chunk[-1], "objective", None)))
            step = chunk.step if hasattr(chunk, "step") else done * len(objective)
            display.show(Progress(step, {"objective": objective[None]}))
            yield chunk


def last(title: str, chunks: Iterable[Any], steps: int) -> Seen:
    """The last chunk, with live progress until then; when interrupted, the last one before.

    Raises:
        KeyboardInterrupt: interrupted before there was any.
    """
    found = None
    try:
        for found in shown(title, chunks, steps):  # noqa: B007 (the last one is what is wanted)
            pass
    except KeyboardInterrupt:
        if found is None:
            raise nothing_yet() from None
        return Seen(found, True)
    return Seen(found, False)


def nothing_yet() -> KeyboardInterrupt:
    """What to raise where there is nothing to save."""
    return KeyboardInterrupt("nothing was finished yet, so nothing is written.")
