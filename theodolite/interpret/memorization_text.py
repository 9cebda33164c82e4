"""Text for the autocomplete task: whole words packed into sequences, each position labelled with the word around it.

    characters   padding 0, space 1, a..z 2..27; a word is preceded by its space and never cut
    target       the word that a position belongs to, the space included: padding 0, unknown 1, the most frequent 2, ...

Sequences are split by document, so that no topic of a test sequence was seen in training. The text may be any file of
the reader's; the claims use 206 pages of Wikipedia which lie in the package gensim, read from its archive without
importing it. Nothing is downloaded.
"""

import bz2
import hashlib
import html
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from theodolite.core.errors import UserError, installs

PADDING, SPACE, UNKNOWN = 0, 1, 1
ALPHABET = 28
LETTERS = "\0 abcdefghijklmnopqrstuvwxyz"
SHARD = "gensim/test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
SHARD_SHA256 = "a53f4648dec40467ebdcbc7a1307eddb51fe6e28e9309f6ebde81ba0d04bea2d"
FEWEST_SEQUENCES = 20
LARGEST = 400_000_000
"""Bytes of a text that is read whole."""
HELD_OUT = ("validation", "test")


class Sequences(NamedTuple):
    """Characters and targets of N sequences of T positions."""

    characters: Int[np.ndarray, "N T"]
    words: Int[np.ndarray, "N T"]


class Corpus(NamedTuple):
    """Three parts of a text, its output vocabulary (two entries for padding and unknown included), and its name."""

    train: Sequences
    validation: Sequences
    test: Sequences
    vocabulary: tuple[str, ...]
    name: str = "text"


def clean(text: str) -> str:
    """Lower case letters and single spaces; everything else becomes a space."""
    return re.sub(r"[^a-z]+", " ", text.lower()).strip()


def pack(words: Sequence[str], index: dict[str, int], length: int) -> Sequences:
    """Whole words, each after its space, greedily into rows of `length`; a longer word is left out."""
    rows: list[tuple[list[int], list[int]]] = []
    characters: list[int] = []
    targets: list[int] = []
    for word in words:
        if len(word) + 1 > length:
            continue
        if len(characters) + len(word) + 1 > length:
            rows.append((characters, targets))
            characters, targets = [], []
        characters += [SPACE, *(ord(letter) - 95 for letter in word)]
        targets += [index.get(word, UNKNOWN)] * (len(word) + 1)
    if characters:
        rows.append((characters, targets))
    packed = np.zeros((2, len(rows), length), np.int32)
    for i, row in enumerate(rows):
        packed[:, i, : len(row[0])] = row
    return Sequences(*packed)


def corpus(documents: Sequence[str], length: int, vocabulary: int, name: str = "text", held_out: int = 10) -> Corpus:
    """Split documents, count words in the part to learn from, and pack each part.

    One document in `held_out` goes to validation and one to test, chosen by a hash of its first letters, so that more
    documents change no other's part.

    Raises:
        UserError: too little text.
    """
    parts: dict[str, list[list[str]]] = {"train": [], "validation": [], "test": []}
    for document in documents:
        words = document.split()
        draw = int.from_bytes(hashlib.sha256(document[:200].encode()).digest()[:4], "big") % held_out
        parts[HELD_OUT[draw] if draw < 2 else "train"].append(words)
    counted = Counter(word for words in parts["train"] for word in words)
    known = [word for word, _ in sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))[:vocabulary]]
    index = {word: i + 2 for i, word in enumerate(known)}
    packed = {part: _together([pack(words, index, length) for words in some], length) for part, some in parts.items()}
    fewest = min(len(x.characters) for x in packed.values())
    if fewest < FEWEST_SEQUENCES:
        raise UserError(
            f"{name} gives {', '.join(f'{len(x.characters)} sequences for {part}' for part, x in packed.items())}, "
            f"expected at least {FEWEST_SEQUENCES} of {length} characters for each: take a longer text, or a shorter "
            "length."
        )
    return Corpus(**packed, vocabulary=("", "?", *known), name=name)


def _together(some: list[Sequences], length: int) -> Sequences:
    empty = np.zeros((0, length), np.int32)
    return Sequences(*(np.concatenate([empty, *(getattr(s, f) for s in some)]) for f in Sequences._fields))


def documents_of(text: str, longest: int = 2_000, pieces: int = 100, shortest: int = 100) -> list[str]:
    """The documents of a cleaned plain text that has no marks between them: pieces of at most `longest` words.

    A short text gives about `pieces` of them, as from a few that are long none may be drawn to be held out.
    """
    every = text.split()
    words = max(shortest, min(longest, len(every) // pieces))
    return [" ".join(every[i : i + words]) for i in range(0, len(every), words)]


def read_text(path: Path) -> list[str]:
    """The documents of a file: a Wikipedia dump (.xml or .xml.bz2), a wheel of gensim, or plain text, also in .bz2.

    Raises:
        UserError: the file cannot be read, is too large, or holds no text.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path} has {path.stat().st_size:,} bytes, expected at most {LARGEST:,}: cut it.")
        raw = path.read_bytes()
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as archive:
                raw = archive.read(SHARD)
        if raw[:3] == b"BZh":
            raw = _unpacked(raw)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} could not be read ({getattr(error, 'strerror', None) or error}). Expected is a text file, a "
            "Wikipedia dump (.xml, .xml.bz2), or a wheel of gensim."
        ) from error
    text = raw.decode("utf-8", errors="replace")
    if "<mediawiki" in text[:2_000]:
        return [page for page in map(clean, articles(text)) if page]
    if text.count("\0") or text.count("�") > len(text) // 50:
        raise UserError(f"{path} is not text: it holds bytes that no UTF-8 text holds. Convert it to UTF-8 first.")
    return documents_of(clean(text))


def _unpacked(raw: bytes) -> bytes:
    machine = bz2.BZ2Decompressor()
    text = machine.decompress(raw, max_length=LARGEST)
    if not machine.eof:
        raise ValueError(f"it unpacks to more than {LARGEST:,} bytes, or ends too early")
    return text


def articles(dump: str) -> Iterator[str]:
    """The running text of every page of a MediaWiki dump that is no redirect."""
    for page in re.findall(r"<text[^>]*>(.*?)</text>", dump, re.S):
        plain = html.unescape(html.unescape(page))  # once for XML, once for the page
        if not plain.lstrip().lower().startswith("#redirect"):
            yield without_markup(plain)


def without_markup(text: str) -> str:
    """Wikitext without templates, tables, references, files and addresses; of a link its visible words."""
    text = re.sub(
        r"<!--.*?-->|<ref[^>/]*/>|<ref.*?</ref\s*>|<(math|gallery|timeline)\b.*?</\1\s*>", " ", text, flags=re.S
    )
    for inside in (r"\{\{[^{}]*\}\}", r"\{\|(?:[^{}]|\{(?!\|))*?\|\}", r"\[\[(?:file|image|category):[^\[\]]*\]\]"):
        before = None
        while before != text:
            before, text = text, re.sub(inside, " ", text, flags=re.S | re.I)
        if "file" in inside:
            text = re.sub(
                r"\[\[(?:file|image|category):(?:\[\[[^\[\]]*\]\]|[^\[\]])*\]\]", " ", text, flags=re.S | re.I
            )
    text = re.sub(r"\[\[(?:[^\[\]|]*\|)?([^\[\]]*)\]\]", r"\1", text)
    text = re.sub(r"\[?https?://[^\s\]]*|<[^<>]*>", " ", text)
    return re.sub(r"(?m)^[|!*#:;].*\|\|.*$", " ", text)


def wikipedia(place: Path | None = None) -> Path:
    """The shard of Wikipedia that the claims use: the file itself, a wheel of gensim, or in the installed package.

    Raises:
        UserError: it is nowhere, or is another file.
    """
    if place is not None:
        return place
    found = find_spec("gensim")  # looks, and does not import
    roots = [Path(p).parent for p in (found.submodule_search_locations or [])] if found else []
    here = [root / SHARD for root in roots if (root / SHARD).is_file()]
    if not here:
        raise UserError(
            "the text of these claims, 206 pages of Wikipedia, lies in the package gensim, which was not found: "
            f"{installs('text')}, or set THEODOLITE_TEXT to a wheel of gensim 4 (pip download --no-deps gensim)."
        )
    return here[0]


def read_wikipedia(place: Path | None = None) -> list[str]:
    """The documents of the shard.

    Raises:
        UserError: it is nowhere, or is another file.
    """
    path = wikipedia(place)
    try:
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as archive:
                raw = archive.read(SHARD)
        else:
            raw = path.read_bytes()
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} could not be read ({error}). Expected is a wheel of gensim 4, or its shard."
        ) from error
    found = hashlib.sha256(raw).hexdigest()
    if found != SHARD_SHA256:
        raise UserError(
            f"{path} is another text (SHA-256 {found[:12]}…) than the one that the claims were made for "
            f"({SHARD_SHA256[:12]}…): use theodolite remember for texts of your own."
        )
    return [page for page in map(clean, articles(_unpacked(raw).decode("utf-8"))) if page]
