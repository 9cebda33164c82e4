"""The structured kernel against plain Jacobians, and the moduli of the operators where they are exact."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.control import diagnosis, ntk
from theodolite.core import oracle
from theodolite.core.nets import mlp, orthogonal
from theodolite.envs import oracles

GAMMA = 0.95


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def batch(seed, num):
    keys = jax.random.split(jax.random.key(seed), 2)
    return jax.random.normal(keys[0], (num, 4)), jax.random.randint(keys[1], (num,), 0, 3)


def network(hidden, activation=jnp.sin):
    return mlp(jax.random.key(7), (4, *hidden, 3), hidden=orthogonal(1.4), head=orthogonal(1.0), activation=activation)


@pytest.mark.parametrize(("hidden", "activation"), [((), jnp.sin), ((6, 7), jnp.sin), ((5,), jax.nn.relu)])
def test_the_kernel_is_that_of_the_jacobian(hidden, activation):
    net, (obs, action), (other, taken) = network(hidden, activation), batch(0, 6), batch(1, 4)
    both = jnp.concatenate([obs, other]), jnp.concatenate([action, taken])
    plain = jax.jit(lambda net: diagnosis.kernel(lambda n: diagnosis.taken(n(both[0]), both[1]), net))(net)
    np.testing.assert_allclose(jax.jit(ntk.kernel)(net, obs, action), plain[:6, :6], rtol=1e-10)
    parts = jax.jit(ntk.parts)
    found = ntk.sum_of_layers(parts(net, obs, action), parts(net, other, taken))
    np.testing.assert_allclose(found, plain[:6, 6:], rtol=1e-10, atol=1e-12)


def test_a_push_is_the_gradient_and_moves_q_by_the_kernel():
    net, (obs, action), z = network((6,)), batch(0, 5), jnp.arange(1.0, 6)
    gradient = jax.jit(jax.grad(lambda n: diagnosis.taken(n(obs), action) @ z))(net)
    pushed = jax.jit(lambda net: ntk.pushed(net, ntk.parts(net, obs, action), z))(net)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12), pushed, gradient)
    rate = 1e-6
    moved = jax.tree.map(lambda x, g: x + rate * g, net, pushed)
    change = (diagnosis.taken(moved(obs), action) - diagnosis.taken(net(obs), action)) / rate
    np.testing.assert_allclose(change, jax.jit(ntk.kernel)(net, obs, action) @ z, rtol=1e-4)


def test_a_single_output_needs_no_actions():
    net = mlp(jax.random.key(3), (4, 6, 5, 1), hidden=orthogonal(1.4), head=orthogonal(1.0), activation=jnp.sin)
    obs, _ = batch(0, 6)
    plain = jax.jit(lambda net: diagnosis.kernel(lambda n: n(obs)[:, 0], net))(net)
    np.testing.assert_allclose(jax.jit(ntk.kernel)(net, obs), plain, rtol=1e-10)
    x = jax.jit(ntk.parts)(net, obs)
    np.testing.assert_allclose(x.q, net(obs)[:, 0], rtol=1e-12)


@pytest.fixture
def world():
    return oracles.grid(3, "onehot", horizon=5)


def backup(world, q):
    return oracle.backup(world, q.reshape(world.reward.shape), 0.0).ravel()


def lipschitz(world, k, rho, rate):
    """The largest growth of a difference that random pairs of Q show."""
    draws = np.random.default_rng(0).normal(size=(200, 2, world.reward.size))
    ends = np.asarray(_stepped(world, jnp.asarray(draws), k, rho, rate))
    gaps = [np.abs(x[:, 0] - x[:, 1]).max(-1) for x in (ends, draws)]
    return float((gaps[0] / gaps[1]).max())


@jax.jit
def _stepped(world, draws, k, rho, rate):
    return jax.vmap(jax.vmap(lambda q: ntk.step(q, backup(world, q), k, rho, rate)))(draws)


@jax.jit
def repeated(world, k, rho, rate, times):
    """Q after many steps from 0."""
    go = lambda _, q: ntk.step(q, backup(world, q), k, rho, rate)  # noqa: E731
    return jax.lax.fori_loop(0, times, go, jnp.zeros(world.reward.size))


def test_tables_have_the_moduli_of_the_first_two_operators(world):
    num = world.reward.size
    table, flat = jnp.eye(num), jnp.ones(num)
    assert float(ntk.modulus(table, flat, 0.3, GAMMA)) == pytest.approx(1 - (1 - GAMMA) * 0.3)
    rho = jnp.linspace(0.2, 1, num)
    assert float(ntk.modulus(table, rho, 0.5, GAMMA)) == pytest.approx(1 - (1 - GAMMA) * 0.5 * 0.2)
    assert float(ntk.modulus(table, rho.at[3].set(0), 0.5, GAMMA)) == 1  # data missing: a non-expansion only
    q = jnp.ones(num)
    np.testing.assert_allclose(ntk.step(q, backup(world, q), table, flat, 1.0), backup(world, q))


@pytest.mark.parametrize("spill", [0.0, 2e-4, 0.05])
def test_a_linear_step_stays_within_its_modulus_and_contracts_where_the_theorem_says(world, spill):
    num = world.reward.size
    k = jnp.asarray(np.eye(num) + spill * np.random.default_rng(2).uniform(-0.5, 0.5, (num, num)))
    rho = jnp.full(num, 1 / num)
    rate = 0.8 * num
    beta = float(ntk.modulus(k, rho, rate, GAMMA))
    assert lipschitz(world, k, rho, rate) <= beta + 1e-12
    assert bool(ntk.sufficient(k, rho, rate, GAMMA).all()) == (beta < 1) == (spill < 0.01)
    if beta < 1:
        end = repeated(world, k, rho, rate, 2_000)
        np.testing.assert_allclose(end, oracle.optimal(world, 0.0).ravel(), atol=1e-6)


def test_too_large_a_step_diverges_on_a_table(world):
    num = world.reward.size
    flat = jnp.ones(num)
    assert float(ntk.modulus(jnp.eye(num), flat, 2.5, GAMMA)) > 1
    assert float(jnp.max(jnp.abs(repeated(world, jnp.eye(num), flat, 2.5, 200)))) > 1e6


def test_operators_of_one_fixed_point_may_change_from_step_to_step(world):
    """Kernels and data of its own at every step: Q* stays nearer than the product of the moduli says."""
    num, rng, steps = world.reward.size, np.random.default_rng(3), 40
    best, q = oracle.optimal(world, 0.0).ravel(), jnp.zeros(world.reward.size)
    moduli, gaps = [], [float(jnp.max(jnp.abs(q - best)))]
    for _ in range(steps):
        k = jnp.asarray(np.eye(num) + 4e-4 * rng.uniform(-0.5, 0.5, (num, num)))
        rho, rate = jnp.asarray(rng.uniform(0.5, 1, num)), rng.uniform(0.3, 0.9)
        moduli.append(float(ntk.modulus(k, rho, rate, GAMMA)))
        q = _once(world, q, k, rho, rate)
        gaps.append(float(jnp.max(jnp.abs(q - best))))
    assert max(moduli) < 1 and len(set(moduli)) == steps
    assert (np.array(gaps[1:]) <= gaps[0] * np.cumprod(moduli) + 1e-9).all() and gaps[-1] < 0.9 * gaps[0]


@jax.jit
def _once(world, q, k, rho, rate):
    return ntk.step(q, backup(world, q), k, rho, rate)


def test_a_pair_without_data_moves_only_as_others_move_it(world):
    num = world.reward.size
    rho, q = jnp.ones(num).at[4].set(0), jnp.arange(num, dtype=float)
    alone = ntk.step(q, backup(world, q), jnp.eye(num), rho, 0.5)
    assert alone[4] == q[4] and (alone != q).sum() == num - 1
    spilling = jnp.eye(num).at[4, 5].set(0.3)
    moved = ntk.step(q, backup(world, q), spilling, rho, 0.5)
    np.testing.assert_allclose(moved[4] - q[4], 0.5 * 0.3 * (backup(world, q) - q)[5])
    assert float(ntk.modulus(spilling, rho, 0.5, GAMMA)) > 1
