"""A learned reward as pay, over discrete actions, and its memory of old samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core import normalise
from theodolite.core.agent import Agent, Batch
from theodolite.core.demos import Rows
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.errors import UserError
from theodolite.intent import learned_reward

BOXED = Space(Box((2,)), Box((1,), -1.0, 1.0))
CHOICES = Space(Box((2,)), Discrete(3))


def batch():
    obs = jnp.arange(12.0).reshape(3, 2, 2)
    none = jnp.zeros((3, 2), bool)
    return Batch(obs, jnp.full((3, 2, 1), 4.0), jnp.zeros((3, 2)), jnp.ones((3, 2)), none, none, obs + 1)


def test_a_learner_is_paid_by_the_reward_of_what_was_executed():
    told = Agent(None, None, lambda s, b, key: (s, {"sum": b.reward.sum(), "kept": b.action.max()}), None, None, 3)
    paid = learned_reward.paid_by(
        lambda seen: seen.action[..., 0] + seen.next_obs[..., 0] - seen.obs[..., 0], told, BOXED
    )
    _, metrics = paid.update(jnp.zeros(1), batch(), jax.random.key(0))
    assert metrics["sum"] == 6 * 2 and metrics["learned_reward"] == 2  # 4 is executed as 1
    assert metrics["kept"] == 4  # the learner's own probabilities are of what it sampled


def test_discrete_actions_enter_as_choices():
    r = learned_reward.init(jax.random.key(0), CHOICES, "obs_action", (), None, normalise.no_moments((2,)))
    obs, action = jnp.array([[1.0, 2.0], [0.5, -1.0]]), jnp.array([2, 0], jnp.int32)
    p = Rows(obs, action, obs, jnp.zeros(2, bool))
    weight = np.asarray(r.g.layers[0].weight)[:, 0]
    expected = np.asarray(obs) @ weight[:2] + weight[2 + np.asarray(action)]
    np.testing.assert_allclose(learned_reward.ground(r, p), expected, rtol=1e-5)
    np.testing.assert_array_equal(learned_reward.shaped(r, p, 0.9), learned_reward.ground(r, p))  # there is no h


def test_without_room_only_the_fresh_are_seen_and_nothing_is_kept():
    fresh = learned_reward.flat(learned_reward.seen_in(batch(), BOXED))
    empty = learned_reward.no_replay(0, fresh)
    pool = learned_reward.remember(empty, fresh)
    assert pool.count == 6 and learned_reward.kept(pool, 0).count == 0
    np.testing.assert_array_equal(pool.rows.obs, batch().obs.reshape(6, 2))


def test_images_are_refused():
    space = Space(Box((10, 10, 4)), Discrete(2))
    with pytest.raises(UserError, match="expected vectors"):
        learned_reward.init(jax.random.key(0), space, "obs", (8,), None, normalise.no_moments((10, 10, 4)))
