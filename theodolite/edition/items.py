"""Editions and their items: one TOML file each, read, checked and put in the newsletter's order.

edition.toml     title, number, date, sections in order, each naming its items
NAME.toml        an item: who wrote what, our summary in three lengths, the newsletter's opinion as questions
"""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from theodolite.core.errors import UserError, nearest, unknown
from theodolite.edition import schema

HERE = Path(__file__).resolve().parent
HIGHLIGHTS = "Highlights"
KINDS = {
    "summary": "summarised in the newsletter",
    "link": "a bare link in the newsletter",
    "news": "news in the newsletter",
    "prerequisite": "not in this edition; an item builds on it",
}
ASKS = {
    "conjecture": "the newsletter conjectures",
    "wish": "the newsletter wishes for",
    "doubt": "the newsletter doubts",
    "extension": "the newsletter is silent; we ask",
}
SENTENCE_LIMIT = 90
"""Most words of a two-sentence summary."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """Something to read: an address, or another item such as an17/gail, or a title alone."""

    title: str
    link: str = ""
    item: str = ""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A conjecture, wish or doubt of the newsletter, restated as a question: an entry of the ledger."""

    id: str
    kind: str
    ask: str
    test: str = ""
    """How it is, or would be, tested."""
    claim: str = ""
    """The claim that answers it, such as an17/gail#survival-bias."""
    reason: str = ""
    """Why it cannot have a verdict; empty when one is only a matter of work."""


@dataclass(frozen=True, kw_only=True)
class Knob:
    """Something to try, and what we expect of it."""

    change: str
    expect: str


@dataclass(frozen=True, kw_only=True)
class Item:
    """One entry of an edition."""

    edition: str
    name: str
    title: str
    authors: str
    year: int
    category: str
    kind: str
    short: str
    medium: str
    full: str
    venue: str = ""
    link: str = ""
    highlight: bool = False
    hat_tip: str = ""
    summarizer: str = ""
    system: str = ""
    """The system that the item describes; empty for news."""
    tool: str = ""
    """The command that does what the system does, where there is one but no claim, such as theodolite visualize."""
    runs: tuple[str, ...] = ()
    """Paths in the registry of claims that are this system, if they are called otherwise than the item."""
    equation: str = ""
    prerequisites: tuple[Link, ...] = ()
    read_more: tuple[Link, ...] = ()
    questions: tuple[Question, ...] = ()
    knobs: tuple[Knob, ...] = ()

    @property
    def path(self) -> str:
        """The name with its edition, such as an17/gail."""
        return f"{self.edition}/{self.name}"

    @property
    def systems(self) -> tuple[str, ...]:
        """Paths in the registry of claims, built or not: the item's own first."""
        return tuple(dict.fromkeys((self.path, *self.runs)))


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading with the names of its items; a heading may stand empty."""

    title: str
    part: str = ""
    """The heading above it."""
    note: str = ""
    items: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Edition:
    """An issue of the newsletter."""

    name: str
    number: int
    title: str
    date: datetime.date
    intro: str
    sections: tuple[Section, ...]
    items: tuple[Item, ...]
    link: str = ""
    note: str = ""

    def item(self, name: str) -> Item:
        """The item of that name."""
        return next(item for item in self.items if item.name == name)


def load_all(folders: Iterable[Path] = ()) -> tuple[Edition, ...]:
    """The two editions that come with the package, and those in further folders, in order of their numbers.

    Raises:
        UserError: a file does not hold what the format asks for, or two editions have one name.
    """
    own = sorted(path.parent for path in HERE.glob("*/edition.toml"))
    editions = [load(folder) for folder in (*own, *folders)]
    names = [edition.name for edition in editions]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"edition {name} is there twice. Rename one of the folders.")
    editions.sort(key=lambda edition: (edition.number, edition.name))
    _check_links(editions)
    return tuple(editions)


def load(folder: Path) -> Edition:
    """One edition: edition.toml and the items that its sections name.

    Raises:
        UserError: a file does not hold what the format asks for.
    """
    path = folder / "edition.toml"
    if not path.is_file():
        raise UserError(f"{folder} holds no edition.toml: expected a folder that `theodolite edition new` makes.")
    if not folder.resolve().name.isidentifier():
        raise UserError(f"{folder}: the folder's name is the edition's: letters, digits and _ are expected.")
    name = folder.resolve().name
    table = schema.read_toml(path)
    draft = schema.build(Edition, table, str(path), name=name, items=())
    named = _named(draft.sections, path)
    present = {file.stem for file in folder.glob("*.toml")} - {"edition"}
    missing, spare = sorted(named.keys() - present), sorted(present - named.keys())
    if missing:
        raise UserError(f"{path}: item {missing[0]!r} has no file {missing[0]}.toml.{nearest(missing[0], spare)}")
    if spare:
        raise UserError(f"{folder / spare[0]}.toml is in no section of {path}. Add it to one, or remove the file.")
    items = tuple(_item(folder / f"{one}.toml", name, sections) for one, sections in named.items())
    return schema.build(Edition, table, str(path), name=name, items=items)


def find(name: str, editions: Iterable[Edition]) -> Item:
    """The item called "gail", "an17/gail", or by the path of a system that it has.

    Raises:
        UserError: nothing has the name, or several editions have it.
    """
    wanted = name.replace("-", "_")
    items = [item for edition in editions for item in edition.items]
    found = [item for item in items if wanted in (item.name, item.path)]
    found = found or [item for item in items if any(wanted in (p, p.partition("/")[2]) for p in item.systems)]
    if len(found) > 1:
        raise UserError(f"item {name!r} is in several editions. Say {' or '.join(item.path for item in found)}.")
    if not found:
        known = [n for item in items for n in (item.name, item.path)]
        raise unknown("item", name, known, "See `theodolite list`.")
    return found[0]


def _named(sections: tuple[Section, ...], path: Path) -> dict[str, list[Section]]:
    """The sections of every item, items in order of first appearance."""
    named: dict[str, list[Section]] = {}
    for section in sections:
        for name in section.items:
            if not name.isidentifier():
                raise UserError(f"{path}: item {name!r} is no name: letters, digits and _ are expected.")
            named.setdefault(name, []).append(section)
    return named


def _item(path: Path, edition: str, sections: list[Section]) -> Item:
    item = schema.build(Item, schema.read_toml(path), str(path), edition=edition, name=path.stem)
    _one_of(item.kind, KINDS, f"{path}: kind")
    for question in item.questions:
        _one_of(question.kind, ASKS, f"{path}: questions, {question.id}: kind")
        if not question.ask.rstrip().endswith("?"):
            raise UserError(f"{path}: questions, {question.id}: ask is no question; one that ends in ? is expected.")
    ids = [question.id for question in item.questions]
    if len(set(ids)) < len(ids):
        raise UserError(f"{path}: questions: two have the id {next(i for i in ids if ids.count(i) > 1)!r}.")
    high = any(section.title == HIGHLIGHTS for section in sections)
    if high != item.highlight:
        word = "true" if high else "false"
        raise UserError(f"{path}: highlight is {str(item.highlight).lower()}; edition.toml says {word}.")
    _check_lengths(item, path)
    for link in (item.link, *(one.link for one in (*item.prerequisites, *item.read_more))):
        if link and not link.startswith(("https://", "http://")):
            raise UserError(f"{path}: link {link!r} is no address; one that begins with https:// is expected.")
    return item


def _one_of(found: str, known: Iterable[str], where: str) -> None:
    if found not in known:
        raise UserError(f"{where} is {found!r}; one of {', '.join(known)} is expected.{nearest(found, known)}")


def _check_lengths(item: Item, path: Path) -> None:
    """Three lengths that deserve their names."""
    words = [len(text.split()) for text in (item.short, item.medium, item.full)]
    if not item.short or words[0] > SENTENCE_LIMIT:
        raise UserError(f"{path}: short has {words[0]} words; two sentences, {SENTENCE_LIMIT} words at most, expected.")
    if item.kind != "news" and len(paragraphs(item.medium)) != 2:
        raise UserError(f"{path}: medium has {len(paragraphs(item.medium))} paragraphs; two are expected.")
    if not words[0] <= words[1] <= words[2]:
        raise UserError(f"{path}: short, medium and full have {words} words; each is expected to be longer.")


def paragraphs(text: str) -> list[str]:
    """Blocks of text that blank lines part."""
    return [block for block in text.strip().split("\n\n") if block.strip()]


def _check_links(editions: list[Edition]) -> None:
    known = {item.path for edition in editions for item in edition.items}
    for edition in editions:
        for item in edition.items:
            for link in (*item.prerequisites, *item.read_more):
                if link.item and link.item not in known:
                    raise UserError(f"{item.path}: item {link.item!r} is in no edition.{nearest(link.item, known)}")


def as_json(editions: Iterable[Edition]) -> list[dict[str, Any]]:
    """Editions as plain tables, for exports."""
    from dataclasses import asdict

    return [{**asdict(edition), "date": edition.date.isoformat()} for edition in editions]
