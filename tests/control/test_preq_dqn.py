"""PreQN for choices: targets and steps against their definitions, and the probes without a target network."""

from dataclasses import replace

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from probing import PROBES, shortfall

from theodolite.control import preq_dqn
from theodolite.core import replay
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.errors import UserError
from theodolite.envs.registry import make

ENVS = make("CartPole-v1", num_envs=4, max_episode_steps=14)
C = preq_dqn.Config(
    rollout=8, train_every=8, learning_starts=0, replay=64, batch_size=6, hidden=(8,), n_step=2, damping=0.0
)
RNG = np.random.default_rng(0)
improve = jax.jit(preq_dqn.improve)


def batch(obs: np.ndarray, last_obs: np.ndarray, action: np.ndarray) -> replay.Sample:
    """Rows of up to two steps, the last of which ends an episode."""
    size = len(action)
    return replay.Sample(
        jnp.asarray(obs, jnp.float32), jnp.asarray(action), jnp.asarray(RNG.normal(size=(size, 2)), jnp.float32),
        jnp.full(size, 2, jnp.int32), jnp.arange(size) == size - 1, jnp.asarray(last_obs, jnp.float32),
        jnp.arange(size), jnp.ones(size),
    )  # fmt: skip


@pytest.fixture(scope="module")
def seen() -> tuple[preq_dqn.State, replay.Sample]:
    """A fresh network and a batch."""
    s = preq_dqn.init(C, jax.random.key(0), ENVS.space)
    return s, batch(RNG.normal(size=(6, 4)), RNG.normal(size=(6, 4)), np.array([0, 1, 1, 0, 0, 1]))


def slow_q(net, obs) -> np.ndarray:
    """Sines, in NumPy."""
    x = np.asarray(obs, np.float64)
    for layer in net.layers[:-1]:
        x = np.sin(x @ np.asarray(layer.weight, np.float64) + np.asarray(layer.bias))
    return x @ np.asarray(net.layers[-1].weight, np.float64) + np.asarray(net.layers[-1].bias)


def slow_targets(net, b) -> np.ndarray:
    rewards = np.asarray(b.rewards, np.float64) @ np.array([1, 0.99])
    return rewards + np.where(b.terminated, 0, 0.99**2) * slow_q(net, b.last_obs).max(-1)


def test_targets_are_those_of_the_definition(seen):
    s, b = seen
    np.testing.assert_allclose(preq_dqn.targets(C, s.net, b), slow_targets(s.net, b), rtol=1e-4, atol=1e-5)


def test_the_step_is_the_least_norm_solution_for_the_values_of_the_batch(seen):
    s, b = seen
    rows, moved = np.arange(6), improve(replace(C, line_search=False, first_alpha=1.0), s.net, b)[0]
    flat, unflatten = jax.flatten_util.ravel_pytree(s.net)
    jacobian = jax.jit(jax.jacobian(lambda theta: unflatten(theta)(b.obs)[rows, b.action]))(flat)
    error = slow_targets(s.net, b) - slow_q(s.net, b.obs)[rows, np.asarray(b.action)]
    wanted = np.linalg.pinv(np.asarray(jacobian, np.float64)) @ error
    np.testing.assert_allclose(jax.flatten_util.ravel_pytree(moved)[0] - flat, wanted, rtol=2e-2, atol=2e-3)


def test_without_hidden_layers_values_move_by_exactly_alpha_times_their_errors():
    """The kernel is then constant, and the first order all there is."""
    space = Space(Box((5,), 0.0, 1.0), Discrete(2), num_envs=1)
    c = replace(C, hidden=(), first_alpha=0.3, batch_size=4)
    net = preq_dqn.init(c, jax.random.key(1), space).net
    net = replace(net, layers=(replace(net.layers[0], bias=jnp.zeros(2)),))
    b = batch(np.eye(5)[:4], np.eye(5)[[1, 2, 3, 4]], np.array([0, 1, 0, 0]))
    moved, m = improve(c, net, b)
    before, after = slow_q(net, np.eye(5)), slow_q(moved, np.eye(5))
    rows, action = np.arange(4), np.array([0, 1, 0, 0])
    error = slow_targets(net, b) - before[rows, action]
    np.testing.assert_allclose((after - before)[rows, action], 0.3 * error, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(m["alignment"], 1, rtol=1e-5)
    np.testing.assert_allclose(m["loss"], (error**2).mean(), rtol=1e-4)
    assert m["alpha"] == np.float32(0.3) and m["skipped"] == 0


def test_a_step_that_cannot_be_aligned_changes_nothing_and_is_counted(seen):
    s, b = seen
    net, m = improve(replace(C, damping=10.0, eta=0.999999), s.net, b)
    assert m["skipped"] == 1 and m["alpha"] == 0
    jax.tree.map(np.testing.assert_array_equal, net, s.net)


@pytest.mark.parametrize(("c", "space", "says"), [
    (C, Space(Box((3,)), Box((1,), -1, 1)), "expected a choice among some"),
    (C, ENVS.space._replace(obs=Box((4, 4, 2))), r"the shape \(4, 4, 2\), expected vectors"),
    (replace(C, replay=31), ENVS.space, "replay = 31: must hold the 32 transitions"),
])  # fmt: skip
def test_what_cannot_be_is_refused(c, space, says):
    with pytest.raises(UserError, match=says):
        preq_dqn.init(c, jax.random.key(0), space)


PROBE = preq_dqn.Config(
    rollout=2, train_every=4, learning_starts=32, replay=1_000, batch_size=16, discount=0.5, epsilon_steps=1_000,
    epsilon_end=0.01, hidden=(16,),
)  # fmt: skip


@pytest.mark.parametrize("probe", ["Discounting", PROBES[-1]])
def test_probes(probe):
    best = lambda s, obs: s.net(obs).max(-1)  # noqa: E731
    assert (shortfall(probe, preq_dqn.agent, PROBE, best, updates=300) < 0.05).sum() >= 4
