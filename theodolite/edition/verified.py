"""Published verdicts recomputed from their scores, once for each state of verdict, scores and code.

Recomputing takes seconds a system, and nothing but these three can change its outcome: an agreement that was found is
noted in the cache folder under their digest. A difference is never noted.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from theodolite.core import compile_cache, results
from theodolite.core.claim import Item
from theodolite.core.files import write_text
from theodolite.edition import freshness

JUDGES = ("claim", "judge", "results", "scores", "stats")


def differences(root: Path, load: Callable[[str], Item]) -> list[str]:
    """Where published verdicts are not what their scores and today's claims say; empty when all agree."""

    notes = {folder: _note(folder) for folder in results.stored(root)}  # parses, which one thread may do at a time

    def look(folder: Path) -> list[str]:
        note = notes[folder]
        if note is not None and note.exists():
            return []
        found = list(results.differences(folder, load))
        if not found and note is not None:
            write_text(note, "")
        return found

    return results.each(root, look)


def _note(folder: Path) -> Path | None:
    """The file whose presence says that this very verdict was found to follow from its scores."""
    home = compile_cache.home()
    if home is None:
        return None
    edition, name, _ = folder.parts[-3:]
    package = freshness.PACKAGE
    code = [*freshness.files(f"theodolite.claims.{edition}.{name}"), *(f"theodolite/core/{j}.py" for j in JUDGES)]
    paths = [*(package.parent / path for path in code), folder / "verdict.json", folder / "scores.jsonl.gz"]
    digest = hashlib.sha256("/".join(folder.parts[-3:]).encode())
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes() if path.exists() else b"").digest())
    return home / "verified" / digest.hexdigest()
