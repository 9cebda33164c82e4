"""Fitted Q-iteration against value iteration, least squares and its own definitions, and what goes wrong on purpose."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.control import afm, fqi, fqi_projection, weightings
from theodolite.core import oracle
from theodolite.core.errors import UserError
from theodolite.envs import oracles

KEYS = jax.random.split(jax.random.key(1_000), 2)
SHORT = fqi.Config(hidden=(6,), iterations=3, max_steps=10, samples=20, batch_size=16)


@pytest.fixture(scope="module")
def world():
    return oracles.grid(4, "onehot", horizon=10)


@pytest.fixture(scope="module")
def scale(world):
    return oracle.scale(world, 0.1)


def first_q(c, world):
    """Q before the first iteration, for each key."""
    nets = jax.vmap(lambda k: fqi.fresh(c, jax.random.split(jax.random.split(k)[0])[0], world))(KEYS)
    return jax.vmap(lambda net: fqi.look(net, world)[0])(nets)


def test_a_table_fitted_to_convergence_is_value_iteration(optimised, world, scale):
    c = fqi.Config(hidden=None, iterations=3, max_steps=1_500, learning_rate=2e-2)
    for smoothing in (1.0, 0.25):
        state, seen = fqi.run(world, replace(c, smoothing=smoothing), KEYS)
        q = first_q(c, world)
        for _ in range(3):
            q = smoothing * jax.vmap(oracle.backup, (None, 0, None))(world, q, 0.1) + (1 - smoothing) * q
        np.testing.assert_allclose(state.q, q, atol=2e-3)
        assert (seen["steps"] < 1_500).all()  # stopped by itself
    pi = oracle.policy(state.q[0], 0.1)
    expected = scale.normalised(oracle.expected_return(world, pi))
    assert float(seen["return"][0, -1]) == pytest.approx(float(expected), rel=1e-4)
    worst = jnp.max(jnp.where(world.reachable[:, None], jnp.abs(state.q[1] - scale.q), 0)) / jnp.max(scale.q)
    assert float(seen["error"][1, -1]) == pytest.approx(float(worst), rel=1e-4)


def data_of(c, world, q):
    """One iteration's data from a given Q."""
    s = fqi.init(c, jax.random.key(0), world)
    s = fqi.State(s.net, s.opt, q, *(getattr(s, n) for n in ("replayed", "recent", "counts", "aside", "memory",
                  "weights", "errors", "iteration", "diverged")))  # fmt: skip
    visits = jnp.full_like(q, 1 / q.size)
    return jax.jit(partial(fqi.gathered, c))(s, jax.random.key(5), world, visits)


def test_sampled_losses_are_the_double_loop(world):
    q = jax.random.normal(jax.random.key(3), world.reward.shape)
    c = replace(SHORT, data="sampled")
    s, data = data_of(c, world, q)
    sight = weightings.Sight(world, None, 0.1, q, q, q, q, data.target, fqi.look(s.net, world)[1])
    loss, weights = fqi._objective(c, sight, data, weightings.uniform, weightings.UNIFORM, jnp.float32(0))
    table, value = fqi.look(s.net, world)[0], np.asarray(oracle.soft_max(q, 0.1))
    expected = 0.0
    successor, reward = np.asarray(world.mdp.successor), np.asarray(world.reward)
    for state, action, outcome in zip(*(np.asarray(x) for x in data.steps), strict=True):
        y = reward[state, action] + 0.95 * value[successor[state, action, outcome]]
        expected += (float(np.asarray(table)[state, action]) - y) ** 2 / c.samples
    assert float(jax.jit(loss)(s.net, (), jax.random.key(0))[0]) == pytest.approx(expected, rel=1e-4)
    assert float(weights.sum()) == pytest.approx(1) and float(s.counts.sum()) == c.samples
    assert float(jnp.sum(data.share * (table[..., None] - data.outcomes) ** 2)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("sampler", [weightings.UNIFORM, weightings.PRIORITIZED], ids=["uniform", "prioritized"])
def test_minibatch_losses_are_unbiased_or_corrected_to_be(world, sampler):
    """With β = 1 prioritised replay estimates the uniform loss up to the batch's normalisation."""
    q = jax.random.normal(jax.random.key(3), world.reward.shape)
    c = replace(SHORT, data="replay", batch_size=4_000)
    s, data = data_of(c, world, q)
    table, features = fqi.look(s.net, world)
    sight = weightings.Sight(world, None, 0.1, q, q, q, table, data.target, features)
    loss, odds = fqi._objective(c, sight, data, weightings.uniform, sampler, jnp.float32(1))
    found = float(jax.jit(loss)(s.net, (), jax.random.key(0))[0])
    exact = float(jnp.sum(data.share * (table[..., None] - data.outcomes) ** 2))
    assert float(odds.sum()) == pytest.approx(1, rel=1e-5)
    if sampler is weightings.UNIFORM:
        np.testing.assert_allclose(odds, data.share.sum(-1), atol=1e-6)
        assert found == pytest.approx(exact, rel=0.1)
    else:
        chances = sampler.odds(data.share, (table[..., None] - data.outcomes) ** 2)
        favour = jnp.where(data.share > 0, chances / jnp.where(data.share > 0, data.share, 1), jnp.inf)
        assert found == pytest.approx(exact * float(favour.min()), rel=0.1)  # the largest weight is of least favour
        assert float(jnp.max(favour)) < jnp.inf or float(favour.min()) < 1


PROGRAMS = {
    "exact": (replace(SHORT, stop="never"), weightings.UNIFORM),
    "sampled": (replace(SHORT, data="sampled", samples=5, stop="oracle"), weightings.UNIFORM),
    "replay": (replace(SHORT, data="replay", stop="held_out"), afm.sampler(afm.Config())),
}


@pytest.fixture(scope="module")
def ran(world):
    """Every kind of data once: configuration, last state, metrics."""
    return {name: (c, *fqi.run(world, c, KEYS, sampler=sampler)) for name, (c, sampler) in PROGRAMS.items()}


@pytest.mark.parametrize("name", PROGRAMS)
def test_seeds_do_not_touch_each_other_and_metrics_are_declared(world, ran, name):
    c, state, seen = ran[name]
    swapped, _ = fqi.run(world, c, KEYS[::-1], sampler=PROGRAMS[name][1])
    np.testing.assert_allclose(state.q, swapped.q[::-1], rtol=1e-4, atol=1e-5)
    assert (state.q[0] != state.q[1]).any()
    assert seen.keys() == fqi.METRICS.keys()
    assert all(v.shape == (2, 3) and np.isfinite(v).all() for v in seen.values())
    collected = np.asarray(state.counts.sum((1, 2, 3)) + state.aside.sum((1, 2, 3)))
    assert collected.tolist() == {"exact": [0, 0], "sampled": [5, 5], "replay": [60, 60]}[name]


def test_the_adversary_of_features_is_a_sampler_and_the_held_out_are_apart(ran):
    _, state, seen = ran["replay"]
    assert (np.abs(state.memory.nu).sum(1) > 0).all() and (state.aside.sum((1, 2, 3)) > 0).all()
    assert (seen["steps"] % fqi.REFRESH == 0).all()


def test_the_oracles_stop_keeps_the_best_of_what_was_seen(world):
    """A step too large makes errors rise again; what is kept is not worse by the exact error than the last."""
    c = replace(PROGRAMS["sampled"][0], learning_rate=0.5, iterations=1, max_steps=60)
    kept, seen = fqi.run(world, c, KEYS)
    target = jax.vmap(oracle.backup, (None, 0, None))(world, first_q(c, world), 0.1)
    last = jax.vmap(lambda net: fqi.look(net, world)[0])(kept.net)
    errors = [np.sum(kept.recent[:, 0] * (q - target) ** 2, (1, 2)) for q in (kept.q, last)]
    assert (errors[0] <= errors[1]).all() and (errors[0] < errors[1]).any()
    largest = float(oracle.scale(world, 0.1).q.max())
    np.testing.assert_allclose(seen["validation"][:, 0] * largest**2, errors[0], rtol=1e-3)


def test_divergence_is_caught_counted_and_finite(world):
    c = PROGRAMS["exact"][0]
    state, seen = fqi.run(world, replace(c, learning_rate=300.0), KEYS)
    assert (seen["diverged"][:, -1] == 1).all() and np.isfinite(state.q).all() and float(state.q.max()) <= fqi.CEILING
    assert all(np.isfinite(v).all() for v in seen.values())
    broken, seen = fqi.run(world, replace(c, learning_rate=1e38), KEYS)
    assert (seen["diverged"] == 1).all() and np.isfinite(broken.q).all()


def test_what_a_network_can_represent(optimised, world):
    exact = fqi_projection.projection_error(world, fqi.Config(hidden=None, learning_rate=2e-2), KEYS, steps=2_500)
    narrow = fqi_projection.projection_error(world, fqi.Config(hidden=(1,)), KEYS, steps=300)
    assert (exact < 5e-3).all() and (narrow > 0.1).all()


def test_what_contradicts_itself_is_refused():
    with pytest.raises(UserError, match="max_steps = 12: must be a multiple of 5"):
        fqi.Config(max_steps=12)
    with pytest.raises(UserError, match="stop = held_out: must be another with data = exact"):
        fqi.Config(stop="held_out")
