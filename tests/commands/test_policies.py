"""A trained run as a plain function, in Python and in a plain Gymnasium loop."""

import gymnasium
import jax
import numpy as np
import pytest
from commandline import TINY

import theodolite
from theodolite import UserError
from theodolite.control import ppo


def test_training_takes_three_lines():
    envs = theodolite.make("CartPole-v1", num_envs=4)
    config = ppo.Config(rollout=8, epochs=1, minibatches=1, hidden=(8,))
    chunks = [chunk.update for chunk in theodolite.train(ppo.agent, config, envs, updates=3, every=2)]
    assert chunks == [2, 3]


def test_what_the_train_verb_does_takes_three_lines(trained, tmp_path):
    config = ppo.Config(rollout=8, epochs=1, minibatches=1, hidden=(8,))
    for chunk in theodolite.fit("ppo", "CartPole-v1", config=config, num_envs=4, steps=96, seeds=2, out=tmp_path / "r"):
        assert chunk.metrics["return"].shape[0] == 2
    for name in ("metrics.jsonl", "last.npz"):
        assert (tmp_path / "r" / name).read_bytes() == (trained / name).read_bytes()


def test_a_plain_gymnasium_loop(trained):
    policy = theodolite.load(trained)
    env = gymnasium.make("CartPole-v1")
    obs, _ = env.reset(seed=0)
    over, steps = False, 0
    while not over:
        obs, _, terminated, truncated, _ = env.step(policy(obs))
        over, steps = terminated or truncated, steps + 1
    assert 1 < steps <= 500


def test_one_observation_and_a_batch_agree_and_seeds_differ(trained):
    obs = np.random.default_rng(0).normal(size=(200, 4))
    policy, other = theodolite.load(trained), theodolite.load(trained, seed=1)
    batch = policy(obs)
    assert batch.shape == (200,) and batch.dtype == np.int64
    assert [policy(o) for o in obs[:10]] == batch[:10].tolist()
    assert (batch != other(obs)).any()


def test_stochastic_actions_follow_the_policy_and_keys_repeat_them(trained):
    obs = np.zeros((400, 4))
    policy = theodolite.load(trained, stochastic=True)
    first, second = policy(obs), policy(obs)
    assert (first != second).any() and 0.2 < first.mean() < 0.8
    np.testing.assert_array_equal(policy(obs, jax.random.key(3)), policy(obs, jax.random.key(3)))


def test_continuous_actions_are_clipped_to_the_box(tmp_path, say):
    command = ("train", "ppo", "--env", "Pendulum-v1", *TINY, "--steps", 32, "--out", tmp_path / "r")
    assert say(*command).code == 0
    policy = theodolite.load(tmp_path / "r", stochastic=True)
    actions = np.concatenate([policy(np.zeros((500, 3))) for _ in range(4)])
    assert actions.shape == (2000, 1) and actions.dtype == np.float32
    assert np.abs(actions).max() == 2.0
    env = gymnasium.make("Pendulum-v1")
    assert env.action_space.contains(policy(np.zeros(3)))


def test_loading_does_not_touch_the_environment(trained, monkeypatch):
    from theodolite.envs import registry

    monkeypatch.setattr(registry, "make", lambda *_, **__: pytest.fail("the environment was made"))
    theodolite.load(trained)(np.zeros(4))


def test_bad_use_says_what_was_expected(trained, tmp_path):
    with pytest.raises(UserError, match=r"shape \(3,\): expected \(4,\)"):
        theodolite.load(trained)(np.zeros(3))
    with pytest.raises(UserError, match="holds 2 seeds"):
        theodolite.load(trained, seed=2)
    with pytest.raises(UserError, match="no run folder"):
        theodolite.load(tmp_path)


def test_evaluation_repeats_itself_and_has_its_own_seeds(trained):
    first, again = (theodolite.evaluate(trained, episodes=5) for _ in range(2))
    assert first == again
    other = theodolite.evaluate(trained, episodes=5, seed=1)
    assert first["returns"] != other["returns"]
    assert first["mean"] == pytest.approx(np.mean(first["returns"]))
    assert first["mean_interval"][0] <= first["mean"] <= first["mean_interval"][1]


def test_evaluation_agrees_with_the_original_environment(trained):
    """The same policy on Gymnasium's CartPole: means of many episodes differ by noise alone."""
    ours = theodolite.evaluate(trained, episodes=100)
    theirs = theodolite.evaluate(trained, "gymnasium/CartPole-v1", episodes=40)
    for a, b in zip(ours["returns"], theirs["returns"], strict=True):
        error = np.sqrt(np.var(a) / len(a) + np.var(b) / len(b))
        assert abs(np.mean(a) - np.mean(b)) < 4 * error + 0.5


def test_evaluation_refuses_another_space(trained):
    with pytest.raises(UserError, match="observations of the shape"):
        theodolite.evaluate(trained, "Pendulum-v1", episodes=1)
