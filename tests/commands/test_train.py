"""Training through the command line: what survives a kill, a fault, an interruption."""

import json
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from commandline import TINY

import theodolite
from theodolite.commands import progress, seed_processes
from theodolite.commands import train as verb
from theodolite.control import dqn, ppo
from theodolite.core import checkpoint

CARTPOLE = ("train", "ppo", "--env", "CartPole-v1", *TINY)
HOST = ("train", "ppo", "--env", "gymnasium/CartPole-v1", *TINY)


def contents(folder):
    return [(folder / name).read_bytes() for name in ("metrics.jsonl", "last.npz")]


def updates(folder):
    return [json.loads(line)["update"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def killed(command, folder, lines=20):
    """Start a command in its own process and kill it once it has written so many metrics."""
    words = [sys.executable, "-m", "theodolite.cli", *map(str, command)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 600  # a busy machine takes minutes to import JAX
    while process.poll() is None and time.monotonic() < deadline:
        metrics = folder / "metrics.jsonl"
        if metrics.exists() and metrics.read_bytes().count(b"\n") >= lines:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"


def test_a_killed_run_continues_to_the_bits_of_one_that_ran_through(say, tmp_path):
    command = (*CARTPOLE, "--steps", 300 * 32, "--seeds", 2)
    killed((*command, "--every", 1, "--out", tmp_path / "k"), tmp_path / "k")
    assert 20 <= len(updates(tmp_path / "k")) < 300
    assert say(*command, "--out", tmp_path / "k").code == 0
    assert say(*command, "--out", tmp_path / "r").code == 0
    assert updates(tmp_path / "k") == list(range(1, 301))
    assert contents(tmp_path / "k") == contents(tmp_path / "r")


def test_more_steps_extend_a_run_to_the_bits_of_a_longer_one(say, tmp_path):
    for steps in (96, 224):
        assert say(*CARTPOLE, "--steps", steps, "--seeds", 2, "--out", tmp_path / "a").code == 0
    assert say(*CARTPOLE, "--steps", 224, "--seeds", 2, "--out", tmp_path / "b").code == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    again = say(*CARTPOLE, "--steps", 224, "--seeds", 2, "--out", tmp_path / "a")
    assert again.code == 0 and "trained for 7 updates already" in again.out


def test_a_killed_run_on_the_host_continues_to_the_same_bits_from_its_checkpoint_on(say, tmp_path):
    """The emulator's own state dies with the process: what follows depends on the checkpoint and the seed alone."""
    command = (*HOST, "--steps", 200 * 32)
    killed((*command, "--every", 1, "--out", tmp_path / "a"), tmp_path / "a", lines=5)
    done = checkpoint.meta(tmp_path / "a/last.npz")["update"]
    written = updates(tmp_path / "a")
    assert 1 <= done < 200 and 5 <= len(written) < 200
    before = (tmp_path / "a/metrics.jsonl").read_text().splitlines()[:done]
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    short = (*HOST, "--steps", (done + 8) * 32)
    assert say(*short, "--every", 3, "--out", tmp_path / "a").code == 0
    assert say(*short, "--out", tmp_path / "b").code == 0
    assert updates(tmp_path / "a") == list(range(1, done + 9))
    assert (tmp_path / "a/metrics.jsonl").read_text().splitlines()[:done] == before
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_second_training_of_the_same_shapes_compiles_nothing(say, tmp_path):
    """A program of the first process is read from the cache by the second, here by one that forgot what it compiled."""
    asked, found = [], []

    def note(event, **_):
        asked.extend([event] * event.endswith("compile_requests_use_cache"))
        found.extend([event] * event.endswith("cache_hits"))

    jax.monitoring.register_event_listener(note)
    try:
        for name, rate in (("a", "1e-3"), ("b", "2e-3")):
            jax.clear_caches()
            asked.clear(), found.clear()
            command = (*CARTPOLE, "--steps", 96, "--learning-rate", rate, "--seed", 3, "--out", tmp_path / name)
            assert say(*command).code == 0
    finally:
        jax.monitoring.unregister_event_listener(note)
    assert len(asked) > 3 and len(found) == len(asked)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (("--clip", "0.3"), "config.clip = 0.2, not 0.3"),
        (("--seed", "1"), "seed = 0, not 1"),
        (("--seeds", "3"), "seeds = 2, not 3"),
        (("--num-envs", "5"), "space.num_envs = 4, not 5"),
        (("--normalise-reward",), "normalise_reward = false, not true"),
        (("--env-options", "max_episode_steps=9"), "env_options.max_episode_steps = null, not 9"),
    ],
)
def test_a_folder_of_another_configuration_is_refused(say, trained, changed, said):
    before = contents(trained)
    found = say(*CARTPOLE, "--steps", 96, "--seeds", 2, *changed, "--out", trained)
    assert found.code == 2 and said in found.err
    assert contents(trained) == before


def test_divergence_names_the_update_the_seed_and_the_last_good_state(say, tmp_path):
    folder = tmp_path / "r"
    found = say(*CARTPOLE, "--steps", 640, "--learning-rate", "1e30", "--every", 1, "--out", folder)
    assert found.code == 1
    update = checkpoint.meta(folder / "last.npz")["update"]
    assert f"update {update + 1}, seed 0:" in found.err
    assert f"State before it: {folder}/last.npz (update {update})" in found.err
    assert "Traceback" not in found.err
    assert "is not finite" in json.loads((folder / "run.json").read_text())["findings"][0]
    at_once = say(*CARTPOLE, "--steps", 640, "--learning-rate", "1e30", "--every", 20, "--out", tmp_path / "s")
    assert f"State before it: {tmp_path}/s/last.npz (update 0)" in at_once.err


def test_an_environment_that_raises_shows_its_own_traceback_and_the_state_is_saved(say, tmp_path):
    command = ("train", "ppo", "--env", "odd_environments:Raises-v0", *TINY, "--every", 1, "--out", tmp_path / "r")
    found = say(*command, "--steps", 3200)
    assert found.code == 1
    assert "the bearing of wheel 3 is worn" in found.err and "odd_environments.py" in found.err
    assert f"State before it: {tmp_path}/r/last.npz (update 4)" in found.err
    assert say(*command, "--steps", 5 * 32).code == 0


def test_an_interruption_saves_the_newest_state(say, tmp_path, monkeypatch):
    def interrupt(display, chunk):
        if chunk.update == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(progress.TrainingDisplay, "show", interrupt)
    found = say(*CARTPOLE, "--steps", 320, "--every", 1, "--out", tmp_path / "r")
    assert found.code == 130 and "(update 3). The same command continues." in found.err
    assert checkpoint.meta(tmp_path / "r/last.npz")["update"] == 3


@pytest.mark.parametrize(
    "words",
    [
        ("bc", "--steps", 60, "--validate-every", 5, "--hidden", 8),
        ("gail", "--env", "CartPole-v1", "--num-envs", 2, "--steps", 32, "--learner.rollout", 8, "--gail.steps", 2),
        ("fem", "--num-envs", 2, "--steps", 32, "--learner", "ppo", "--learner.rollout", 8, "--learner.minibatches", 4),
    ],
)
def test_imitation_trains_saves_loads_and_plays(say, demos, tmp_path, words):
    found = say("train", *words, "--demos", demos, "--demo-every", 2, "--out", tmp_path / "r")
    assert found.code == 0, found.err
    manifest = json.loads((tmp_path / "r/run.json").read_text())
    assert manifest["env"] == "CartPole-v1" and len(manifest["demos"]["sha256"]) == 64
    policy = theodolite.load(tmp_path / "r")
    assert policy(np.zeros((5, 4))).shape == (5,)
    found = say("train", *words, "--demos", demos, "--demo-every", 3, "--out", tmp_path / "r")
    assert found.code == 2 and "demos.every = 2, not 3" in found.err


def test_seeds_on_a_host_environment_run_in_processes(say, tmp_path):
    command = (*HOST, "--steps", 64, "--seed", 4, "--seeds", 2, "--out", tmp_path / "r")
    found = say(*command)
    assert found.code == 0, found.err
    assert say(*HOST, "--steps", 64, "--seed", 5, "--out", tmp_path / "alone").code == 0
    assert contents(tmp_path / "r/seed-5") == contents(tmp_path / "alone")
    scores = json.loads(say("evaluate", tmp_path / "r", "--episodes", 2, "--json").out)
    assert len(scores["returns"]) == 2
    obs = np.ones((50, 4)) * np.linspace(-1, 1, 50)[:, None]
    alone = theodolite.load(tmp_path / "alone")(obs)
    np.testing.assert_array_equal(theodolite.load(tmp_path / "r", seed=1)(obs), alone)


def test_a_failing_seed_fails_the_command(tmp_path, capfd):
    commands = [[sys.executable, "-c", f"raise SystemExit({n})"] for n in (0, 3, 1)]
    code = seed_processes.in_processes(commands, list("abc"))
    assert code == 3 and "b: ended with exit code 3" in capfd.readouterr().err


def test_words_can_be_taken_out_of_a_command_line():
    words = ["ppo", "--seed", "3", "--seeds=4", "--env", "X", "--out=y", "--steps", "5"]
    assert seed_processes.without(words, seed_processes.SWITCHES) == ["ppo", "--env", "X", "--steps", "5"]


def test_the_default_folder_names_method_environment_and_seed():
    assert verb.default_out("gail", "my_module:Maze-v0", 3) == "runs/gail-my_module-Maze-v0-3"


def test_a_run_that_ends_before_it_learns_is_said_to():
    assert verb.too_short(dqn.Config(), 1_000).startswith("1,000 steps end before the first gradient step")
    assert verb.too_short(dqn.Config(), 1_001) == verb.too_short(ppo.Config(), 1) == ""
