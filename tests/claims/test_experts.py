import numpy as np
import pytest

from theodolite.claims import experts
from theodolite.claims.experts import Expert, Recipe, expert
from theodolite.core.errors import UserError


@pytest.fixture(autouse=True)
def briefly(monkeypatch, tmp_path):
    monkeypatch.setenv("THEODOLITE_CACHE", str(tmp_path))
    monkeypatch.setattr(experts, "REFERENCE_EPISODES", 20)
    monkeypatch.setattr(experts, "ATTEMPTS", 1)
    expert.cache_clear()


def test_an_expert_that_did_not_learn_is_refused_and_not_kept(tmp_path):
    with pytest.raises(UserError, match=r"MountainCar-v0: none of 1 experts.*uniform policy \(-200\)"):
        expert(Recipe("MountainCar-v0", "trpo", 1, num_envs=4, episodes=2))
    assert not (tmp_path / "experts").exists()


def test_the_uniform_policy_demonstrates_without_being_good():
    shown = expert(Recipe("MountainCar-v0", "uniform", 0, num_envs=4, episodes=3))
    assert len(shown.demos.episodes) == 3
    assert shown.demos.returns.mean() == shown.random_return == -200


def test_a_kept_expert_is_read_back_as_it_was(tmp_path):
    recipe = Recipe("CartPole-v0", "uniform", 0, num_envs=4, episodes=3)
    first = expert(recipe)
    expert.cache_clear()
    again = expert(recipe)
    assert len(list((tmp_path / "experts").iterdir())) == 1
    assert (first.mode_return, first.random_return) == (again.mode_return, again.random_return)
    for a, b in zip(first.demos.episodes, again.demos.episodes, strict=True):
        np.testing.assert_array_equal(a.obs, b.obs)
        np.testing.assert_array_equal(a.action, b.action)


def test_returns_are_normalised_between_uniform_and_expert():
    scale = Expert(demos=None, mode_return=-100.0, random_return=-200.0)
    np.testing.assert_allclose(scale.normalised(np.array([-200.0, -150.0, -100.0])), [0, 0.5, 1])
