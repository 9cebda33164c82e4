"""theodolite remember TEXT: train networks on a text of yours and look at what their guesses rest on, on a page."""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import tyro

from theodolite.commands.parsing import parse, stdout_kept_clean

if TYPE_CHECKING:
    from theodolite.interpret.memorization_cells import Kind

KINDS = {"rnn": "vanilla RNN", "gru": "GRU", "lstm": "LSTM", "nlstm": "Nested LSTM", "transformer": "transformer"}


@dataclass(frozen=True)
class Flags:
    """Train character models to guess words in a text, and write a page on which to see what they look at."""

    text: Annotated[str, tyro.conf.Positional]
    """A text file in UTF-8, a Wikipedia dump (.xml, .xml.bz2), or a wheel of gensim; letters a to z alone count."""
    out: str = "runs/remember"
    """The folder: page.html and a network .npz for each cell."""
    cells: tuple[str, ...] = ("gru", "lstm", "nlstm")
    """Any of rnn, gru, lstm, nlstm, transformer."""
    sentences: tuple[str, ...] = ()
    """Sentences of yours to show; those of the held-out text in which rarer words come again if left out."""
    steps: int = 1_500
    """Minibatches for each cell; a thousand take about a minute."""
    parameters: int = 65_536
    """Numbers between embedding and head, the same for every cell."""
    vocabulary: int = 512
    """The most frequent words, which can be guessed."""
    length: int = 100
    """Characters of a sequence."""
    learning_rate: float = 2e-3
    """Step size of Adam."""
    batch_size: int = 16
    """Sequences of a minibatch."""
    seed: int = 0
    """Where all randomness comes from."""
    json: bool = False
    """Print one JSON object."""


def main(argv: list[str]) -> int:
    """Train and write; 130 when interrupted."""
    flags = parse(Flags, argv, "remember")
    try:
        with stdout_kept_clean():
            said = _train(flags)
    except KeyboardInterrupt:
        print(f"theodolite: interrupted; networks that were finished are in {flags.out}.", file=sys.stderr)
        return 130
    print(json.dumps(said) if flags.json else f"{said['page']} shows {', '.join(said['loss'])}: open it in a browser.")
    return 0


def _check(flags: Flags) -> None:
    from theodolite.core.errors import UserError, unknown

    for cell in flags.cells:
        if cell not in KINDS:
            raise unknown("cell", cell, KINDS, f"The cells are {', '.join(KINDS)}.")
    low = {"steps": 1, "parameters": 300, "vocabulary": 2, "length": 10}
    for name, least in low.items():
        if getattr(flags, name) < least:
            raise UserError(f"--{name} {getattr(flags, name)}: must be at least {least}.")
    if not flags.cells:
        raise UserError(f"--cells is empty: name at least one of {', '.join(KINDS)}.")


def _train(flags: Flags) -> dict[str, Any]:
    _check(flags)
    import numpy as np

    from theodolite.core import checkpoint, compile_cache
    from theodolite.core.files import alone
    from theodolite.interpret import memorization as rnn
    from theodolite.interpret import memorization_page as page
    from theodolite.interpret import memorization_text as texts

    compile_cache.enable()
    source, folder = Path(flags.text), Path(flags.out)
    text = _corpus(texts.read_text(source), flags, source.name)
    rows = [page.sentence(s, text) for s in flags.sentences]
    nets, losses = {}, {}
    with alone(folder):
        for cell in dict.fromkeys(cast("list[Kind]", flags.cells)):
            width, layers = rnn.matched(cell, flags.parameters)
            c = rnn.Config(kind=cell, width=width, layers=layers)
            c = replace(c, learning_rate=flags.learning_rate, batch_size=flags.batch_size)
            net, losses[KINDS[cell]] = _fit(c, text, flags)
            nets[KINDS[cell]] = net
            checkpoint.save(folder / f"{cell}.npz", net, width=width, layers=layers, vocabulary=text.vocabulary)
        own = [np.concatenate(part) for part in zip(*rows, strict=True)]
        shown = texts.Sequences(*own) if rows else page.telling(text.test, 4, nets)
        size = page.write(folder / "page.html", nets, text, shown)
    return {"page": str(folder / "page.html"), "bytes": size, "loss": losses}


def _corpus(documents: list[str], flags: Flags, name: str) -> Any:
    from theodolite.core.errors import UserError
    from theodolite.interpret import memorization_text as texts

    try:
        return texts.corpus(documents, flags.length, flags.vocabulary, name)
    except UserError as error:
        different = len({document[:200] for document in documents})  # by these letters they are held out or not
        if 2 * different >= len(documents):
            raise
        raise UserError(
            f"{error} But the text repeats itself: of its {len(documents):,} pieces only {different:,} begin "
            "differently, and equal ones are never held out from one another, so more of the same will not do."
        ) from error


def _fit(c: Any, text: Any, flags: Flags) -> tuple[Any, float]:
    """One cell, with a line of progress at every tenth of the way."""
    import jax
    import numpy as np

    from theodolite.core.train import solve
    from theodolite.interpret import memorization as rnn

    data, net, loss = rnn.data(text), None, float("nan")
    every, space = max(1, flags.steps // 10), rnn.space(text)
    chunks = solve(lambda c: rnn.solver(c, data), c, space, updates=flags.steps, every=every, seed=flags.seed)
    for chunk in chunks:
        net = jax.tree.map(lambda x: x[0], chunk.carry.agent.net)
        loss = float(chunk.metrics["loss"][0, -every:].mean())
        at = f"{chunk.update:,} of {flags.steps:,}"
        print(f"{KINDS[c.kind]}: {at}, loss {loss:.3f} nats", file=sys.stderr, flush=True)
    return jax.tree.map(np.asarray, net), loss
