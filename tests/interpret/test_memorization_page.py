"""The page of memorization in a real browser, opened as a file: by mouse, touch, keyboard and link."""

import base64
import json
import re
from importlib.resources import files

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core.errors import UserError
from theodolite.interpret import memorization as rnn
from theodolite.interpret import memorization_connectivity as seen
from theodolite.interpret import memorization_control as control
from theodolite.interpret import memorization_page as page
from theodolite.interpret.memorization_text import PADDING, Corpus, Sequences

LENGTH = 30


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The file, its networks and its sentences; names are such that HTML would run."""
    text, _ = control.corpus(3, LENGTH, 8, 0.9, 160)
    text = Corpus(*text[:3], text.vocabulary, "a <script>alert(1)</script> & text")
    nets = {name: rnn.init(rnn.Config(kind=kind, width=8, layers=1), jax.random.key(2), rnn.space(text)).net
            for name, kind in (("GRU", "gru"), ("LSTM </script>", "lstm"))}  # fmt: skip
    shown = Sequences(text.test.characters[:2], text.test.words[:2])
    path = tmp_path_factory.mktemp("page") / "page.html"
    size = page.write(path, nets, text, shown, 32)
    assert size == path.stat().st_size < 100_000
    return path, nets, text, shown


@pytest.fixture
def opened(browser, made):
    """Open the page; whatever the browser complains about or asks the network for fails the test."""
    pages, said = [], []

    def open_page(address="", **options):
        tab = browser.new_page(**{"viewport": {"width": 1200, "height": 900}, "reduced_motion": "reduce", **options})
        tab.set_default_timeout(10_000)
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda r: said.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
        tab.goto(made[0].as_uri() + address)
        tab.wait_for_selector("html[data-ready]")
        pages.append(tab)
        return tab

    yield open_page
    for tab in pages:
        tab.close()
    assert said == []


def letter(tab, t, model=0):
    return tab.locator(".model").nth(model).locator(f'i[data-t="{t}"]')


def strengths(tab, model=0):
    found = tab.locator(".model").nth(model).locator("i").evaluate_all("n => n.map(i => i.dataset.strength)")
    return [float(v) for v in found if v]


def test_hovering_shows_what_the_network_looked_at(opened, made):
    tab = opened()
    _, nets, _, shown = made
    letter(tab, 9).hover()
    assert tab.locator("i.here").evaluate_all("n => n.map(i => i.dataset.t)") == ["9", "9"]
    net, characters = nets["GRU"], jnp.asarray(shown.characters[0])
    row = jax.nn.softmax(rnn.logits(net, characters[None])[0, 9])
    target = jnp.asarray(shown.words[0, 9:10])
    assert int(target[0]) > 1
    g = np.asarray(seen.connectivity(net, characters, jnp.array([9]), target))[0, :10]
    np.testing.assert_allclose(strengths(tab), g / g.max(), atol=3e-3)
    guesses = tab.locator(".model").first.locator(".guesses li").all_text_contents()
    assert [float(re.search(r"([\d.]+)%", text)[1]) for text in guesses] == pytest.approx(
        [100 * float(v) for v in sorted(row, reverse=True)[:3]], abs=0.051
    )
    assert letter(tab, 9).evaluate("n => getComputedStyle(n).backgroundColor") == "rgb(57, 183, 119)"  # 2/3 of viridis


def test_clicks_keys_and_methods(opened):
    tab = opened()
    letter(tab, 5).click()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowRight")
    assert tab.input_value("#cursor") == "7" and "u=7" in tab.url
    norms = strengths(tab)
    tab.select_option("#method", "square")
    np.testing.assert_allclose(strengths(tab), np.square(norms), atol=2e-3)
    for method in ("input", "integrated", "occlusion"):
        tab.select_option("#method", method)
        assert tab.is_disabled("#of") and strengths(tab) != norms
    tab.select_option("#method", "norm")
    tab.select_option("#of", "contrast")
    assert strengths(tab) != norms and "of=contrast" in tab.url
    tab.uncheck("#networks input >> nth=1")
    assert tab.locator(".model:visible").count() == 1
    tab.locator("h1").click()
    tab.keyboard.press("2")
    assert tab.locator(".model:visible").count() == 2
    tab.keyboard.press("ArrowUp")
    assert "letter" in tab.text_content("#where") and "nothing of it is read" in tab.text_content("#where")
    tab.focus("#cursor")
    tab.keyboard.press("End")
    assert tab.input_value("#cursor") == tab.get_attribute("#cursor", "max")


def test_the_curve_follows_and_moves_the_cursor(opened):
    tab = opened("#s=1&u=0")
    tab.keyboard.press("ArrowDown")
    assert tab.get_attribute("#curve .bar", "data-k") == "0"
    tab.click("#letters button >> nth=1")
    assert tab.get_attribute("#curve .bar", "data-k") == "1" and "1 letter." in tab.text_content("#where")
    assert tab.get_attribute("#letters button >> nth=1", "aria-pressed") == "true"


def test_a_link_leads_to_what_was_seen_and_bad_ones_to_the_beginning(opened):
    tab = opened("#s=1&u=12&method=integrated&show=1")
    assert tab.input_value("#sentence") == "1" and tab.input_value("#cursor") == "12"
    assert tab.input_value("#method") == "integrated" and tab.locator(".model:visible").count() == 1
    before = strengths(tab, 1)
    tab.evaluate("location.hash = '#s=0&u=3&method=norm&show=0,1'")
    tab.wait_for_function("document.getElementById('cursor').value === '3'")
    assert strengths(tab, 1) != before
    tab = opened("#s=99&u=-1&method=<img>&of=constructor&show=7")
    assert tab.input_value("#cursor") == "0" and tab.locator(".model:visible").count() == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it_and_axe_finds_nothing(opened, scheme):
    tab = opened(viewport={"width": 360, "height": 740}, color_scheme=scheme, has_touch=True, bypass_csp=True)
    letter(tab, 6).tap()
    assert tab.input_value("#cursor") == "6"
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    colour = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", colour)[:3])) < 200) == (scheme == "dark")
    tab.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    tab.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    found = tab.evaluate("async () => (await axe.run(document, {resultTypes: ['violations']})).violations")
    assert [(v["impact"], v["id"], v["nodes"][0]["target"]) for v in found if v["impact"] != "minor"] == []


def test_maps_are_stored_by_rows_up_to_the_diagonal():
    strength = np.tril(np.arange(1.0, 10.0).reshape(3, 3))
    assert list(base64.b64decode(page.triangle(strength, 3))) == [255, 204, 255, 198, 227, 255]


def test_the_file_is_data_and_a_sentence_of_the_reader_s_is_packed(made):
    path, _, text, _ = made
    source = path.read_text(encoding="utf-8")
    assert source.count("<script") == 2 and not re.search(r'(src|href)="(?!#|data:)', source)
    found = json.loads(re.search(r'<script id="data"[^>]*>(.*?)</script>', source, re.S)[1])
    assert found["text"] == "a <script>alert(1)</script> & text"
    own = page.sentence("Ka, ee ZZ bat!", text)
    assert (own.characters != PADDING).sum() == 13 and own.words[0, 1] == text.vocabulary.index("ka")
    for bad in ("", "ee " * 20):
        with pytest.raises(UserError, match="Shorten it"):
            page.sentence(bad, text)
    with pytest.raises(UserError, match="no network"):
        page.write(path, {}, text, own)


def test_examples_are_words_that_come_again_first_where_networks_part():
    rare = page.UNKNOWN + page.RARE + 1
    vocabulary = [f"word{i}" for i in range(rare + 3)]
    words = np.repeat([rare, 1, rare, rare + 1, rare + 1], 5)[None]  # each word of four letters and its space
    characters = np.tile([page.SPACE, 5, 6, 7, 8], 5)[None]
    assert page.again(characters[0], words[0]) == [(11, rare), (21, rare + 1)]
    nobody = [[0, 0, 0]] * 25
    tops = [{"a": [*nobody[:11], [rare, 0, 0], *nobody[12:]], "b": nobody}]
    shown = page.Sequences(characters, words)
    found = page.examples_of(shown, vocabulary, tops)
    assert [(e.position, e.says.rpartition(": ")[2]) for e in found] == [
        (11, "a has it among three"),
        (21, "none has it"),
    ]
