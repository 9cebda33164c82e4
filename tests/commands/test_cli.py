"""The command line itself: quick help, one clear sentence for whatever is wrong, clean JSON."""

import json
import os
import subprocess
import sys

import pytest
from commandline import TINY

import theodolite
from theodolite import cli
from theodolite.commands import run
from theodolite.commands.list import newest

HELP = """
import sys, time
from theodolite import cli
assert cli.main(["--help"]) == 0
heavy = sorted({"jax", "numpy", "gymnasium", "tyro"} & set(sys.modules))
print(f"loaded: {heavy}", file=sys.stderr)
print(time.process_time(), file=sys.stderr)
"""


def test_help_is_quick_and_needs_no_jax():
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    assert all(verb in done.stdout for verb in cli.VERBS)
    loaded, seconds = done.stderr.strip().splitlines()
    assert loaded == "loaded: []"
    assert float(seconds) < 0.4


def test_help_of_a_verb_needs_no_jax():
    code = """
import sys
from theodolite import cli
for words in ("list --help", "show -h", "run -h", "evaluate --help", "demos", "demos info -h", "train -h", "verify -h",
              "diagnose --help"):
    try:
        cli.main(words.split())
    except SystemExit as stop:
        assert stop.code == 0
assert "jax" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


def test_import_costs_nothing_and_every_public_name_is_found():
    code = "import sys, theodolite; assert not {'jax', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    for name in theodolite.__all__:
        assert getattr(theodolite, name) is not None
    assert set(theodolite.__all__) <= set(dir(theodolite))
    with pytest.raises(AttributeError, match="teodolite"):
        theodolite.teodolite  # noqa: B018


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("trian ppo", "verb 'trian' is unknown. Did you mean train?"),
        ("train ppoo --env CartPole-v1", "method 'ppoo' is unknown. Did you mean ppo"),
        ("train safe_option_critic --env CartPole-v1", "has another name here. Options are learned by a2oc"),
        ("train option_critic", "theodolite train a2oc --env CartPole-v1 --psi 0.1"),
        ("train a2oc --detach False", "takes no value. Write --detach to turn it on, --no-detach to turn it off."),
        ("train gail --learner ppo --learner.squash=no", "--learner.no-squash to turn it off."),
        ("train ppo --env CartPole-v7", "environment 'CartPole-v7' is unknown. Did you mean CartPole-v"),
        ("train ppo --env nowhere_at_all:X-v0", "module 'nowhere_at_all' was not found"),
        ("train ppo --learning-rat 1", "no flag --learning-rat. Did you mean --learning-rate?"),
        ("train ppo --env CartPole-v1 --learning_rat 1", "no flag --learning_rat. Did you mean --learning-rate?"),
        ("train gail --learner.max-kll 1", "no flag --learner.max-kll. Did you mean --learner.max-kl"),
        ("train gail --learner ppoo", "learner 'ppoo' is unknown. Did you mean ppo?"),
        ("train gail --env CartPole-v1", "learns from demonstrations"),
        ("train ppo --env CartPole-v1 --steps many", "--steps: invalid literal for int"),
        ("train ppo --env CartPole-v1 --steps 0", "steps = 0: must be >= 1"),
        ("train ppo --env CartPole-v1 --seeds 0", "seeds = 0: must be >= 1"),
        ("train ppo --env CartPole-v1 --clip -0.2", "clip = -0.2: must be > 0. ε: largest change"),
        ("train ppo --env CartPole-v1 --hidden 0", "hidden = (0,): must be a sequence of positive integers"),
        ("train ppo --env CartPole-v1 --env-options limit", "expected name=value"),
        ("train ppo --env CartPole-v1 --env-options limit=3", "no option 'limit'"),
        ("train ppo extra", "extra"),
        ("train ppo --env CartPole-v1 --out /proc/x --steps 64", "cannot be written"),
        ("train ppo --env gymnasium/CartPole-v1 --seeds 2 --out /proc/x", "could not be written"),
        ("train ppo --env odd_environments:Dictionary-v0", "Dict"),
        ("train ppo", "no environment was named"),
        ("show", "ITEM is missing"),
        ("show gial", "item 'gial' is unknown. Did you mean gail?"),
        ("run gial", "item 'gial' is unknown. Did you mean gail?"),
        ("run gail --size tiny", "'tiny'"),
        ("evaluate /nowhere", "is no run folder"),
        ("demos infos", "demos verb 'infos' is unknown. Did you mean info?"),
        ("demos info /nowhere", "does not exist"),
        ("demos record --env CartPole-v1", "give a new one with --out"),
        ("demos record --env CartPole-v1 --out /nowhere", "who plays is not clear"),
        ("verify --results /nowhere", "does not exist"),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_code_2(say, words, said):
    found = say(*words.split())
    assert found.code == 2
    assert said in found.err
    assert found.out == ""
    assert "Traceback" not in found.err and "│" not in found.err


@pytest.mark.parametrize("words", [["--help"], ["list", "--json"]])
def test_a_reader_who_has_left_is_no_error_worth_a_traceback(words):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "theodolite.cli", *words], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_images_and_settings_that_clash_leave_the_folder_free(say, tmp_path):
    found = say("train", "ppo", "--env", "odd_environments:Image-v0", *TINY, "--out", tmp_path / "r")
    assert found.code == 2 and "the shape (8, 8, 3), expected vectors" in found.err
    clashing = ("train", "ppo", "--env", "CartPole-v1", *TINY, "--steps", 32, "--out", tmp_path / "r")
    found = say(*clashing, "--minibatches", 33)
    assert found.code == 2 and "minibatches = 33: a batch has 32 transitions" in found.err
    assert say(*clashing).code == 0


def test_every_method_lists_its_own_flags(say):
    from theodolite.commands.methods import METHODS

    for name in METHODS:
        found = say("train", name, "--help")
        assert found.code == 0 and "--steps" in found.out
    assert "--gail.steps" in say("train", "gail", "--help").out
    assert "--costs" not in say("train", "fem", "--help").out
    assert "--learner.clip" in say("train", "gail", "--learner", "ppo", "--help").out


def test_list_prints_one_json_object_with_the_newest_verdicts(say, tmp_path):
    place = tmp_path / "an17/gail/quick"
    place.mkdir(parents=True)
    verdict = {"date": "2026-01-02T03:04:05+00:00", "claims": [{"verdict": "supported"}, {"verdict": "refuted"}]}
    (place / "verdict.json").write_text(json.dumps(verdict))
    items = json.loads(say("list", "--json", "--results", tmp_path).out)["items"]
    gail = next(item for item in items if item["name"] == "gail")
    assert gail["verdicts"] == {"supported": 1, "refuted": 1} and gail["size"] == "quick"
    assert "an17/gail" in say("list").out


def test_verify_tells_differences_by_its_exit_code(say, tmp_path):
    assert say("verify", "--results", tmp_path).code == 0
    place = tmp_path / "an17/gail/quick"
    place.mkdir(parents=True)
    (place / "verdict.json").write_text(json.dumps({"item": "an17/gail", "size": "full", "claims": []}))
    found = say("verify", "--results", tmp_path)
    assert found.code == 1 and "size full" in found.out


def test_evaluate_keeps_standard_output_clean_even_of_noisy_environments(say, trained, tmp_path):
    found = say("evaluate", trained, "--episodes", "3", "--json")
    scores = json.loads(found.out)
    assert [len(one) for one in scores["returns"]] == [3, 3] and scores["over"] == "seeds"
    noisy = ("--env", "odd_environments:Noisy-v0", *TINY, "--steps", "32", "--out", tmp_path / "noisy")
    assert say("train", "ppo", *noisy).code == 0
    found = say("evaluate", tmp_path / "noisy", "--episodes", "2", "--json")
    assert json.loads(found.out)["lengths"] == [[5, 5]] and "from below" in found.err


def test_a_run_says_what_was_not_as_expected_and_not_as_published():
    size, verdict = newest("an51/preqn")
    claims = verdict["claims"]
    assert run.beside_published(verdict) == f"Verdicts as published at size {size}: {len(claims)} of {len(claims)}."
    other = [{**claim, "verdict": "refuted"} if claim["id"] == "modulus" else claim for claim in claims]
    assert run.beside_published({**verdict, "claims": other}).endswith("published otherwise: modulus (supported).")
    assert run.beside_published({**verdict, "item": "an17/gail", "claims": []}) == "Nothing is published of it."
    partly = next(claim for claim in claims if claim["id"] == "kernel-diagonal")
    missed = [e for e in partly["expect"] if e["outcome"] != "supported"]
    assert missed and len(run._against(partly)) == len(missed)
    assert run._against({**partly, "verdict": "supported"}) == []


def test_a_method_that_is_no_item_is_named_as_such(say):
    assert "td3 is a method" in say("show", "td3").err
