"""SAC: densities against integrals, targets and losses against NumPy, the temperature, a learning probe."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from theodolite.control import actor_critic, sac
from theodolite.core import replay
from theodolite.core.env import Box, Space
from theodolite.core.train import train
from theodolite.envs.registry import make

SPACE = Space(Box((3,)), Box((2,), (-1.0, 2.0), (3.0, 2.5)), num_envs=2)
C = sac.Config(rollout=4, learning_starts=0, random_steps=0, replay=64, batch_size=16, hidden=(8,), temperature=0.3)
STEP = actor_critic.regression(C.learning_rate)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def seen() -> tuple[sac.Learner, replay.Sample]:
    """A learner whose slow critics differ from the fast ones, and a sample in which some rows terminate."""
    now, other = (sac.init(C, STEP, jax.random.key(i), SPACE).learner for i in (0, 1))
    rng = np.random.default_rng(0)
    obs, last_obs = (jnp.asarray(rng.normal(size=(16, 3)), jnp.float32) for _ in range(2))
    action = jnp.asarray(rng.uniform(-1, 1, (16, 2)), jnp.float32)
    rewards, index = jnp.asarray(rng.normal(size=(16, 1)), jnp.float32), jnp.arange(16)
    over, ones = jnp.arange(16) % 3 == 0, jnp.ones(16)
    b = replay.Sample(obs, action, rewards, jnp.ones(16, jnp.int32), over, last_obs, index, ones)
    return replace(now, slow_critics=other.critics), b


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, 0.0), (1.5, -1.0), (-3.0, 0.5)])
def test_a_density_integrates_to_one_and_is_the_one_of_the_draws(mean, log_std):
    """In one dimension, of the box [1, 4]: the actor's own numbers replaced by given ones."""
    box = Box((1,), 1.0, 4.0)
    actor = sac.init(C, STEP, KEY, Space(Box((3,)), box)).learner.actor
    last = actor.net.layers[-1]
    last = replace(last, weight=jnp.zeros_like(last.weight), bias=jnp.array([mean, log_std], jnp.float32))
    actor = replace(actor, net=replace(actor.net, layers=(*actor.net.layers[:-1], last)))
    log_prob = jax.jit(lambda a: actor.scaled(jnp.zeros((1, 3))).log_prob(a))
    density = lambda a: float(jnp.exp(log_prob(jnp.array([[a]], jnp.float32)))[0])  # noqa: E731
    share = quad(density, 1.001, 3.999, limit=60, epsabs=1e-4)[0]
    edge = np.arctanh((np.array([1.001, 3.999]) - 2.5) / 1.5)
    np.testing.assert_allclose(share, np.diff(stats.norm(mean, np.exp(log_std)).cdf(edge))[0], atol=2e-3)
    action, drawn = jax.jit(lambda: actor(jnp.zeros((64, 3))).sample_and_log_prob(KEY))()
    u = np.arctanh(np.asarray(action, np.float64))[:, 0]
    wanted = stats.norm(mean, np.exp(log_std)).logpdf(u) - np.log(1 - np.tanh(u) ** 2)
    clear = np.abs(u) < 3
    assert clear.sum() > 20
    np.testing.assert_allclose(np.asarray(drawn)[clear], wanted[clear], atol=1e-3)


def test_draws_at_the_bounds_keep_their_density_and_gradient():
    """Where tanh rounds to 1 nothing is left of an action; of what was drawn before it, everything is."""

    def log_prob(mean):
        wide = sac.TanhNormal(jnp.full((1, 1), mean), jnp.zeros((1, 1)))
        return wide.sample_and_log_prob(KEY)[1][0]

    value, slope = jax.jit(jax.value_and_grad(log_prob))(20.0)
    z = float(jax.random.normal(KEY, (1, 1))[0, 0])
    np.testing.assert_allclose(value, stats.norm.logpdf(z) - 2 * (np.log(2) - 20 - z), rtol=1e-5)
    np.testing.assert_allclose(slope, 2, rtol=1e-5)  # d/du of -log(1 - tanh² u) far out


def test_targets_and_losses_are_those_of_the_definition(seen):
    now, b = seen
    drawn = jax.jit(lambda actor, obs: actor(obs).sample_and_log_prob(KEY))
    action, log_prob = drawn(now.actor, b.last_obs)
    q = np.asarray(now.slow_critics(b.last_obs, action))
    wanted = np.asarray(b.rewards[:, 0]) + 0.99 * ~np.asarray(b.terminated) * (q.min(0) - 0.3 * np.asarray(log_prob))
    np.testing.assert_allclose(jax.jit(sac.targets)(C, now, b, KEY), wanted, rtol=1e-5, atol=1e-6)
    loss, entropy = jax.jit(sac.policy_loss)(now.actor, C, now.critics, jnp.float32(0.3), b.obs, KEY)
    action, log_prob = drawn(now.actor, b.obs)
    q = np.asarray(now.critics(b.obs, action)).min(0)
    np.testing.assert_allclose(loss, (0.3 * np.asarray(log_prob) - q).mean(), rtol=1e-5)
    np.testing.assert_allclose(entropy, -np.asarray(log_prob).mean(), rtol=1e-5)
    many = drawn(now.actor, np.repeat(b.obs, 500, 0))[1]
    exact = jax.jit(lambda actor: actor(b.obs).entropy())(now.actor).mean()
    np.testing.assert_allclose(-many.mean(), exact, atol=0.03)


@pytest.mark.parametrize(("wanted", "sign"), [(-3.0, -1), (1.0, 1)])
def test_the_temperature_rises_where_entropy_is_missing_and_falls_where_there_is_enough(seen, wanted, sign):
    now, b = seen
    improve = jax.jit(sac.improve, static_argnums=1)
    after, metrics = improve(replace(C, target_entropy=wanted), STEP, now, b, KEY)
    assert -6 < metrics["entropy"] < 2  # between both, for two dimensions
    np.testing.assert_allclose(after.log_temperature - now.log_temperature, sign * 3e-4, rtol=1e-2)
    fixed, _ = improve(replace(C, learn_temperature=False), STEP, now, b, KEY)
    assert fixed.log_temperature == now.log_temperature == np.log(np.float32(0.3))
    np.testing.assert_allclose(
        after.slow_critics.nets[0].layers[0].weight,
        0.995 * now.slow_critics.nets[0].layers[0].weight + 0.005 * after.critics.nets[0].layers[0].weight,
        atol=1e-6,
    )


PROBE = sac.Config(
    rollout=2, train_every=4, learning_starts=32, random_steps=200, replay=1_000, batch_size=32, learning_rate=0.01,
    policy_learning_rate=0.01, temperature_learning_rate=0.01, temperature=0.1, discount=0.5, target_share=0.1,
    hidden=(16,), target_entropy=-1.5,
)  # fmt: skip


def test_probe():
    """The best action is half the observation: four of five seeds find it, with the entropy that is wanted."""
    envs = make("theodolite/Probe-ActionGivenObservation-v0", num_envs=8, continuous=True)
    for chunk in train(sac.agent, PROBE, envs, updates=300, every=300, seeds=5):
        s, metrics = chunk.carry.agent, chunk.metrics
    best = jax.vmap(lambda s: sac.mode(s, jnp.array([[-1.0], [1.0]]))[:, 0])(s)
    assert (np.abs(np.asarray(best) - [-0.5, 0.5]).max(1) < 0.15).sum() >= 4
    np.testing.assert_allclose(np.median(np.asarray(metrics["entropy"])[:, -100:]), -1.5, atol=0.3)
