"""Mean, variance and visits of options: closed form, recursion, slow definition and long Monte Carlo agree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core import tabular
from theodolite.core.env import time_limit
from theodolite.core.tiles import one_hot
from theodolite.envs import rooms
from theodolite.safety import option_chain as chain
from theodolite.safety import option_critic as oc

HORIZON, EPISODES = 40, 30_000


@pytest.fixture(scope="module")
def world():
    return rooms.rooms("noisy-tv", discount=0.9)


@pytest.fixture(scope="module")
def options(world):
    key = jax.random.key(3)
    s = oc.State(0.3 * jax.random.normal(key, (world.mdp.initial.size, 2, 10)))
    return oc.options(oc.Config(num_options=2, temperature=0.5, option_temperature=0.5), s)


def slow_chain(world, options):
    """P((s,ω) → (s',ω')), number by number."""
    move, (policy, ending, choice) = np.asarray(world.mdp.transition), map(np.asarray, jax.tree.leaves(options))
    states, num = ending.shape
    found = np.zeros((states, num, states, num))
    for s, w, t, v in np.ndindex(found.shape):
        if move[s, :, t].any() and not world.terminal[t]:
            stay = (1 - ending[t, w]) * (v == w) + ending[t, w] * choice[t, v]
            found[s, w, t, v] = sum(policy[s, w, a] * move[s, a, t] for a in range(4)) * stay
    return found


def test_the_chain_is_the_definition(world, options):
    found, slow = np.asarray(chain.pair_transition(world, options)), slow_chain(world, options)
    np.testing.assert_allclose(found.reshape(slow.shape), slow, atol=1e-6)


def test_the_recursion_tends_to_the_closed_form_and_the_mean_is_the_planner_s(world):
    with jax.enable_x64(True):
        world = rooms.rooms("noisy-tv", discount=0.9)
        rng = np.random.default_rng(5)
        tables = jnp.asarray(rng.normal(size=(world.mdp.initial.size, 2, 10)))
        options = oc.options(oc.Config(num_options=2), oc.State(tables))
        solved, run = (
            jax.jit(chain.moments)(world, options),
            jax.jit(chain.capped, static_argnums=2)(world, options, 300),
        )
        np.testing.assert_allclose(run.mean, solved.mean, atol=1e-9)
        np.testing.assert_allclose(run.second, solved.second, atol=1e-7)
        policy = jnp.asarray(rng.dirichlet(np.ones(4), world.mdp.initial.size))
        flat = chain.Options(policy[:, None], jnp.ones((len(policy), 1)), jnp.ones((len(policy), 1)))
        paid = jnp.where(world.terminal[:, None], 0, world.mdp.transition @ world.mean)
        expected = tabular.evaluate(world.mdp, policy, paid)
        found = chain.moments(world, flat).mean[:, 0]
        np.testing.assert_allclose(np.asarray(found)[~world.terminal], np.asarray(expected)[~world.terminal])


def played(world, options, rng):
    """Returns, noisy arrivals and steps of many episodes, played action by action."""
    policy, ending, choice = (np.asarray(x, float) for x in jax.tree.leaves(options))
    move, noisy = np.asarray(world.mdp.transition, float), np.asarray(world.noisy)
    state = drawn(rng, np.broadcast_to(np.asarray(world.mdp.initial), (EPISODES, len(move))))
    option, alive = np.zeros(EPISODES, int), np.ones(EPISODES, bool)
    total, risky, steps = np.zeros((3, EPISODES))
    for t in range(HORIZON):
        ends = (rng.random(EPISODES) < ending[state, option]) | (t == 0)
        option = np.where(ends, drawn(rng, choice[state]), option)
        state = drawn(rng, move[state, drawn(rng, policy[state, option])])
        reward = np.asarray(world.mean)[state] + np.asarray(world.spread)[state] * rng.normal(size=EPISODES)
        total += alive * reward * 0.9**t
        risky += alive & noisy[state]
        steps += alive
        alive &= ~np.asarray(world.terminal)[state]
    return total, risky, steps


def drawn(rng, probs):
    """One draw per row."""
    return (rng.random(len(probs))[:, None] > np.cumsum(probs, 1)[:, :-1]).sum(1)


def test_long_monte_carlo_agrees(world, options):
    total, risky, steps = played(world, options, np.random.default_rng(0))
    found = jax.jit(chain.risk, static_argnums=2)(world, options, HORIZON)
    for sample, expected in ((total, found.mean), (risky, found.hazards), (steps, found.steps)):
        assert sample.mean() == pytest.approx(float(expected), abs=4 * sample.std() / EPISODES**0.5)
    squares = (total - total.mean()) ** 2
    assert total.var() == pytest.approx(float(found.deviation) ** 2, abs=4 * squares.std() / EPISODES**0.5)


def test_spread_splits_into_starts_and_chance(world, options):
    capped = jax.jit(chain.capped, static_argnums=2)
    found = capped(world, options, HORIZON)
    mean, deviation, within = chain.spread(world, options, found)
    of_start = jnp.sum(options.choice * found.mean, -1)
    between = world.mdp.initial @ (of_start - mean) ** 2
    assert float(deviation**2) == pytest.approx(float(within**2 + between), rel=1e-4)
    quiet = rooms.rooms("noisy-tv", discount=0.9, scale=0.0)
    assert chain.spread(quiet, options, capped(quiet, options, HORIZON))[1] < deviation


def test_the_visits_of_a_learner_with_frozen_tables_are_those_computed(world, options, optimised):
    c = oc.Config(num_options=2, temperature=0.5, option_temperature=0.5, discount=0.9, initial_spread=1.0)
    task = oc.Task(time_limit(rooms.env(world), HORIZON), one_hot(world.mdp.initial.size), lambda obs: world.noisy[obs])
    still = jax.tree.map(lambda x: jnp.full(30, x), c)
    object.__setattr__(still, "critic_rate", jnp.zeros(30))
    object.__setattr__(still, "policy_rate", jnp.zeros(30))
    object.__setattr__(still, "termination_rate", jnp.zeros(30))
    s, metrics = oc.train(task, still, jax.random.split(jax.random.key(2), 30), episodes=100, windows=2)
    uniform = oc.options(c, oc.State(s.weights[0]))
    found = jax.jit(chain.risk, static_argnums=2)(world, uniform, HORIZON)
    assert float(metrics["steps"].mean()) == pytest.approx(float(found.steps), rel=0.03)
    assert float(metrics["hazards"].mean()) == pytest.approx(float(found.hazards), rel=0.15)
    assert float(metrics["return"].mean()) == pytest.approx(float(found.mean), abs=0.3)
