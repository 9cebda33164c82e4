"""theodolite list: every item of the editions, with the verdicts of its newest published run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from theodolite.commands.parsing import parse
from theodolite.core.claim import SIZES
from theodolite.core.results import read_json

RESULTS = Path(__file__).resolve().parents[2] / "results"
"""The published results of a checkout; an installed package has none."""
VERDICTS = ("supported", "partly", "refuted", "undecided", "not judged", "not run")
"""In the order in which they are counted."""


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
    found = rows(Path(flags.results))
    if flags.json:
        from theodolite.core.scores import dumps

        print(dumps({"items": found}))
        return 0
    if flags.markdown:
        print(markdown([row for row in found if row["built"]]))
        return 0
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console()
    wide = console.width >= 120
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("item", no_wrap=True, min_width=max(len(row["item"]) for row in found))
    table.add_column("system", no_wrap=True, max_width=28 if wide else 13)
    if wide:
        table.add_column("category", no_wrap=True, max_width=22)
    table.add_column("verdicts", min_width=13, max_width=14)
    table.add_column("size", no_wrap=True, min_width=5)
    table.add_column("when", no_wrap=True, min_width=10)
    for row in found:
        verdicts = "\n".join(f"{n} {v}" for v, n in row["verdicts"].items()) or row["state"]
        when = (row["when"] or "–")[:10]
        about = (row["item"], row["system"] or row["title"], *([row["category"]] if wide else []))
        table.add_row(*about, verdicts, row["size"] or "–", when)
    console.print(table)
    print("theodolite show ITEM says what is claimed, theodolite run ITEM reruns it.")
    return 0


COLUMNS = ("item", "system", "category", "verdicts on its claims", "size", "when")


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table of the systems that are built, in Markdown."""
    lines = [COLUMNS, ("---",) * len(COLUMNS)]
    for row in rows:
        verdicts = ", ".join(f"{n} {v}" for v, n in row["verdicts"].items()) or row["state"]
        lines.append(
            (row["item"], row["system"], row["category"], verdicts, row["size"] or "–", (row["when"] or "–")[:10])
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rows(root: Path) -> list[dict[str, Any]]:
    """A row per built system of each item, in the newsletter's order, one for an item without; strangers at the end."""
    from theodolite.claims.registry import ENTRIES
    from theodolite.edition.items import load_all

    entries = {entry.path: entry for entry in ENTRIES}
    found, shown = [], set()
    for edition in load_all():
        for item in edition.items:
            built = [path for path in item.systems if path in entries and path not in shown]
            shown.update(built)
            found += [built_row(entries[path], root, item) for path in built] or [unbuilt_row(item)]
    return found + [built_row(entry, root) for path, entry in entries.items() if path not in shown]


def built_row(entry: Any, root: Path, item: Any = None) -> dict[str, Any]:
    """What is known of a built system: its entry, its item, and its newest verdicts by kind."""
    about = {"item": entry.path, "name": entry.name, "system": entry.system, "category": entry.category, "built": True}
    about |= {"title": item.title if item else entry.system, "kind": item.kind if item else None}
    size, verdict = newest(entry.path, root)
    if verdict is None:
        return {**about, "state": "not run", "verdicts": {}, "size": None, "when": None}
    kinds = [claim["verdict"] for claim in verdict["claims"]]
    counts = {kind: kinds.count(kind) for kind in VERDICTS if kind in kinds}
    return {**about, "state": "run", "verdicts": counts, "size": size, "when": verdict.get("date")}


def newest(path: str, root: Path = RESULTS) -> tuple[str | None, dict[str, Any] | None]:
    """The largest size at which an item's verdicts are published, and the verdicts."""
    for size in reversed(SIZES):
        file = root / path / size / "verdict.json"
        if file.exists():
            return size, read_json(file)
    return None, None


def unbuilt_row(item: Any) -> dict[str, Any]:
    """An item without a built system, or with a tool of which nothing is claimed."""
    state = f"tool: {item.tool}" if item.tool else "not built yet" if item.system else "no system"
    return {
        "item": item.path, "name": item.name, "system": item.system, "category": item.category, "built": False,
        "title": item.title, "kind": item.kind, "state": state, "verdicts": {}, "size": None, "when": None,
    }  # fmt: skip
