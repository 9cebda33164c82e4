"""theodolite edition build|search|export|new: the newsletter as a static site, searched, exported, continued."""

import datetime
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from theodolite.commands.list import RESULTS
from theodolite.commands.parsing import parse
from theodolite.core.errors import UserError, unknown


@dataclass(frozen=True)
class BuildFlags:
    """Build the static site; refuse if a published verdict is not what its scores say (exit code 1)."""

    out: str = "site"
    """The site's folder."""
    data: tuple[str, ...] = ()
    """Folders of further editions, as `theodolite edition new` makes them."""
    results: str = str(RESULTS)
    """Folder of published results."""


@dataclass(frozen=True)
class SearchFlags:
    """Search titles, authors, summaries and questions; the best items first."""

    words: Annotated[tuple[str, ...], tyro.conf.Positional]
    """What to look for."""
    limit: int = 5
    """Most results."""
    data: tuple[str, ...] = ()
    """Folders of further editions."""
    json: bool = False
    """Print one JSON object."""


@dataclass(frozen=True)
class ExportFlags:
    """Export the editions in one format, to a file or to standard output."""

    csv: bool = False
    """The newsletter's spreadsheet, its thirteen columns and then ours."""
    json: bool = False
    """Everything as one JSON object."""
    rss: bool = False
    """An RSS 2.0 feed."""
    email: bool = False
    """One edition as HTML for mail, under 100 kB; name it with --edition."""
    edition: str | None = None
    """One edition alone, such as an17 or 17."""
    base: str = ""
    """Address of the site that the feed's entries point to; what they are about if left out."""
    out: str | None = None
    """The file; standard output if left out."""
    data: tuple[str, ...] = ()
    """Folders of further editions."""
    results: str = str(RESULTS)
    """Folder of published results."""


@dataclass(frozen=True)
class NewFlags:
    """Make a folder for a next edition: valid as it stands, every field explained."""

    number: Annotated[int, tyro.conf.Positional]
    """The edition's number, such as 52."""
    out: str | None = None
    """The folder; anNUMBER if left out. Its name is the edition's."""


def main(argv: list[str]) -> int:
    """Do what the second word says."""
    actions = {"build": build, "search": search, "export": export, "new": new}
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: theodolite edition {'|'.join(actions)} ...\n\ntheodolite edition build --help explains a verb.")
        return 0 if argv else 2
    if argv[0] not in actions:
        raise unknown("edition verb", argv[0], actions, f"The verbs are {', '.join(actions)}.")
    return actions[argv[0]](argv[1:])


def build(argv: list[str]) -> int:
    """Build the site."""
    flags = parse(BuildFlags, argv, "edition build")
    from theodolite.claims import registry
    from theodolite.edition import evidence, items, site, verified

    started = time.monotonic()
    editions = items.load_all(map(Path, flags.data))
    differing = verified.differences(Path(flags.results), registry.load)
    if differing:
        print("\n".join(differing))
        print("theodolite: published verdicts differ from their scores, so no site is built.", file=sys.stderr)
        return 1
    systems = evidence.gather(Path(flags.results))
    older = [path for path, system in systems.items() if system.freshness.state == "stale"]
    if older:
        print(
            f"{len(older)} of {len(systems)} results were published before their code's last change, and their pages "
            f"say so; theodolite run ITEM reruns one: {', '.join(older)}",
            file=sys.stderr,
        )
    files = site.build(Path(flags.out), editions, systems)
    size = sum(path.stat().st_size for path in files)
    print(f"{flags.out}: {len(files)} files, {size / 1e6:.1f} MB, {time.monotonic() - started:.1f} s")
    return 0


def search(argv: list[str]) -> int:
    """Print the best items; 1 if there are none."""
    flags = parse(SearchFlags, argv, "edition search")
    if not " ".join(flags.words).strip():
        raise UserError('nothing to look for. Say theodolite edition search "risk averse options", for instance.')
    from theodolite.edition.items import load_all
    from theodolite.edition.search import Index

    found = Index(load_all(map(Path, flags.data))).search(" ".join(flags.words), flags.limit)
    if flags.json:
        from theodolite.core.scores import dumps

        rows = [{"item": r.item.path, "title": r.item.title, "score": r.score, "snippet": r.snippet} for r in found]
        print(dumps({"query": " ".join(flags.words), "results": rows}))
    else:
        for result in found:
            print(f"{result.item.path}  {result.item.title} ({result.item.authors}, {result.item.year})")
            print(f"  {result.snippet}\n")
        if not found:
            print("nothing found")
    return 0 if found else 1


def export(argv: list[str]) -> int:
    """Export in one format."""
    flags = parse(ExportFlags, argv, "edition export")
    formats = [name for name in ("csv", "json", "rss", "email") if getattr(flags, name)]
    if len(formats) != 1:
        said = " and ".join(f"--{name}" for name in formats) or "no format"
        raise UserError(f"theodolite edition export has {said}; one of --csv, --json, --rss, --email is expected.")
    from theodolite.edition import evidence, items
    from theodolite.edition import export as formatting

    editions = items.load_all(map(Path, flags.data))
    if flags.edition is not None:
        editions = _chosen(flags.edition, editions)
    if flags.email and len(editions) != 1:
        raise UserError(f"--email is of one edition. Say --edition {' or --edition '.join(e.name for e in editions)}.")
    if flags.rss:
        content = formatting.as_rss(editions, flags.base)
    else:
        systems = evidence.gather(Path(flags.results))
        content = {
            "csv": lambda: formatting.as_csv(editions, systems),
            "json": lambda: formatting.as_json(editions, systems),
            "email": lambda: formatting.as_email(editions[0], systems),
        }[formats[0]]()
    _put(content, flags.out)
    return 0


def _chosen(name: str, editions: tuple) -> tuple:
    found = tuple(e for e in editions if name in (e.name, str(e.number)))
    if not found:
        known = [n for e in editions for n in (e.name, str(e.number))]
        raise unknown("edition", name, known, f"The editions are {', '.join(e.name for e in editions)}.")
    return found


def _put(content: str, out: str | None) -> None:
    if out is None:
        sys.stdout.write(content)
        return
    from theodolite.core.files import write_text

    write_text(Path(out), content)
    print(f"{out}: {len(content.encode()) / 1e3:.0f} kB")


def new(argv: list[str]) -> int:
    """Make the folder."""
    flags = parse(NewFlags, argv, "edition new")
    if flags.number < 1:
        raise UserError(f"number = {flags.number}: must be >= 1.")
    from theodolite.edition import scaffold

    folder = Path(flags.out or f"an{flags.number}")
    for path in scaffold.new(flags.number, folder, datetime.date.today().isoformat()):
        print(path)
    print(f"write over them, then: theodolite edition build --data {folder} --out site")
    return 0
