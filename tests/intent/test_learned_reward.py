"""A learned reward as pay, over discrete actions, and its memory of old samples."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.control import dqn, td3
from theodolite.core import normalise
from theodolite.core.agent import Agent, Batch, Entropy, Seen
from theodolite.core.demos import Lengths, Rows, Transitions
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.errors import UserError
from theodolite.intent import airl, apprenticeship, gail, gan_gcl, learned_reward

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


def test_actions_that_are_matrices_are_clipped_and_read_entry_by_entry():
    low, high = ((-1.0, -2.0, -3.0),) * 2, ((1.0, 2.0, 3.0), (0.1, 0.2, 0.3))
    space = Space(Box((2,)), Box((2, 3), low, high))
    action = jnp.linspace(-5, 5, 4 * 5 * 6).reshape(4, 5, 2, 3)
    done = learned_reward.executed(space, action)
    np.testing.assert_array_equal(done, np.clip(np.asarray(action), np.float32(low), np.float32(high)))
    np.testing.assert_array_equal(learned_reward.executed(space, action[0, 0]), done[0, 0])
    r = learned_reward.init(jax.random.key(0), space, "obs_action", (), None, normalise.no_moments((2,)))
    obs = jnp.ones((4, 5, 2))
    paid = learned_reward.ground(r, Seen(obs, action, obs, jnp.zeros((4, 5), bool)))
    weight = np.asarray(r.g.layers[0].weight)[:, 0]
    expected = weight[:2].sum() + np.asarray(done).reshape(4, 5, 6) @ weight[2:]
    np.testing.assert_allclose(paid, expected, rtol=1e-5)


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


class Kept(NamedTuple):
    """The state of a learner that keeps one batch for ever."""

    rows: Seen
    reward: jax.Array


def keeper(space, kept):
    """It reports how far what it keeps is paid otherwise than the same transitions in the batch."""
    zeros = lambda obs: jnp.zeros((*obs.shape[:-1], *space.action.shape))  # noqa: E731
    return Agent(
        init=lambda key, space: Kept(kept, jnp.full(kept.terminated.shape, 7.0)),
        act=lambda s, obs, key: (zeros(obs), jnp.zeros(obs.shape[:-1])),
        update=lambda s, b, key: (s, {"apart": jnp.abs(s.reward - b.reward).max(), "spread": jnp.ptp(b.reward)}),
        mode=lambda s, obs: zeros(obs),
        log_prob=lambda s, obs, action: -jnp.sum(jnp.abs(action), -1),
        rollout=3,
        repay=lambda s, reward: Kept(s.rows, reward(s.rows)),
    )


METHODS = {
    "gail": lambda learner, t: gail.agent(gail.Config(absorbing=True, hidden=(4,)), learner, t),
    "airl": lambda learner, t: airl.agent(
        airl.Config(steps=1, batch_size=4, replay=0, hidden=(4,), potential_hidden=(4,)), learner, t
    ),
    "gan_gcl": lambda learner, t: gan_gcl.agent(gan_gcl.Config(horizon=3, steps=1, batch_size=2), learner, t),
    "fem": lambda learner, t: apprenticeship.agent(apprenticeship.FEM, learner, t, BOXED),
}


@pytest.mark.parametrize("name", METHODS)
def test_whoever_learns_a_reward_pays_what_is_kept_as_it_pays_what_is_fresh(name):
    b = batch()
    b = b._replace(action=b.obs[..., :1] / 12, terminated=b.obs[..., 0] > 7)
    kept = Seen(b.obs, b.action, b.last_obs, b.terminated)
    shown, n = jax.tree.map(lambda x: x.reshape(6, *x.shape[2:]), kept), jnp.int32(6)
    t = Transitions(shown.obs - 3, -shown.action, shown.next_obs, shown.terminated, n, Lengths(n, jnp.int32(2), n))
    agent = METHODS[name](keeper(BOXED, kept), t)
    _, metrics = jax.jit(agent.update)(agent.init(jax.random.key(0), BOXED), b, jax.random.key(1))
    assert metrics["apart"] < 1e-5 < 1e-3 < metrics["spread"]


def test_entropy_counts_once_and_at_temperature_one():
    def check(log_pi_is_paid, **said):
        learned_reward.check_learner(Agent(*[None] * 5, 3)._replace(**said), "AIRL", log_pi_is_paid=log_pi_is_paid)

    check(True)
    check(False, entropy=Entropy(1.0))
    check(False, entropy=Entropy(1.0, soft=True))
    jax.jit(lambda t: check(True, entropy=Entropy(t)))(0.7)  # traced, and so unknown
    with pytest.raises(UserError, match=r"the learner has temperature 0\.5, expected 0 where AIRL pays f - log π"):
        check(True, entropy=Entropy(0.5))
    with pytest.raises(UserError, match=r"temperature 0, expected 1 where AIRL pays f or g.*temperature 1, or another"):
        check(False)
    with pytest.raises(UserError, match=r"pays itself for entropy and is paid f - log π.*--reward f"):
        check(True, entropy=Entropy(1.0, soft=True))
    with pytest.raises(UserError, match=r"adjusts its temperature, expected .*--learner.no-learn-temperature"):
        check(False, entropy=Entropy(1.0, learned=True, soft=True))
    for greedy in (td3.agent(td3.Config()), dqn.agent(dqn.Config())):
        with pytest.raises(UserError, match=r"best action and nothing beside it, .* Take trpo, ppo or sac"):
            learned_reward.check_learner(greedy, "AIRL", log_pi_is_paid=True)
