"""The site: valid, linked, accessible in what a parser can see, inert, the same twice, small."""

import re
import time
import warnings
from itertools import pairwise
from urllib.parse import urlsplit

import html5lib
import pytest
from hostile import PAYLOAD

from theodolite.core.errors import UserError
from theodolite.edition import evidence, items, site, text


def parsed(page):
    """The document, parsed by the rules of HTML; any error raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parser = html5lib.HTMLParser(html5lib.getTreeBuilder("etree"), strict=True, namespaceHTMLElements=False)
        return parser.parse(page.decode())


@pytest.fixture(scope="module")
def documents(pages):
    return {name: parsed(page) for name, page in pages.items() if name.endswith(".html") and not _own(name)}


def _own(name):
    """Whether a page is an item's own, to play with."""
    return name.startswith("pages/")


def test_there_is_a_page_for_everything(pages, editions):
    wanted = {f"{item.path}.html" for edition in editions for item in edition.items}
    wanted |= {f"{edition.name}/index.html" for edition in editions}
    wanted |= {f"{name}.html" for name in ("index", "systems", "ledger", "effects", "prerequisites")}
    assert wanted == {name for name in pages if name.endswith(".html") and not _own(name)}
    assert "pages/an51-rnn_memorization.html" in pages


def test_no_link_or_anchor_is_broken(documents, pages):
    anchors = {name: {node.get("id") for node in doc.iter() if node.get("id")} for name, doc in documents.items()}
    for name, doc in documents.items():
        ids = [node.get("id") for node in doc.iter() if node.get("id")]
        assert len(ids) == len(set(ids)), f"{name}: an id twice"
        for node in doc.iter():
            for target in (node.get("href"), node.get("src")):
                if target is None or urlsplit(target).scheme in ("http", "https"):
                    continue
                where, _, anchor = target.partition("#")
                file = _resolved(name, where) if where else name
                assert file in pages, f"{name} points to {target}"
                assert not anchor or anchor in anchors[file] or node.tag != "a", f"{name} points to {target}"


def _resolved(name, target):
    parts = name.split("/")[:-1]
    for step in target.split("/"):
        parts = parts[:-1] if step == ".." else [*parts, step]
    return "/".join(parts)


def test_headings_descend_by_one_and_pictures_have_words(documents):
    for name, doc in documents.items():
        levels = [int(node.tag[1]) for node in doc.iter() if re.fullmatch("h[1-6]", str(node.tag))]
        assert levels[0] == 1 and levels.count(1) == 1, name
        assert all(b <= a + 1 for a, b in pairwise(levels)), f"{name}: {levels}"
        for node in doc.iter("img"):
            assert len(node.get("alt", "")) > 40, f"{name}: a picture without words"
        assert doc.get("lang") == "en" and next(doc.iter("title")).text


def test_alternative_texts_carry_the_numbers(documents, systems):
    for system in (s for s in systems.values() if s.verdict and (s.folder / "figure.svg").exists()):
        words = site.described(system)
        assert re.search(r"\d\.\d\d", words)
        arms = [arm for claim in system.verdict["claims"] for arm in claim["arms"].values()]
        uncertain = any(arm["low"] != arm["high"] for arm in arms)
        assert ("[" in words) == uncertain
        assert any(node.get("alt") == words for doc in documents.values() for node in doc.iter("img"))


def test_nothing_active_and_nothing_from_elsewhere(pages):
    for name, content in pages.items():
        page = content.decode()
        if _own(name):  # a script of its own is what it is for; nothing comes from elsewhere
            assert not re.search(r"(?:src|href)=[\"']?(?:http|//)|@import|url\(http|fetch\(|XMLHttp|import\(", page), (
                name
            )
            continue
        assert not re.search(r"<script|<iframe|<object|\son\w+=|javascript:|@import|url\(http", page, re.I), name
        if name.endswith(".html"):
            assert "default-src 'none'" in page
            assert not re.search(r'<(?:img|link rel="stylesheet")[^>]*(?:src|href)="http', page), name


def test_a_built_system_shows_claims_figure_command_time_and_provenance(pages, systems):
    page = pages["an17/gail.html"].decode()
    verdict = systems["an17/gail"].verdict
    assert verdict["command"] in page and verdict["scores_sha256"] in page
    for claim in verdict["claims"]:
        assert f'id="claim-{site.slug(claim["id"])}"' in page
    assert "Scope and substitutions" in page and "figures/an17-gail.svg" in page
    assert "not built yet" in pages["an17/qbf.html"].decode()


def test_two_builds_are_equal_small_and_quick(editions, systems, tmp_path):
    started = time.process_time()
    first = site.render(editions, systems)
    assert time.process_time() - started < 10
    site.build(tmp_path / "a", editions, systems)
    files = {path.relative_to(tmp_path / "a").as_posix(): path.read_bytes() for path in (tmp_path / "a").rglob("*.*")}
    assert files == first
    assert sum(map(len, first.values())) < 5_000_000 * len(editions)


def test_a_build_takes_away_what_an_earlier_one_left_and_nothing_else(editions, systems, example, tmp_path):
    out = tmp_path / "site"
    site.build(out, items.load_all([example]), systems)
    (out / "notes.txt").write_text("mine")
    assert (out / "an52/example.html").exists()
    site.build(out, editions, systems)
    assert not (out / "an52/example.html").exists() and (out / "notes.txt").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="holds something that is no site of ours"):
        site.build(tmp_path / "full", editions, systems)


def test_hostile_entries_stay_words(hostile, systems):
    pages = site.render((items.load(hostile),), systems)
    shown = 0
    for name, content in pages.items():
        if not name.endswith(".html"):
            continue
        doc = parsed(content)
        assert not list(doc.iter("script")) and not list(doc.iter("textarea")), name
        for node in doc.iter():
            assert not any(key.lower().startswith("on") for key in node.attrib), name
            assert node.tag != "img" or node.get("src", "").startswith("../figures/"), name
        shown += "".join(doc.itertext()).count("<script>alert(1)</script>")
        assert "7 * 7" in content.decode() or b"alert" not in content
    assert shown > 10
    feed = pages["feed.xml"].decode()
    assert "<script" not in feed and "&lt;script" in feed
    assert PAYLOAD[:8] in pages["newsletter.csv"].decode()


def test_text_has_four_kinds_of_blocks_and_escapes_the_rest():
    html = str(text.render("a `b<c` d\ne\n\n    f = <g>\n\n- h - k\n- i & j"))
    formula = '<pre class="formula">f = &lt;g&gt;</pre>'
    assert html == f"<p>a <code>b&lt;c</code> d e</p>\n{formula}\n<ul><li>h − k</li><li>i &amp; j</li></ul>"
    assert str(text.inline('the expert\'s "word", -3 and a - b')) == "the expert’s “word”, −3 and a − b"
    assert str(text.inline("ψ_GA, −log(1 - D) and -log D")) == "ψ<sub>GA</sub>, −log(1 − D) and −log D"
    assert str(text.inline("my_demos, `a_b`, P_l(x), state-only")) == "my_demos, <code>a_b</code>, P_l(x), state-only"
    assert "<script" not in str(text.inline("x_<script>, <b>_y"))


def test_figures_shrink_and_keep_their_small_numbers():
    path = '<g transform="scale(0.015625)">\n <path d="M 12.3456 0.015625"/>\n</g>'
    svg = f'<?xml version="1.0"?><svg width="604.8pt"><!-- c -->{path}</svg>'
    assert site.small(svg) == (
        '<svg width="604.8pt"><g transform="scale(0.015625)"><path d="M 12.34 0.015625"/></g></svg>\n'
    )


def test_a_question_that_names_no_claim_is_refused(example, systems):
    path = example / "example.toml"
    path.write_text(path.read_text().replace('claim = ""', 'claim = "an17/gail#nonsense"'))
    item = items.load(example).item("example")
    with pytest.raises(UserError, match=r"claim 'nonsense' is unknown\. an17/gail has few-demonstrations"):
        evidence.answer(item.questions[0], item, systems)


def test_the_ledger_has_every_question_with_a_verdict_or_a_reason(editions, systems, pages):
    page = pages["ledger.html"].decode()
    for edition in editions:
        for item in edition.items:
            for question in item.questions:
                assert f"{item.path}.html#q-{site.slug(question.id)}" in page
                found = evidence.answer(question, item, systems)
                assert found["claim"] or found["reason"], question.id
