"""Learners of values: actions as often as ε says, the best one by values that are a function, and what is reported."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.control import value_learner
from theodolite.control.off_policy import Memory
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.errors import UserError

C = value_learner.Settings(epsilon_start=0.9, epsilon_end=0.1, epsilon_steps=100, replay=8, learning_starts=0)
SPACE = Space(Box((1,), -1.0, 1.0), Discrete(3), num_envs=2)
SLOPES = jnp.array([[1.0, -1.0, 0.0]])


def at(steps: int) -> Memory:
    ring, _, largest = value_learner.nothing(C, SPACE)
    return Memory(ring, jnp.int32(steps), largest + 2)


def values(_, obs):
    return obs @ SLOPES


def test_actions_are_best_or_random_as_epsilon_says():
    np.testing.assert_allclose(value_learner.exploration(C, at(25)), 0.7, rtol=1e-6)
    np.testing.assert_allclose(value_learner.exploration(C, at(1_000)), 0.1, rtol=1e-6)
    obs = jnp.where(jnp.arange(20_000) % 2 == 0, 0.5, -0.5)[:, None]
    best = np.where(np.arange(20_000) % 2 == 0, 0, 1)
    agent = value_learner.agent(C, init=at, values=values, update=at)
    action, log_prob = agent.act(at(25), obs, jax.random.key(1))
    np.testing.assert_array_equal(agent.mode(at(25), obs), best)
    np.testing.assert_allclose((action == best).mean(), 0.3 + 0.7 / 3, atol=0.015)
    np.testing.assert_allclose(np.exp(log_prob), np.where(action == best, 0.3 + 0.7 / 3, 0.7 / 3), rtol=1e-5)
    np.testing.assert_array_equal(agent.log_prob(at(25), obs, action), log_prob)
    assert agent.greedy and agent.rollout == C.rollout


def test_what_is_reported_are_means_and_the_largest_value_as_a_share_of_what_can_be_earned():
    steps = {"loss": jnp.array([1.0, 3.0]), "largest": jnp.array([50.0, 5.0])}
    found = value_learner.described(C, at(25), at(50), steps, 0.9)
    assert found.keys() == {"loss", "excess", "epsilon"} and "largest" in steps
    np.testing.assert_allclose([found["loss"], found["excess"], found["epsilon"]], [2, 50 / 20, 0.7], rtol=1e-5)


def test_a_space_without_choices_is_refused_for_the_reason_given():
    assert value_learner.num_actions(SPACE) == 3
    with pytest.raises(UserError, match="expected a choice among some: that is so"):
        value_learner.num_actions(SPACE._replace(action=Box((1,), -1.0, 1.0)), otherwise="that is so")
