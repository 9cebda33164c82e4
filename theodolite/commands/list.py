"""theodolite list: every item, with the verdicts of its newest published run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from theodolite.commands.parsing import parse
from theodolite.core.claim import SIZES
from theodolite.core.results import read_json

RESULTS = Path(__file__).resolve().parents[2] / "results"
"""The published results of a checkout; an installed package has none."""


@dataclass(frozen=True)
class Flags:
    """List every item of the newsletter: system, category, verdicts, size and date of its newest published run."""

    json: bool = False
    """Print one JSON object."""
    markdown: bool = False
    """Print a table in Markdown."""
    results: str = str(RESULTS)
    """Folder of published results."""


def main(argv: list[str]) -> int:
    """Print the table."""
    flags = parse(Flags, argv, "list")
    from theodolite.claims.registry import ENTRIES

    rows = [row(entry, Path(flags.results)) for entry in ENTRIES]
    if flags.json:
        from theodolite.core.scores import dumps

        print(dumps({"items": rows}))
        return 0
    if flags.markdown:
        print(markdown(rows))
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table(*COLUMNS)
    for found in rows:
        table.add_row(*cells(found))
    Console().print(table)
    print("theodolite show ITEM says what is claimed, theodolite run ITEM reruns it.")
    return 0


COLUMNS = ("item", "system", "category", "verdicts on its claims", "size", "when")


def cells(found: dict[str, Any]) -> tuple[str, ...]:
    """A row in words."""
    verdicts = ", ".join(f"{n} {v}" for v, n in found["verdicts"].items()) or "not run"
    when = (found["when"] or "–")[:10]
    return found["item"], found["system"], found["category"], verdicts, found["size"] or "–", when


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table in Markdown."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *map(cells, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def row(entry: Any, root: Path) -> dict[str, Any]:
    """What is known of an item: its entry, and its newest verdicts by kind."""
    about = {"item": entry.path, "name": entry.name, "system": entry.system, "category": entry.category}
    for size in reversed(SIZES):
        path = root / entry.path / size / "verdict.json"
        if path.exists():
            verdict = read_json(path)
            kinds = [claim["verdict"] for claim in verdict["claims"]]
            counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
            return {**about, "verdicts": counts, "size": size, "when": verdict.get("date")}
    return {**about, "verdicts": {}, "size": None, "when": None}
