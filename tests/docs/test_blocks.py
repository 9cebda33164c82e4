"""Every fenced block of the README and of docs runs at a smaller size: fewer updates, copies and episodes.

Blocks of a page share a folder and, in Python, their names. A comment in the line above a block steers it:
`<!-- not run: reason -->` skips it, `<!-- needs: my_demos -->` puts demonstrations into the folder first.
"""

import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from theodolite import cli

pytestmark = pytest.mark.usefixtures("light_numbers")
ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r'((?:^<!-- [^\n]* -->\n)*)^```(\w*)(?: title="([^"]*)")?\n(.*?)^```$', re.M | re.S)
SMALL = {"--steps": "1", "--num-envs": "8"}
LANGUAGES = {"python", "sh", "text"}


class Block(NamedTuple):
    """A fenced block, with the comments above it and its line."""

    comments: str
    language: str
    title: str
    body: str
    line: int


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = [Block(*(part or "" for part in m.groups()), text[: m.start(4)].count("\n")) for m in FENCE.finditer(text)]
    assert len(found) == text.count("\n```") // 2, f"{page}: a fence that this test does not understand"
    return found


def smaller(words: list[str]) -> list[str]:
    """One update of training in few copies, two episodes of play, a site without the published results."""
    if words[0] == "train":
        for flag, value in SMALL.items():
            at = words.index(flag) if flag in words else len(words)
            words = [*words[:at], *words[at + 2 :], flag, value]
        return words
    if words[:2] == ["edition", "build"]:
        Path("no_results").mkdir()
        return [*words, "--results", "no_results"]
    return [*words, "--episodes", "2"] if words[0] == "evaluate" else words


def run_shell(block: Block) -> None:
    """Commands of ours run in this process; anything else must be skipped by a comment."""
    for line in block.body.splitlines():
        if line and line != "export PYTHONPATH=.":  # the folder is on the path already
            program, *words = shlex.split(line)
            assert program == "theodolite", f"{line}: only our own commands run here; say why not in a comment"
            assert cli.main(smaller(words)) == 0, line


def run_python(block: Block, place: Path, names: dict) -> dict:
    """The names after the block; a titled one becomes a module that later blocks import."""
    file = place / (block.title or f"block_{block.line}.py")
    body = re.sub(r"updates=\d+, every=\d+", "updates=2, every=1", block.body)
    body = re.sub(r"num_envs=\d+", "num_envs=8", body)
    file.write_text("\n" * block.line * (not block.title) + body, encoding="utf-8")
    return names if block.title else {**names, **runpy.run_path(str(file), names, "documentation")}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One compilation cache for all pages."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THEODOLITE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def my_demos(tmp_path_factory, cache):
    """The data set that docs/demonstrations.md makes."""
    place = tmp_path_factory.mktemp("demos")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        run_python(blocks(ROOT / "docs/demonstrations.md")[0], place, {})
    return place / "my_demos"


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda p: str(p.relative_to(ROOT)))
def test_every_block_runs(page, cache, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before, names = set(sys.modules), {}
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{page}:{block.line}: fenced as {block.language!r}"
        if "<!-- needs: my_demos -->" in block.comments:
            shutil.copytree(request.getfixturevalue("my_demos"), tmp_path / "my_demos", dirs_exist_ok=True)
        if "not run:" in block.comments:
            assert re.search(r"<!-- not run: \S.{10,} -->", block.comments), f"{page}:{block.line}: no reason is given"
        elif block.language == "sh":
            run_shell(block)
        elif block.language == "python":
            names = run_python(block, tmp_path, names)
    for name in set(sys.modules) - before:  # what the page defined must not leak into the next
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def test_the_runner_notices_what_is_wrong(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text("text\n\n```python\nx = 1\n```\n\n<!-- not run: no -->\n```sh\nls\n```\n")
    first, second = blocks(page)
    assert (first.body, first.line, second.comments) == ("x = 1\n", 3, "<!-- not run: no -->\n")
    assert run_python(first, tmp_path, {})["x"] == 1
    with pytest.raises(ZeroDivisionError):
        run_python(first._replace(body="1 / 0\n"), tmp_path, {})
    with pytest.raises(AssertionError, match="only our own commands"):
        run_shell(second)
    assert smaller(shlex.split("train ppo --steps 900 --out x")) == shlex.split(
        "train ppo --out x --steps 1 --num-envs 8"
    )
