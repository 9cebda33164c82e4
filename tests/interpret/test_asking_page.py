"""The page in a real browser, by mouse and by keyboard: Debian's Chromium, headless, driven by Playwright."""

import re
from importlib.resources import files

import pytest
from serving import serving, subject


@pytest.fixture(scope="module")
def ten():
    with serving(subject("ten")) as found:
        yield found


@pytest.fixture
def opened(browser):
    """Open the page of a server; whatever the browser complains about fails the test."""
    pages, said = [], []

    def open_page(server, **options):
        page = browser.new_page(**{"viewport": {"width": 1200, "height": 900}, "reduced_motion": "reduce", **options})
        page.set_default_timeout(5_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda r: said.append(r.url) if not r.url.startswith((server.url, "data:")) else None)
        page.goto(server.url)
        page.wait_for_selector("html[data-ready]")
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert [text for text in said if "422" not in text] == []  # a question that is not understood is logged as such


def click(page, *cells):
    for x, y in cells:
        page.click(f'#map [data-cell="{x},{y}"]')


def answer(page):
    page.click("#go")
    page.wait_for_selector("#answer:not([hidden])")
    return page.text_content("#text")


def test_clicks_mark_a_region_choose_an_action_and_show_both_ways(opened, ten):
    page = opened(ten)
    click(page, (0, 2), (0, 3), (0, 3), (1, 2))
    assert page.text_content("#marked") == "2 cells are marked."
    assert page.get_attribute('[data-cell="0,2"]', "aria-selected") == "true"
    assert page.get_attribute('[data-cell="0,3"]', "aria-selected") == "false"
    page.click("#actions input[value=down]")
    assert page.input_value("#question") == "why not down whenever in the region?"
    text = answer(page)
    assert text.startswith("At (0, 2) I go up.\nWhat you propose: down whenever in the region")
    assert page.text_content("#situation") in text and page.text_content("#judgement") in text
    assert page.text_content("#command") == (
        'theodolite ask ten "why not down whenever in the region?" --region 0 2 1 2'
    )
    rows = page.locator("#rows tr")
    assert rows.count() > 1
    worth = [float(t.replace("−", "-")) for t in page.locator("#rows td:nth-child(4)").all_text_contents()]
    assert sum(worth[:-1]) == pytest.approx(worth[-1], abs=0.06 * len(worth))
    assert [c.split(":")[0] for c in page.locator("#maps svg").evaluate_all("n => n.map(s => s.ariaLabel)")] == [
        "What I do", "Your plan"
    ]  # fmt: skip
    ways = page.locator("#maps .way").evaluate_all("n => n.map(w => w.getTotalLength())")
    assert len(ways) == 2 and min(ways) > 40
    assert page.evaluate("document.activeElement.id") == "answer-title"


def test_the_steps_are_walked_through(opened, ten):
    page = opened(ten)
    page.fill("#question", "why not right 2 times?")
    answer(page)
    page.focus("#step")
    before = page.locator("#maps .foil .agent").get_attribute("cx")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert re.match(r"2 of \d+", page.text_content("#at"))
    assert float(page.locator("#maps .foil .agent").get_attribute("cx")) == float(before) + 80
    page.click("#play")
    page.wait_for_selector("#at >> text=/^[3-9] of/")
    assert page.text_content("#play") == "Pause"
    page.click("#play")
    assert page.text_content("#play") == "Play"


def test_the_keyboard_alone_is_enough(opened, ten):
    page = opened(ten)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.cell") == "0,0"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("Shift+ArrowUp")
    assert page.text_content("#marked") == "3 cells are marked."
    page.keyboard.press("Escape")
    assert page.text_content("#marked") == "Nothing is marked."
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.cell") == "0,3"
    page.keyboard.press("ArrowLeft")  # the border holds
    assert page.evaluate("document.activeElement.dataset.cell") == "0,3"
    page.focus("input[value=do]")
    page.keyboard.press("ArrowRight")
    assert page.input_value("#question") == "why not avoid the region?"
    page.focus("#question")
    page.keyboard.press("Enter")
    page.wait_for_selector("#answer:not([hidden])")
    assert "avoiding being in the region" in page.text_content("#proposal")
    assert page.locator("#maps figure").count() == 2


def test_a_drag_marks_and_traps_cannot_be(opened, ten):
    page = opened(ten)
    a, b = (page.locator(f'[data-cell="{c}"]').bounding_box() for c in ("1,0", "3,0"))
    page.mouse.move(a["x"] + 10, a["y"] + 10)
    page.mouse.down()
    page.mouse.move(b["x"] + 10, b["y"] + 10, steps=8)
    page.mouse.up()
    assert page.text_content("#marked") == "3 cells are marked."
    page.click('[data-cell="5,0"]', force=True)  # although it says that it is disabled
    assert page.text_content("#marked") == "The agent is never on (5, 0), trap."
    page.click("#clear")
    assert page.text_content("#marked") == "Nothing is marked."


def test_what_is_not_understood_is_said_and_html_stays_text(opened, ten):
    page = opened(ten)
    page.fill("#question", "why not <img src=x onerror=alert(1)>?")
    page.click("#go")
    page.wait_for_selector("#error:not([hidden])")
    assert "an action is expected, not '<'" in page.text_content("#error")
    assert page.locator("#error img").count() == 0
    page.fill("#question", "why not right at (9, 0)?")
    page.click("#go")
    page.wait_for_selector("#error >> text=never come to be at (9, 0)")
    click(page, (9, 0))
    page.click("#start")
    page.wait_for_selector("#start-is >> text=(9, 0)")
    page.fill("#question", "why not left at (9, 0)?")
    assert "At (9, 0)" in answer(page)
    assert page.text_content("#command").endswith("--start 9 0")


def test_what_cannot_be_is_said_and_only_what_it_does_is_drawn(opened, ten):
    page = opened(ten)
    page.fill("#question", "what if you go to (2, 1)?")
    answer(page)
    assert page.text_content("#judgement") == "I cannot: (2, 1) is a wall."
    assert page.locator("#maps figure").count() == 1 and not page.is_visible("#differences")
    page.fill("#question", "what if you go to (5, 0)?")
    page.click("#go")
    page.wait_for_selector("#maps .foil")
    assert "1.00" in page.text_content("#small-print")
    page.fill("#step", page.get_attribute("#step", "max"))
    assert "5 steps, then: fall into a trap" in page.text_content("#maps .foil figcaption")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it_in_either_scheme(opened, ten, scheme):
    page = opened(ten, viewport={"width": 360, "height": 740}, color_scheme=scheme, has_touch=True)
    page.tap('[data-cell="2,6"]')
    assert page.text_content("#marked") == "1 cell is marked."
    answer(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    first, second = (page.locator("#maps svg").nth(i).bounding_box() for i in (0, 1))
    assert first["y"] == second["y"] and second["x"] > first["x"] + first["width"]
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", colour)[:3])) < 200) == (scheme == "dark")


def test_a_world_without_a_map_is_drawn_by_its_states(opened):
    with serving(subject("garnet")) as server:
        page = opened(server)
        assert page.locator("#map [role=gridcell]").count() == 16
        click(page, (1, 1))
        page.check("input[value=reach]")
        assert page.input_value("#question") == "what if you go to the region?"
        assert "going to be at the region" in answer(page)


def test_a_monster_moves_with_the_steps(opened):
    with serving(subject("monster-grid")) as server:
        page = opened(server)
        page.fill("#question", "why not up 3 times then right 4 times?")
        answer(page)
        hunter = page.locator("#maps .foil [data-monster]")
        before = hunter.get_attribute("transform")
        page.fill("#step", page.get_attribute("#step", "max"))
        assert hunter.get_attribute("transform") != before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_before_and_after_a_question(opened, ten, scheme):
    page = opened(ten, color_scheme=scheme, bypass_csp=True)
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    for asked in (False, True):
        if asked:
            click(page, (0, 3))
            answer(page)
        page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
        found = page.evaluate("async () => (await axe.run(document, {resultTypes: ['violations']})).violations")
        assert [(v["impact"], v["id"], v["nodes"][0]["target"]) for v in found if v["impact"] != "minor"] == []
