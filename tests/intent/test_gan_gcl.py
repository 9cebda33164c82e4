"""Trajectory discriminators against their sums over time, and trajectories that are whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core import normalise
from theodolite.core.agent import Agent
from theodolite.core.demos import Lengths, Transitions, from_arrays, subsample
from theodolite.core.env import Box, Space
from theodolite.core.errors import UserError
from theodolite.intent import gan_gcl, learned_reward

SPACE = Space(Box((2,)), Box((1,), -1.0, 1.0))


def shown(rows):
    obs = jnp.arange(2.0 * rows).reshape(rows, 2)
    zero = jnp.int32(0)
    return Transitions(obs, obs[:, :1], obs, jnp.zeros(rows, bool), jnp.int32(rows), Lengths(zero, zero, zero))


@pytest.mark.parametrize("mean", [False, True])
def test_the_logit_of_a_trajectory_is_the_sum_of_its_steps(mean):
    c = gan_gcl.Config(horizon=3, normalise=mean)
    r = learned_reward.init(jax.random.key(0), SPACE, "obs", (4,), None, normalise.no_moments((2,)))
    t = gan_gcl.trajectories(c, shown(6).rows, jnp.int32(6))
    log_prob = jnp.arange(6.0).reshape(2, 3)
    z = gan_gcl.logits(c, r, t.rows, log_prob)
    for i in range(2):
        each = [float(r.g(r.moments.standardise(shown(6).obs[3 * i + k]))[0] - log_prob[i, k]) for k in range(3)]
        np.testing.assert_allclose(z[i], sum(each) / (3 if mean else 1), rtol=1e-5)
    loss, metrics = gan_gcl.loss(learned_reward.learnt(r), c, r, (t.rows, log_prob), (t.rows, log_prob + 1))
    other = gan_gcl.logits(c, r, t.rows, log_prob + 1)
    d = [jax.nn.sigmoid(x) for x in (z, other)]
    np.testing.assert_allclose(loss, -jnp.log(d[0]).mean() - jnp.log(1 - d[1]).mean(), rtol=1e-4)
    assert t.count == 2 and metrics["policy_accuracy"] == (d[1] < 0.5).mean()


def test_what_is_not_made_of_whole_trajectories_is_refused():
    learner = Agent(None, None, None, None, None, 6)
    gan_gcl.agent(gan_gcl.Config(horizon=3), learner, shown(9))
    with pytest.raises(UserError, match="horizon = 4: rollouts of the learner have 6 steps"):
        gan_gcl.agent(gan_gcl.Config(horizon=4), learner, shown(8))
    with pytest.raises(UserError, match="horizon = 3: the demonstrations have 8 steps"):
        gan_gcl.agent(gan_gcl.Config(horizon=3), learner, shown(8))


def test_thinned_demonstrations_are_refused():
    obs = np.arange(9.0)[:, None] * np.ones(2)
    demos = from_arrays([obs, obs], [np.zeros((8, 1))] * 2, space=SPACE)
    learner, c = Agent(None, None, None, None, None, 8), gan_gcl.Config(horizon=8)
    gan_gcl.agent(c, learner, subsample(demos, 1))
    with pytest.raises(UserError, match=r"demonstrations are thinned, 8 of 16 steps.*--demo-every 1.*or AIRL"):
        gan_gcl.agent(c, learner, subsample(demos, every=2))  # as many rows as one whole trajectory has
