"""Runs of an agent with options: trained on JAX and on a host, evaluated, recorded, loaded, refused where they must."""

import gymnasium
import numpy as np
import pytest

import theodolite
from theodolite.safety import a2oc

SMALL = {"config": a2oc.Config(rollout=8, num_options=3, hidden=(8,)), "num_envs": 4, "steps": 64}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("options") / "run"
    list(theodolite.fit("a2oc", "CartPole-v1", out=folder, normalise_reward=True, **SMALL))
    return folder


def test_a_run_is_evaluated_recorded_and_loaded(run, say, tmp_path):
    found = theodolite.evaluate(run, episodes=3)
    assert len(found["returns"][0]) == 3 and found["mean"] > 5
    elsewhere = theodolite.evaluate(run, "gymnasium/CartPole-v1", episodes=2, stochastic=True)
    assert elsewhere["mean"] > 5
    recorded = say("demos", "record", run, "--episodes", 2, "--out", tmp_path / "d")
    assert recorded.code == 0, recorded.err
    demos = theodolite.read_demos(tmp_path / "d")
    assert demos.space.obs.shape == (4,) and demos.space.action.num == 2
    asked = say("ask", run, "why left instead of right?")
    assert asked.code == 2 and "holds an agent with options" in asked.err


def test_a_loaded_policy_remembers_until_it_is_told_to_forget(run):
    policy, env = theodolite.load(run), gymnasium.make("CartPole-v1")
    obs, _ = env.reset(seed=0)
    for _ in range(3):
        obs, *_ = env.step(policy(obs))
        assert 0 <= policy._in_force[0] < 3
    many = theodolite.load(run, stochastic=True)
    assert set(np.unique(many(np.zeros((200, 4))))) == {0, 1}
    before = many._in_force.copy()
    many.reset(np.arange(200) < 50)
    assert (many._in_force[:50] == -1).all() and (many._in_force[50:] == before[50:]).all()
    many.reset()
    assert many(np.zeros((7, 4))).shape == (7,)


def test_a_host_environment_s_images_are_learned_from_as_bytes(tmp_path):
    options = {"episodic_life": True, "reward_clip": True}
    settings = {
        "config": a2oc.Config(rollout=4, num_options=2, hidden=(8,), channels=2),
        "num_envs": 2,
        "steps": 16,
        "env_options": options,
    }
    chunks = list(theodolite.fit("a2oc", "envpool/Breakout-v5", out=tmp_path / "r", **settings))
    assert chunks[-1].update == 2
    held = chunks[-1].carry.obs
    assert held.dtype == np.uint8 and held.shape == (1, 2, 84, 84, 6)
    played = theodolite.evaluate(tmp_path / "r", episodes=2, env_options={"max_episode_steps": 5})
    assert played["lengths"] == [[5, 5]]
