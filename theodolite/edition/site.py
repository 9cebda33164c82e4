"""The static site: edition pages in the newsletter's order, a page per item, systems, ledger, effects, prerequisites.

No server, no script, no font from elsewhere: HTML, one style sheet and SVG. The same data gives the same bytes.
"""

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from theodolite.core import report
from theodolite.core.claim import STATISTIC_WORDS
from theodolite.core.errors import UserError
from theodolite.core.files import write_bytes
from theodolite.edition import effects, evidence, export, graph, text
from theodolite.edition.evidence import System
from theodolite.edition.items import ASKS, HIGHLIGHTS, KINDS, Edition, Item

MANIFEST = "manifest.txt"
BADGES = report.BADGES | {"no verdict yet": "–", "not testable here": "–"}
LONGEST_ALT = 1200
EMBEDS = {"page.html": "The interactive page of this item"}
"""Files beside a published figure that are pages of their own."""


def build(out: Path, editions: tuple[Edition, ...], systems: dict[str, System]) -> list[Path]:
    """Write the site and return its files.

    Raises:
        UserError: the folder holds something that is no site of ours.
    """
    pages = render(editions, systems)
    _clear(out, pages)
    for name, content in pages.items():
        write_bytes(out / name, content)
    return [out / name for name in pages]


def render(editions: tuple[Edition, ...], systems: dict[str, System]) -> dict[str, bytes]:
    """Every file of the site by its path."""
    site = Site(editions, systems)
    pages = {name: page.encode() for name, page in site.pages().items()}
    pages |= {
        "style.css": _read("style.css").encode(),
        "newsletter.csv": export.as_csv(editions, systems).encode(),
        "newsletter.json": export.as_json(editions, systems).encode(),
        "feed.xml": export.as_rss(editions).encode(),
        **site.drawings,
    }
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}" for name, content in sorted(pages.items())]
    return pages | {MANIFEST: ("\n".join(lines) + "\n").encode()}


def _clear(out: Path, pages: dict[str, bytes]) -> None:
    """Take away what an earlier build wrote and this one does not."""
    if not out.exists():
        return
    if not out.is_dir() or (any(out.iterdir()) and not (out / MANIFEST).is_file()):
        raise UserError(f"{out} holds something that is no site of ours. Choose another folder with --out.")
    if (out / MANIFEST).is_file():
        for line in (out / MANIFEST).read_text(encoding="utf-8").splitlines():
            old = (out / line.partition("  ")[2]).resolve()
            if old.is_relative_to(out.resolve()) and old.relative_to(out.resolve()).as_posix() not in pages:
                old.unlink(missing_ok=True)


class Site:
    """The pages, which know of each other."""

    def __init__(self, editions: tuple[Edition, ...], systems: dict[str, System]) -> None:
        self.editions, self.systems = editions, systems
        self.drawings: dict[str, bytes] = {}
        self.items = {item.path: item for edition in editions for item in edition.items}
        self.owner: dict[str, Item] = {}
        for item in self.items.values():
            for system in evidence.systems_of(item, systems):
                self.owner.setdefault(system.entry.path, item)
        self.built = {item.path for item in self.items.values() if evidence.systems_of(item, systems)}

    def pages(self) -> dict[str, str]:
        """Every page by its path."""
        found = {"index.html": self._page("index", "")}
        for edition in self.editions:
            found[f"{edition.name}/index.html"] = self._page("edition", "../", edition=edition)
            for item in edition.items:
                found[f"{item.path}.html"] = self._item(edition, item)
        found["systems.html"] = self._page("systems", "", rows=self._systems())
        found["ledger.html"] = self._page("ledger", "", rows=self._ledger(), beyond=self._beyond())
        all_systems = list(self.systems.values())
        more = effects.without_numbers(all_systems)
        found["effects.html"] = self._page("effects", "", more=more, **effects.context(all_systems))
        found["prerequisites.html"] = self._page("prerequisites", "", **graph.context(self.editions, self.built))
        return found

    def _page(self, name: str, root: str, **values: Any) -> str:
        shared = {"site": self, "root": root, "editions": self.editions, "systems": self.systems, "here": name}
        return _template(f"{name}.html.jinja").render(**shared, **values)

    def _item(self, edition: Edition, item: Item) -> str:
        found = evidence.systems_of(item, self.systems)
        order = [other.name for other in edition.items]
        place = order.index(item.name)
        beside = {
            "before": edition.items[place - 1] if place else None,
            "after": edition.items[place + 1] if place + 1 < len(order) else None,
        }
        needed_by = [i for i in self.items.values() if item.path in [p.item for p in i.prerequisites]]
        answers = [(q, evidence.answer(q, item, self.systems)) for q in item.questions]
        figures = [(system, *self._drawing(system, "../")) for system in found]
        return self._page(
            "item", "../", edition=edition, item=item, found=found, answers=answers, figures=figures,
            needed_by=needed_by, **beside,
        )  # fmt: skip

    def _drawing(self, system: System, root: str) -> tuple[str, str]:
        """The address of a system's figure and its description; both empty without one."""
        if system.folder is None or not (system.folder / "figure.svg").exists():
            return "", ""
        name = f"figures/{system.entry.edition}-{system.entry.name}.svg"
        self.drawings[name] = small((system.folder / "figure.svg").read_text(encoding="utf-8")).encode()
        return root + name, described(system)

    def embeds(self, system: System) -> list[tuple[str, str]]:
        """Interactive pages that were published with a system: address and title."""
        found = []
        for name, title in EMBEDS.items():
            if system.folder is not None and (system.folder / name).exists():
                target = f"pages/{system.entry.edition}-{system.entry.name}.html"
                self.drawings[target] = (system.folder / name).read_bytes()
                found.append((target, title))
        return found

    def page_of(self, system: str, here: Item) -> str:
        """The address, from an item's page, of the page that shows a system; empty if it is the same."""
        home = self.owner[system]
        return "" if system in here.systems else f"../{home.path}.html"

    def of(self, item: Item) -> list[System]:
        """The built systems of an item."""
        return evidence.systems_of(item, self.systems)

    def state(self, item: Item) -> str:
        """Whether its system is built and has run."""
        return evidence.state(item, self.systems)

    def tally(self, item: Item) -> dict[str, int]:
        """Its claims by verdict."""
        return evidence.tally(self.of(item))

    def edition_tally(self, edition: Edition) -> dict[str, int]:
        """The claims of an edition by verdict; each system counts once."""
        found = {s.entry.path: s for item in edition.items for s in self.of(item)}
        return evidence.tally(found.values())

    def _systems(self) -> list[tuple[Item | None, System | None]]:
        """Every item that describes a system with each of its built systems, then systems that no item owns."""
        rows: list[tuple[Item | None, System | None]] = []
        for item in self.items.values():
            if item.system:
                rows += [(item, system) for system in self.of(item)] or [(item, None)]
        return rows + [(None, system) for path, system in self.systems.items() if path not in self.owner]

    def _ledger(self) -> list[tuple[Edition, Item, list[tuple[Any, Any]]]]:
        return [
            (edition, item, [(q, evidence.answer(q, item, self.systems)) for q in item.questions])
            for edition in self.editions
            for item in edition.items
            if item.questions
        ]

    def _beyond(self) -> list[tuple[Item | None, System, Any]]:
        return [(self.owner.get(s.entry.path), s, c) for s, c in evidence.beyond(self.editions, self.systems)]


def described(system: System) -> str:
    """A figure in words: the estimates of every arm, over all cases or, where a case has none, by case."""
    parts = []
    for claim in system.claims:
        arms = "; ".join(filter(None, (_arm(name, arm) for name, arm in claim["arms"].items())))
        if arms and arms not in "".join(parts):
            parts.append(f"{claim['unit'] or claim['metric']}: {arms}")
    words = ". ".join(parts)
    if len(words) > LONGEST_ALT:
        words = words[:LONGEST_ALT].rpartition(";")[0] + "; and more, all in the tables below"
    return f"Estimates with 95% intervals of {system.entry.system}. {words}."


def _arm(name: str, arm: dict[str, Any]) -> str:
    if arm["estimate"] is not None:
        return f"{name} {report.interval(arm)}"
    cases = [f"{case} {report.number(c['estimate'])}" for case, c in arm["cases"].items() if c["estimate"] is not None]
    return f"{name} {', '.join(cases)}" if cases else ""


def small(svg: str) -> str:
    """An SVG file without comments, metadata and needless digits and blanks."""
    body = report.ACTIVE.sub("", report.COMMENT.sub("", svg)).strip()
    body = re.sub(r"(?<![\w.])([1-9]\d*\.\d{2})\d+", r"\1", body)  # scales below 1 keep their digits
    body = re.sub(r">\s+<", "><", re.sub(r"[ \t]*\n[ \t]*", " ", body))
    return f"{body}\n"


def _read(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


def joined(counts: dict[str, int]) -> str:
    """Counts by verdict in words."""
    return ", ".join(f"{n} {verdict}" for verdict, n in counts.items())


def slug(name: str) -> str:
    """A name as an anchor or a class."""
    return re.sub(r"[^\w-]+", "-", name).strip("-").lower()


def _first(items: Iterable[Any]) -> Any:
    return next(iter(items), None)


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("theodolite.edition", "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "number": report.number, "interval": report.interval, "bracket": report.bracket, "margin": report.margin,
        "duration": report.duration, "prose": text.render, "line": text.inline, "plain": text.plain,
        "counts": joined, "slug": slug, "first_of": _first, "laid_out": report.laid_out,
    }  # fmt: skip
    globals_: dict[str, Any] = environment.globals
    globals_ |= {
        "badges": BADGES, "statistic_words": STATISTIC_WORDS, "asks": ASKS, "kinds": KINDS, "HIGHLIGHTS": HIGHLIGHTS,
    }  # fmt: skip
    return environment


_template = cache(lambda name: _environment().get_template(name))
