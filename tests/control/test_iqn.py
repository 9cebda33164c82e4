"""IQN: network, targets and loss against their definitions, a known law learned to its tail, and the probes."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probing import PROBES, shortfall

from theodolite.control import heads, iqn
from theodolite.core import replay
from theodolite.core.drive import collect, start
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.errors import UserError
from theodolite.envs.registry import make

ENVS = make("CartPole-v1", num_envs=4, max_episode_steps=14)
C = iqn.Config(
    rollout=8, train_every=8, learning_starts=0, replay=64, batch_size=16, hidden=(8, 6), n_step=2, levels=3,
    target_levels=4, policy_levels=5, cosines=7, kappa=0.4,
)  # fmt: skip
RNG = np.random.default_rng(0)
LEVELS, OTHER = (jnp.asarray(RNG.uniform(size=(16, n)), jnp.float32) for n in (3, 4))


@pytest.fixture(scope="module")
def seen() -> tuple[iqn.State, replay.Sample]:
    """A learner whose two networks differ, and a sample of what it did."""
    agent, key = iqn.agent(C), jax.random.key(0)
    carry = start(agent, ENVS, key)
    _, batch = jax.jit(lambda carry: collect(agent, ENVS, carry, key))(carry)
    s = carry.agent
    net = jax.tree.map(lambda x: x + 0.3 * jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape), s.learner.net)
    s = replace(s, learner=replace(s.learner, net=net), replay=jax.jit(replay.add)(s.replay, batch))
    return s, jax.jit(lambda ring: replay.sample(ring, key, 16, steps=2))(s.replay)


def slow(net: iqn.Network, obs: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Equation 4 for every observation and level of its own, in NumPy."""
    obs, levels = np.asarray(obs, np.float64), np.asarray(levels, np.float64)
    relu = lambda x: np.maximum(x, 0)  # noqa: E731
    dense = lambda layer, x: x @ np.asarray(layer.weight, np.float64) + np.asarray(layer.bias)  # noqa: E731
    found = np.zeros((*levels.shape, 2))
    for b, n in np.ndindex(levels.shape):
        waves = np.array([np.cos(np.pi * i * levels[b, n]) for i in range(7)])
        psi = relu(dense(net.torso.layers[0], obs[b]))
        inner, outer = net.head.layers
        found[b, n] = dense(outer, relu(dense(inner, psi * relu(dense(net.embedding, waves)))))
    return found


def test_the_network_is_equation_4(seen):
    s, b = seen
    found = s.learner.net(b.obs, LEVELS)
    assert found.shape == (16, 3, 1, 2)  # levels, horizons, actions
    np.testing.assert_allclose(found[:, :, 0], slow(s.learner.net, b.obs, LEVELS), rtol=1e-4, atol=1e-5)
    shared = jnp.broadcast_to(LEVELS[:1], (16, 3))
    np.testing.assert_allclose(s.learner.net(b.obs, LEVELS[0]), s.learner.net(b.obs, shared), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("double", "worst"), [(False, 1.0), (True, 0.3)])
def test_targets_are_those_of_the_definition(seen, double, worst):
    s, b = seen
    c = replace(C, double=double, worst=worst)
    found = jax.jit(iqn.targets)(c, s.learner, b, OTHER)
    asked = np.broadcast_to(worst * (np.arange(5) + 0.5) / 5, (16, 5))
    best = slow(s.learner.net if double else s.learner.target, b.last_obs, asked).mean(1).argmax(-1)
    reward, follows = b.returns(c.discount)
    quantiles = slow(s.learner.target, b.last_obs, OTHER)[np.arange(16), :, best]
    np.testing.assert_allclose(
        found[..., 0], np.asarray(reward)[:, None] + np.asarray(follows)[:, None] * quantiles, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("kappa", [0.0, 0.4])
def test_the_loss_is_the_double_loop(seen, kappa):
    s, b = seen
    wanted = jnp.asarray(RNG.normal(size=(16, 4)), jnp.float32)
    value, predicted = iqn.loss(s.learner.net, replace(C, kappa=kappa), b, LEVELS, wanted[..., None])
    theta = slow(s.learner.net, b.obs, LEVELS)[np.arange(16), :, np.asarray(b.action)]
    total = 0.0
    for row, i, j in np.ndindex(16, 3, 4):
        u = float(wanted[row, j] - theta[row, i])
        size, level = abs(u), float(LEVELS[row, i])
        smooth = size if kappa == 0 else (u**2 / 2 if size <= kappa else kappa * (size - kappa / 2)) / kappa
        total += abs(level - (u < 0)) * smooth / 4 / 16
    np.testing.assert_allclose(predicted[..., 0], theta, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(value, total, rtol=1e-4)


def test_at_the_midpoints_the_loss_is_that_of_quantile_regression_dqn(seen):
    s, b = seen
    middle = jnp.broadcast_to(heads.midpoints(4), (16, 4))
    following = jnp.asarray(RNG.normal(size=(16, 4)), jnp.float32)
    reward, discount = b.returns(C.discount)
    wanted = reward[:, None] + discount[:, None] * following
    value, predicted = iqn.loss(s.learner.net, C, b, middle, wanted[..., None])
    head = heads.quantile(4, C.kappa)
    each = jax.vmap(head.loss)(predicted[..., 0], heads.Target(reward, discount, following))
    np.testing.assert_allclose(value, each.mean(), rtol=1e-6)


def test_the_gradient_treats_the_target_as_given(seen):
    s, b = seen
    of = lambda nets: iqn.targets(C, replace(s.learner, net=nets[0], target=nets[1]), b, OTHER).sum()  # noqa: E731
    assert all((np.asarray(x) == 0).all() for x in jax.tree.leaves(jax.grad(of)((s.learner.net, s.learner.target))))


WORST = 0.25
BANDIT = iqn.Config(
    learning_rate=3e-3, batch_size=64, hidden=(16, 32), kappa=0.0, levels=16, target_levels=1, cosines=16,
    discount=0.9, target_every=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def bandit() -> iqn.Network:
    """What is learned of two arms: the first pays an exponential variate of mean 1, the second always 0.6."""
    space = Space(Box((1,), -1.0, 1.0), Discrete(2), num_envs=1)
    learner = iqn.init(BANDIT, jax.random.key(0), space).learner
    action, ones = jnp.arange(64) % 2, jnp.ones((64, 1))
    over, index = jnp.ones(64, bool), jnp.arange(64)

    def one(learner: iqn.Learner, key):
        pay_key, level_key = jax.random.split(key)
        pay = jnp.where(action == 0, jax.random.exponential(pay_key, (64,)), 0.6)
        b = replay.Sample(ones, action, pay[:, None], jnp.ones(64, jnp.int32), over, ones, index, jnp.ones(64))
        learner, _ = iqn.improve(BANDIT, learner, b, level_key)
        return learner, learner.net

    def steps(learner, keys):
        learner, nets = jax.lax.scan(one, learner, keys)
        return jax.tree.map(lambda x: x[-1_000:].mean(0), nets)  # the average has none of the last steps' noise

    return jax.jit(steps)(learner, jax.random.split(jax.random.key(1), 3_000))


def test_a_known_law_is_learned_at_every_level(bandit):
    levels = jnp.linspace(0.05, 0.9, 18)
    found = bandit(jnp.ones((1, 1)), levels)[0, :, 0]
    np.testing.assert_allclose(found[:, 0], -np.log(1 - np.asarray(levels)), atol=0.12)
    np.testing.assert_allclose(found[:, 1], 0.6, atol=0.05)


def test_the_mean_is_the_laws_and_the_worst_share_its_conditional_value_at_risk(bandit):
    mean = iqn.means(BANDIT, bandit, jnp.ones((1, 1)))[0, 0]
    risk = iqn.means(replace(BANDIT, worst=WORST), bandit, jnp.ones((1, 1)))[0, 0]
    np.testing.assert_allclose(mean, [1.0, 0.6], atol=0.1)
    np.testing.assert_allclose(risk, [1 + (1 - WORST) / WORST * np.log(1 - WORST), 0.6], atol=0.05)
    assert mean[0] > mean[1] and risk[0] < risk[1], "who minds the worst quarter takes the sure arm"


def test_fresh_levels_are_drawn_for_every_step(seen):
    s, b = seen
    improve = jax.jit(partial(iqn.improve, C))
    losses = [float(improve(s.learner, b, jax.random.key(k))[1]["loss"]) for k in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize(("c", "space", "says"), [
    (C, Space(Box((3,)), Box((1,), -1, 1)), "expected a choice among some"),
    (replace(C, replay=31), ENVS.space, "replay = 31: must hold the 32 transitions"),
])  # fmt: skip
def test_what_cannot_be_is_refused(c, space, says):
    with pytest.raises(UserError, match=says):
        iqn.init(c, jax.random.key(0), space)


PROBE = iqn.Config(
    rollout=2, train_every=4, learning_starts=32, replay=1_000, batch_size=32, learning_rate=0.01, discount=0.5,
    target_every=10, epsilon_steps=1_000, epsilon_end=0.01, hidden=(16, 16), levels=4, target_levels=4,
    policy_levels=8, cosines=8,
)  # fmt: skip


@pytest.mark.parametrize("probe", ["Discounting", PROBES[-1]])
def test_probes(probe):
    best = lambda s, obs: iqn.values(PROBE, s, obs).max(-1)  # noqa: E731
    assert (shortfall(probe, iqn.agent, PROBE, best, updates=300) < 0.05).sum() >= 4
