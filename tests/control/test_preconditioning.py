"""The preconditioned step against its definition: least squares, first order, the grid of rates, and giving up."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from theodolite.control import ntk, preconditioning
from theodolite.control.preconditioning import Rules
from theodolite.core import nets

NUM = 7
CLOSE = Rules("cholesky", 1e-10, 1e-8, np.array([1e-5]), -2.0)


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def problem(outputs=1, num=NUM, hidden=(9, 8)):
    keys = jax.random.split(jax.random.key(5), 4)
    net = nets.mlp(keys[0], (3, *hidden, outputs), hidden=nets.glorot(1.5), head=nets.glorot(1.0), activation=nets.sine)
    net = jax.tree.map(lambda x: x.astype(float) + 0.1, net)
    obs = jax.random.normal(keys[1], (num, 3), float)
    action = None if outputs == 1 else jax.random.randint(keys[2], (num,), 0, outputs)
    return net, obs, action, jax.random.normal(keys[3], (num,), float)


def values(net, obs, action):
    out = net(obs)
    return out[:, 0] if action is None else out[jnp.arange(len(obs)), action]


@partial(jax.jit, static_argnames="solver")
def _stepped(net, obs, action, error, solver, rest):
    return preconditioning.step(net, ntk.parts(net, obs, action), obs, action, error, Rules(solver, *rest))


def stepped(net, obs, action, error, rules):
    return _stepped(net, obs, action, error, rules.solver, tuple(rules[1:]))


def jacobian(net, obs, action):
    flat, restore = ravel_pytree(net)
    return np.asarray(jax.jacrev(lambda x: values(restore(x), obs, action))(flat))


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("solver", ["cholesky", "eigen"])
def test_the_step_is_the_least_squares_one_of_least_norm(outputs, solver):
    net, obs, action, error = problem(outputs)
    taken = stepped(net, obs, action, error, CLOSE._replace(solver=solver))
    least = np.linalg.lstsq(jacobian(net, obs, action), error, rcond=None)[0]
    moved = ravel_pytree(taken.net)[0] - ravel_pytree(net)[0]
    np.testing.assert_allclose(moved / 1e-5, least, rtol=1e-5, atol=1e-7)


def test_q_moves_by_the_errors_to_first_order():
    net, obs, action, error = problem(3)
    gaps = []
    for rate in (1e-3, 1e-4):
        taken = stepped(net, obs, action, error, CLOSE._replace(rates=jnp.array([rate])))
        change = np.asarray(values(taken.net, obs, action) - values(net, obs, action))
        np.testing.assert_allclose(taken.change, change, atol=1e-13)
        gaps.append(np.abs(change / rate - error).max())
        assert float(taken.alignment) > 0.999 and float(taken.attainable) == pytest.approx(1)
    assert gaps[0] / gaps[1] == pytest.approx(10, rel=0.2)  # what is left is of the next order


def test_duplicated_rows_make_the_truncated_solution_that_of_their_mean():
    net, obs, action, error = problem()
    twice = obs.at[1].set(obs[0])
    taken = stepped(net, twice, action, error, CLOSE._replace(solver="eigen"))
    wanted = error.at[:2].set(error[:2].mean())
    np.testing.assert_allclose(taken.change / 1e-5, wanted, rtol=1e-3)
    slack = float(jnp.linalg.norm(wanted) / jnp.linalg.norm(error))  # cosine of a projection with what it projects
    np.testing.assert_allclose([taken.attainable, taken.alignment], slack, rtol=1e-5)


def test_the_largest_rate_that_is_aligned_is_taken_and_networks_move_as_tried():
    net, obs, action, error = problem()
    rules = Rules("cholesky", 1e-9, 0.0, preconditioning.grid(64.0, 0.5, 18), 0.97)
    taken = stepped(net, obs, action, 3 * error, rules)
    z = preconditioning.solve(ntk.kernel(net, obs), 3 * error, rules)
    toward = ntk.pushed(net, ntk.parts(net, obs, None), z)
    slow = []
    for rate in np.asarray(rules.rates):
        moved = jax.tree.map(lambda x, d, r=rate: x + r * d, net, toward)
        change = np.asarray(values(moved, obs, None) - values(net, obs, None))
        slow.append(change @ error / np.linalg.norm(change) / np.linalg.norm(error))
    first = int(np.argmax(np.array(slow) >= 0.97))
    assert 0 < first < 17 and slow[first] >= 0.97
    np.testing.assert_allclose([taken.rate, taken.alignment], [rules.rates[first], slow[first]], rtol=1e-6)
    np.testing.assert_allclose(preconditioning.along(net, toward, obs, None, rules.rates)[first],
                               values(taken.net, obs, None), rtol=1e-9)  # fmt: skip


def test_none_accepted_changes_nothing_and_is_said():
    net, obs, action, error = problem()
    taken = stepped(net, obs, action, 50 * error, Rules("cholesky", 1e-9, 0.0, jnp.array([64.0]), 0.97))
    assert taken.skipped and taken.rate == taken.alignment == 0 and not taken.change.any()
    jax.tree.map(np.testing.assert_array_equal, taken.net, net)
    broken = stepped(net, obs, action, error.at[0].set(jnp.nan), CLOSE)
    assert not broken.multipliers.any() and bool(jnp.isfinite(ravel_pytree(broken.net)[0]).all())


def test_damping_caps_the_alignment_and_ends_at_the_semi_gradient():
    net, obs, action, error = problem()
    k = np.asarray(ntk.kernel(net, obs))
    mean, (s, basis) = np.diagonal(k).mean(), np.linalg.eigh(k)
    for damping in (0.01, 1.0):
        taken = stepped(net, obs, action, error, CLOSE._replace(damping=damping))
        w, d = s / (s + damping * mean), basis.T @ np.asarray(error)
        cap = (w * d**2).sum() / np.linalg.norm(d) / np.linalg.norm(w * d)
        np.testing.assert_allclose([taken.attainable, taken.alignment], cap, rtol=1e-4)
    rules = CLOSE._replace(damping=1.0, rates=preconditioning.grid(1.0, 0.1, 8), eta=0.97)
    assert cap < 0.97 and stepped(net, obs, action, error, rules).skipped
    much = 1e7
    taken = stepped(net, obs, action, error, CLOSE._replace(damping=much, rates=jnp.array([1.0])))
    gradient = jax.grad(lambda n: values(n, obs, action) @ error)(net)
    moved = ravel_pytree(taken.net)[0] - ravel_pytree(net)[0]
    np.testing.assert_allclose(moved * much * mean, ravel_pytree(gradient)[0], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(taken.multipliers * much * mean, error, rtol=1e-5)


def test_a_linear_network_is_exact_at_every_rate():
    net, obs, action, error = problem(hidden=(), num=3)
    taken = stepped(net, obs, action, error, CLOSE._replace(rates=jnp.array([0.7])))
    np.testing.assert_allclose(values(taken.net, obs, action), values(net, obs, action) + 0.7 * error, rtol=1e-6)
    ratio = [np.abs(np.delete(row, i)).sum() / row[i] / 3 for i, row in enumerate(np.asarray(ntk.kernel(net, obs)))]
    np.testing.assert_allclose(taken.row_ratio, np.mean(ratio))


def test_cosines_of_tiny_and_of_no_vectors():
    a, b = jnp.array([3e-25, 4e-25], jnp.float32), jnp.array([4, 3], jnp.float32)
    assert float(preconditioning.cosine(a, b)) == pytest.approx(0.96)
    assert preconditioning.cosine(0 * a, b) == 0 == preconditioning.cosine(a, b.at[0].set(jnp.inf))
