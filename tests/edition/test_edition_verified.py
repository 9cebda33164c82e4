"""A site is only built from verdicts that follow from their scores; results older than their code are stale."""

import json
import subprocess
from types import SimpleNamespace

import pytest

from theodolite.claims import registry
from theodolite.core import scores as score_files
from theodolite.core.claim import Claim, Item, at_least, row
from theodolite.core.judge import judge
from theodolite.core.scores import Scores, dumps
from theodolite.edition import freshness, verified

ITEM = Item(
    name="toy", edition="an17", module=__name__, title="A toy", category="Testing", papers=(), jobs=lambda *_: [],
    claims=(Claim(id="c", text="It is good.", metric="score", arms=("a",), expect=(at_least("a", 0.5),)),),
)  # fmt: skip


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("THEODOLITE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "results/an17/toy/quick"
    folder.mkdir(parents=True)
    scores = Scores(tuple(row("a", "x", seed, score=0.8 + seed / 100) for seed in range(5)))
    (folder / "scores.jsonl.gz").write_bytes(score_files.compressed(scores))
    (folder / "verdict.json").write_text(dumps(judge(ITEM, scores, "quick")))
    return tmp_path / "results"


def test_an_agreement_is_noted_and_not_sought_again(results):
    loaded = []
    load = lambda name: loaded.append(name) or ITEM  # noqa: E731
    assert verified.differences(results, load) == [] == verified.differences(results, load)
    assert loaded == ["an17/toy"]


def test_a_changed_verdict_is_found_also_after_an_agreement(results):
    assert verified.differences(results, lambda _: ITEM) == []
    path = results / "an17/toy/quick/verdict.json"
    verdict = json.loads(path.read_text())
    verdict["claims"][0]["verdict"] = "refuted"
    path.write_text(dumps(verdict))
    for _ in range(2):
        assert 'stored as "refuted"' in verified.differences(results, lambda _: ITEM)[0]


def test_the_command_builds_no_site_from_a_verdict_that_differs(say, results, tmp_path, monkeypatch):
    verdict = results / "an17/toy/quick/verdict.json"
    verdict.write_text(verdict.read_text().replace("supported", "refuted"))
    monkeypatch.setattr(registry, "load", lambda name: ITEM)
    found = say("edition", "build", "--out", tmp_path / "site", "--results", results)
    assert found.code == 1 and "an17/toy/quick" in found.out and "no site is built" in found.err
    assert not (tmp_path / "site").exists()


@pytest.fixture
def checkout(tmp_path):
    """A repository with a method, its claim, and the core that both use."""
    files = {
        "claims/__init__.py": "",
        "claims/an17/__init__.py": "",
        "claims/an17/toy.py": "from theodolite.intent import toy\nfrom theodolite.core import stats\n",
        "intent/__init__.py": "",
        "intent/toy.py": '"""A method."""\nRATE = 0.1\n',
        "core/__init__.py": "",
        "core/stats.py": "N = 1\n",
        "__init__.py": "",
    }
    for name, content in files.items():
        path = tmp_path / "theodolite" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def git(*words):
        return subprocess.run(
            ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *words],
            check=True, capture_output=True, text=True,
        ).stdout.strip()  # fmt: skip

    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "first")
    return SimpleNamespace(root=tmp_path, commit=git("rev-parse", "HEAD"), git=git, house=tmp_path / "theodolite")


def state(checkout, commit=None):
    freshness.files.cache_clear()
    return freshness.of("theodolite.claims.an17.toy", commit or checkout.commit, checkout.root)


def test_results_are_stale_when_their_code_changed_and_only_then(checkout):
    assert state(checkout).state == "fresh"
    assert freshness.files("theodolite.claims.an17.toy", checkout.root) == (
        "theodolite/claims/an17/toy.py", "theodolite/intent/toy.py",
    )  # fmt: skip
    method = checkout.house / "intent/toy.py"
    method.write_text('"""A method, better described."""\n\nRATE = 0.1  # the paper\'s\n')
    (checkout.house / "core/stats.py").write_text("N = 2\n")
    claim = checkout.house / "claims/an17/toy.py"
    source = claim.read_text()
    assert state(checkout).state == "fresh", "comments and the core do not count"
    claim.write_text(source + "ITEM = dict(bar=1, notes=('a',))\n")
    assert state(checkout).state == "stale"
    checkout.git("commit", "-qam", "an item")
    item = checkout.git("rev-parse", "HEAD")
    claim.write_text(source + "ITEM = dict(bar=1, notes=('another',))\n")
    assert state(checkout, item).state == "fresh", "nor do notes"
    claim.write_text(source)
    method.write_text("RATE = 0.2\n")
    found = state(checkout)
    assert found.state == "stale" and found.changed == ("theodolite/intent/toy.py",)
    assert state(checkout, f"{checkout.commit}+").state == "stale"


def test_what_git_cannot_tell_is_unknown(checkout, tmp_path_factory):
    assert state(checkout, "0" * 40).state == "unknown"
    assert state(checkout, f"{checkout.commit}+").state == "unknown"
    assert freshness.of("theodolite.claims.an17.toy", None, checkout.root).state == "unknown"
    elsewhere = tmp_path_factory.mktemp("wheel")
    assert freshness.of("theodolite.claims.an17.toy", checkout.commit, elsewhere).state == "unknown"
