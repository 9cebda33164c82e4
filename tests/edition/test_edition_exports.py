"""CSV, JSON, RSS and mail, each read back by another reader."""

import csv
import io
import json
import re

import feedparser
import pytest

from theodolite.edition import export, items

THIRTEEN = [
    "Category", "Highlight?", "Title", "Authors", "Venue", "Year", "H/T", "Email", "Summarizer", "Summary",
    "My opinion", "Prerequisites", "Read more",
]  # fmt: skip


def test_csv_begins_with_the_newsletters_thirteen_columns(editions, systems):
    rows = list(csv.reader(io.StringIO(export.as_csv(editions, systems))))
    assert rows[0][:13] == THIRTEEN and rows[0][13] == "URL"
    assert len(rows) == 1 + sum(len(e.items) for e in editions) and {len(row) for row in rows} == {len(rows[0])}
    gail = dict(zip(rows[0], next(r for r in rows if "an17/gail" in r), strict=True))
    assert (
        gail["Email"] == "AN #17" and gail["Year"] == "2016" and gail["Command"].startswith("theodolite run an17/gail")
    )
    claims = sum(int(gail[f"Claims {v}"]) for v in ("supported", "partly", "refuted", "undecided", "not run"))
    assert claims == len(systems["an17/gail"].claims)
    assert [r[1] for r in rows[1:]].count("Highlight") == 2


def test_cells_are_no_formulas(hostile, systems):
    path = hostile / "example.toml"
    path.write_text(path.read_text().replace('venue = "', 'venue = "=1+1 '))
    rows = list(csv.reader(io.StringIO(export.as_csv([items.load(hostile)], systems))))
    assert rows[1][4].startswith("'=1+1")


def test_json_holds_everything(editions, systems):
    table = json.loads(export.as_json(editions, systems))["editions"]
    assert [e["date"] for e in table] == [e.date.isoformat() for e in editions]
    row = next(r for r in table[0]["items"] if r["name"] == "gail")
    assert row["systems"][0]["claims"][0]["verdict"] and row["questions"][0]["verdict"] and row["full"]


def test_rss_is_read_back_by_feedparser(editions):
    feed = feedparser.parse(export.as_rss(editions, "https://example.org/site/"))
    assert not feed.bozo and feed.version == "rss20" and feed.feed.title
    assert len(feed.entries) == sum(len(e.items) for e in editions)
    assert feed.entries[0].title.startswith("[AN #51]") and feed.entries[0].published_parsed[:3] == (2019, 4, 3)
    assert feed.entries[0].link == "https://example.org/site/an51/preqn.html"
    assert len({entry.id for entry in feed.entries}) == len(feed.entries)
    assert feedparser.parse(export.as_rss(editions)).entries[0].link == "https://arxiv.org/abs/1903.08894"


@pytest.mark.parametrize("number", [17, 51])
def test_mail_is_one_file_under_100_kilobytes_with_its_style_inside(editions, systems, number):
    edition = next(e for e in editions if e.number == number)
    page = export.as_email(edition, systems)
    assert len(page.encode()) < 100_000
    assert not re.search(r"<style|<link|<script|<img|class=", page.replace('class="formula"', ""))
    for item in edition.items:
        assert str(item.title) in page.replace("&#39;", "'")
