"""Measurements of a run against closed forms, double loops and cases whose answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.control import diagnosis as dg


def transitions(key, num=32, actions=3):
    keys = jax.random.split(key, 5)
    obs, last = (jax.random.normal(k, (num, 4)) for k in keys[:2])
    action = jax.random.randint(keys[2], (num,), 0, actions)
    return dg.Transitions(
        obs, action, jax.random.normal(keys[3], (num,)), jax.random.bernoulli(keys[4], 0.3, (num,)), last
    )


WEIGHT = jax.random.normal(jax.random.key(9), (4, 3))
OTHER = jax.random.normal(jax.random.key(8), (4, 3))


def test_bellman_errors_are_the_loop(key):
    data = transitions(key)
    found = dg.bellman_errors(lambda o: o @ WEIGHT, lambda o: o @ OTHER, data, 0.9)
    for i, (obs, action, reward, over, last) in enumerate(zip(*(np.asarray(x) for x in data), strict=True)):
        follows = 0 if over else 0.9 * (last @ np.asarray(OTHER)).max()
        assert float(found[i]) == pytest.approx(reward + follows - (obs @ np.asarray(WEIGHT))[action], abs=1e-4)


def test_returns_to_go_are_the_double_loop():
    reward = np.array([1.0, -2.0, 0.5, 3.0])
    found, after = dg.returns_to_go(jnp.asarray(reward, jnp.float32), 0.8, 10.0)
    expected = [sum(0.8**k * r for k, r in enumerate(reward[t:])) + 0.8 ** (4 - t) * 10 for t in range(4)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(after, [0.8**4, 0.8**3, 0.8**2, 0.8], rtol=1e-5)


def test_ranks_of_known_matrices(key):
    assert float(dg.effective_rank(jnp.eye(6))) == pytest.approx(6, rel=1e-4)
    one = jnp.outer(jnp.arange(1.0, 8), jnp.array([1.0, 2, 3]))
    assert float(dg.effective_rank(one)) == pytest.approx(1, abs=1e-3)
    assert float(dg.effective_rank(jnp.zeros((5, 3)))) == 1
    turned = jnp.linalg.qr(jax.random.normal(key, (9, 4)))[0] * jnp.array([[90.0, 9.0, 0.9, 0.1]])
    assert int(dg.threshold_rank(turned, 0.02)) == 2 and int(dg.threshold_rank(turned, 1e-4)) == 4


def test_the_kernel_of_a_linear_function_is_its_features_product(key):
    data = transitions(key, 6)
    k = dg.kernel(lambda p: dg.taken(data.obs @ p["w"], data.action), {"w": WEIGHT})
    same = np.asarray(data.action)[:, None] == np.asarray(data.action)[None]
    np.testing.assert_allclose(k, np.where(same, data.obs @ data.obs.T, 0), rtol=1e-4, atol=1e-5)
    expected = [sum(abs(float(k[i, j])) for j in range(6) if j != i) / 6 / float(k[i, i]) for i in range(6)]
    np.testing.assert_allclose(dg.row_ratios(k), expected, rtol=1e-4)
    np.testing.assert_allclose(dg.row_ratios(jnp.eye(4)), 0, atol=1e-7)  # a table generalises to nothing


def test_a_step_moves_q_as_the_kernel_says(key):
    """Q' = Q + α K δ to first order: the kernel against finite differences of a small network."""
    data = transitions(key, 5)
    params = {"a": 0.3 * jax.random.normal(key, (4, 7)), "b": WEIGHT[:, :1].repeat(3, 1)[:1].repeat(7, 0)}
    values = lambda p: dg.taken(jnp.tanh(data.obs @ p["a"]) @ p["b"], data.action)  # noqa: E731
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


def look(key, **changes):
    """A perfect run: Q is its own target, fresh data are like the buffer's, returns are what Q says."""
    q = lambda o: o @ WEIGHT  # noqa: E731
    still = transitions(key, 64)._replace(terminated=jnp.ones(64, bool))
    still = still._replace(reward=dg.taken(q(still.obs), still.action))
    whole = dict(q=q, target=q, earlier=q, features=lambda o: o, kernel=jnp.eye(8), buffer=still, fresh=still,
                 returns=still.reward, discount=0.9)  # fmt: skip
    return dg.Look(**(whole | changes))


def found_limits(x):
    found = {name: float(v) for name, v in dg.measure(x).items()}
    assert found.keys() == dg.MEASURES.keys() and np.isfinite(list(found.values())).all()
    return [name for name, times, says in dg.limits(found) if times > 1 and says]


def test_a_sound_run_has_no_limits_and_each_fault_is_named(key):
    sound = look(key)
    assert found_limits(sound) == []
    off = sound.buffer._replace(reward=sound.buffer.reward + 5 * jax.random.normal(key, (64,)))
    assert found_limits(look(key, buffer=off)) == ["fit"]
    assert found_limits(look(key, fresh=off)) == ["gap"]
    assert found_limits(look(key, returns=sound.returns - 10)) == ["overestimate"]
    assert found_limits(look(key, features=lambda o: jnp.outer(o[:, 0], jnp.ones(50)))) == ["rank"]
    assert found_limits(look(key, kernel=jnp.ones((8, 8)) - 0.9 * jnp.eye(8))) == ["row_ratio"]
    live = sound.buffer._replace(terminated=jnp.zeros(64, bool))
    assert "drift" in found_limits(look(key, buffer=live, earlier=lambda o: o @ WEIGHT + 20))
    away = sound.fresh._replace(obs=sound.fresh.obs + 50)
    away = away._replace(reward=dg.taken(away.obs @ WEIGHT, away.action))
    assert found_limits(look(key, fresh=away, returns=away.reward)) == ["reach"]
