import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from synthetic_items import ITEM

from theodolite.core import figures, report, results
from theodolite.core.claim import Claim, Paper, at_least, row
from theodolite.core.judge import judge
from theodolite.core.scores import Scores

HOSTILE = "</title><script>alert('x')</script> & \"quoted\" <img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """Tags, attributes and balance of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.open, self.text = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in ("meta", "br", "img", "link", "hr", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def scored(good=0.95, bad=0.3, size=5) -> Scores:
    spread = [0.01 * (k - 2) for k in range(size)]
    return Scores(tuple(row(arm, case, s, score=level + noise) for arm, level in (("good", good), ("bad", bad))
                        for case in ("Task/1", "Task/10") for s, noise in enumerate(spread)))  # fmt: skip


def verdict_of(item, scores, size="quick"):
    manifest = {"command": results.command(item, size, None), "sessions": [
        {"started": "2026-01-02T03:04:05+00:00", "wall_s": 75.0, "versions": {"jax": "0.10.2"}, "commit": "c0ffee",
         "hardware": "an abacus"}]}  # fmt: skip
    return {**judge(item, scores, size), **results.provenance(manifest)}


def test_a_report_tells_everything(tmp_path):
    scores = scored()
    figures.save(figures.of_claims(ITEM.claims, scores), tmp_path / "figure")
    path = report.write(tmp_path, ITEM, verdict_of(ITEM, scores), scores)
    page = Page(path.read_text())
    assert not page.open
    words = ["supported", "refuted", "not run", "Good is better than bad.", "◇ 0.97", "◇ 0.3 ± 0.1", "0.95", "c0ffee",
             "jax 0.10.2", "an abacus", "1 min 15 s", scores.digest(), "theodolite run an17/synthetic --size quick",
             "2026-01-02", "expected ≥ 0.3", "in each of 2 cases: 2 supported", "arXiv 0000.00000"]  # fmt: skip
    flat = re.sub(r"\s+", " ", page.text)
    assert [w for w in words if w not in flat] == []
    assert page.tags.count("svg") == 1
    assert "script" not in page.tags
    caption = next(v for tag, k, v in page.attributes if (tag, k) == ("figure", "aria-label"))
    assert "good 0.95 [0.9" in caption


def test_a_report_needs_nothing_from_elsewhere(tmp_path):
    scores = scored()
    figures.save(figures.of_claims(ITEM.claims, scores), tmp_path / "figure")
    text = report.write(tmp_path, ITEM, verdict_of(ITEM, scores), scores).read_text()
    page = Page(text)
    fetched = [a for a in page.attributes if a[1] in ("src", "srcset", "data", "action") or (a[0] == "link")]
    assert fetched == []
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    ids = [v for _, k, v in page.attributes if k == "id"]
    assert len(ids) == len(set(ids))


def test_hostile_text_is_escaped_everywhere(tmp_path):
    claim = Claim(id="x", text=HOSTILE, metric="score", arms=(HOSTILE,), unit=HOSTILE, where=HOSTILE,
                  expect=(at_least(HOSTILE, 0.5),), paper_values={(HOSTILE, HOSTILE): HOSTILE})  # fmt: skip
    item = replace(
        ITEM,
        title=HOSTILE,
        category=HOSTILE,
        summary=HOSTILE,
        equation=HOSTILE,
        how_to=(HOSTILE,),
        notes=(HOSTILE,),
        claims=(claim,),
        papers=(Paper(HOSTILE, HOSTILE, 1, url="javascript:alert(1)"),),
    )
    scores = Scores(tuple(row(HOSTILE, HOSTILE, s, score=0.9 + s / 100) for s in range(3)))
    figures.save(figures.of_claims(item.claims, scores), tmp_path / "figure")
    page = Page(report.write(tmp_path, item, verdict_of(item, scores), scores).read_text())
    assert not page.open
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert not [a for a in page.attributes if a[1].startswith("on") or "javascript" in (a[2] or "")]
    assert page.text.count("alert('x')") >= 8


def test_a_drawing_is_made_inert():
    svg = (
        '<?xml version="1.0"?><!DOCTYPE svg><svg width="9pt" height="9pt" viewBox="0 0 9 9"><!-- --!><b> -->'
        "<metadata><x/></metadata><script>alert(1)</script><foreignObject><p/></foreignObject><g/></svg>"
    )
    assert report.inline(svg) == '<svg aria-hidden="true" viewBox="0 0 9 9"><g/></svg>'


@pytest.mark.parametrize(("size", "word"), [("smoke", "not judged"), ("quick", "supported")])
def test_a_smoke_run_wears_no_verdict(size, word):
    text = report.render(ITEM, verdict_of(ITEM, scored(), size), scored())
    assert f" {word}</span>" in text
    if size == "smoke":
        assert 'class="badge supported"' not in text


def test_a_run_without_scores_still_has_a_report(tmp_path):
    page = Page(report.write(tmp_path, ITEM, verdict_of(ITEM, Scores(())), Scores(())).read_text())
    assert "svg" not in page.tags
    assert page.text.count("not run") >= 6


@pytest.mark.parametrize(
    ("value", "scale", "text"),
    [(0.123456, None, "0.123"), (-0.00001, 1.0, "0.00"), (-3.14159, None, "−3.14"), (12345.6, None, "12,346"),
     (2.5e-7, None, "2.5e−7"), (None, None, "–"), ("about 0.3", None, "about 0.3"), (0.0, None, "0.000")],
)  # fmt: skip
def test_numbers(value, scale, text):
    assert report.number(value, scale) == text


def test_margins_and_durations():
    assert report.margin([0.1, None]) == "≥ 0.1"
    assert report.margin([None, -0.5]) == "≤ −0.5"
    assert report.margin([5e-324, None]) == "above 0"
    assert report.margin([None, -5e-324]) == "below 0"
    assert report.margin([-1, 1.5]) == "−1 to 1.5"
    assert [report.duration(s) for s in (1.25, 75, 3700, None)] == ["1.2 s", "1 min 15 s", "1 h 1 min", "–"]
