"""The page on which networks are looked at: one file, no server, nothing from elsewhere.

Hover or tap a character: its background and those before it show what each network's guess of the word at this position
rests on, beside the three likeliest words. Strengths are relative to the largest of the same guess, in 256 steps.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from theodolite.core.errors import UserError
from theodolite.core.files import write_text
from theodolite.interpret.memorization_cells import Net
from theodolite.interpret.memorization_connectivity import MAPS, every_map, letters_read
from theodolite.interpret.memorization_text import (
    ALPHABET,
    LETTERS,
    PADDING,
    SPACE,
    UNKNOWN,
    Corpus,
    Sequences,
    clean,
    pack,
)

MOST_LETTERS = 8
RARE = 100
"""Words beyond this rank make examples when they come again."""
LARGEST = 2_000_000
CANDIDATES = 256
"""Sequences that the networks read in search of telling ones."""


class Example(NamedTuple):
    """A place worth a look."""

    says: str
    sentence: int
    position: int


def sentence(text: str, corpus: Corpus) -> Sequences:
    """A sentence of the reader's, as one row as long as the networks know.

    Raises:
        UserError: it holds no letters, or too many.
    """
    length, words = corpus.train.characters.shape[1], clean(text).split()
    taken = sum(len(word) + 1 for word in words)
    if not words or taken > length or max(map(len, words)) >= length:
        raise UserError(
            f"the sentence {text[:40]!r} has {taken} characters, each word with its space, and the networks read 1 to "
            f"{length}: letters a to z alone count. Shorten it."
        )
    return pack(words, {word: i for i, word in enumerate(corpus.vocabulary) if i > UNKNOWN}, length)


def again(characters: Int[np.ndarray, " T"], words: Int[np.ndarray, " T"]) -> list[tuple[int, int]]:
    """Where rarer words come again and go on: the position after the first letter, and the word."""
    found, met = [], set()
    for t in np.flatnonzero((characters == SPACE) & (words > UNKNOWN + RARE)):
        word = int(words[t])
        if word in met and t + 3 < len(words) and (words[t : t + 4] == word).all():
            found.append((int(t) + 1, word))
        met.add(word)
    return found


def telling(part: Sequences, count: int, nets: Mapping[str, Net]) -> Sequences:
    """Of the sequences in which the most rarer words come again, those in which the networks part, or see them come."""
    places = [again(*pair) for pair in zip(*part, strict=True)]
    known = (part.words > UNKNOWN).mean(1)
    order = np.argsort([-len(p) - k for p, k in zip(places, known, strict=True)], kind="stable")[:CANDIDATES]
    some = Sequences(part.characters[order], part.words[order])
    bests = [_likeliest(net, some.characters) for net in nets.values()]
    worth = []
    for row, i in enumerate(order):
        seen = [sum(word in best[row, t] for best in bests) for t, word in places[i]]
        worth.append(sum(2 * (0 < n < len(bests)) + (n > 0) for n in seen))
    best = sorted(order[np.argsort(worth, kind="stable")[::-1][:count]].tolist())
    return Sequences(part.characters[best], part.words[best])


def _likeliest(net: Net, characters: Int[np.ndarray, "N T"]) -> Int[np.ndarray, "N T 3"]:
    """The three likeliest words at every position."""
    parts = [np.asarray(_chances(net, characters[i : i + 32])) for i in range(0, len(characters), 32)]
    return np.concatenate([np.argsort(-chances, axis=-1, kind="stable")[..., :3] for chances in parts])


@jax.jit
def _maps(net: Net, characters: Any, words: Any) -> Any:
    return every_map(net, characters, jnp.arange(len(characters)), words)


@jax.jit
def _chances(net: Net, characters: Any) -> Any:
    return jax.nn.softmax(net(jax.nn.one_hot(characters, ALPHABET)), axis=-1)


def triangle(strength: Float[np.ndarray, "T T"], count: int) -> str:
    """The first `count` rows up to the diagonal, each relative to its largest, as bytes in base64."""
    parts = []
    for u in range(count):
        row = strength[u, : u + 1]
        parts.append(np.round(255 * row / max(float(row.max()), 1e-30)).astype(np.uint8))
    return base64.b64encode(np.concatenate(parts).tobytes()).decode()


def _looked_at(net: Net, characters: Int[np.ndarray, " T"], words: Int[np.ndarray, " T"]) -> dict[str, Any]:
    """One network on one sentence: three likeliest words and the maps."""
    count = int((characters != PADDING).sum())
    chances = np.asarray(_chances(net, characters[None]))[0]
    best = np.argsort(-chances, axis=-1, kind="stable")[:, :3]
    target = np.where(words > UNKNOWN, words, best[:, 0]).astype(np.int32)
    top = [[int(w) for w in best[u]] + [round(1000 * float(chances[u, w])) for w in best[u]] for u in range(count)]
    found = np.asarray(_maps(net, characters, target))
    maps = {f"{m}/{k}": triangle(strength, count) for (m, k), strength in zip(MAPS, found, strict=True)}
    return {"top": top, "target": target[:count].tolist(), "maps": maps}


def accuracy_by_letters(net: Net, part: Sequences) -> list[float]:
    """Accuracy on known words after 0 to `MOST_LETTERS` letters."""
    right, total = np.zeros(MOST_LETTERS + 1), np.zeros(MOST_LETTERS + 1)
    read = letters_read(part.characters)
    for i in range(0, len(part.characters), 32):
        words, k = part.words[i : i + 32], read[i : i + 32]
        hit = np.asarray(_chances(net, part.characters[i : i + 32])).argmax(-1) == words
        for letters in range(MOST_LETTERS + 1):
            at = (words > UNKNOWN) & (k == letters)
            right[letters] += hit[at].sum()
            total[letters] += at.sum()
    return [round(float(x), 4) for x in right / np.maximum(total, 1)]


def examples_of(
    shown: Sequences, vocabulary: Sequence[str], tops: Sequence[Mapping[str, Sequence[Any]]], most: int = 6
) -> list[Example]:
    """Rarer words that come again, after their first letter: first where the networks part; every word once."""
    found: dict[int, tuple[int, Example]] = {}
    for i, pair in enumerate(zip(*shown, strict=True)):
        for t, word in again(*pair):
            if len(vocabulary[word]) < 3:
                continue
            having = [name for name, top in tops[i].items() if word in top[t][:3]]
            missing = len(tops[i]) - len(having)
            who = "none has it" if not having else "all have it" if not missing else f"{_and(having)} {_has(having)}"
            rank = 2 if not having else 1 if not missing else 0
            example = Example(f"“{vocabulary[word]}” again, after one letter: {who}", i, t)
            if word not in found or rank < found[word][0]:
                found[word] = rank, example
    return [example for _, example in sorted(found.values(), key=lambda pair: pair[0])[:most]]


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _has(names: Sequence[str]) -> str:
    return "have it among three" if len(names) > 1 else "has it among three"


def data(
    nets: Mapping[str, Net], corpus: Corpus, shown: Sequences, curves: Mapping[str, list[float]]
) -> dict[str, Any]:
    """All that the page shows, as JSON."""
    read = letters_read(shown.characters)
    sentences, tops = [], []
    for i, (characters, words) in enumerate(zip(*shown, strict=True)):
        count = int((characters != PADDING).sum())
        models = {name: _looked_at(net, characters, words) for name, net in nets.items()}
        tops.append({name: model["top"] for name, model in models.items()})
        sentences.append({
            "text": "".join(LETTERS[c] for c in characters[:count]), "read": read[i, :count].tolist(),
            "known": (words[:count] > UNKNOWN).astype(int).tolist(), "models": models,
        })  # fmt: skip
    return {
        "text": corpus.name, "names": list(nets), "vocabulary": list(corpus.vocabulary), "sentences": sentences,
        "curves": dict(curves), "examples": [e._asdict() for e in examples_of(shown, corpus.vocabulary, tops)],
    }  # fmt: skip


def render(found: Mapping[str, Any]) -> str:
    """The page, whole."""
    assets = resources.files("theodolite.interpret") / "assets"
    page, style, script = ((assets / f"memory.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
    text = json.dumps(found, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")  # no tag in the data
    for mark, part in (("/* style */", style), ("/* script */", script), ("/* data */", text)):
        before, _, after = page.partition(mark)
        page = before + part + after
    return page


def write(path: Path, nets: Mapping[str, Net], corpus: Corpus, shown: Sequences, sequences: int = 512) -> int:
    """Write the page for some sentences and say how many bytes it has.

    Raises:
        UserError: there is no network, or the page would be larger than 2 MB, or the disk is full.
    """
    if not nets:
        raise UserError("no network is given, expected at least one: train one, for example with theodolite remember.")
    part = Sequences(corpus.test.characters[:sequences], corpus.test.words[:sequences])
    text = render(data(nets, corpus, shown, {name: accuracy_by_letters(net, part) for name, net in nets.items()}))
    size = len(text.encode())
    if size > LARGEST:
        raise UserError(
            f"the page would have {size:,} bytes, expected at most {LARGEST:,}: show fewer sentences or networks."
        )
    write_text(path, text)
    return size
