"""Scores: one JSON line per seed, appended and flushed to disk as jobs end, so that a kill loses at most one job.

    {"arm": "gail", "case": "CartPole/4", "seed": 0, "metrics": {"score": 0.98}, "job": "...", "of": 3, "wall_s": 9.1}

`of` is the number of rows of the job: a job with fewer rows in the file was cut off and runs again. Strict JSON:
a number that is not finite is null.
"""

import gzip
import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from theodolite.core.claim import Row
from theodolite.core.errors import UserError
from theodolite.core.files import write_text


def plain(value: Any) -> Any:
    """The value as strict JSON knows it: not finite becomes null, tuples lists, NumPy scalars Python numbers."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    number = float(value)
    return number if math.isfinite(number) else None


def dumps(value: Any, indent: int | None = None) -> str:
    """Strict JSON."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    except (TypeError, ValueError):  # something that strict JSON does not know
        return json.dumps(plain(value), ensure_ascii=False, allow_nan=False, indent=indent)


@dataclass(frozen=True)
class Scores:
    """All rows of an item, looked up by metric, arm and case."""

    rows: tuple[Row, ...]
    verdicts: Mapping[str, str] = field(default_factory=dict)
    """What was decided of each claim, by its id, for figures to say; empty before anything was judged."""

    def arms(self, metric: str) -> list[str]:
        """Arms that have the metric, in order of first appearance."""
        return list(dict.fromkeys(r["arm"] for r in self.rows if metric in r["metrics"]))

    def cases(self, metric: str, arms: Iterable[str] | None = None) -> list[str]:
        """Cases that have the metric in any of the arms, in natural order: CartPole/4 before CartPole/10."""
        chosen = set(self.arms(metric) if arms is None else arms)
        return sorted({r["case"] for r in self.rows if metric in r["metrics"] and r["arm"] in chosen}, key=natural)

    def by_seed(self, metric: str, arm: str, case: str) -> dict[int, float]:
        """The metric of each seed, ascending; NaN where it was not finite."""
        rows = self._by_cell.get((arm, case), ())
        found = {r["seed"]: r["metrics"][metric] for r in rows if metric in r["metrics"]}
        return {seed: math.nan if found[seed] is None else float(found[seed]) for seed in sorted(found)}

    @cached_property
    def _by_cell(self) -> dict[tuple[str, str], list[Row]]:
        """Rows by arm and case: figures ask for every cell many times."""
        found: dict[tuple[str, str], list[Row]] = {}
        for r in self.rows:
            found.setdefault((r["arm"], r["case"]), []).append(r)
        return found

    def curves(self, name: str, arm: str, case: str) -> dict[int, tuple[list[float], list[float]]]:
        """Steps and values of each seed's curve."""
        rows = [r for r in self.rows if r["arm"] == arm and r["case"] == case and name in r.get("curves", {})]
        return {r["seed"]: tuple(r["curves"][name]) for r in sorted(rows, key=lambda r: r["seed"])}

    def sorted(self) -> "Scores":
        """The same rows in an order that does not depend on which job ended first."""
        cases = {case: natural(case) for case in {r["case"] for r in self.rows}}
        ordered = sorted(self.rows, key=lambda r: (cases[r["case"]], r["arm"], r["seed"], dumps(r)))
        return replace(self, rows=tuple(ordered))

    def judged(self, verdict: dict[str, Any]) -> "Scores":
        """The same scores with the verdict that `judge` reached on them."""
        return replace(self, verdicts={claim["id"]: claim["verdict"] for claim in verdict["claims"]})

    def digest(self) -> str:
        """SHA-256 of the sorted rows, whatever the order in which they were written."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        return hashlib.sha256(_lines(self.sorted().rows)).hexdigest()


def natural(text: str) -> list[tuple[int, float, str]]:
    """Sort key under which n=4 comes before n=10; no two texts have the same."""
    digits, key = "", []
    for character in f"{text}\0":
        if character.isascii() and character.isdigit():
            digits += character
            continue
        if digits:
            key.append((0, float(digits), ""))
        digits = ""
        key.append((1, 0.0, character))
    return [*key, (2, 0.0, text)]


def _lines(rows: Iterable[Row]) -> bytes:
    return "".join(dumps(r) + "\n" for r in rows).encode()


def parse(content: bytes, path: Path) -> tuple[list[Row], int]:
    """The rows of a score file and the length of its sound part: a last line without its end is a torn write.

    Raises:
        UserError: a line before the last is not a row.
    """
    sound = content.rfind(b"\n") + 1
    rows = []
    for number, line in enumerate(content[:sound].splitlines(), start=1):
        try:
            found = json.loads(line)
            rows.append(
                {
                    **found,
                    "arm": str(found["arm"]),
                    "case": str(found["case"]),
                    "seed": int(found["seed"]),
                    "metrics": dict(found["metrics"]),
                }
            )
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path}, line {number}: {error!r} where a row with arm, case, seed and metrics belongs. "
                "Restore the file, or run again into another folder."
            ) from error
    return rows, sound


def read(path: Path) -> Scores:
    """The rows of scores.jsonl or scores.jsonl.gz; an absent file has none."""
    if not path.exists():
        return Scores(())
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError) as error:
            raise UserError(f"{path} is not a whole gzip file ({error}). Restore it from version control.") from error
    return Scores(tuple(parse(content, path)[0]))


def reopen(path: Path) -> Scores:
    """The rows of whole jobs; the file is rewritten without torn lines and without jobs that were cut off."""
    if not path.exists():
        return Scores(())
    content = path.read_bytes()
    rows, sound = parse(content, path)
    present = Counter(r.get("job") for r in rows)
    whole = tuple(r for r in rows if present[r.get("job")] == r.get("of"))
    if sound < len(content) or len(whole) < len(rows):
        write_text(path, _lines(whole).decode())
    return Scores(whole)


def append(path: Path, rows: Iterable[Row]) -> None:
    """Add the rows of one job and flush them to disk; on failure the file is as it was.

    Raises:
        UserError: the disk is full or the file cannot be written.
    """
    size = path.stat().st_size if path.exists() else 0
    try:
        with path.open("ab") as file:
            file.write(_lines(rows))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if path.exists():
            os.truncate(path, size)
        raise UserError(
            f"{path} could not be extended ({error.strerror or error}); the finished jobs in it are intact. "
            "Free space, then run the same command again."
        ) from error


def compressed(scores: Scores) -> bytes:
    """The sorted rows as gzip, without a time stamp: equal scores give equal bytes."""
    return gzip.compress(_lines(scores.sorted().rows), mtime=0)
