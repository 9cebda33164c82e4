"""The site in a real browser: axe-core finds nothing on any page, nothing runs over a phone or a printed page."""

from importlib.resources import files

import pytest

from theodolite.edition import site

SERIOUS = ("moderate", "serious", "critical")
SMALL, LARGE = {"width": 360, "height": 740}, {"width": 1100, "height": 900}
KINDS = ("index.html", "gail.html", "qbf.html", "maxent_irl.html", "fli_grants.html")
"""A page of each kind, beside those of the whole site: with results, unbuilt, without a run, without a system."""
OPEN = "for (const d of document.querySelectorAll('details')) d.open = true"
SHORT = """known => {
    const seen = new Set(known), sheets = [...document.querySelectorAll('link[rel=stylesheet], style')]
        .map(e => e.href || e.textContent.length).join();
    const says = e => [...e.childNodes].some(n => n.nodeType === Node.TEXT_NODE && n.data.trim());
    const kind = e => [e.tagName, e.getAttribute('class'), e.getAttribute('style'), says(e),
        ...e.getAttributeNames()].join(' ');
    const above = e => e.parentElement ? kind(e.parentElement) + above(e.parentElement) : sheets;
    for (const parts of ['tbody tr', 'li:not(:has(a))', 'article.claim']) {
        const found = [...document.querySelectorAll(parts)];
        const kinds = found.map(part => [part, ...part.querySelectorAll('*')].map(kind).join() + above(part));
        found.forEach((part, i) => seen.has(kinds[i]) ? part.remove() : seen.add(kinds[i]));
    }
    return [...seen];
}"""
"""Of rows, points and claims that differ in words and numbers alone, in the same surroundings, the first stays,
whatever page it is on: most of axe's time goes into the others."""
RUN = """async rules => {
    const more = rules ? {runOnly: rules} : {};
    const found = await axe.run(document, {resultTypes: ['violations'], preload: false, ...more});
    return found.violations.map(v => [v.impact, v.id, v.nodes.map(n => n.target.join(' ')).slice(0, 3).join(', ')]);
}"""
WIDER = """() => [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1
    && !e.closest('.wide, .drawing, .skip, .hidden')).map(e => e.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def built(editions, systems, tmp_path_factory):
    """The pages of a site on disk."""
    out = tmp_path_factory.mktemp("site")
    return sorted(path for path in site.build(out, editions, systems) if path.suffix == ".html")


@pytest.fixture(scope="module")
def axe():
    return files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def window(browser):
    """Open windows; what the browser complains about, and what a page asks for from elsewhere, fails the test."""
    contexts, said = [], []

    def new(**options):
        context = browser.new_context(bypass_csp=True, reduced_motion="reduce", **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda r: said.append(r.url) if not r.url.startswith(("file://", "data:")) else None)
        page.on("requestfailed", lambda r: said.append(f"{r.url} failed"))
        return page

    yield new
    for context in contexts:
        context.close()
    assert said == []


def violations(page, axe, rules=None, seen=None):
    """What axe finds in the parts of a page of whose kind none has been seen; these are then added."""
    page.evaluate(OPEN)
    known = [] if seen is None else seen
    known[:] = page.evaluate(SHORT, known)
    page.evaluate(axe)
    return [found for found in page.evaluate(RUN, rules) if found[0] in SERIOUS]


def test_axe_finds_nothing_on_any_page(built, window, axe):
    page, seen = window(viewport=LARGE, color_scheme="light"), []
    for path in built:
        page.goto(path.as_uri())
        assert violations(page, axe, seen=seen) == [], path


def test_in_the_dark_words_stand_out_and_on_a_phone_nothing_runs_over_the_edge(built, window, axe):
    page, seen = window(viewport=SMALL, color_scheme="dark"), []
    for path in built:
        page.goto(path.as_uri())
        assert page.evaluate(WIDER) == [], path
        assert page.evaluate("document.scrollingElement.scrollWidth") <= SMALL["width"], path
        if path.name in KINDS or path.parent.name not in ("an17", "an51"):
            assert violations(page, axe, ["color-contrast", "target-size"], seen) == [], path


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ('<img src="x.svg">', "image-alt"),
        ('<p style="color:#999;background:#aaa">faint</p>', "color-contrast"),
        ("<details><summary>more</summary><p style='color:#bbb'>faint</p></details>", "color-contrast"),
        ("<h1>One</h1><h4>Four</h4>", "heading-order"),
    ],
)
def test_axe_sees_what_is_wrong(window, axe, tmp_path, body, rule):
    path = tmp_path / "page.html"
    path.write_text(f'<!doctype html><html lang="en"><title>t</title><main><h1>Title</h1>{body}</main></html>')
    (tmp_path / "x.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    page = window()
    page.goto(path.as_uri())
    assert rule in [found[1] for found in violations(page, axe)]


def test_of_two_parts_of_one_kind_one_is_looked_at_and_another_kind_always(window, axe, tmp_path):
    path, page, seen = tmp_path / "page.html", window(), []
    head = '<!doctype html><html lang="en"><title>t</title><main><h1>Title</h1><ul><li>One</li>'
    path.write_text(f"{head}<li>Two</li><li style='color:#bbb'>faint</li></ul></main></html>")
    for found in (["color-contrast"], []):
        page.goto(path.as_uri())
        assert [rule for _, rule, _ in violations(page, axe, seen=seen)] == found
        assert page.locator("li").count() == 2 * len(found)
    path.write_text(f"{head}</ul><ol><li style='color:#bbb'>faint</li></ol></main></html>")
    page.goto(path.as_uri())
    assert [rule for _, rule, _ in violations(page, axe, seen=seen)] == ["color-contrast"], "in other surroundings"


def test_the_keyboard_reaches_the_text_first_and_then_every_link(built, window):
    page = window(viewport=LARGE)
    page.goto(next(path for path in built if path.name == "gail.html").as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0, "it is seen when it has the focus"
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: url.endswith("#main"))  # the browser tells of it when it can
    reached = set()
    for _ in range(200):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.outerHTML"))
    links = page.evaluate("[...document.querySelectorAll('main a')].map(a => a.outerHTML)")
    closed = page.evaluate("[...document.querySelectorAll('details:not([open]) a')].map(a => a.outerHTML)")
    assert set(links) - set(closed) <= reached


def test_a_printed_page_has_all_its_width_and_its_closed_parts(built, window):
    for name in ("an17/gail.html", "an17/index.html", "ledger.html", "prerequisites.html", "effects.html"):
        page = window(viewport={"width": 672, "height": 950})  # A4 between its margins
        page.emulate_media(media="print")
        page.goto(next(path for path in built if path.as_posix().endswith(name)).as_uri())
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 672, name
        assert page.evaluate(WIDER.replace(".wide, .drawing, ", "")) == [], name
        shut = "[...document.querySelectorAll('details:not(.lengths)')].filter(d => d.offsetHeight < 60).length"
        assert page.evaluate(shut) == 0, name
