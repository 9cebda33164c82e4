"""What continuous learners share, against its definitions: initial weights, boxes, random starts, one regression."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.control import actor_critic
from theodolite.core import nets, optim, replay
from theodolite.core.agent import Batch
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.errors import UserError

LOPSIDED = Box((2,), (-1.0, 2.0), (3.0, 2.5))
SPACE = Space(Box((3,)), LOPSIDED, num_envs=2)
KEY = jax.random.key(0)


def slow_mlp(net: nets.MLP, x: np.ndarray, between) -> np.ndarray:
    x = np.asarray(x, np.float64)
    for i, layer in enumerate(net.layers):
        x = x @ np.asarray(layer.weight, np.float64) + np.asarray(layer.bias, np.float64)
        x = between(x) if i < len(net.layers) - 1 else x
    return x


@pytest.mark.parametrize(("activation", "same"), [("relu", lambda x: np.maximum(x, 0)), ("sin", np.sin)])
def test_networks_start_within_the_root_of_their_fan_in_and_compute_what_they_say(activation, same):
    q = actor_critic.critics(KEY, SPACE, (400, 300), activation, count=2)
    for layer in (layer for net in q.nets for layer in net.layers):
        bound = layer.weight.shape[0] ** -0.5
        for x in (layer.weight, layer.bias):
            assert np.abs(x).max() <= bound and (x.size < 300 or np.abs(x).max() > 0.98 * bound)
        assert layer.weight.size < 2000 or abs(np.std(layer.weight) * 3**0.5 / bound - 1) < 0.05
    rng = np.random.default_rng(0)
    obs, action = (jnp.asarray(rng.uniform(-1, 1, (4, 5, n)), jnp.float32) for n in (3, 2))
    both = np.concatenate([obs, action], -1)
    wanted = np.stack([slow_mlp(net, both, same)[..., 0] for net in q.nets])
    assert np.abs(wanted[0] - wanted[1]).max() > 1e-3  # nothing is shared
    np.testing.assert_allclose(q(obs, action), wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(q.first(obs, action), wanted[0], rtol=1e-4, atol=1e-5)
    mu = actor_critic.policy(KEY, SPACE, (8, 8), activation)
    np.testing.assert_allclose(mu(obs), np.tanh(slow_mlp(mu.net, obs, same)), rtol=1e-4, atol=1e-5)


def test_every_dimension_has_its_own_scale():
    unit = jnp.array([[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0], [0.5, -0.5]])
    action = actor_critic.scaled(LOPSIDED, unit)
    np.testing.assert_allclose(action, [[-1, 2], [1, 2.25], [3, 2.5], [2, 2.125]], rtol=1e-6)
    np.testing.assert_allclose(actor_critic.to_unit(LOPSIDED, action), unit, atol=1e-5)
    np.testing.assert_allclose(actor_critic.to_unit(LOPSIDED, jnp.array([[9.0, 0.0]])), [[1, -1]])
    mu = actor_critic.policy(KEY, SPACE, (8,))
    obs = jnp.broadcast_to(jnp.array([0.3, -0.2, 1.0]), (20_000, 3))
    drawn = np.asarray(mu.noisy(obs, 0.1).sample(KEY))
    np.testing.assert_allclose(drawn.std(0), [0.2, 0.025], rtol=0.03)
    np.testing.assert_allclose(drawn.mean(0), actor_critic.scaled(LOPSIDED, mu(obs[0])), atol=0.006)


def test_random_actions_fill_the_box_evenly_and_know_their_density():
    mu = actor_critic.policy(KEY, SPACE, (8,))
    later = mu.noisy(jnp.zeros((5_000, 3)), 0.1)
    action, log_prob = actor_critic.random_first(jnp.bool_(True), LOPSIDED, later, KEY)
    share = (np.asarray(action) - [-1, 2]) / [4, 0.5]
    for column in share.T:
        assert column.min() >= 0 and column.max() <= 1
        np.testing.assert_allclose(np.histogram(column, 10, (0, 1))[0], 500, atol=100)
    np.testing.assert_allclose(log_prob, -np.log(4 * 0.5), rtol=1e-6)
    action, log_prob = actor_critic.random_first(jnp.bool_(False), LOPSIDED, later, KEY)
    np.testing.assert_allclose(log_prob, later.log_prob(action), rtol=1e-6)
    assert np.abs(np.std(np.asarray(action), 0) / [0.2, 0.025] - 1).max() < 0.05


def batch(rng: np.random.Generator, steps: int = 2) -> Batch:
    shape = (steps, 2)
    obs, last = (jnp.asarray(rng.normal(size=(*shape, 3)), jnp.float32) for _ in range(2))
    action = jnp.asarray(rng.uniform((-2, 1.8), (4, 2.7), (*shape, 2)), jnp.float32)
    reward, none = jnp.asarray(rng.normal(size=shape), jnp.float32), jnp.zeros(shape, bool)
    return Batch(obs, action, jnp.zeros(shape), reward, none, none, last)


def test_memory_keeps_what_an_action_did_at_the_door():
    rng = np.random.default_rng(0)
    m, batches = actor_critic.no_memory(SPACE, 8, 2), [batch(rng), batch(rng)]
    for b in batches:
        m = actor_critic.remember(m, b, LOPSIDED)
    assert m.steps == 8 and replay.held(m.replay) == 8
    done = np.clip(np.concatenate([b.action for b in batches]), (-1, 2), (3, 2.5))
    np.testing.assert_allclose(m.replay.rows.action, (done - (1, 2.25)) / (2, 0.25), atol=1e-5)
    np.testing.assert_allclose(m.largest_reward, max(np.abs(b.reward).max() for b in batches))


def test_regression_is_adam_on_the_sum_of_mean_squares():
    q = actor_critic.critics(KEY, SPACE, (8,), count=2)
    m = actor_critic.remember(actor_critic.no_memory(SPACE, 8, 4), batch(np.random.default_rng(1), 4), LOPSIDED)
    b, target = replay.sample(m.replay, KEY, 6), jnp.arange(6.0)
    step = actor_critic.regression(0.01)
    after, _, metrics = jax.jit(step.step)(q, step.init(q), b, target)

    def loss(q):
        first, second = (net(jnp.concatenate([b.obs, b.action], 1))[:, 0] - target for net in q.nets)
        return (first @ first + second @ second) / 6

    loss = jax.jit(loss)
    np.testing.assert_allclose(metrics["critic_loss"], loss(q), rtol=1e-5)
    np.testing.assert_allclose(metrics["value"], np.asarray(q(b.obs, b.action)).mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["largest"], np.abs(np.asarray(q(b.obs, b.action))).max(), rtol=1e-5)
    for old, new, slope in zip(*map(jax.tree.leaves, (q, after, jax.grad(loss)(q))), strict=True):
        moved = np.where(np.abs(slope) > 1e-5, -0.01 * np.sign(slope), new - old)  # Adam's first step
        np.testing.assert_allclose(new - old, moved, atol=2e-5)


def test_a_policy_climbs_on_the_first_critic_alone():
    q, mu = actor_critic.critics(KEY, SPACE, (8,), count=2), actor_critic.policy(jax.random.key(1), SPACE, (8,))
    obs = jnp.asarray(np.random.default_rng(2).normal(size=(16, 3)), jnp.float32)
    opt = optim.adam(0.01).init(mu)
    after, _ = actor_critic.ascend(mu, opt, q.first, obs, 0.01)
    assert q.first(obs, after(obs)).mean() > q.first(obs, mu(obs)).mean() + 1e-4
    other = replace(q, nets=(q.nets[0], q.nets[0]))
    same, _ = actor_critic.ascend(mu, opt, other.first, obs, 0.01)
    jax.tree.map(np.testing.assert_array_equal, after, same)


@pytest.mark.parametrize(("space", "says"), [
    (Space(Box((3,)), Discrete(2)), "actions lie in .*, expected a vector between finite bounds"),
    (Space(Box((3,)), Box((2,))), "actions lie in .*, expected a vector between finite bounds"),
    (Space(Box((3,)), Box((2, 2), -1.0, 1.0)), "actions lie in .*, expected a vector between finite bounds"),
    (Space(Box((4, 4, 1)), LOPSIDED), r"observations have the shape \(4, 4, 1\), expected vectors"),
])  # fmt: skip
def test_spaces_that_do_not_fit_are_refused(space, says):
    with pytest.raises(UserError, match=says):
        actor_critic.check(space)
