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


def telling(part: Sequences, count: int) -> Sequences:
    """The sequences in which most of the rarer known words come again."""
    again = []
    for characters, words in zip(*part, strict=True):
        at = words[(characters == SPACE) & (words >= UNKNOWN + 1 + RARE)]
        known = float((words > UNKNOWN).mean())
        again.append(len(at) - len(set(at.tolist())) + known)
    best = sorted(np.argsort(again, kind="stable")[::-1][:count].tolist())
    return Sequences(part.characters[best], part.words[best])


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


def examples_of(shown: Sequences, vocabulary: Sequence[str], most: int = 6) -> list[Example]:
    """Rarer words that come again in a sentence, after their first letter."""
    found = []
    for i, (characters, words) in enumerate(zip(*shown, strict=True)):
        met: set[int] = set()
        for t in np.flatnonzero((characters == SPACE) & (words > UNKNOWN + RARE)):
            word = int(words[t])
            if word in met and len(vocabulary[word]) > 2:
                found.append(Example(f"“{vocabulary[word]}” again, after one letter", i, int(t) + 1))
            met.add(word)
    return found[:most]


def data(
    nets: Mapping[str, Net], corpus: Corpus, shown: Sequences, curves: Mapping[str, list[float]]
) -> dict[str, Any]:
    """All that the page shows, as JSON."""
    read = letters_read(shown.characters)
    sentences = []
    for i, (characters, words) in enumerate(zip(*shown, strict=True)):
        count = int((characters != PADDING).sum())
        models = {name: _looked_at(net, characters, words) for name, net in nets.items()}
        sentences.append({
            "text": "".join(LETTERS[c] for c in characters[:count]), "read": read[i, :count].tolist(),
            "known": (words[:count] > UNKNOWN).astype(int).tolist(), "models": models,
        })  # fmt: skip
    return {
        "text": corpus.name, "names": list(nets), "vocabulary": list(corpus.vocabulary), "sentences": sentences,
        "curves": dict(curves), "examples": [e._asdict() for e in examples_of(shown, corpus.vocabulary)],
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
