"""What is measured of a trained network: guesses by letters read, reach of its connectivity, costs of deletions."""

from typing import Any

import jax
import numpy as np

from theodolite.core.claim import Row, row
from theodolite.interpret import memorization as rnn
from theodolite.interpret import memorization_connectivity as seen
from theodolite.interpret import memorization_control as control
from theodolite.interpret.memorization_cells import Net
from theodolite.interpret.memorization_text import Corpus, Sequences

LETTERS = tuple(range(9))
SHARES = tuple(range(6))
"""Letters read for which shares are compared."""
WARM = 40
"""Characters at the beginning of a sequence whose targets are left out, since they have little to look back at."""
TARGETS, DELETED = 12, 3
"""Targets per sequence, and past words that are deleted."""
COMMON = 100
"""So many most frequent words are not rare."""
READ_MOST = 1_024
"""Sequences whose guesses are counted."""
BATCH = 8


@jax.jit
def guesses(net: Net, characters: Any, words: Any) -> tuple[Any, Any]:
    """-log p(word) and the most likely word at every position, some sequences at a time."""
    one = lambda rows: tuple(x[0] for x in rnn.losses(net, rows[0][None], rows[1][None]))  # noqa: E731
    return jax.lax.map(one, (characters, words), batch_size=32)


@jax.jit
def strengths(net: Net, characters: Any, positions: Any, words: Any) -> Any:
    """The norm of K targets in each of N sequences. [N K T]"""
    one = lambda rows: seen.connectivity(net, *rows)  # noqa: E731
    return jax.lax.map(one, (characters, positions, words), batch_size=BATCH)


@jax.jit
def lags(net: Net, characters: Any, positions: Any, words: Any, read: Any) -> Any:
    """The mean lag of all targets by every map. [M]"""

    def one(rows: tuple) -> Any:
        maps = seen.every_map(net, *rows[:3])
        return jax.vmap(lambda strength: seen.reach(strength, rows[1], rows[3]).lag.mean())(maps)

    return jax.lax.map(one, (characters, positions, words, read)).mean(0)


@jax.jit
def reaches(strength: Any, positions: Any, read: Any) -> seen.Reach:
    """Lag, share and spread of every target. [N K]"""
    return jax.vmap(seen.reach)(strength, positions, read)


class Targets:
    """Positions at which a known word is guessed, the same for every arm and seed."""

    def __init__(self, part: Sequences, count: int, each: int, read: int | None = None) -> None:
        generator, letters = np.random.default_rng(51), seen.letters_read(part.characters)
        late = np.arange(part.characters.shape[1])[None] >= min(WARM, part.characters.shape[1] // 2)
        fits = (part.words >= rnn.FIRST_WORD) & late & (letters >= 0 if read is None else letters == read)
        rows = np.flatnonzero(fits.sum(1) >= each)[:: max(1, (fits.sum(1) >= each).sum() // count)][:count]
        drawn = [generator.choice(np.flatnonzero(fits[i]), each, replace=False) for i in rows]
        self.positions = np.sort(np.array(drawn, int).reshape(len(rows), each), axis=1)
        self.characters, self.words = part.characters[rows], np.take_along_axis(part.words[rows], self.positions, 1)
        self.read = np.take_along_axis(letters[rows], self.positions, 1)

    def first(self, count: int) -> "Targets":
        """The same of fewer sequences."""
        fewer = object.__new__(Targets)
        for name, value in vars(self).items():
            setattr(fewer, name, value[:count])
        return fewer

    def strengths(self, net: Net) -> np.ndarray:
        """The norms of their gradients."""
        return strengths(net, self.characters, self.positions, self.words)

    def reach(self, net: Net) -> seen.Reach:
        """Where squared connectivity, which is what was published, lies."""
        return jax.tree.map(np.asarray, reaches(self.strengths(net) ** 2, self.positions, self.read))


def measured(arm: str, seed: int, net: Net, text: Corpus, sequences: int) -> list[Row]:
    """All rows of a network at the end of training; the first one is of the case "matched steps"."""
    part = Sequences(text.test.characters[:READ_MOST], text.test.words[:READ_MOST])
    each, guess = map(np.asarray, guesses(net, *part))
    letters, known = seen.letters_read(part.characters), part.words >= rnn.FIRST_WORD
    right = guess == part.words
    targets = Targets(part, sequences, TARGETS)
    found, read = targets.reach(net), targets.read
    shares = [_mean(found.share[read == k]) for k in SHARES]
    falls = float(np.nanmax(np.diff(shares))) if np.isfinite(shares).sum() > 1 else 0.0
    costs: dict[str, Any] = {**deletion(net, part, sequences, seed), **repeats(part, right, letters)}
    whole = row(
        arm, "matched steps", seed,
        loss=each[known].mean(), accuracy=right[known].mean(), accuracy_everywhere=right[letters >= 0].mean(),
        lag=found.lag.mean(), share=found.share.mean(), spread=found.spread.mean(), share_rises=falls, **costs,
    )  # fmt: skip
    by_letters = [
        row(arm, f"letters read/{k}", seed, accuracy_by_letters=_mean(right[known & (letters == k)]),
            share_by_letters=_mean(found.share[read == k]), lag_by_letters=_mean(found.lag[read == k]))
        for k in LETTERS
    ]  # fmt: skip
    return [whole, *by_letters, *by_method(arm, seed, net, targets.first(max(4, sequences // 8)))]


def _mean(values: Any) -> float:
    return float(values.mean()) if values.size else 0.0


def by_method(arm: str, seed: int, net: Net, targets: Targets) -> list[Row]:
    """The mean lag by other ways to attribute, and of other scores of the word."""
    found = lags(net, targets.characters, targets.positions, targets.words, targets.read)
    return [row(arm, f"{method} of {kind}", seed, lag_by_method=lag)
            for (method, kind), lag in zip(seen.MAPS, np.asarray(found), strict=True)]  # fmt: skip


def at_matched_loss(arm: str, seed: int, net: Net, text: Corpus, sequences: int, reached: bool) -> list[Row]:
    """Reach and accuracy of the network when its validation loss first was low enough, or at the end."""
    part = Sequences(text.test.characters[:READ_MOST], text.test.words[:READ_MOST])
    each, guess = map(np.asarray, guesses(net, *part))
    letters, known = seen.letters_read(part.characters), part.words >= rnn.FIRST_WORD
    found = Targets(part, sequences, TARGETS).reach(net)
    at_once = _mean((guess == part.words)[known & (letters == 0)])
    return [row(arm, "matched loss", seed, loss=each[known].mean(), lag=found.lag.mean(), share=found.share.mean(),
                accuracy_unread=at_once, reached=reached)]  # fmt: skip


def deletion(net: Net, part: Sequences, sequences: int, seed: int) -> dict[str, float]:
    """What it costs in log-probability to delete the most connected past words, or random ones, after one letter."""
    targets, generator = Targets(part, sequences, 1, read=1), np.random.default_rng(seed)
    strength = np.asarray(targets.strengths(net))
    rows, most, random = [], [], []
    for i, characters in enumerate(targets.characters):
        both = seen.deletions(characters, strength[i, 0], int(targets.positions[i, 0]), DELETED, generator)
        if both is not None:
            rows.append(i)
            most.append(both[0])
            random.append(both[1])
    if not rows:
        return {"drop_most": 0.0, "drop_random": 0.0, "deletion": 0.0}
    at = targets.positions[rows]
    words = np.broadcast_to(targets.words[rows], (len(rows), part.words.shape[1]))
    cost = [np.take_along_axis(np.asarray(guesses(net, x, words)[0]), at, 1).mean()
            for x in (targets.characters[rows], np.array(most), np.array(random))]  # fmt: skip
    drop_most, drop_random = float(cost[1] - cost[0]), float(cost[2] - cost[0])
    return {"drop_most": drop_most, "drop_random": drop_random, "deletion": drop_most - 2 * drop_random}


def repeats(part: Sequences, right: np.ndarray, letters: np.ndarray) -> dict[str, float]:
    """Accuracy after one letter of a rarer word at its second occurrence in a sequence, minus that at its first."""
    at = (part.words >= rnn.FIRST_WORD + COMMON) & (letters == 1)
    first, second = [], []
    for i in np.flatnonzero(at.sum(1) > 1):
        met: dict[int, bool] = {}
        for t in np.flatnonzero(at[i]):
            word = int(part.words[i, t])
            if word not in met:
                met[word] = bool(right[i, t])
            else:
                second.append(right[i, t])
                first.append(met[word])
    return {"repeat_gain": float(np.mean(second) - np.mean(first)) if second else 0.0, "repeats": float(len(second))}


def found_key(arm: str, seed: int, net: Net, marked: control.Marked, certainty: float, sequences: int) -> list[Row]:
    """On the control text before any letter of the answer: accuracy, and how often the key is most connected.

    The question, which is the same everywhere, and the answer's own space are left out.
    """
    characters, words = (x[: 4 * sequences] for x in marked.sequences)
    asked, key = marked.asked[: 4 * sequences], marked.key[: 4 * sequences]
    rows = np.arange(len(asked))
    right = np.asarray(guesses(net, characters, words)[1])[rows, asked] == words[rows, asked]
    strength = np.asarray(strengths(net, characters, asked[:, None], words[rows, asked][:, None]))[:, 0]
    before = np.arange(characters.shape[1])[None] < asked[:, None] - 3
    peak = np.where(before, strength, -1).argmax(1)
    return [row(arm, "control text", seed, control_accuracy=right.mean() / control.bayes_accuracy(certainty, 0),
                control_peak=key[rows, peak].mean())]  # fmt: skip
