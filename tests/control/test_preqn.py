"""PreQN: errors by the present networks, a step against NumPy's least squares, giving up, and the learning probes."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from theodolite.control import actor_critic, preqn, sac, td3
from theodolite.core import replay
from theodolite.core.agent import Batch
from theodolite.core.drive import collect, start
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.errors import UserError
from theodolite.core.train import train
from theodolite.envs.registry import make

SPACE = Space(Box((3,)), Box((2,), (-1.0, 2.0), (3.0, 2.5)), num_envs=2)
C = preqn.Config(
    rollout=8, train_every=4, learning_starts=0, random_steps=0, replay=64, batch_size=6, hidden=(7, 6), damping=1e-9
)


def sample(seed, num=6):
    rng = np.random.default_rng(seed)
    cast = lambda *shape: jnp.asarray(rng.normal(size=shape))  # noqa: E731
    ended = jnp.arange(num) < 2  # the others were cut or go on, which is the same to them
    return replay.Sample(
        cast(num, 3), jnp.tanh(cast(num, 2)), cast(num, 1), jnp.ones(num, jnp.int32), ended, cast(num, 3),
        jnp.arange(num), jnp.ones(num),
    )  # fmt: skip


@pytest.fixture(scope="module")
def seen():
    """A learner in double precision, a sample, and its errors in NumPy."""
    with jax.enable_x64(True):
        now = preqn.init(C, jax.random.key(0), SPACE).learner
        now = jax.tree.map(lambda x: x.astype(float) if jnp.issubdtype(x.dtype, jnp.floating) else x, now)
        b = sample(0)
        return now, b, slow_targets(now, b) - slow_q(now.critics.nets[0], b.obs, b.action)


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


def slow_mlp(net, x, between):
    for i, layer in enumerate(net.layers):
        x = x @ np.asarray(layer.weight) + np.asarray(layer.bias)
        x = between(x) if i < len(net.layers) - 1 else x
    return x


def slow_q(net, obs, action):
    return slow_mlp(net, np.concatenate([obs, action], -1), np.sin)[:, 0]


def slow_targets(now, b):
    """Reward and the present value of what the present policy would do, unless the task ended."""
    following = np.tanh(slow_mlp(now.policy.net, np.asarray(b.last_obs), lambda x: np.maximum(x, 0)))
    value = slow_q(now.critics.nets[0], b.last_obs, following)
    return np.asarray(b.rewards[:, 0]) + 0.99 * np.where(np.asarray(b.terminated), 0, value)


def critic_step(c, now, b):
    return jax.jit(lambda now: preqn.critic_step(c).step(now.critics, None, b, preqn.targets(c, now, b)))(now)


def test_errors_are_by_the_present_networks_and_stop_where_the_task_ended(double, seen):
    now, b, error = seen
    np.testing.assert_allclose(jax.jit(lambda n: preqn.targets(C, n, b))(now), slow_targets(now, b), rtol=1e-9)
    m = critic_step(C, now, b)[2]
    np.testing.assert_allclose(m["critic_loss"], (error**2).mean(), rtol=1e-9)


def test_a_step_is_numpy_s_least_squares_step_of_least_norm(double, seen):
    now, b, error = seen
    c = replace(C, line_search=False, first_alpha=1e-4)
    critics, _, m = critic_step(c, now, b)
    flat, restore = ravel_pytree(now.critics.nets[0])
    x = actor_critic.pairs(b.obs, b.action)
    jacobian = np.asarray(jax.jit(jax.jacrev(lambda f: restore(f)(x)[:, 0]))(flat))
    least = np.linalg.lstsq(jacobian, error, rcond=None)[0]
    np.testing.assert_allclose((ravel_pytree(critics.nets[0])[0] - flat) / 1e-4, least, rtol=1e-5, atol=1e-6)
    change = slow_q(critics.nets[0], b.obs, b.action) - slow_q(now.critics.nets[0], b.obs, b.action)
    np.testing.assert_allclose(
        change / 1e-4, error, atol=2e-3 * np.abs(error).max()
    )  # α times the errors, to first order
    z = np.linalg.solve(jacobian @ jacobian.T, error)
    np.testing.assert_allclose(m["multipliers"], np.linalg.norm(z), rtol=1e-5)
    assert m["alpha"] == pytest.approx(1e-4) and m["skipped"] == 0


@pytest.mark.parametrize("across", ["still", "right"])
def test_a_second_batch_stays_or_moves_by_its_own_errors(double, seen, across):
    now, b, error = seen
    c = replace(C, line_search=False, first_alpha=1e-4, batch_size=4, second_batch=2, across=across)
    critics, _, m = critic_step(c, now, b)
    change = (slow_q(critics.nets[0], b.obs, b.action) - slow_q(now.critics.nets[0], b.obs, b.action)) / 1e-4
    wanted = np.r_[error[:4], np.zeros(2) if across == "still" else error[4:]]
    np.testing.assert_allclose(change, wanted, atol=2e-3 * np.abs(error).max())
    np.testing.assert_allclose(m["moved"], 1e-4 * np.sqrt((change[:4] ** 2).mean()), rtol=1e-6)
    np.testing.assert_allclose(m["critic_loss"], (error**2).mean(), rtol=1e-9)


def test_both_batches_are_of_any_age_and_the_policy_climbs_on_the_first(double, seen):
    now, b, _ = seen
    c, key = replace(C, batch_size=4, second_batch=2), jax.random.key(3)
    after, _ = jax.jit(lambda now: preqn.improve(c, actor_critic.no_memory(SPACE, 64, 8), now, b, key))(now)
    order = np.asarray(jax.random.permutation(jax.random.fold_in(key, 1), 6))
    assert not (order == np.arange(6)).all()
    mixed = jax.tree.map(lambda x: x[order], b)
    critics, _, _ = critic_step(c, now, mixed)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-7), after.critics, critics)
    climbed = actor_critic.ascend(now.policy, now.policy_opt, critics.first, mixed.obs[:4], c.policy_learning_rate)[0]
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-7), after.policy.net, climbed.net)


def test_without_an_aligned_step_the_critic_stays_and_the_policy_moves(double, seen):
    now, b, _ = seen
    c = replace(C, first_alpha=1e6, tries=1)
    memory = actor_critic.no_memory(SPACE, 64, 8)
    after, m = jax.jit(lambda now: preqn.improve(c, memory, now, b, jax.random.key(0)))(now)
    assert m["skipped"] == 1 and m["alpha"] == m["alignment"] == 0 and m["attainable"] == pytest.approx(1, abs=1e-6)
    jax.tree.map(np.testing.assert_array_equal, after.critics, now.critics)
    assert np.abs(ravel_pytree(after.policy)[0] - ravel_pytree(now.policy)[0]).max() > 1e-4


def test_what_a_step_does_to_a_batch_that_it_did_not_see(double, seen):
    now, b, _ = seen
    critics, _, m = critic_step(C, now, b)
    aside = sample(1, 5)
    found = jax.jit(lambda n, after: preqn.held_out(C, n, after, m["moved"], aside))(now, critics)
    change, old = (slow_q(n.nets[0], aside.obs, aside.action) for n in (critics, now.critics))
    change, error = change - old, slow_targets(now, aside) - old
    cosine = change @ error / np.linalg.norm(change) / np.linalg.norm(error)
    inside = slow_q(critics.nets[0], b.obs, b.action) - slow_q(now.critics.nets[0], b.obs, b.action)
    spill = np.sqrt((change**2).mean() / (inside**2).mean())
    np.testing.assert_allclose([found["held_out_alignment"], found["spill"]], [cosine, spill], rtol=1e-7)


@pytest.mark.parametrize("learner", [td3, sac])
def test_any_learner_of_continuous_actions_can_take_the_step(learner):
    c = learner.Config(rollout=8, train_every=8, learning_starts=0, replay=16, batch_size=6, hidden=(6,))
    step = preqn.critic_step(replace(C, damping=1e-4, eta=0.9))

    def counted(now, memory, b, target):
        critics, memory, m = step.step(now, memory, b, target)
        return critics, memory, m | {"alike": jnp.sum(b.index[:, None] == b.index[None]) - b.index.size}

    agent = learner.agent(c, step._replace(step=counted, adds=(*step.adds, ("alike", "pairs that are one row twice"))))
    s = agent.init(jax.random.key(0), SPACE)
    draw = lambda *shape: jnp.cos(jnp.arange(np.prod(shape), dtype=jnp.float32)).reshape(shape)  # noqa: E731
    never = jnp.zeros((8, 2), bool)
    batch = Batch(draw(8, 2, 3), draw(8, 2, 2), draw(8, 2), draw(8, 2), never, never, draw(8, 2, 3))
    after, m = jax.jit(agent.update)(s, batch, jax.random.key(1))
    assert m.keys() == learner.METRICS.keys() | dict(step.adds).keys() | {"alike"}
    assert m["alike"] == 0  # of two times six out of sixteen rows some would be, were they drawn with repeats
    assert 0 < m["alpha"] <= 1 and m["skipped"] < 1 and len(after.learner.critics.nets) == 2
    assert m["alignment"] / (1 - m["skipped"]) >= 0.9 - 1e-5
    assert jax.tree.leaves(after.learner.critic_memory) == []


def test_choices_are_sent_to_the_method_for_choices():
    with pytest.raises(UserError, match=r"Use a method for choices \(preq_dqn\)"):
        preqn.init(C, jax.random.key(0), Space(Box((4,)), Discrete(2)))


def test_learning_waits_and_the_share_of_skipped_steps_is_counted():
    envs = make("Pendulum-v1", num_envs=2, max_episode_steps=9)
    c = replace(C, learning_starts=20, held_out=5, first_alpha=64.0, tries=2, damping=1e-5)
    agent, key = preqn.agent(c), jax.random.key(0)
    carry = start(agent, envs, key)

    @jax.jit
    def one(s, key):
        _, batch = collect(agent, envs, replace(carry, agent=s), key)
        return agent.update(s, batch, key)

    s, m = one(carry.agent, key)
    assert m.keys() == preqn.METRICS.keys() and all(float(x) == 0 for x in m.values())
    for k in jax.random.split(key, 3):
        s, m = one(s, k)
    assert 0 < float(m["skipped"]) <= 1 and 0 < float(m["attainable"]) <= 1.0001
    actions = s.memory.replay.rows.action
    assert float(jnp.abs(actions).max()) <= 1


PROBE = preqn.Config(
    rollout=2, train_every=4, learning_starts=32, random_steps=400, replay=1_000, batch_size=16, hidden=(16,),
    discount=0.5, policy_learning_rate=5e-3, damping=1e-4,
)  # fmt: skip


@pytest.mark.parametrize(("probe", "wanted"), [
    ("Discounting", [None, 0.5, 1]), ("ActionGivenObservation", [-0.5, None, 0.5]),
])  # fmt: skip
def test_probes(probe, wanted):
    """One asks for values that bootstrap, one for actions that see; 5 seeds, of which 4 must be right."""
    envs = make(f"Probe-{probe}-v0", num_envs=8, continuous=True)
    for chunk in train(preqn.agent, PROBE, envs, updates=200, every=200, seeds=5):
        learner = chunk.carry.agent.learner
    obs = jnp.array([[-1.0], [0.0], [1.0]])
    values = lambda n: n.critics.first(obs, n.policy(obs)) if "Action" not in probe else n.policy(obs)[:, 0]  # noqa: E731
    found = np.asarray(jax.vmap(values)(learner))
    asked = [i for i, w in enumerate(wanted) if w is not None]
    off = np.abs(found[:, asked] - np.array([wanted[i] for i in asked])[None]).max(1)
    assert (off < 0.1).sum() >= 4, found
