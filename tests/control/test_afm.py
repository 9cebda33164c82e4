"""Adversarial feature matching against SciPy, its limits, and what it promises of coverage."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from theodolite.control import afm
from theodolite.control.weightings import Minibatch

N, F = 24, 3
TIGHT = afm.Config(kappa=1.0, epsilon=0.05)


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def items():
    keys = jax.random.split(jax.random.key(0), 3)
    losses, base = jax.random.exponential(keys[0], (N,)), jax.random.dirichlet(keys[2], jnp.ones(N))
    return losses, jax.random.normal(keys[1], (N, F)) + losses[:, None], base


distribution = jax.jit(afm.distribution)


def test_the_dual_is_minimised_as_scipy_does(items):
    losses, centred = afm.scaled(*items)
    solved = afm.solve(TIGHT, losses, centred, items[2], jnp.zeros(F))

    f = jax.jit(lambda nu: afm.dual_objective(TIGHT, losses, centred, items[2], nu, afm.SMOOTHING[-1]))
    other = optimize.minimize(lambda nu: float(f(nu)), np.full(F, 0.1), jac=jax.grad(f), tol=1e-12)
    np.testing.assert_allclose(solved.x, other.x, atol=2e-5)
    assert f(solved.x) <= other.fun + 1e-10


def test_what_has_no_share_of_the_buffer_gets_none_whatever_its_loss():
    losses, base = jnp.array([1e-6, 1.1e-6, 0.9e-6, 1e-6, 5.0]), jnp.array([0.25, 0.25, 0.25, 0.25, 0.0])
    p = distribution(TIGHT, losses, jax.random.normal(jax.random.key(0), (5, F)), base)
    assert jnp.isfinite(p).all() and p[4] == 0 and p.sum() == pytest.approx(1)


def test_p_solves_the_primal_problem(items):
    """max E_p[l] - κ KL(p‖ρ) within ε, solved by SLSQP over the simplex."""
    losses, centred = (np.asarray(x) for x in afm.scaled(*items))
    base = np.asarray(items[2])
    p = np.asarray(distribution(TIGHT, *items))

    def descent(p):
        return -(p @ losses) + TIGHT.kappa * np.sum(p * np.log(np.maximum(p, 1e-300) / base))

    rules = [{"type": "eq", "fun": lambda p: p.sum() - 1},
             {"type": "ineq", "fun": lambda p: TIGHT.epsilon**2 - np.sum((p @ centred) ** 2)}]  # fmt: skip
    best = optimize.minimize(descent, base, bounds=[(1e-12, 1)] * N, constraints=rules, method="SLSQP",
                             options={"maxiter": 500, "ftol": 1e-13})  # fmt: skip
    assert np.linalg.norm(p @ centred) == pytest.approx(TIGHT.epsilon, rel=1e-3)  # the constraint binds
    assert descent(p) == pytest.approx(best.fun, abs=1e-4)
    np.testing.assert_allclose(p, best.x, atol=2e-3)


def test_much_heat_is_uniform_and_a_loose_constraint_is_boltzmann(items):
    losses, features, base = items
    np.testing.assert_allclose(distribution(replace(TIGHT, kappa=1e6), *items), base, atol=1e-5)
    loose = distribution(replace(TIGHT, epsilon=1e3), *items)
    relative = afm.scaled(*items)[0]
    np.testing.assert_allclose(loose, base * np.exp(relative) / (base * np.exp(relative)).sum(), atol=1e-4)
    strict, found = distribution(replace(TIGHT, epsilon=1e-3), *items), {}
    for name, p in {"strict": strict, "loose": loose}.items():
        found[name] = {k: float(v) for k, v in afm.measures(p, losses, features, base).items()}
    assert found["strict"]["mismatch"] < 2e-3 < found["loose"]["mismatch"]
    assert 1 < found["strict"]["gain"] < found["loose"]["gain"]
    assert afm.measures(base, losses, features, base)["effective"] == pytest.approx(1, abs=1e-6)


def test_mass_moves_only_among_items_of_the_same_features():
    losses = jnp.array([0.0, 4.0, 0.0, 0.0])
    features = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])  # the first two are aliased
    p = distribution(afm.Config(kappa=0.5, epsilon=0.0), losses, features)
    np.testing.assert_allclose(p[:2].sum(), 0.5, atol=1e-2)
    assert p[1] > 0.45 and p[0] < 0.05
    np.testing.assert_allclose(p[2:], 0.25, atol=1e-2)


@pytest.mark.parametrize("form", ["dual", "parametric"])
def test_an_adversary_learns_to_weigh_errors_up_within_the_features(form):
    """The error lies with one action; features do not see actions, so all mass may go there."""
    c = afm.Config(form=form, kappa=0.3, epsilon=0.1, learning_rate=0.02, hidden=(16,))
    obs = jnp.repeat(jnp.eye(4), 2, 0)
    action = jnp.tile(jnp.arange(2, dtype=jnp.int32), 4)
    batch = Minibatch(obs, action, action.astype(float), obs, jnp.ones(8), jnp.zeros(()))
    step = jax.jit(lambda s, _: afm.update(c, s, batch))
    s, first = step(afm.init(c, jax.random.key(0), (4, 2, 4)), None)
    s, p = jax.lax.scan(step, s, None, length=200)
    assert p[-1][action == 1].sum() > 0.9
    np.testing.assert_allclose(p[-1].reshape(4, 2).sum(1), 0.25, atol=0.06)
    np.testing.assert_allclose(first.sum(), 1, rtol=1e-5)


def test_equal_losses_change_nothing():
    features = jax.random.normal(jax.random.key(0), (6, 2))
    np.testing.assert_allclose(distribution(afm.Config(), jnp.zeros(6), features), 1 / 6, rtol=1e-5)
