"""What our runs say of an item: its systems in the registry, their claims, the newest verdicts, figures and freshness.

The join is by code: an item has the registry's entry of its own path, and those that it names in `runs`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from theodolite.claims import registry
from theodolite.core import claim as claims
from theodolite.core.errors import UserError
from theodolite.core.results import read_json
from theodolite.edition import freshness
from theodolite.edition.items import Edition, Item, Question

Json = dict[str, Any]
VERDICTS = ("supported", "partly", "refuted", "undecided", "not run")
SIZES = ("full", "quick")
"""The published sizes, the best first: a quick run never replaces a full one."""


@dataclass(frozen=True)
class System:
    """A built system: its entry in the registry and what was found."""

    entry: registry.Entry
    claim_item: claims.Item
    verdict: Json | None
    """The newest published one, full before quick; None if nothing was published."""
    folder: Path | None
    freshness: freshness.Freshness

    @property
    def claims(self) -> list[Json]:
        """Every claim with its verdict, those that were never run included."""
        found = {} if self.verdict is None else {c["id"]: c for c in self.verdict["claims"]}
        return [found.get(c.id) or _not_run(c) for c in self.claim_item.claims]


def gather(results: Path, load: Callable[[str], claims.Item] = registry.load) -> dict[str, System]:
    """Every built system by its path in the registry."""
    return {entry.path: _system(entry, results, load) for entry in registry.ENTRIES}


def _system(entry: registry.Entry, results: Path, load: Callable[[str], claims.Item]) -> System:
    folder = newest(results, entry.path)
    verdict = None if folder is None else read_json(folder / "verdict.json")
    if verdict is None:
        state = freshness.Freshness("unknown", "nothing was published")
    else:
        state = freshness.of(entry.module, verdict.get("commit"))
    return System(entry, load(entry.path), verdict, folder, state)


def newest(results: Path, path: str) -> Path | None:
    """The folder of a system's best published run."""
    return next((results / path / size for size in SIZES if (results / path / size / "verdict.json").exists()), None)


def systems_of(item: Item, systems: dict[str, System]) -> list[System]:
    """The built systems of an item."""
    return [systems[path] for path in item.systems if path in systems]


def _not_run(claim: claims.Claim) -> Json:
    return {
        "id": claim.id, "text": claim.text, "source": claim.source, "where": claim.where, "scope": claim.scope,
        "metric": claim.metric, "unit": claim.unit, "statistic": claim.statistic, "exact": claim.exact,
        "higher_is_better": claim.higher_is_better, "seeds": [], "cases": [], "arms": {}, "expect": [],
        "verdict": "not run", "reason": "no run was published", "paper_value": {},
    }  # fmt: skip


def tally(found: Iterable[System]) -> dict[str, int]:
    """How many claims have which verdict, in the order of VERDICTS."""
    kinds = [claim["verdict"] for system in found for claim in system.claims]
    return {kind: kinds.count(kind) for kind in VERDICTS if kind in kinds}


def state(item: Item, systems: dict[str, System]) -> str:
    """In a few words: whether the item's system is built and has run."""
    found = systems_of(item, systems)
    if found:
        return "built, with verdicts" if any(s.verdict for s in found) else "built, no run published"
    if item.tool:
        return f"a tool without claims: {item.tool}"
    return "not built yet" if item.system else "describes no system"


def answer(question: Question, item: Item, systems: dict[str, System]) -> Json:
    """The verdict on a question: that of its claim, or why there is none.

    Raises:
        UserError: it names a claim that does not exist.
    """
    if question.claim:
        path, _, name = question.claim.partition("#")
        if path in systems:
            found = [c for c in systems[path].claims if c["id"].rpartition("/")[2] == name or c["id"] == name]
            if not found:
                known = ", ".join(c["id"] for c in systems[path].claims)
                raise UserError(
                    f"{item.path}: questions, {question.id}: claim {name!r} is unknown. {path} has {known}."
                )
            return {"verdict": found[0]["verdict"], "claim": found[0], "system": path, "reason": found[0]["reason"]}
        return {"verdict": "no verdict yet", "claim": None, "system": path, "reason": f"{path} is not built yet"}
    if question.reason:
        return {"verdict": "not testable here", "claim": None, "system": "", "reason": question.reason}
    built = systems_of(item, systems)
    reason = "its system is built; this is not yet one of its claims" if built else "its system is not built yet"
    reason = f"{item.tool} does it; nothing is claimed of it yet" if item.tool and not built else reason
    return {"verdict": "no verdict yet", "claim": None, "system": "", "reason": reason}


def beyond(editions: Iterable[Edition], systems: dict[str, System]) -> list[tuple[System, Json]]:
    """Claims from the newsletter that no question of an item points to."""
    asked = {q.claim for edition in editions for item in edition.items for q in item.questions}
    return [
        (system, claim)
        for path, system in systems.items()
        for claim in system.claims
        if claim["source"] == "newsletter" and f"{path}#{claim['id'].rpartition('/')[2]}" not in asked
    ]
