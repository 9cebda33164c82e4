"""Every step of learning against the algorithm written out in loops, and what the whole learns on small worlds."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow_option_critic import SlowLearner, episodes_of

from theodolite.core.env import time_limit
from theodolite.core.errors import UserError
from theodolite.core.tiles import one_hot
from theodolite.envs import rooms
from theodolite.safety import option_chain as chain
from theodolite.safety import option_critic as oc
from theodolite.safety.penalty import NONE

CONFIG = oc.Config(num_options=3, discount=0.9, critic_rate=0.3, policy_rate=0.2, termination_rate=0.4, temperature=0.7,
                   deliberation_cost=0.1, initial=0.2, initial_spread=1.0)  # fmt: skip
SETTINGS = {"defaults": {}, "no baseline": {"baseline": False}, "one option": {"num_options": 1}}


@pytest.mark.parametrize(("setting", "active"), [("defaults", 1), ("no baseline", 3), ("one option", 1)])
def test_learning_is_the_algorithm_written_out_in_loops(setting, active):
    c = replace(CONFIG, **SETTINGS[setting])
    history = episodes_of(np.random.default_rng(0), num_options=c.num_options, active=active, steps=80)
    features = one_hot(12)._replace(active=active)
    s = oc.init(c, jax.random.key(0), features, 4)
    slow = SlowLearner(c, np.asarray(s.weights, float), active)

    @jax.jit
    def step(s, t):
        seen = s.read_all(t.features, t.arrived)
        entered = seen[0].value[t.option]
        return oc.update(c, s, t._replace(entered=entered), seen, NONE, (), 1.0)[0]

    for t in history:
        s = step(s, oc.Transition(*(jnp.asarray(x) for x in t)))
        slow.learn(t)
    np.testing.assert_allclose(s.weights, slow.weights, rtol=2e-4, atol=2e-5)


def test_a_dead_run_learns_nothing_and_shared_features_move_both_states():
    s = oc.init(CONFIG, jax.random.key(0), one_hot(12), 4)
    t = episodes_of(np.random.default_rng(1), num_options=3, active=1, steps=1)[0]
    t = oc.Transition(*(jnp.asarray(x) for x in t))
    after = oc.update(CONFIG, s, t, s.read_all(t.features, t.arrived), NONE, (), 0.0)[0]
    np.testing.assert_array_equal(after.weights, s.weights)


def test_gradients_are_those_of_the_theorems():
    """∇ log π of the softmax (but for its temperature) and β(1-β) of the sigmoid, by finite differences."""
    c = replace(CONFIG, critic_rate=1e-9, baseline=False, deliberation_cost=0.0)
    s = oc.State(jax.random.normal(jax.random.key(1), (12, 3, 10)))
    t = oc.Transition(jnp.array([2]), jnp.int32(1), jnp.int32(3), jnp.float32(0), jnp.float32(0.5), jnp.array([5]),
                      jnp.bool_(False), jnp.bool_(True))  # fmt: skip
    moved = oc.update(c, s, t, s.read_all(t.features, t.arrived), NONE, (), 1.0)[0].weights - s.weights
    heads = s.heads

    def log_prob(preference):
        return jnp.log(oc.action_probs(c, preference))[3]

    slope = jax.grad(log_prob)(heads.preference[2, 1]) * c.temperature
    np.testing.assert_allclose(moved[2, 1, 6:], c.policy_rate * heads.action_value[2, 1, 3] * slope, atol=1e-5)
    advantage = heads.value[5, 1] - heads.value[5].max()
    slope = jax.grad(jax.nn.sigmoid)(heads.ending[5, 1])
    assert float(moved[5, 1, 1]) == pytest.approx(float(-c.termination_rate * slope * advantage), abs=1e-5)


@pytest.fixture(scope="module")
def corridor():
    world = rooms.rooms("noisy-tv", scale=0.0)
    task = oc.Task(time_limit(rooms.env(world), 200), one_hot(world.mdp.initial.size), lambda obs: world.terminal[obs])
    return world, task


def stacked(c, num):
    return jax.tree.map(lambda x: jnp.full(num, x, jnp.float32), c)


KEYS = jax.random.split(jax.random.key(0), 10)


def learn(task, keys):
    return oc.train(task, stacked(oc.Config(), 10), keys, episodes=200, windows=5)


@pytest.fixture(scope="module")
def learned(corridor, optimised):
    return learn(corridor[1], KEYS)


def test_it_comes_near_the_optimum_of_dynamic_programming(corridor, learned):
    world, (s, metrics) = corridor[0], learned
    move, value = np.asarray(world.mdp.transition), np.zeros(len(world.mean))
    for _ in range(200):
        value = (move @ (np.asarray(world.mean) + 0.99 * value * ~np.asarray(world.terminal))).max(1)
    best = float(np.asarray(world.mdp.initial) @ value)
    found = jax.jit(jax.vmap(lambda one: chain.risk(world, oc.options(oc.Config(), one), 200)))(s)
    assert np.median(found.mean) > 0.9 * best
    assert np.all(np.asarray(found.mean) <= best + 1e-3)
    assert metrics.keys() == oc.METRICS.keys()
    assert all(v.shape == (10, 5) and np.isfinite(v).all() for v in metrics.values())
    np.testing.assert_array_less(metrics["steps"][:, -1].mean(), metrics["steps"][:, 0].mean())
    assert float(metrics["hazards"].max()) <= 1 and float(metrics["hazards"][:, -1].min()) > 0.9  # arrivals at the goal


def test_a_run_does_not_depend_on_its_neighbours(corridor, learned):
    others = jax.random.split(jax.random.key(1), 10).at[2].set(KEYS[2])
    again = learn(corridor[1], others)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(learned), strict=True):
        np.testing.assert_array_equal(a[2], b[2])
        assert (np.asarray(a[3]) != np.asarray(b[3])).any() or not np.asarray(a).any()  # nothing is charged


def test_options_are_drawn_by_their_law():
    value = jnp.array([1.0, 2.0, 0.5])
    greedy = replace(CONFIG, choice="epsilon_greedy", epsilon=0.3)
    np.testing.assert_allclose(oc.option_probs(greedy, value), [0.1, 0.8, 0.1], atol=1e-6)
    weights = [math.exp(v / CONFIG.option_temperature) for v in (1.0, 2.0, 0.5)]
    np.testing.assert_allclose(oc.option_probs(CONFIG, value), np.array(weights) / sum(weights), rtol=1e-5)
    s = oc.State(jnp.zeros((1, 3, 10)).at[0, :, 0].set(value).at[0, :, 1].set(-1.0))
    draw = jax.vmap(lambda key: oc.act(greedy, s.read(jnp.array([0])), jnp.int32(2), jnp.bool_(False), key))
    option, action, entered, ended = draw(jax.random.split(jax.random.key(0), 10_000))
    p_end = 1 / (1 + math.e)
    assert float(ended.mean()) == pytest.approx(p_end, abs=0.02)
    shares = np.bincount(option, minlength=3) / 10_000
    np.testing.assert_allclose(shares, p_end * np.array([0.1, 0.8, 0.1]) + (1 - p_end) * np.eye(3)[2], atol=0.02)
    np.testing.assert_allclose(np.bincount(action, minlength=4) / 10_000, 0.25, atol=0.02)
    np.testing.assert_allclose(entered, value[option])


@jax.jit
def outcome(c):
    """All that a config has a say in: fresh weights, a step of learning from fixed ones, and both policies."""
    fixed = jax.random.normal(jax.random.key(7), (12, 3, 10))[:, : c.num_options]
    s, option = oc.State(fixed), jnp.int32(1)
    t = oc.Transition(jnp.array([2]), option, jnp.int32(3), fixed[2, 1, 0], jnp.float32(0.5), jnp.array([5]),
                      jnp.bool_(False), jnp.bool_(True))  # fmt: skip
    learned = oc.update(c, s, t, s.read_all(t.features, t.arrived), NONE, (), 1.0)[0]
    laws = oc.option_probs(c, s.heads.value), oc.action_probs(c, s.heads.preference)
    return oc.init(c, jax.random.key(0), one_hot(12), 4).weights, learned.weights, laws


OTHER = {"num_options": 2, "discount": 0.5, "critic_rate": 0.1, "policy_rate": 0.1, "termination_rate": 0.1,
         "temperature": 0.1, "choice": "epsilon_greedy", "option_temperature": 0.7, "epsilon": 0.9, "baseline": False,
         "deliberation_cost": 0.0, "initial": 0.0, "initial_spread": 0.0}  # fmt: skip


@pytest.mark.parametrize("name", OTHER)
def test_every_setting_changes_the_outcome(name):
    c = replace(CONFIG, choice="epsilon_greedy") if name == "epsilon" else CONFIG
    before, after = (jax.tree.leaves(outcome(x)) for x in (c, replace(c, **{name: OTHER[name]})))
    assert any(a.shape != b.shape or (np.asarray(a) != np.asarray(b)).any() for a, b in zip(before, after, strict=True))
    assert OTHER.keys() == vars(CONFIG).keys()


BAD = {"num_options": 0, "discount": 1.5, "critic_rate": 0.0, "policy_rate": -1.0, "termination_rate": -0.1,
       "temperature": 0.0, "choice": "best", "option_temperature": 0.0, "epsilon": 2.0, "deliberation_cost": -1.0,
       "initial_spread": -1.0}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_settings_are_refused(name):
    broken = object.__new__(oc.Config)  # past the type checker of the tests, which users do not have
    for field, value in vars(CONFIG).items():
        object.__setattr__(broken, field, BAD[name] if field == name else value)
    with pytest.raises(UserError, match=f"{name} = .*must"):
        broken.__post_init__()


def test_more_windows_than_episodes_are_refused(corridor):
    with pytest.raises(UserError, match="windows = 3"):
        oc.train(corridor[1], stacked(oc.Config(), 1), jax.random.split(jax.random.key(0), 1), episodes=2, windows=3)
