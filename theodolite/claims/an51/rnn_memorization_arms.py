"""The networks behind the claims of rnn_memorization: trained on Wikipedia, looked through on held-out articles."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from theodolite.claims.an51 import rnn_memorization_looks as looks
from theodolite.core import checkpoint, compile_cache
from theodolite.core.claim import Job, Row, Size, row
from theodolite.core.train import solve
from theodolite.interpret import memorization as rnn
from theodolite.interpret import memorization_control as control
from theodolite.interpret import memorization_page as page
from theodolite.interpret.memorization_cells import Kind, Net, recurrent_parameters
from theodolite.interpret.memorization_text import Corpus, corpus, read_wikipedia, wikipedia

VANILLA, GRU, LSTM, NESTED, TRANSFORMER = "vanilla RNN", "GRU", "LSTM", "Nested LSTM", "transformer"
UNBIASED, CHANGING = "GRU, gate bias 0", "GRU, gate bias −1"
CELLS: dict[str, Kind] = {VANILLA: "rnn", GRU: "gru", LSTM: "lstm", NESTED: "nlstm", TRANSFORMER: "transformer"}
BIASES = {UNBIASED: 0.0, CHANGING: -1.0}
STEPS, LOSS, CONTROL = "matched steps", "matched loss", "control text"
DISTANCE, CERTAINTY, CONTROL_LENGTH = 12, 0.9, 40
PLATEAU = 0.5
"""Nats below the entropy of single words at which a network has left the plateau."""
SMOOTH = 25
"""Minibatches over which the training loss is averaged to see that."""
SENTENCES = 4
"""On the page."""
POINTS = 24
"""Of a curve, and where networks are kept for the comparison at matched loss."""


class Budget(NamedTuple):
    """What a size buys."""

    seeds: int
    steps: int
    control_steps: int
    batch_size: int
    parameters: int
    """Between embedding and head, the same for every cell."""
    vocabulary: int
    length: int
    sequences: int
    """Held-out sequences whose connectivity is measured."""
    loss: float
    """Validation loss at which networks are compared: what the slowest cell reaches, found on seeds from 1,000 on."""
    learning_rate: float = 2e-3
    layers: int = 2


BUDGETS: dict[Size, Budget] = {
    "smoke": Budget(1, POINTS, POINTS, 4, 600, 20, 40, 6, 3.0, layers=1),
    "quick": Budget(5, 1_608, 1_500, 16, 65_536, 512, 100, 200, 3.0),
    "full": Budget(3, 5_016, 3_000, 32, 409_600, 2_048, 100, 400, 3.0, 1e-3),
}


@cache
def text_of(length: int, vocabulary: int) -> Corpus:
    """The shard of Wikipedia, packed."""
    return corpus(read_wikipedia(_place()), length, vocabulary, "Wikipedia")


def _place() -> Path | None:
    named = os.environ.get("THEODOLITE_TEXT")
    return Path(named) if named else None


def material(size: Size, b: Budget) -> Corpus:
    """What the networks read; a smoke run, which is never judged, does with the control text."""
    if size == "smoke":
        return control.corpus(7, b.length, DISTANCE, CERTAINTY, 800)[0]
    return text_of(b.length, b.vocabulary)


def settings(arm: str, b: Budget, parameters: int) -> rnn.Config:
    """An arm's configuration, of the given number of recurrent parameters."""
    kind = CELLS.get(arm, "gru")
    width, layers = rnn.matched(kind, parameters, b.layers)
    c = rnn.Config(kind=kind, width=width, layers=layers, learning_rate=b.learning_rate, batch_size=b.batch_size)
    return replace(c, gate_bias=BIASES[arm]) if arm in BIASES else c


class Trained(NamedTuple):
    """A network, the one that first reached the matched loss, and how it got there."""

    net: Net
    at_loss: Net | None
    losses: np.ndarray
    """Of every minibatch."""
    curve: tuple[list[int], list[float]]
    """Validation loss over steps."""


def train(c: rnn.Config, text: Corpus, seed: int, steps: int, level: float = -np.inf) -> Trained:
    """Train, and keep the first network whose validation loss is at most `level`."""
    held_out = tuple(jnp.asarray(x[:256]) for x in text.validation)
    found, losses, at_loss = None, [], None
    curve: tuple[list[int], list[float]] = ([], [])
    build = partial(_solver, text=rnn.data(text))
    for chunk in solve(build, c, rnn.space(text), updates=steps, every=max(1, steps // POINTS), seed=seed):
        found = jax.tree.map(lambda x: x[0], chunk.carry.agent.net)
        losses.append(np.asarray(chunk.metrics["loss"][0]))
        value = float(_loss(found, *held_out))
        curve[0].append(chunk.update)
        curve[1].append(value)
        if at_loss is None and value <= level:
            at_loss = jax.tree.map(jnp.copy, found)  # the carry is donated to the next chunk
    assert found is not None
    return Trained(found, at_loss, np.concatenate(losses), curve)


def _solver(c: rnn.Config, text: rnn.Data) -> Any:
    return rnn.solver(c, text)


_loss: Callable[..., Any] = jax.jit(lambda net, characters, words: rnn.loss(net, characters, words)[0])


def escape(losses: np.ndarray, words: np.ndarray) -> int:
    """Minibatches until the smoothed loss lies below the entropy of single words; all of them if it never does."""
    counts = np.bincount(words[words >= rnn.FIRST_WORD])
    shares = counts[counts > 0] / counts.sum()
    bar = -(shares * np.log(shares)).sum() - PLATEAU
    smooth = np.convolve(losses, np.full(SMOOTH, 1 / SMOOTH), "valid")
    below = np.flatnonzero(smooth <= bar)
    return int(below[0]) + SMOOTH if len(below) else len(losses)


def on_text(arm: str, seed: int, size: Size) -> list[Row]:
    """Train an arm on the text and measure it."""
    b = BUDGETS[size]
    text, c = material(size, b), settings(arm, b, b.parameters)
    trained = train(c, text, seed, b.steps, b.loss)
    if seed == 0:
        keep(arm, size, trained.net)
    left = escape(trained.losses, text.train.words)
    rows = looks.measured(arm, seed, trained.net, text, b.sequences)
    rows[0]["metrics"] |= {"plateau": float(left), "parameters": float(recurrent_parameters(trained.net))}
    rows[0]["curves"] = {"validation": [list(map(float, axis)) for axis in trained.curve]}
    reached = trained.net if trained.at_loss is None else trained.at_loss
    return rows + looks.at_matched_loss(arm, seed, reached, text, b.sequences, trained.at_loss is not None)


def on_plateau(arm: str, seed: int, size: Size) -> list[Row]:
    """Train a GRU with another gate bias for half of the steps: when does it leave the plateau?"""
    b = BUDGETS[size]
    text = material(size, b)
    trained = train(settings(arm, b, b.parameters), text, seed, b.steps // 2)
    left = escape(trained.losses, text.train.words)
    return [row(arm, STEPS, seed, {"validation": trained.curve}, plateau=left)]


def on_control(arm: str, seed: int, size: Size) -> list[Row]:
    """Train an arm on the control text: does connectivity find the key word?"""
    b = BUDGETS[size]
    text, marked = control.corpus(seed, CONTROL_LENGTH, DISTANCE, CERTAINTY, 800 if size == "smoke" else 8_000)
    c = replace(settings(arm, b, b.parameters // 4), batch_size=32, learning_rate=5e-3)
    trained = train(c, text, seed, b.control_steps)
    return looks.found_key(arm, seed, trained.net, marked, CERTAINTY, b.sequences)


def on_page(size: Size) -> list[Row]:
    """The size of a page with as many networks, sentences and words as the run's; they need not be trained for that."""
    b = BUDGETS[size]
    text, shown = material(size, b), (GRU,) if size == "smoke" else CELLS
    fresh = {arm: rnn.init(settings(arm, b, b.parameters), jax.random.key(0), rnn.space(text)).net for arm in shown}
    with tempfile.TemporaryDirectory() as folder:
        written = page.write(Path(folder) / "page.html", fresh, text, page.telling(text.test, SENTENCES, fresh), 32)
    return [row("page", "size", 0, page_megabytes=written / 1e6)]


def leave(folder: Path, size: Size) -> None:
    """Write page.html from the networks of seed 0, where they are at hand."""
    found = networks(size)
    if found:
        text = material(size, BUDGETS[size])
        page.write(folder / "page.html", found, text, page.telling(text.test, SENTENCES, found))


def jobs(size: Size, seeds: int | None) -> list[Job]:
    """Arms by seeds on the text, GRUs of other biases, the control text, and the page.

    Raises:
        UserError: the text is nowhere.
    """
    check_text(size)
    who = range(seeds or BUDGETS[size].seeds)
    arms = (GRU,) if size == "smoke" else CELLS
    plain = [Job(arm, STEPS, (s,), partial(on_text, arm, s, size), 10) for arm in arms for s in who]
    biased = [Job(arm, STEPS, (s,), partial(on_plateau, arm, s, size), 4) for arm in BIASES for s in who]
    known = [Job(arm, CONTROL, (s,), partial(on_control, arm, s, size), 1) for arm in arms for s in who]
    return [*plain, *biased, *known, Job("page", "size", (0,), partial(on_page, size), 2)]


def check_text(size: Size) -> None:
    """Refuse to begin without the text.

    Raises:
        UserError: it is nowhere.
    """
    if size != "smoke":
        wikipedia(_place())


def kept(arm: str, size: Size) -> Path | None:
    """Where seed 0's network lies for the page: in the user's cache, since workers hand back numbers alone."""
    root = compile_cache.home()
    name = f"{size}-{CELLS[arm]}.npz"
    return None if root is None else root / "rnn_memorization" / name


def keep(arm: str, size: Size, net: Net) -> None:
    """Save seed 0's network for the page."""
    place = kept(arm, size)
    if place is not None:
        checkpoint.save(place, net, budget=list(BUDGETS[size]))


def networks(size: Size) -> dict[str, Net]:
    """The networks of seed 0 that the last run of this size left."""
    b, found = BUDGETS[size], {}
    text = material(size, b)
    for arm in CELLS:
        place = kept(arm, size)
        if place is None or not place.exists() or checkpoint.meta(place).get("budget") != list(b):
            continue
        like = jax.eval_shape(
            partial(rnn.init, settings(arm, b, b.parameters), space=rnn.space(text)), jax.random.key(0)
        )
        found[arm] = checkpoint.load(place, like.net)
    return found
