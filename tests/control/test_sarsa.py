"""Sarsa: one step against its formula, the value of its own policy, and runs that do not depend on their neighbours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.control import sarsa
from theodolite.core import tabular
from theodolite.core.env import time_limit
from theodolite.core.errors import UserError
from theodolite.core.tiles import one_hot
from theodolite.envs import rooms


def test_a_step_is_the_formula():
    c = sarsa.Config(rate=0.3, discount=0.9)
    s = sarsa.State(jnp.arange(24.0).reshape(6, 4))
    active = jnp.array([1, 4])
    after = sarsa.update(c, s, active, jnp.int32(2), jnp.float32(1.5), jnp.float32(7.0))
    error = 1.5 + 0.9 * 7.0 - (6 + 18)
    changed = np.zeros((6, 4))
    changed[[1, 4], 2] = 0.3 * error / 2
    np.testing.assert_allclose(after.weights - s.weights, changed, atol=1e-5)
    value = sarsa.values(s, active)
    np.testing.assert_allclose(sarsa.policy(c, value), jax.nn.softmax(value / 0.1))
    drawn = jax.vmap(lambda key: sarsa.act(c, jnp.array([0.0, 0.1, 0.0, -9.0]), key))(
        jax.random.split(jax.random.key(0), 9_000)
    )
    law = np.exp([0, 1, 0, -90]) / np.exp([0, 1, 0, -90]).sum()
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 9_000, law, atol=0.02)


@pytest.fixture(scope="module")
def learned(optimised):
    world = rooms.rooms("frozen", scale=0.0, discount=0.5)
    env = time_limit(rooms.env(world), 200)
    hazard = lambda obs: world.terminal[obs]  # noqa: E731
    keys, features = jax.random.split(jax.random.key(0), 4), one_hot(world.mdp.initial.size)

    def train(keys, temperature, rate, discount):
        c = sarsa.Config(rate=rate, discount=discount, temperature=temperature)
        return sarsa.train(c, env, features, hazard, keys, episodes=400, windows=4)

    return (
        world,
        train(keys, 1e5, 0.05, 0.5),
        train(keys, 0.5, 0.2, 0.9),
        train(keys.at[0].set(jax.random.key(9)), 0.5, 0.2, 0.9),
    )


def test_values_are_those_of_the_policy_that_acts(learned):
    """A policy that is uniform whatever is learned, whose values are a linear system's."""
    world, (state, _), _, _ = learned
    paid = jnp.where(world.terminal[:, None], 0, world.mdp.transition @ world.mean)
    uniform = tabular.uniform_policy(world.mdp)
    q = np.asarray(tabular.backup(world.mdp, paid, tabular.evaluate(world.mdp, uniform, paid)))
    known = ~np.asarray(world.terminal)
    found = np.asarray(state.weights).mean(0)
    assert np.corrcoef(found[known].ravel(), q[known].ravel())[0, 1] > 0.97
    np.testing.assert_allclose(found[known].mean(), q[known].mean(), rtol=0.25)


def test_it_learns_the_way(learned):
    _, _, (state, metrics), _ = learned
    world = rooms.rooms("frozen", discount=0.9)
    paid = jnp.where(world.terminal[:, None], 0, world.mdp.transition @ world.mean)
    best = world.mdp.initial @ tabular.optimal_value(world.mdp, paid)
    c = sarsa.Config(temperature=0.5)
    each = jax.jit(jax.vmap(lambda w: tabular.expected_return(world.mdp, sarsa.policy(c, w), paid)))(state.weights)
    assert np.median(each) > 0.6 * float(best)
    assert metrics.keys() == sarsa.METRICS.keys() and metrics["steps"].shape == (4, 4)
    assert metrics["steps"][:, -1].mean() < 0.5 * metrics["steps"][:, 0].mean()
    np.testing.assert_allclose(metrics["hazards"][:, -1], 1, atol=0.05)  # the goal


def test_a_run_does_not_depend_on_its_neighbours(learned):
    _, _, (state, _), (again, _) = learned
    np.testing.assert_array_equal(state.weights[1:], again.weights[1:])
    assert (state.weights[0] != again.weights[0]).any()


@pytest.mark.parametrize("wrong", [{"rate": 0.0}, {"discount": 1.5}, {"temperature": -1.0}])
def test_bad_settings_are_refused(wrong):
    with pytest.raises(UserError, match="must"):
        sarsa.Config(**wrong)
