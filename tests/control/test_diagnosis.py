"""Measurements of a run against closed forms, double loops and cases whose answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.control import diagnosis as dg
from theodolite.control import ntk

WEIGHT = jax.random.normal(jax.random.key(9), (4, 3))


def pairs(key, num=32, actions=3):
    return jax.random.normal(key, (num, 4)), jax.random.randint(key, (num,), 0, actions)


def test_returns_to_go_are_the_double_loop():
    reward = np.array([1.0, -2.0, 0.5, 3.0])
    found, after = dg.returns_to_go(jnp.asarray(reward, jnp.float32), 0.8, 10.0)
    expected = [sum(0.8**k * r for k, r in enumerate(reward[t:])) + 0.8 ** (4 - t) * 10 for t in range(4)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(after, [0.8**4, 0.8**3, 0.8**2, 0.8], rtol=1e-5)


def test_ranks_of_known_matrices():
    assert float(dg.effective_rank(jnp.eye(6))) == pytest.approx(6, rel=1e-4)
    one = jnp.outer(jnp.arange(1.0, 8), jnp.array([1.0, 2, 3]))
    assert float(dg.effective_rank(one)) == pytest.approx(1, abs=1e-3)
    assert float(dg.effective_rank(jnp.zeros((5, 3)))) == 1


def test_the_kernel_of_a_linear_function_is_its_features_product(key):
    obs, action = pairs(key, 6)
    k = dg.kernel(lambda p: dg.taken(obs @ p["w"], action), {"w": WEIGHT})
    same = np.asarray(action)[:, None] == np.asarray(action)[None]
    np.testing.assert_allclose(k, np.where(same, obs @ obs.T, 0), rtol=1e-4, atol=1e-5)
    expected = [sum(abs(float(k[i, j])) for j in range(6) if j != i) / 6 / float(k[i, i]) for i in range(6)]
    np.testing.assert_allclose(ntk.row_ratios(k), expected, rtol=1e-4)
    np.testing.assert_allclose(ntk.row_ratios(jnp.eye(4)), 0, atol=1e-7)  # a table generalises to nothing


def test_a_step_moves_q_as_the_kernel_says(key):
    """Q' = Q + α K δ to first order: the kernel against finite differences of a small network."""
    obs, action = pairs(key, 5)
    params = {"a": 0.3 * jax.random.normal(key, (4, 7)), "b": WEIGHT[:, :1].repeat(3, 1)[:1].repeat(7, 0)}
    values = lambda p: dg.taken(jnp.tanh(obs @ p["a"]) @ p["b"], action)  # noqa: E731
    delta, rate = jnp.arange(1.0, 6), 1e-4
    step = jax.grad(lambda p: values(p) @ delta)(params)
    moved = values(jax.tree.map(lambda x, g: x + rate * g, params, step)) - values(params)
    np.testing.assert_allclose(moved / rate, dg.kernel(values, params) @ delta, rtol=2e-2, atol=2e-2)


def test_reach_is_one_for_one_distribution_and_large_for_another(key):
    keys = jax.random.split(key, 3)
    buffer, same, far = (jax.random.normal(k, (200, 2)) for k in keys)
    assert 0.5 < float(dg.reach(buffer, same)) < 1.7
    assert float(dg.reach(buffer, far + 20)) > 10
    assert float(dg.reach(1e3 * buffer, 1e3 * same)) == pytest.approx(float(dg.reach(buffer, same)), rel=0.05)


def test_reach_heeds_neither_offsets_nor_what_never_changes(key):
    buffer, policy = (jax.random.normal(k, (200, 3)) for k in jax.random.split(key))
    for away in (0.0, 10.0):
        plain = pytest.approx(float(dg.reach(buffer, policy + away)), rel=1e-2)
        assert float(dg.reach(buffer + 1e3, policy + away + 1e3)) == plain
        with_constant = (jnp.pad(x, ((0, 0), (0, 1)), constant_values=0.1) for x in (buffer, policy + away))
        assert float(dg.reach(*with_constant)) == plain
    assert float(dg.reach(buffer, policy + 10)) > 10


TURNABLE = {"double", "target_every", "hidden"}


def rows(key, error=0.0, away=0.0):
    obs = jax.random.normal(key, (64, 4))
    target = 3 * obs[:, 0]
    return dg.Rows(obs + away, target + error * jax.random.normal(jax.random.fold_in(key, 1), (64,)), target)


def look(key, **changes):
    """A sound run: Q is near its targets everywhere, what is held out and what is played are like the buffer."""
    buffer, held_out, played = (rows(k, 0.1) for k in jax.random.split(key, 3))
    net = dict(features=buffer.obs, fresh=buffer.obs, kernel=jnp.eye(8), moved=jnp.full(64, 0.1), largest=10.0)
    net = dict(features=buffer.obs, fresh=buffer.obs, kernel=jnp.eye(8), moved=jnp.full(64, 0.1), largest=10.0)
    whole = dict(buffer=buffer, held_out=held_out, played=played, returns=played.q, cut=jnp.zeros(64), **net)
    return dg.Look(**(whole | changes))


def measured(x):
    found = {name: float(v) for name, v in dg.measure(x).items()}
    assert found.keys() == dg.MEASURES.keys()
    return {name: v if np.isfinite(v) else None for name, v in found.items()}


def found_limits(x):
    return [one.name for one in dg.limits(measured(x), TURNABLE)]


def test_a_sound_run_has_no_limits_and_each_fault_is_named(key):
    sound = look(key)
    assert found_limits(sound) == []
    assert found_limits(look(key, held_out=rows(key, 1.0))) == ["gap"]
    assert found_limits(look(key, played=rows(key, 1.0), returns=rows(key, 1.0).q)) == ["shift"]
    assert found_limits(look(key, returns=sound.returns - 10)) == ["overestimate"]
    flat = jnp.outer(sound.features[:, 0], jnp.ones(4))
    assert found_limits(look(key, features=flat, fresh=jnp.eye(64))) == ["rank"]
    assert found_limits(look(key, kernel=jnp.ones((8, 8)))) == ["row_ratio"]  # of eight rows alike: 7/8
    assert found_limits(look(key, moved=jnp.full(64, 9.0))) == ["drift"]
    far = rows(key, 0.1, away=50.0)
    assert found_limits(look(key, played=far, returns=far.q)) == ["reach"]
    bad = {
        name: rows(k, 5.0) for name, k in zip(("buffer", "held_out", "played"), jax.random.split(key, 3), strict=True)
    }
    assert found_limits(look(key, **bad, returns=bad["played"].q)) == ["fit"]


def test_divergence_comes_before_all_advice_and_advice_names_what_can_be_turned(key):
    blown = look(key, buffer=rows(key, 1e6), largest=1.0)
    first, *rest = dg.limits(measured(blown), TURNABLE)
    assert first.name == "diverged" and rest[0].name == "fit" and rest[0].times > 0
    assert first.says.endswith("Try a larger --target-every or --double.")
    assert "--double" not in dg.limits(measured(blown), {"target_every"})[0].says
    assert dg.said(dg.RULES["excess"], set()) == dg.RULES["excess"].says


def test_a_bias_shows_in_full_through_returns_that_a_time_limit_cut():
    """Q = V + 2 everywhere, the rest of the return from Q: what is missing of the bias is what the cut repeats."""
    reward, discount = jnp.ones(20), 0.9
    value = jnp.full(20, 1 / (1 - discount))  # of a reward of 1 for ever
    returns, weight = dg.returns_to_go(reward, discount, value[0] + 2)
    played = dg.Rows(jnp.zeros((20, 4)), value + 2, value)
    found = dg.measure(look(jax.random.key(0), played=played, returns=returns, cut=weight))
    spread = jnp.std(look(jax.random.key(0)).buffer.target)
    assert float(found["overestimate"]) == pytest.approx(2 / float(spread), rel=1e-4)
    nothing = dg.measure(look(jax.random.key(0), played=played, returns=returns, cut=jnp.ones(20)))
    assert np.isnan(nothing["overestimate"])


def test_what_a_run_does_not_allow_is_not_measured(key):
    found = measured(look(key, held_out=None, moved=None))
    assert [name for name, v in found.items() if v is None] == ["validation", "gap", "drift"]
    assert dg.limits(found, TURNABLE) == []
