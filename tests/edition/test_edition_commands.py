"""The verb, and every command that the site prints, run at its smallest."""

import json
import os
import shlex
from dataclasses import replace
from pathlib import Path

import html5lib
import pytest

from theodolite.claims import experts
from theodolite.core import runner
from theodolite.core.judge import judge
from theodolite.core.scores import Scores
from theodolite.interpret.vision import style_transfer

pytestmark = pytest.mark.usefixtures("light_numbers")
TINY = {"ppo": ("--num-envs", "4", "--rollout", "8", "--hidden", "8", "--epochs", "1", "--minibatches", "1")}
TINY["trpo"] = TINY["ppo"][:6]
WHOLE = os.environ.get("THEODOLITE_WHOLE_COMMANDS")
"""Set, `run` does all jobs of the smoke size in worker processes, which takes minutes an item."""
SCORES = {}
"""Of the items that ran, by module."""


def printed(pages):
    """Every command on the site, once, in order."""
    found = {}
    for name, page in pages.items():
        if name.endswith(".html"):
            doc = html5lib.parse(page.decode(), namespaceHTMLElements=False)
            lines = ["".join(node.itertext()).strip() for node in doc.iter("pre") if node.get("class") == "command"]
            found |= dict.fromkeys(lines, name)
    return found


def smallest(item, size, folder, seeds=None, workers=1, on_progress=None):
    """What `run` does, with the cheapest job of the item alone, in this process, once for all of the item's names."""
    if item.module not in SCORES:
        job = min(item.jobs(size, seeds), key=lambda job: job.cost)
        SCORES[item.module] = Scores(tuple(job.run()))
    scores = SCORES[item.module]
    assert scores.rows
    return runner.Outcome(Path(folder), scores, judge(item, scores, size))


def test_the_site_prints_commands(pages):
    assert {"theodolite list", "theodolite verify", "theodolite run an17/gail --size full"} <= set(printed(pages))


def test_every_printed_command_runs(pages, say, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if not WHOLE:
        monkeypatch.setattr(runner, "run", smallest)
        monkeypatch.setattr(experts, "REFERENCE_EPISODES", 4)
        monkeypatch.setattr(style_transfer, "TRIAL", replace(style_transfer.TRIAL, steps=2, every=2))
    done = set()
    for line in printed(pages):
        words = shlex.split(line)
        assert words[0] == "theodolite", line
        if words[1] == "run" and words[2] in done and not WHOLE:  # all sizes are the smallest here
            continue
        done.add(words[2] if words[1] == "run" else line)
        found = say(*at_smoke_size(words[1:], say, tmp_path))
        assert found.code == 0, f"{line}: {found.err}"


def at_smoke_size(words, say, place):
    """The same command, as small as its flags allow."""
    verb = words[0]
    if verb == "run":
        kept = [w for w in words if w not in ("--size", "quick", "full", "smoke")]
        out = () if "--out" in kept else ("--out", place / f"run-{len(list(place.iterdir()))}")
        seeds = () if "--seeds" in kept and not _drop(kept, "--seeds") else ("--seeds", "1")
        return [*kept, "--size", "smoke", *seeds, *out, "--workers", "1"]
    if verb == "train":
        more = _small_training(words, say, place)
        return [*words, *more]
    if verb in ("visualize", "style"):
        few = ("--channels", "0", "1", "--batch", "2") if "--gallery" in words else ()
        name, size = ("styled.png", 32) if verb == "style" else (f"pictures-{len(list(place.iterdir()))}", 64)
        return [*words, "--steps", "2", "--size", size, *few, "--out", place / name]
    if verb == "verify" or words[:2] == ["edition", "build"]:
        (place / "empty").mkdir(exist_ok=True)
        return [*words, "--results", place / "empty"]
    return words


def _drop(words, flag):
    at = words.index(flag)
    del words[at : at + 2]
    return True


def _small_training(words, say, place):
    from theodolite.commands.methods import METHODS

    if "--demos" in words:
        env, at = words[words.index("--env") + 1], words.index("--demos") + 1
        demos = place / f"demos-{env}"  # the site calls every folder of demonstrations my_demos
        if not demos.exists():
            record = ("demos", "record", "--policy", "random", "--env", env, "--episodes", "2", "--out", demos)
            assert say(*record).code == 0
        words[at] = demos
    method = METHODS[words[1]]
    learner = words[words.index("--learner") + 1] if "--learner" in words else method.learner
    flags = TINY.get(words[1], ())
    if learner:
        flags = [f.replace("--", "--learner.") if f not in ("--num-envs",) else f for f in TINY.get(learner, ())]
    # a folder that the line names is kept: later lines may start from it
    out = () if "--out" in words else ("--out", place / f"train-{len(list(place.iterdir()))}")
    return [*flags, "--steps", "64", *out]


def test_search_export_and_new(say, tmp_path):
    found = say("edition", "search", "risk", "averse", "options", "--json")
    assert json.loads(found.out)["results"][0]["item"] == "an17/safe_option_critic"
    assert "an17/safe_option_critic" in say("edition", "search", "risk averse options").out
    assert say("edition", "search", "xylophone").code == 1
    for flags in (("--csv",), ("--json",), ("--rss",), ("--email", "--edition", "17")):
        path = tmp_path / flags[0].strip("-")
        assert say("edition", "export", *flags, "--out", path).code == 0 and path.stat().st_size > 5_000
    assert say("edition", "export", "--rss").out.startswith("<?xml")
    folder = tmp_path / "an52"
    assert say("edition", "new", 52, "--out", folder).code == 0
    (tmp_path / "none").mkdir()
    built = say("edition", "build", "--data", folder, "--out", tmp_path / "site", "--results", tmp_path / "none")
    assert built.code == 0 and (tmp_path / "site/an52/example.html").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("edition biuld", "edition verb 'biuld' is unknown. Did you mean build?"),
        ("edition build --data /nowhere", "/nowhere holds no edition.toml"),
        ("edition export", "no format; one of --csv, --json, --rss, --email is expected"),
        ("edition export --csv --rss", "--csv and --rss; one of"),
        ("edition export --email", "--email is of one edition. Say --edition an17 or"),
        ("edition export --csv --edition 16", "edition '16' is unknown"),
        ("edition new 0", "must be >= 1"),
        ("edition new 52 --out nowhere/an-52", "'an-52' cannot name an edition"),
        ("edition search", "nothing to look for"),
    ],
)
def test_bad_usage_of_the_verb_is_one_sentence(say, words, said):
    found = say(*words.split())
    assert found.code == 2 and said in found.err and found.out == ""


def test_an_item_without_a_system_is_listed_and_shown_as_such(say):
    rows = {row["item"]: row for row in json.loads(say("list", "--json").out)["items"]}
    assert rows["an17/gail"]["built"] and rows["an17/gail"]["verdicts"]
    assert not rows["an17/qbf"]["built"] and rows["an17/qbf"]["verdicts"] == {}
    assert rows["an17/fli_grants"]["state"] == "no system"
    assert {"item", "name", "system", "category", "verdicts", "size", "when"} <= set(rows["an51/preqn"])
    assert "not built yet, so there is nothing to run" in say("show", "qbf").out
    assert rows["an17/feature_visualization"]["state"] == "tool: theodolite visualize"
    assert "`theodolite visualize` does it" in say("show", "feature_visualization").out
    shown = say("show", "gail").out
    assert "In the newsletter (an17/gail)" in shown and "supported, full]" in shown and "\n      measured: " in shown
