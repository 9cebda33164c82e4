"""Generated documentation is what the code says today, and every link leads somewhere."""

import re
from pathlib import Path

import pytest
from test_blocks import PAGES, ROOT

from theodolite import cli
from theodolite.commands.methods import METHODS


@pytest.fixture(scope="module")
def generate():
    """The module docs/generate.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs")
        import generate

        yield generate


def test_generated_and_committed_files_are_equal(generate):
    stale = [path for path, text in generate.texts().items() if path.read_text(encoding="utf-8") != text]
    assert not stale, "run: python docs/generate.py"
    assert not generate.old_pictures(), "run: python docs/generate.py"
    assert {p.stem for p in (ROOT / "docs/methods").glob("*.md")} == set(generate.pages()), "a page without a table"


def test_every_method_of_the_command_line_has_a_page(generate):
    documented = {name for page in generate.pages().values() for name in page["modules"]}
    assert {method.module for method in METHODS.values()} <= documented


def test_a_page_says_all_that_the_module_says(generate):
    from theodolite.intent import gail

    text = generate.method_page(generate.pages()["gail"])
    assert "min_π max_D" in text and text.count("\n6. The discriminator is updated first") == 1
    assert all(f"| `{name}` |" in text for name in gail.METRICS)
    assert "| `gradient_penalty` | `None` | Weight of (‖∂z/∂x‖ - 1)²" in text
    assert "| GAIL imitates the expert on classic control" in text and gail.PAPER.link in text


def test_the_readme_s_table_is_that_of_list(generate, capsys):
    assert cli.main(["list", "--markdown"]) == 0
    table = capsys.readouterr().out.strip()
    assert "| an17/gail | Generative adversarial imitation learning |" in table
    assert f"<!-- systems -->\n{table}\n<!-- /systems -->" in (ROOT / "README.md").read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in a link."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        if not name.startswith(("http://", "https://")):
            there = (page.parent / name).resolve() if name else page
            assert there.exists(), f"{page}: {target}"
            assert not anchor or anchor in anchors(there), f"{page}: {target}"


def test_the_site_names_every_page():
    named = set(re.findall(r"[\w/]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    assert named == {str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")}
