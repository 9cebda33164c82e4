"""A text of which all is known: a key word decides, with known probability, a word some distance later.

    fill ... KEY fill (distance characters) ask ANSWER fill ...

There are as many answers as keys, in pairs that share their first letter. With probability `certainty` the answer is
the key's, else it is drawn from all. Which word is most likely, given the key and k letters of the answer, is a sum
over the answers, and so is the accuracy of the best guess.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from theodolite.interpret.memorization_text import Corpus, Sequences, pack

KEYS = ("ka", "lo", "mi", "nu")
ANSWERS = ("bat", "ben", "dal", "dor")
ASK = "zz"
FILLERS = ("ee", "fif", "g", "hah", "ie", "ju")


class Marked(NamedTuple):
    """Sequences with, for each, where the key word and the answer's space are, and which key it was."""

    sequences: Sequences
    key: Bool[np.ndarray, "N T"]
    asked: Int[np.ndarray, " N"]
    which: Int[np.ndarray, " N"]


def bayes_accuracy(certainty: float, read: int) -> float:
    """The accuracy of the best guess from the key and `read` letters of the answer, by enumeration."""
    total = 0.0
    for key in range(len(KEYS)):
        chance = [certainty * (key == a) + (1 - certainty) / len(ANSWERS) for a in range(len(ANSWERS))]
        seen: dict[str, float] = {}
        for answer, p in zip(ANSWERS, chance, strict=True):
            prefix = answer[:read]
            seen[prefix] = max(seen.get(prefix, 0.0), p)
        total += sum(seen.values()) / len(KEYS)
    return total


def filler(generator: np.random.Generator, letters: int) -> list[str]:
    """Random words, spaces included exactly `letters` characters long."""
    words: list[str] = []
    while letters:
        fitting = [word for word in FILLERS if letters - len(word) - 1 not in (1,) and len(word) < letters]
        words.append(fitting[generator.integers(len(fitting))])
        letters -= len(words[-1]) + 1
    return words


def index() -> dict[str, int]:
    """The target of every word."""
    return {word: i + 2 for i, word in enumerate((*KEYS, *ANSWERS, ASK, *FILLERS))}


def marked(seed: int, count: int, length: int, distance: int, certainty: float) -> Marked:
    """Independent sequences; `distance` characters lie between the key word and the question."""
    generator, words = np.random.default_rng(seed), index()
    rows, keys, asked, which = [], np.zeros((count, length), bool), np.zeros(count, np.int32), np.zeros(count, np.int32)
    block = len(f" {KEYS[0]}") + distance + len(f" {ASK}") + len(f" {ANSWERS[0]}")
    for i in range(count):
        before = int(generator.choice([n for n in range(length - block + 1) if n != 1]))
        key = int(generator.integers(len(KEYS)))
        answer = key if generator.random() < certainty else int(generator.integers(len(ANSWERS)))
        text = [*filler(generator, before), KEYS[key], *filler(generator, distance), ASK, ANSWERS[answer]]
        after = length - before - block
        text += filler(generator, after) if after > 1 else []
        rows.append(pack(text, words, length))
        keys[i, before : before + 3] = True
        asked[i], which[i] = before + block - 4, key
    packed = Sequences(*(np.concatenate([getattr(r, f) for r in rows]) for f in Sequences._fields))
    return Marked(packed, keys, asked, which)


def corpus(seed: int, length: int, distance: int, certainty: float, count: int = 8_000) -> tuple[Corpus, Marked]:
    """A corpus to train on, and its test part with the marks."""
    train = marked(2 * seed, count, length, distance, certainty).sequences
    test = marked(2 * seed + 1, count // 8, length, distance, certainty)
    return Corpus(train, test.sequences, test.sequences, ("", "?", *index()), "control"), test
