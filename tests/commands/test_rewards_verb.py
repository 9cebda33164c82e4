"""A reward learned by one run pays another: the whole way through the command line."""

import numpy as np
import pytest
from commandline import TINY

import theodolite
from theodolite.core.errors import UserError

AIRL = ("--learner", "ppo", "--learner.rollout", 8, "--learner.hidden", 8, "--learner.epochs", 1,
        "--learner.minibatches", 1, "--num-envs", 4, "--hidden", 4, "--potential-hidden", 4,
        "--airl.steps", 2, "--batch-size", 8, "--replay", 20)  # fmt: skip


@pytest.fixture(scope="module")
def learned(tmp_path_factory, demos):
    from theodolite import cli

    folder = tmp_path_factory.mktemp("runs") / "airl"
    words = ["train", "airl", "--env", "CartPole-v1", "--demos", demos, *AIRL, "--steps", 96, "--out", folder]
    assert cli.main([str(w) for w in words]) == 0
    return folder


def test_the_reward_of_a_run_is_a_pure_function_on_transitions(learned):
    reward = theodolite.load_reward(learned)
    rng = np.random.default_rng(0)
    obs, following, action = rng.normal(size=(5, 4)), rng.normal(size=(5, 4)), np.array([0, 1, 1, 0, 1])
    paid = reward(obs, action, following)
    assert paid.shape == (5,) and np.ptp(paid) > 0
    np.testing.assert_array_equal(paid, reward(obs, 1 - action, -following))  # of states alone
    np.testing.assert_allclose(reward(obs[2], action[2], following[2]), paid[2], rtol=1e-5)
    shaped, ended = (reward(obs, action, following, t, discount=0.9) for t in (False, True))
    assert (shaped != ended).all() and (shaped != paid).all()
    with pytest.raises(UserError, match=r"shapes \(3,\) and \(3,\): expected \(4,\)"):
        reward(np.zeros(3), 0, np.zeros(3))


def test_a_fresh_policy_is_trained_on_it_and_can_be_evaluated(say, learned, tmp_path):
    command = ("train", "ppo", "--env", "CartPole-v1", *TINY, "--steps", 96, "--reward", learned)
    assert say(*command, "--out", tmp_path / "on").code == 0
    paid = theodolite.read_metrics(tmp_path / "on")
    assert "learned_reward" in str(paid)
    assert say("evaluate", tmp_path / "on", "--episodes", "2", "--json").code == 0
    # another reward is another run
    refused = say(*command[:-2], "--out", tmp_path / "on")
    assert refused.code == 2 and "reward" in refused.err


def test_what_cannot_pay_is_refused(say, learned, trained, demos, tmp_path):
    command = ("train", "ppo", *TINY, "--steps", 96, "--out", tmp_path / "x")
    no_reward = say(*command, "--env", "CartPole-v1", "--reward", trained)
    assert no_reward.code == 2 and "is a run of ppo, which learns no reward" in no_reward.err
    elsewhere = say(*command, "--env", "Pendulum-v1", "--reward", learned)
    assert elsewhere.code == 2 and "Pendulum-v1" in elsewhere.err
    both = say(*command, "--env", "CartPole-v1", "--reward", learned, "--normalise-reward")
    assert both.code == 2 and "normalise_reward does not go with --reward" in both.err
    with pytest.raises(UserError, match="gail learns its reward"):
        next(theodolite.fit("gail", "CartPole-v1", demos=demos, reward=learned, out=tmp_path / "y"))
