from pathlib import Path

import pytest
from hostile import PAYLOAD

from theodolite.commands.list import RESULTS
from theodolite.edition import evidence, items, scaffold, site


@pytest.fixture(scope="session")
def editions():
    return items.load_all()


@pytest.fixture(scope="session")
def systems():
    return evidence.gather(Path(RESULTS))


@pytest.fixture(scope="session")
def pages(editions, systems):
    """Every file of the site by its path."""
    return site.render(editions, systems)


@pytest.fixture
def example(tmp_path):
    """A valid edition with one item, to be spoilt."""
    folder = tmp_path / "an52"
    scaffold.new(52, folder, "2019-04-10")
    return folder


@pytest.fixture
def hostile(example):
    """An edition whose every text is hostile."""
    path = example / "example.toml"
    text = path.read_text(encoding="utf-8")
    payload = PAYLOAD.replace("\\", "\\\\").replace('"', '\\"')
    for field in (
        "title",
        "authors",
        "venue",
        "hat_tip",
        "summarizer",
        "system",
        "equation",
        "test",
        "change",
        "expect",
    ):
        lines = [f'{field} = "{payload}"' if row.startswith(f"{field} =") else row for row in text.splitlines()]
        text = "\n".join(lines)
    text = text.replace('ask = "Does', f'ask = "{payload} Does').replace("The problem, and why", f"{payload}\n\nWhy")
    path.write_text(text.replace("The method in one", f"{payload} in one"), encoding="utf-8")
    return example
