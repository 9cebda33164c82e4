"""The editions for other programs and for mail: CSV, JSON, RSS, and one HTML file with its style in the tags.

The CSV begins with the thirteen columns of the newsletter's public spreadsheet, in its order, so that whoever reads
that reads this; our columns follow.
"""

import csv
import datetime
import io
from collections.abc import Iterable
from typing import Any
from xml.etree import ElementTree

from theodolite.core.errors import UserError
from theodolite.core.scores import dumps
from theodolite.edition import evidence, text
from theodolite.edition.evidence import System
from theodolite.edition.items import Edition, Item, Link

THEIRS = (
    "Category", "Highlight?", "Title", "Authors", "Venue", "Year", "H/T", "Email", "Summarizer", "Summary",
    "My opinion", "Prerequisites", "Read more",
)  # fmt: skip
OURS = (
    "URL", "Item", "Kind", "System", "State", "Short summary", "Two paragraphs", "Questions open", "Claims supported",
    "Claims partly", "Claims refuted", "Claims undecided", "Claims not run", "Size", "Date", "Freshness", "Command",
)  # fmt: skip
MOST_MAIL = 100_000
"""Bytes: mail programs cut longer messages."""


def as_csv(editions: Iterable[Edition], systems: dict[str, System]) -> str:
    """One row per item, in the newsletter's order."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(THEIRS + OURS)
    for edition in editions:
        for item in edition.items:
            writer.writerow([_inert(cell) for cell in (*_theirs(edition, item), *_ours(item, systems))])
    return out.getvalue()


def _inert(cell: Any) -> str:
    """A cell that a spreadsheet does not take for a formula."""
    words = str(cell)
    return f"'{words}" if words[:1] in ("=", "+", "-", "@", "\t", "\r") else words


def _theirs(edition: Edition, item: Item) -> list[Any]:
    opinion = "\n".join(f"- {q.ask}" for q in item.questions if q.kind != "extension")
    return [
        item.category, "Highlight" if item.highlight else "", item.title, item.authors, item.venue, item.year,
        item.hat_tip, f"AN #{edition.number}", item.summarizer or "Theodolite", item.full, opinion,
        "; ".join(map(_named, item.prerequisites)), "; ".join(map(_named, item.read_more)),
    ]  # fmt: skip


def _named(link: Link) -> str:
    return f"{link.title} ({link.link})" if link.link else link.title


def _ours(item: Item, systems: dict[str, System]) -> list[Any]:
    found = evidence.systems_of(item, systems)
    counts = evidence.tally(found)
    open_questions = sum(evidence.answer(q, item, systems)["claim"] is None for q in item.questions)
    verdicts = [system.verdict for system in found if system.verdict]
    first: dict[str, Any] = verdicts[0] if verdicts else {}
    return [
        item.link, item.path, item.kind, item.system, evidence.state(item, systems), item.short, item.medium,
        open_questions, *(counts.get(verdict, 0) for verdict in evidence.VERDICTS),
        first.get("size", ""), (first.get("date") or "")[:10],
        "; ".join(s.freshness.state for s in found if s.verdict), first.get("command", ""),
    ]  # fmt: skip


def as_json(editions: Iterable[Edition], systems: dict[str, System]) -> str:
    """Everything: the items with their summaries and questions, and the verdicts on the claims of their systems."""
    from dataclasses import asdict

    whole = []
    for edition in editions:
        table = {**asdict(edition), "date": edition.date.isoformat()}
        for row, item in zip(table["items"], edition.items, strict=True):
            found = evidence.systems_of(item, systems)
            row |= {"path": item.path, "state": evidence.state(item, systems), "systems": [_system(s) for s in found]}
            for question, one in zip(row["questions"], item.questions, strict=True):
                said = evidence.answer(one, item, systems)
                question |= {"verdict": said["verdict"], "why": said["reason"]}
        whole.append(table)
    return dumps({"editions": whole}, indent=1) + "\n"


def _system(system: System) -> dict[str, Any]:
    verdict = system.verdict or {}
    keep = ("id", "text", "source", "where", "scope", "metric", "verdict", "reason", "expect", "paper_value")
    about = {k: verdict.get(k) for k in ("size", "date", "wall_s", "commit", "command", "hardware", "scores_sha256")}
    claims = [{k: claim.get(k) for k in keep} for claim in system.claims]
    return {"path": system.entry.path, "name": system.entry.system, **about,
            "freshness": system.freshness.state, "claims": claims}  # fmt: skip


def as_rss(editions: Iterable[Edition], base: str = "") -> str:
    """RSS 2.0, the newest edition first. With `base`, entries point to the site there; else to what they are about."""
    editions = sorted(editions, key=lambda edition: (edition.date, edition.number), reverse=True)
    rss = ElementTree.Element("rss", version="2.0")
    channel = ElementTree.SubElement(rss, "channel")
    _put(channel, "title", "Alignment Newsletter, runnable")
    _put(channel, "link", base or "https://rohinshah.com/alignment-newsletter/")
    _put(channel, "description", "Two issues of the Alignment Newsletter: each item's claims, rerun, with verdicts.")
    _put(channel, "language", "en")
    for edition in editions:
        for item in edition.items:
            entry = ElementTree.SubElement(channel, "item")
            _put(entry, "title", f"[AN #{edition.number}] {item.title}")
            page = f"{base.rstrip('/')}/{item.path}.html" if base else item.link or edition.link
            if page:
                _put(entry, "link", page)
            _put(entry, "description", text.plain(item.short))
            _put(entry, "category", item.category)
            _put(entry, "guid", f"theodolite:{item.path}", isPermaLink="false")
            noon = datetime.datetime.combine(edition.date, datetime.time(12), datetime.UTC)
            _put(entry, "pubDate", noon.strftime("%a, %d %b %Y %H:%M:%S +0000"))
    ElementTree.indent(rss)
    return ElementTree.tostring(rss, encoding="unicode", xml_declaration=True).replace("utf-8", "UTF-8", 1) + "\n"


def _put(parent: ElementTree.Element, name: str, words: str, **attributes: str) -> None:
    ElementTree.SubElement(parent, name, attributes).text = words


def as_email(edition: Edition, systems: dict[str, System]) -> str:
    """An edition as one HTML file for mail: no style sheet, no picture, under 100 kB.

    Highlights stand whole, the rest in two paragraphs; where that is too long, in two sentences.

    Raises:
        UserError: even two sentences an item are too long.
    """
    from theodolite.edition.site import _template

    for length in ("medium", "short"):
        page = _template("email.html.jinja").render(edition=edition, systems=systems, length=length, evidence=evidence)
        if len(page.encode()) < MOST_MAIL:
            return page
    raise UserError(f"edition {edition.name} makes a mail of {len(page.encode()):,} bytes; {MOST_MAIL:,} is the most.")
