"""The verb ask: an answer, plain data, and what is said about bad questions."""

import json
import signal
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
from commandline import TINY

import theodolite
from theodolite import cli
from theodolite.envs import worlds


def test_an_answer_is_text_or_data(say):
    found = say("ask", "cliff", "why not right?", "--slip", 0.1)
    assert found.code == 0
    assert "fall into a trap" in found.out
    data = json.loads(say("ask", "cliff", "why not right?", "--slip", 0.1, "--json").out)
    assert data["return_foil"] < data["return_fact"]
    mild = json.loads(say("ask", "cliff", "why not right?", "--slip", 0.1, "--json", "--worth", "trap=-5").out)
    assert mild["return_foil"] > data["return_foil"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("clif", "why not up?"), "Did you mean cliff?"),
        (("cliff", "why not upp?"), "perhaps up"),
        (("cliff", "why not up?", "--worth", "gaol=3"), "Did you mean goal?"),
        (("cliff", "why not up?", "--worth", "goal=much"), "expected outcome=number"),
        (("cliff", "why not up?", "--start", "3", "0"), "the cell (3, 0) is a trap: a start must be a free cell"),
        (("cliff",), "QUESTION is missing"),
        (("cliff", "why not up?", "--region", "1", "0"), "the cell (1, 0) is a trap"),
        (("cliff", "why not up?", "--worth", "forest"), "expected outcome=number"),
        (("garnet", "why not a1?", "--worth", "goal=3"), "nameless here"),
        (("garnet", "why not a1?", "--slip", "0.1"), "no option 'slip'. Its options: seed"),
        (("cliff", "why not up?", "--seed", "1"), "among the seeds of a run"),
        (("CartPole-v1", "why not left?"), "an agent is asked: train one with"),
        ((".", "why not left?"), "none that `theodolite train` wrote"),
        (("cliff", "why not up?", "--serve"), "leave the question"),
        (("cliff", "--serve", "--port", "70000"), "between 0 and 65535"),
    ],
)
def test_bad_usage_is_one_sentence(say, words, said):
    found = say("ask", *words)
    assert found.code == 2
    assert said in found.err
    assert found.out == ""


@pytest.fixture(scope="module")
def cliff_run(tmp_path_factory):
    """A policy of a few updates in a finite world."""
    folder = tmp_path_factory.mktemp("ask") / "cliff"
    words = ["train", "ppo", "--env", "CliffGrid-v0", *TINY, "--steps", "64", "--env-options", "slip=0.1"]
    assert cli.main([*words, "--out", str(folder)]) == 0
    return folder


def test_a_run_in_a_finite_world_is_asked_exactly(say, cliff_run):
    found = json.loads(say("ask", cliff_run, "why not right 2 times?", "--json").out)
    policy = theodolite.load(cliff_run)
    told = worlds.cliff(slip=0.1)
    actions = policy(told.obs)
    assert found["action"] == told.world.actions[int(actions[told.world.start])]
    dense = told.world.transition.toarray().reshape(-1, 4, len(told.reward))
    for side, forced in (("fact", 0), ("foil", 2)):
        mass, total = told.world.begin, 0.0
        for t in range(200):
            action = np.full(len(mass), 1) if t < forced else actions
            mass = np.where(told.world.over, 0, mass) @ dense[np.arange(len(mass)), action]
            total += mass @ told.reward
        assert found[f"return_{side}"] == pytest.approx(total, abs=1e-8)
    slippery = json.loads(say("ask", cliff_run, "why not right 2 times?", "--json", "--slip", 0.5).out)
    assert slippery["return_foil"] != found["return_foil"]


def test_a_run_with_an_outcome_function_is_asked_by_rollouts(say, trained):
    found = say("ask", trained, "why not right 20 times?", "--episodes", 64)
    assert found.code == 0
    assert "let the pole fall left" in found.out
    assert "64 episodes of each with the same random numbers, 95% intervals" in found.out
    for words, said in (
        (("why not up?",), "Actions: left, right. Things: left-end"),
        (("why not left?", "--slip", 0.1), "--slip is for worlds that are finite"),
        (("why not left?", "--seed", 7), "expected one of 0 to 1"),
        (("why not left?", "--episodes", 1), "must be >= 2"),
        (("--serve",), "draws finite worlds"),
    ):
        refused = say("ask", trained, *words)
        assert (refused.code, refused.out) == (2, "")
        assert said in refused.err


HEEDING = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from theodolite import cli; "
"""Ctrl-C is ignored by what a script started in the background, as these tests may be."""


def serve(*words):
    """The command in a process of its own, once it serves, and its address."""
    command = [sys.executable, "-c", HEEDING + "sys.exit(cli.main(sys.argv[1:]))", "ask", *words, "--serve"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return process, process.stdout.readline().split()[0]


def test_the_page_is_served_until_ctrl_c_and_ends_well(say, cliff_run):
    process, url = serve(str(cliff_run), "--port", "0")
    try:
        world = json.load(urllib.request.urlopen(f"{url}world.json", timeout=20))
        assert world["name"] == "cliff" and "ppo" in world["about"] and world["command"] == str(cliff_run)
        taken = say("ask", "ten", "--serve", "--port", url.rstrip("/").rpartition(":")[2])
        assert (taken.code, taken.out) == (2, "")
        assert "cannot be used" in taken.err and "--port 0" in taken.err
    finally:
        process.send_signal(signal.SIGINT)
    try:
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, err) == (0, "")
    assert out.strip() == "The page is closed."
