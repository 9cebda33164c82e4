"""Full-text search over the items: BM25 with weighted fields, stems and snippets; no index on disk, no network.

    score(d) = Σ_t idf(t) · f(t,d) (k + 1) / (f(t,d) + k (1 - b + b |d| / mean |d|))

with f the weighted count of a stem over the fields of an item: a word of the title counts more than one of the text.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from theodolite.edition import text
from theodolite.edition.items import Edition, Item

K, B = 1.4, 0.6
WEIGHTS = {"title": 4.0, "authors": 3.0, "system": 3.0, "short": 2.0, "medium": 1.0, "full": 1.0, "questions": 1.0}
HIGHLIGHT = 1.15
"""Highlights of an edition come a little earlier."""
FLOOR = 0.2
"""Results under this share of the best score are left out."""
SNIPPET = 30
"""Words of a snippet."""
STOP = frozenset(
    text.words(
        "a about all also an and any are as at be because been but by can could did do does for from get had "
        "has have how i if in into is it its just may me more most my not of on one or our so some such than "
        "that the their them then there these they this those to up us use used using was we were what when "
        "where which while who why will with would you your "
    )
)
SUFFIXES = (
    ("ations", "at"), ("ation", "at"), ("isations", "is"), ("isation", "is"), ("izations", "is"), ("ization", "is"),
    ("ising", "is"), ("izing", "is"), ("ised", "is"), ("ized", "is"), ("ises", "is"), ("izes", "is"), ("ise", "is"),
    ("ize", "is"), ("ments", ""), ("ment", ""), ("ness", ""), ("ingly", ""), ("ings", ""), ("ing", ""), ("edly", ""),
    ("ied", "y"), ("ies", "y"), ("ed", ""), ("ers", ""), ("er", ""), ("ions", ""), ("ion", ""), ("ors", ""), ("or", ""),
    ("ally", "al"), ("ly", ""), ("es", ""), ("s", ""), ("ates", "at"), ("ate", "at"), ("e", ""),
)  # fmt: skip
WHOLE = re.compile(r"\s+")


class Result(NamedTuple):
    """An item that answers a query."""

    item: Item
    score: float
    snippet: str


@cache
def stem(word: str) -> str:
    """A word without its ending, at least three letters: "quantilizers", "quantilising" and "quantilize" are one."""
    for _ in range(2):
        for suffix, instead in sorted(SUFFIXES, key=lambda pair: -len(pair[0])):
            if word.endswith(suffix) and len(word) - len(suffix) + len(instead) >= 3 and not word.endswith("ss"):
                word = word[: -len(suffix)] + instead
                break
    word = word.removesuffix("z") if word.endswith("iz") else word
    doubled = len(word) > 3 and word[-1] == word[-2] and word[-1] not in "ls"
    return word[:-1] if doubled else word


def stems(words: str) -> list[str]:
    """The stems of a text, without words that say nothing; a compound counts as itself and as its parts."""
    found = []
    for word in text.words(words):
        parts = word.split("-")
        found += [stem(part) for part in parts if part not in STOP]
        if len(parts) > 1:
            found.append(stem("".join(parts)))
    return found


class Index:
    """The items of some editions, ready to be asked."""

    def __init__(self, editions: Iterable[Edition]) -> None:
        self.items = [item for edition in editions for item in edition.items]
        self.counts = [_counts(item) for item in self.items]
        self.lengths = [sum(counts.values()) for counts in self.counts]
        self.mean = sum(self.lengths) / max(1, len(self.lengths))
        present = Counter(term for counts in self.counts for term in counts)
        total = len(self.items)
        self.idf = {term: math.log(1 + (total - n + 0.5) / (n + 0.5)) for term, n in present.items()}

    def search(self, query: str, limit: int = 5) -> list[Result]:
        """The best items, at most `limit`, the best first; equal scores in the order of the editions."""
        wanted = list(dict.fromkeys(stems(query)))
        scores = [self._score(i, wanted) for i in range(len(self.items))]
        order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
        best = scores[order[0]] if order else 0.0
        kept = [i for i in order[:limit] if scores[i] > 0 and scores[i] >= FLOOR * best]
        return [Result(self.items[i], scores[i], snippet(self.items[i], wanted, self.idf)) for i in kept]

    def _score(self, i: int, wanted: list[str]) -> float:
        counts, found = self.counts[i], 0.0
        for term in wanted:
            if term in counts:
                flat = K * (1 - B + B * self.lengths[i] / self.mean)
                found += self.idf[term] * counts[term] * (K + 1) / (counts[term] + flat)
        return found * (HIGHLIGHT if self.items[i].highlight else 1.0)


def _counts(item: Item) -> dict[str, float]:
    counts: dict[str, float] = {}
    for field, weight in WEIGHTS.items():
        for term in stems(_field(item, field)):
            counts[term] = counts.get(term, 0.0) + weight
    return counts


def _field(item: Item, field: str) -> str:
    if field == "questions":
        return " ".join(f"{q.ask} {q.test}" for q in item.questions)
    return getattr(item, field)


def snippet(item: Item, wanted: list[str], idf: dict[str, float]) -> str:
    """The stretch of the summaries that holds most of what was asked for."""
    asked = " ".join(q.ask for q in item.questions)
    words = WHOLE.split(text.plain(" ".join((item.short, item.full, asked))).strip())
    value = [max((idf[s] for s in stems(word) if s in wanted and s in idf), default=0.0) for word in words]
    names = [next((s for s in stems(word) if s in wanted), "") for word in words]
    best, start = -1.0, 0
    for i in range(max(1, len(words) - SNIPPET + 1)):
        window = dict(zip(names[i : i + SNIPPET], value[i : i + SNIPPET], strict=True))
        worth = sum(window.values()) + 0.01 * sum(value[i : i + SNIPPET])
        if worth > best + 1e-9:
            best, start = worth, i
    end = min(len(words), start + SNIPPET)
    return ("… " if start else "") + " ".join(words[start:end]) + (" …" if end < len(words) else "")
