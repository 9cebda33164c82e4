"""DQN: targets and gradients against their definitions, every option alone, and the learning probes."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probing import PROBES, shortfall

from theodolite.control import dqn, heads, horizons
from theodolite.core import replay
from theodolite.core.drive import collect, start
from theodolite.core.env import Box, Space
from theodolite.core.errors import UserError
from theodolite.envs.registry import make

ENVS = make("CartPole-v1", num_envs=4, max_episode_steps=14)
C = dqn.Config(
    rollout=8, train_every=8, learning_starts=0, replay=64, batch_size=16, hidden=(8,), dueling=True, n_step=2
)
MEAN = heads.expected("square")


@pytest.fixture(scope="module")
def seen() -> tuple[dqn.State, replay.Sample]:
    """A learner whose two networks differ, and a sample of what it did."""
    agent, key = dqn.agent(C), jax.random.key(0)
    carry = start(agent, ENVS, key)
    _, batch = jax.jit(lambda carry: collect(agent, ENVS, carry, key))(carry)
    s = carry.agent
    net = jax.tree.map(lambda x: x + 0.3 * jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape), s.learner.net)
    s = replace(s, learner=replace(s.learner, net=net), replay=jax.jit(replay.add)(s.replay, batch))
    return s, jax.jit(lambda ring: replay.sample(ring, key, 16, steps=2))(s.replay)


def slow_q(net: dqn.Network, obs: np.ndarray) -> np.ndarray:
    """The value and the centred advantages, in NumPy."""
    x = np.asarray(obs, np.float64)
    for layer in net.torso.layers:
        x = np.maximum(x @ np.asarray(layer.weight) + np.asarray(layer.bias), 0)
    value, advantage = (x @ np.asarray(layer.weight) + np.asarray(layer.bias) for layer in (net.value, net.advantage))
    return value + advantage - advantage.mean(-1, keepdims=True)


@pytest.mark.parametrize("double", [False, True])
def test_targets_and_loss_are_those_of_the_definition(seen, double):
    s, b = seen
    c = replace(C, double=double)
    found = jax.jit(dqn.targets, static_argnums=1)(c, MEAN, s.learner, b)
    following, judge = (
        slow_q(net, b.last_obs) for net in (s.learner.target, s.learner.net if double else s.learner.target)
    )
    best = judge.argmax(-1)
    reward, follows = b.returns(c.discount)
    wanted = np.asarray(reward) + np.asarray(follows) * following[np.arange(16), best]
    np.testing.assert_allclose(
        found.reward[:, 0] + found.discount[:, 0] * found.following[:, 0, 0], wanted, rtol=1e-4, atol=1e-4
    )
    error = wanted - slow_q(s.learner.net, b.obs)[np.arange(16), np.asarray(b.action)]
    value, (losses, predicted) = dqn.loss(s.learner.net, c, MEAN, b, found)
    np.testing.assert_allclose(losses, 0.5 * error**2, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(value, (0.5 * error**2).mean(), rtol=1e-3)
    np.testing.assert_allclose(predicted[:, 0], wanted - error, rtol=1e-4, atol=1e-4)


def test_the_gradient_treats_the_target_as_given(seen):
    s, b = seen
    target = dqn.targets(C, MEAN, s.learner, b)
    gradient = jax.jit(jax.grad(lambda net: dqn.loss(net, C, MEAN, b, target)[0]))(s.learner.net)
    weight, h = np.asarray(s.learner.net.advantage.bias, np.float64), 1e-2
    wanted = np.asarray(target.reward[:, 0] + target.discount[:, 0] * target.following[:, 0, 0])
    for i in range(2):
        sides = []
        for d in (h, -h):
            bias = weight.copy()
            bias[i] += d
            net = replace(
                s.learner.net, advantage=replace(s.learner.net.advantage, bias=jnp.asarray(bias, jnp.float32))
            )
            sides.append((0.5 * (wanted - slow_q(net, b.obs)[np.arange(16), np.asarray(b.action)]) ** 2).mean())
        np.testing.assert_allclose(gradient.advantage.bias[i], (sides[0] - sides[1]) / (2 * h), rtol=2e-3, atol=1e-4)


def test_priorities_are_roots_of_losses(seen):
    s, b = seen
    _, priority, _ = jax.jit(partial(dqn.improve, head=MEAN, b=b))(C, now=s.learner)
    _, (losses, _) = dqn.loss(s.learner.net, C, MEAN, b, dqn.targets(C, MEAN, s.learner, b))
    np.testing.assert_allclose(priority, np.sqrt(losses), rtol=1e-4, atol=1e-4)


def test_every_horizon_bootstraps_with_its_own_discount_and_greedy_action(seen):
    _, b = seen
    c = replace(C, horizons=3, dueling=False)
    s = dqn.init(c, MEAN, jax.random.key(4), ENVS.space)
    out = np.asarray(s.learner.net(b.last_obs))[..., 0]
    found = dqn.targets(c, MEAN, s.learner, b)
    np.testing.assert_allclose(found.following[..., 0], out.max(-1), rtol=1e-5)
    for i, discount in enumerate(np.asarray(horizons.discounts(c))):
        reward, follows = b.returns(float(discount))
        np.testing.assert_allclose(found.reward[:, i], reward, rtol=1e-5)
        np.testing.assert_allclose(found.discount[:, i], follows, rtol=1e-5)
    each = np.asarray(s.learner.net(b.obs))[..., 0]
    mixed = dqn.values(replace(c, act_by="mixture"), MEAN, s, b.obs)
    np.testing.assert_allclose(
        mixed, np.einsum("h,bha->ba", np.asarray(horizons.weights(c)), each), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(dqn.values(c, MEAN, s, b.obs), each[:, -1], rtol=1e-5)


def test_trunks_share_nothing_and_divide_the_quantiles(seen):
    _, b = seen
    c = replace(C, head="quantile", atoms=6, trunks=3)
    head = dqn.head_of(c)
    s = dqn.init(c, head, jax.random.key(1), ENVS.space)
    out = dqn.predict(c, head, s.learner.net, b.obs)
    assert out.shape == (16, 1, 2, 6)
    alone = [jax.tree.map(lambda x, i=i: x[i], s.learner.net)(b.obs) for i in range(3)]
    np.testing.assert_allclose(out, np.concatenate(alone, -1), rtol=1e-5, atol=1e-6)
    slope = jax.grad(lambda net: dqn.predict(c, head, net, b.obs)[..., 2].sum())(s.learner.net)
    moved = [np.abs(np.asarray(slope.torso.layers[0].weight[i])).max() > 0 for i in range(3)]
    assert moved == [False, True, False]


def test_a_number_that_does_not_shape_the_features_still_learns(seen):
    _, b = seen
    head = heads.quantile(3, 1.0)._replace(shapes_torso=(False, True, False))
    s = dqn.init(C, head, jax.random.key(1), ENVS.space)
    plain = dqn.predict(C, head._replace(shapes_torso=None), s.learner.net, b.obs)
    np.testing.assert_allclose(dqn.predict(C, head, s.learner.net, b.obs), plain, rtol=1e-6)
    for k, shapes in enumerate(head.shapes_torso):
        slope = jax.grad(lambda net, k=k: dqn.predict(C, head, net, b.obs)[..., k].sum())(s.learner.net)
        assert bool(jnp.abs(slope.torso.layers[0].weight).max() > 0) == shapes
        assert jnp.abs(slope.value.weight).max() > 0


def test_learning_waits_and_every_share_of_a_batch_pays_for_one_step():
    c = replace(C, learning_starts=60, train_every=4, rollout=8)
    agent, key = dqn.agent(c), jax.random.key(0)
    carry = start(agent, ENVS, key)

    @jax.jit
    def one(s):
        _, batch = collect(agent, ENVS, replace(carry, agent=s), key)
        return agent.update(s, batch, key)

    s, metrics = one(carry.agent)
    assert s.learner.updates == 0 == metrics["loss"]
    s, metrics = one(s)
    assert s.learner.updates == 8 and metrics["loss"] > 0 and s.steps == 64
    bound = 1 / (1 - c.discount)  # CartPole pays 1
    assert 0 < metrics["excess"] < 10 / bound


@pytest.mark.parametrize(("c", "space", "says"), [
    (replace(C, trunks=2), ENVS.space, "trunks = 2: must divide the 1 numbers"),
    (C, Space(Box((3,)), Box((1,), -1, 1)), "expected a choice among some"),
    (replace(C, replay=31), ENVS.space, "replay = 31: must hold the 32 transitions"),
    (C, ENVS.space._replace(obs=Box((2, 5))), r"observations have the shape \(2, 5\), expected vectors, or images"),
])  # fmt: skip
def test_what_cannot_be_is_refused(c, space, says):
    with pytest.raises(UserError, match=says):
        dqn.init(c, MEAN, jax.random.key(0), space)


PROBE = dqn.Config(
    rollout=2, train_every=4, learning_starts=32, replay=1_000, batch_size=32, learning_rate=0.01, discount=0.5,
    target_every=10, epsilon_steps=1_000, epsilon_end=0.01, hidden=(16,),
)  # fmt: skip
PROBED = {
    "dqn": PROBE,
    "all options": replace(PROBE, double=True, dueling=True, n_step=3, prioritised=True),
    "c51": replace(PROBE, head="categorical", support=(-2.0, 2.0), atoms=9),
    "qr_dqn": replace(PROBE, head="quantile", atoms=5),
}


CASES = [("dqn", probe) for probe in PROBES] + [
    (n, p) for n in PROBED if n != "dqn" for p in ("Discounting", PROBES[-1])
]


@pytest.mark.parametrize(("name", "probe"), CASES)
def test_probes(name, probe):
    c = PROBED[name]
    best = lambda s, obs: dqn.values(c, dqn.head_of(c), s, obs).max(-1)  # noqa: E731
    assert (shortfall(probe, dqn.agent, c, best, updates=300) < 0.05).sum() >= 4
