"""TD3: two steps against NumPy, what each cure does alone, ends of episodes, the random start, a learning probe."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.control import actor_critic, td3
from theodolite.core import nets, replay
from theodolite.core.agent import Batch
from theodolite.core.drive import collect, start
from theodolite.core.env import Box, Space
from theodolite.core.train import train
from theodolite.envs.registry import make

SPACE = Space(Box((3,)), Box((2,), (-1.0, 2.0), (3.0, 2.5)), num_envs=2)
C = td3.Config(
    rollout=4, learning_starts=0, random_steps=0, replay=64, batch_size=16, hidden=(8,), learning_rate=1e-2,
    policy_learning_rate=3e-3, target_share=0.1, smoothing=0.4,
)  # fmt: skip
STEP = actor_critic.regression(C.learning_rate)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def seen() -> tuple[td3.Learner, replay.Sample]:
    """A learner whose slow copies differ from the fast networks, and a sample in which some rows terminate."""
    now, other = (td3.init(C, STEP, jax.random.key(i), SPACE).learner for i in (0, 1))
    now = replace(now, slow_policy=other.policy, slow_critics=other.critics)
    rng = np.random.default_rng(0)
    obs, last_obs = (jnp.asarray(rng.normal(size=(16, 3)), jnp.float32) for _ in range(2))
    action = jnp.asarray(rng.uniform(-1, 1, (16, 2)), jnp.float32)
    rewards, index = jnp.asarray(rng.normal(size=(16, 1)), jnp.float32), jnp.arange(16)
    over, ones = jnp.arange(16) % 3 == 0, jnp.ones(16)
    return now, replay.Sample(obs, action, rewards, jnp.ones(16, jnp.int32), over, last_obs, index, ones)


class Slow:
    """An MLP of one hidden layer in NumPy, with its gradients and its Adam."""

    def __init__(self, net: nets.MLP):
        self.params = [np.asarray(x, np.float64) for layer in net.layers for x in (layer.weight, layer.bias)]
        self.moments = [[np.zeros_like(p) for p in self.params] for _ in range(2)]
        self.steps = 0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        w1, b1, w2, b2 = self.params
        self.x, self.h = x, np.maximum(x @ w1 + b1, 0)
        return self.h @ w2 + b2

    def slopes(self, dy: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        w1, _, w2, _ = self.params
        dh = dy @ w2.T * (self.h > 0)
        return [self.x.T @ dh, dh.sum(0), self.h.T @ dy, dy.sum(0)], dh @ w1.T

    def adam(self, slopes: list[np.ndarray], rate: float) -> None:
        self.steps += 1
        for i, g in enumerate(slopes):
            first, second = self.moments
            first[i], second[i] = 0.9 * first[i] + 0.1 * g, 0.999 * second[i] + 0.001 * g**2
            m, v = first[i] / (1 - 0.9**self.steps), second[i] / (1 - 0.999**self.steps)
            self.params[i] = self.params[i] - rate * m / (np.sqrt(v) + 1e-8)

    def follow(self, fast: "Slow", share: float) -> None:
        self.params = [(1 - share) * p + share * q for p, q in zip(self.params, fast.params, strict=True)]

    def same(self, net: nets.MLP) -> None:
        found = [x for layer in net.layers for x in (layer.weight, layer.bias)]
        for mine, theirs in zip(self.params, found, strict=True):
            np.testing.assert_allclose(theirs, mine, rtol=2e-3, atol=2e-5)


def test_two_steps_are_those_of_the_algorithm_in_numpy(seen):
    now, b = seen
    mu, slow_mu = Slow(now.policy.net), Slow(now.slow_policy.net)
    q, slow_q = [Slow(n) for n in now.critics.nets], [Slow(n) for n in now.slow_critics.nets]
    obs, action, last_obs = (np.asarray(x, np.float64) for x in (b.obs, b.action, b.last_obs))
    improve = jax.jit(partial(td3.improve, C, STEP))
    for update in (1, 2):
        key = jax.random.fold_in(KEY, update)
        noise = np.clip(C.smoothing * np.asarray(jax.random.normal(key, (16, 2))), -0.5, 0.5)
        best = np.clip(np.tanh(slow_mu(last_obs)) + noise, -1, 1)
        following = np.minimum(*(n(np.concatenate([last_obs, best], 1))[:, 0] for n in slow_q))
        target = np.asarray(b.rewards[:, 0]) + 0.99 * np.where(b.terminated, 0, 1) * following
        errors = [n(np.concatenate([obs, action], 1))[:, 0] - target for n in q]
        for n, error in zip(q, errors, strict=True):
            n.adam(n.slopes(2 * error[:, None] / 16)[0], C.learning_rate)
        if update == 2:
            u = np.tanh(mu(obs))
            q[0](np.concatenate([obs, u], 1))
            du = q[0].slopes(np.full((16, 1), -1 / 16))[1][:, 3:]
            mu.adam(mu.slopes(du * (1 - u**2))[0], C.policy_learning_rate)
            for slow, fast in zip([slow_mu, *slow_q], [mu, *q], strict=True):
                slow.follow(fast, C.target_share)
        now, metrics = improve(now, b, key)
        np.testing.assert_allclose(metrics["critic_loss"], sum((e**2).mean() for e in errors), rtol=1e-4)
        assert now.updates == update
        nets_now = now.policy.net, now.slow_policy.net, *now.critics.nets, *now.slow_critics.nets
        for mine, theirs in zip([mu, slow_mu, *q, *slow_q], nets_now, strict=True):
            mine.same(theirs)


def test_the_policy_and_the_slow_copies_wait_for_their_turn(seen):
    now, b = seen
    improve = jax.jit(td3.improve, static_argnums=1)
    moved, learner = [], now
    for update in range(1, 7):
        after, _ = improve(replace(C, policy_every=3), STEP, learner, b, jax.random.fold_in(KEY, update))
        parts = [(learner.policy, after.policy), (learner.slow_policy, after.slow_policy),
                 (learner.slow_critics, after.slow_critics), (learner.critics, after.critics)]  # fmt: skip
        moved.append([any(bool((x != y).any()) for x, y in zip(*map(jax.tree.leaves, p), strict=True)) for p in parts])
        learner = after
    assert moved == [[update % 3 == 0] * 3 + [True] for update in range(1, 7)]


def test_smoothing_is_clipped_and_the_lower_critic_counts(seen):
    now, b = seen
    targets = jax.jit(td3.targets)
    plain = targets(replace(C, smoothing=0.0), now, b, KEY)
    np.testing.assert_allclose(plain, targets(replace(C, smoothing_clip=0.0), now, b, KEY), rtol=1e-6)
    over = np.asarray(b.terminated)
    assert np.abs(plain - targets(C, now, b, KEY))[~over].max() > 1e-3
    np.testing.assert_allclose(plain[over], b.rewards[over, 0])
    alone = [targets(replace(C, smoothing=0.0), replace(now, slow_critics=actor_critic.Critics((n,))), b, KEY)
             for n in now.slow_critics.nets]  # fmt: skip
    np.testing.assert_allclose(plain, np.minimum(*map(np.asarray, alone)), rtol=1e-5, atol=1e-6)


def test_a_share_of_one_learns_without_slow_copies(seen):
    now, b = seen
    c = replace(C, target_share=1.0, policy_every=1)
    after, _ = jax.jit(td3.improve, static_argnums=1)(c, STEP, now, b, KEY)
    jax.tree.map(np.testing.assert_array_equal, after.slow_critics, after.critics)
    jax.tree.map(np.testing.assert_array_equal, after.slow_policy, after.policy)


def test_ddpg_is_the_preset_without_the_cures():
    s = td3.init(td3.DDPG, STEP, KEY, SPACE)
    assert len(s.learner.critics.nets) == 1 and td3.DDPG.policy_every == 1 and td3.DDPG.smoothing == 0


def test_a_cut_episode_bootstraps_and_a_finished_one_does_not():
    """One of two environments terminates in every step, the other one is cut."""
    c = replace(C, discount=0.5, smoothing=0.0)
    obs, ones = jnp.zeros((4, 2, 3)), jnp.ones((4, 2))
    ends = jnp.zeros((4, 2), bool).at[:, 0].set(True)

    @jax.jit
    def judged():
        s = td3.init(c, STEP, KEY, SPACE)
        memory = actor_critic.remember(s.memory, Batch(obs, jnp.ones((4, 2, 2)), ones, ones, ends, ~ends, obs), s.box)
        b = replay.sample(memory.replay, KEY, 64)
        value = s.learner.slow_critics(obs[0], s.learner.slow_policy(obs[0])).min()
        return td3.targets(c, s.learner, b, KEY), b, value

    found, b, value = judged()
    where = np.asarray(b.index) % 2 == 0
    np.testing.assert_allclose(np.asarray(found)[where], 1, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(found)[~where], 1 + 0.5 * value, rtol=1e-4)


def test_actions_are_random_at_first_and_noisy_then_and_learning_waits():
    envs = make("Pendulum-v1", num_envs=4)
    c = replace(C, rollout=4, train_every=2, learning_starts=30, random_steps=32, noise=0.01)
    agent = td3.agent(c)
    carry = start(agent, envs, KEY)

    @jax.jit
    def one(s, key):
        _, batch = collect(agent, envs, replace(carry, agent=s), key)
        return (*agent.update(s, batch, key), batch, agent.mode(s, batch.obs))

    s, far = carry.agent, []
    for i in range(3):
        s, metrics, batch, best = one(s, jax.random.fold_in(KEY, i))
        far.append(float(np.abs(np.asarray(batch.action - best)).max()))
        assert s.memory.steps == 16 * (i + 1) and s.learner.updates == max(8 * i, 0)
        assert (metrics["critic_loss"] > 0) == (i > 0)
    assert min(far[:2]) > 0.5 and far[2] < 0.1


PROBE = td3.Config(
    rollout=2, train_every=4, learning_starts=32, random_steps=200, replay=1_000, batch_size=32, learning_rate=0.01,
    policy_learning_rate=0.01, discount=0.5, target_share=0.1, hidden=(16,),
)  # fmt: skip


@pytest.mark.parametrize("c", [PROBE, replace(PROBE, twin=False, policy_every=1, smoothing=0.0)], ids=["td3", "ddpg"])
def test_probes(c):
    """The best action is half the observation and earns 1: four of five seeds find it (20 of 20 when this was set)."""
    envs = make("theodolite/Probe-ActionGivenObservation-v0", num_envs=8, continuous=True)
    for chunk in train(td3.agent, c, envs, updates=300, every=300, seeds=5):
        s = chunk.carry.agent
    obs = jnp.array([[-1.0], [1.0]])
    best = jax.vmap(lambda s: td3.mode(s, obs)[:, 0])(s)
    value = jax.vmap(lambda s: s.learner.critics.first(obs, s.learner.policy(obs)))(s)
    wrong = np.abs(np.asarray(best) - [-0.5, 0.5]).max(1)
    assert (wrong < 0.15).sum() >= 4 and (np.abs(np.asarray(value) - 1).max(1) < 0.1).sum() >= 4
