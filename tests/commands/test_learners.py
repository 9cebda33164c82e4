"""Off-policy learners of imitation through the command line, and what does not go together."""

import numpy as np
import pytest

import theodolite
from theodolite.commands import methods
from theodolite.core.runlog import read
from theodolite.intent import airl

SMALL = ("--learner", "sac", "--learner.hidden", 8, "--learner.replay", 64, "--learner.batch-size", 4,
         "--learner.learning-starts", 32, "--learner.random-steps", 0, "--learner.train-every", 8,
         "--hidden", 4)  # fmt: skip
AIRL = ("--potential-hidden", 4, "--airl.steps", 2, "--batch-size", 8, "--replay", 16)
FIXED = ("--reward", "f", "--learner.no-learn-temperature")


@pytest.fixture(scope="module")
def swings(tmp_path_factory):
    """Two demonstrations of eight steps."""
    rng, space = np.random.default_rng(0), theodolite.make("Pendulum-v1", num_envs=1).space
    obs = [rng.uniform(-1, 1, (9, 3)) for _ in range(2)]
    demos = theodolite.from_arrays(obs, [np.tanh(o[:-1, :1]) for o in obs], space=space)
    folder = tmp_path_factory.mktemp("demos") / "swings"
    theodolite.write_demos(demos, folder)
    return folder


def test_airl_of_sac_is_trained_by_name_and_its_reward_can_be_read(say, swings, tmp_path):
    command = ("train", "airl", "--env", "Pendulum-v1", "--demos", swings, *SMALL, *AIRL, "--steps", 96)
    assert say(*command, *FIXED, "--out", tmp_path / "run").code == 0
    manifest = read(tmp_path / "run")
    assert manifest["space"]["num_envs"] == 1 and not manifest["normalise_obs"]  # the learner's defaults
    metrics = theodolite.read_metrics(tmp_path / "run")
    assert len(metrics["update"]) == 3 and (metrics["temperature"] == 1).all()
    paid = airl.reward(tmp_path / "run")(np.zeros((2, 3)), np.zeros((2, 1)), np.eye(3)[:2])
    assert paid.shape == (2,) and paid[0] == paid[1]  # of states alone
    assert theodolite.load(tmp_path / "run")(np.zeros(3)).shape == (1,)


def test_what_does_not_go_together_is_refused_in_a_sentence(say, swings, tmp_path):
    command = ("train", "airl", "--env", "Pendulum-v1", "--demos", swings, "--steps", 96, "--out", tmp_path / "no")
    twice = say(*command, *SMALL, *AIRL)
    assert twice.code == 2 and "--reward f --learner.temperature 1 --learner.no-learn-temperature" in twice.err
    moving = say(*command, *SMALL, *AIRL, "--reward", "f")
    assert moving.code == 2 and "adjusts its temperature" in moving.err
    cold = say(*command, *SMALL, *AIRL, *FIXED, "--learner.temperature", 0.5)
    assert cold.code == 2 and "the learner has temperature 0.5, expected 1 where AIRL pays f or g" in cold.err
    greedy = say(*command, "--learner", "td3")
    assert greedy.code == 2 and "td3 cannot be a learner, since it plays its best action" in greedy.err
    inside = say(*command, "--learner", "gail")
    assert inside.code == 2 and "gail cannot be a learner, since it learns from demonstrations itself" in inside.err
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(("name", "head"), [("rainbow", "categorical"), ("dqn_minatar", "expected")])
def test_published_combinations_of_dqn_are_methods_by_name(say, tmp_path, name, head):
    small = ("--hidden", 8, "--replay", 64, "--batch-size", 4, "--learning-starts", 32, "--num-envs", 8)
    command = ("train", name, "--env", "CartPole-v1", *small, "--steps", 64, "--out", tmp_path / "run")
    assert say(*command).code == 0
    config, preset = read(tmp_path / "run")["config"], methods.METHODS[name].default
    assert config["head"] == head == preset.head and config["n_step"] == preset.n_step
    assert config["hidden"] == [8] and config["adam_epsilon"] == preset.adam_epsilon
    if name == "rainbow":
        other = say(*command, "--head", "quantile")
        assert other.code == 2 and "theodolite train rainbow has no flag --head" in other.err


def test_gan_gcl_wants_every_step_of_its_demonstrations(say, swings, tmp_path):
    command = ("train", "gan_gcl", "--env", "Pendulum-v1", "--demos", swings, "--horizon", 8, "--out", tmp_path / "no")
    thinned = say(*command, "--learner", "ppo", "--learner.rollout", 8, "--demo-every", 2)
    assert thinned.code == 2 and "the demonstrations are thinned, 8 of 16 steps" in thinned.err
    assert not (tmp_path / "no").exists()
