"""Each ψ against its definition: numeric conjugates, Fenchel-Young, closed forms, and the theorem on random MDPs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theodolite.core import newton, tabular
from theodolite.core.errors import UserError
from theodolite.intent import psi as psis
from theodolite.intent import psi_experiments, psi_solvers

NAMES = ("constant", "l2_ball", "simplex", "logistic", "exponential", "quadratic")
SHAPE, FEATURES = (4, 3), 5

# unconstrained parameters of every cost in the domain of ψ, written here independently of the module
PARAMETERS = {
    "constant": lambda v, f: v[:12].reshape(SHAPE),
    "l2_ball": lambda v, f: f @ (v[:FEATURES] / jnp.maximum(1, jnp.linalg.norm(v[:FEATURES]))),
    "simplex": lambda v, f: f @ jax.nn.softmax(v[:FEATURES]),
    "logistic": lambda v, f: -jnp.exp(v[:12]).reshape(SHAPE),
    "exponential": lambda v, f: -jnp.exp(v[:12]).reshape(SHAPE),
    "quadratic": lambda v, f: v[:12].reshape(SHAPE),
}


@pytest.fixture(autouse=True)
def double():
    """All of this needs float64."""
    with jax.enable_x64(True):
        yield


def draw(seed):
    """Two normalised occupancies, features, and parameters of random costs."""
    a, b, c, d = jax.random.split(jax.random.key(seed), 4)
    policy, expert = (jax.nn.softmax(jax.random.normal(k, (12,))).reshape(SHAPE) for k in (a, b))
    return policy, expert, jax.random.normal(c, (*SHAPE, FEATURES)), jax.random.normal(d, (200, 12))


@functools.partial(jax.jit, static_argnums=0)
def numeric_supremum(name, policy, expert, features, starts):
    """sup_c x·c - ψ(c) by random search, then gradient ascent (Adam, falling rate) from the best draw."""
    psi = psis.registry(features, strength=0.7)[name]

    def gain(v):
        c = PARAMETERS[name](v, features)
        return jnp.sum((policy - expert) * c) - (0 if name in ("l2_ball", "simplex") else psi.value(c, expert))

    def climb(carry, t):
        v, m, s = carry
        g = jax.grad(gain)(v)
        m, s = 0.9 * m + 0.1 * g, 0.99 * s + 0.01 * g**2
        rate = 0.3 * jnp.exp(-t / 500)
        return (v + rate * m / (jnp.sqrt(s) + 1e-12), m, s), None

    gains = jax.vmap(gain)(starts)
    best = starts[jnp.argmax(gains)]
    (v, _, _), _ = jax.lax.scan(climb, (best, jnp.zeros_like(best), jnp.zeros_like(best)), jnp.arange(6_000.0))
    in_domain = psi.value(PARAMETERS[name](v, features), expert) < jnp.inf
    return gain(v), jnp.max(gains), in_domain


@pytest.mark.parametrize("name", [n for n in NAMES if n != "constant"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_conjugate_is_the_numeric_supremum(name, seed):
    policy, expert, features, starts = draw(seed)
    psi = psis.registry(features, strength=0.7)[name]
    supremum, searched, in_domain = numeric_supremum(name, policy, expert, features, starts)
    closed = psi.conjugate(policy, expert)
    assert bool(in_domain) and searched <= closed + 1e-12
    np.testing.assert_allclose(closed, supremum, atol=2e-5)
    c = psi.best_cost(policy, expert)
    np.testing.assert_allclose(jnp.sum((policy - expert) * c) - psi.value(c, expert), closed, atol=1e-12)


def test_constant_allows_equality_only():
    policy, expert, _, _ = draw(0)
    psi = psis.constant()
    assert psi.conjugate(expert, expert) == 0 and psi.conjugate(policy, expert) == jnp.inf
    gains = [
        float(jnp.sum((policy - expert) * k * (policy - expert)) - psi.value(policy, expert)) for k in (1, 10, 100)
    ]
    assert gains[2] == pytest.approx(100 * gains[0]) and gains[0] > 0  # unbounded along any mismatch


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000), name=st.sampled_from(NAMES))
def test_fenchel_young(seed, name):
    policy, expert, features, starts = draw(seed)
    psi = psis.registry(features, strength=0.7)[name]
    c = PARAMETERS[name](starts[0], features)
    assert float(psi.value(c, expert) + psi.conjugate(policy, expert)) >= float(jnp.sum((policy - expert) * c)) - 1e-12
    if psi.best_cost is not None:  # the biconjugate: at x = policy - expert, c = best cost is where ψ** = ψ is attained
        best = psi.best_cost(policy, expert)
        slack = psi.value(best, expert) + psi.conjugate(policy, expert) - jnp.sum((policy - expert) * best)
        assert abs(float(slack)) < 1e-12


@pytest.mark.parametrize("name", ["l2_ball", "simplex"])
def test_costs_outside_the_class_are_infinitely_bad(name):
    _, expert, features, _ = draw(0)
    psi = psis.registry(features)[name]
    weights = jnp.eye(FEATURES)[0]
    assert psi.value(features @ weights, expert) == 0
    assert psi.value(features @ (1.1 * weights), expert) == jnp.inf
    assert psi.value(features @ weights + jnp.eye(4, 3), expert) == jnp.inf


@pytest.mark.parametrize("name", ["logistic", "exponential"])
def test_surrogates_loss_reward_and_cost_are_one_thing(name):
    policy, expert, features, _ = draw(3)
    psi = psis.registry(features)[name]

    def loss(z):  # the population loss of logits z of "expert"
        each = (
            jax.vmap(jax.vmap(lambda zi: psi.loss(zi, jnp.full((), jnp.inf))))(z),
            jax.vmap(jax.vmap(lambda zi: psi.loss(jnp.full((), -jnp.inf), zi)))(z),
        )
        return jnp.sum(policy * each[0] + expert * each[1])

    z = jnp.log(expert / policy) * (1 if name == "logistic" else 0.5)
    np.testing.assert_allclose(jax.grad(loss)(z), 0, atol=1e-12)
    np.testing.assert_allclose(-loss(z), psi.conjugate(policy, expert), atol=1e-12)
    np.testing.assert_allclose(-psi.reward_map(z), psi.best_cost(policy, expert), atol=1e-12)
    if name == "logistic":
        js = psi_experiments.jensen_shannon(policy, expert)
        np.testing.assert_allclose(psi.conjugate(policy, expert), 2 * js - 2 * np.log(2), atol=1e-12)
        np.testing.assert_allclose(psis.REWARD_MAPS["softplus"](z), psi.reward_map(z))
    else:
        hellinger = jnp.sum((jnp.sqrt(policy) - jnp.sqrt(expert)) ** 2)
        np.testing.assert_allclose(psi.conjugate(policy, expert), hellinger - 2, atol=1e-12)


def test_reward_maps_descend_the_divergences_they_are_named_for():
    policy, expert, _, _ = draw(4)
    z = jnp.log(expert / policy)
    expect = {name: float(jnp.sum(policy * psis.reward_map(name)(z))) for name in psis.REWARD_MAPS}
    assert expect["logit"] == pytest.approx(-float(jnp.sum(policy * jnp.log(policy / expert))))
    assert expect["fairl"] == pytest.approx(-float(jnp.sum(expert * jnp.log(expert / policy))))
    assert expect["log_sigmoid"] <= 0 <= expect["softplus"]
    with pytest.raises(UserError, match="softplus"):
        psis.reward_map("soft_plus")


@pytest.mark.parametrize("name", ["logistic", "exponential"])
def test_conjugates_are_finite_where_occupancies_vanish(name):
    policy, expert = jnp.array([[0.5, 0.5, 0.0, 0.0]]), jnp.array([[0.5, 0.0, 0.5, 0.0]])
    psi = psis.registry(psis.one_hot_features(1, 4))[name]
    assert np.isfinite(psi.conjugate(policy, expert))
    cost = psi.best_cost(policy, expert)
    assert cost[0, 1] == 0 and not np.any(np.isnan(cost))  # what the expert never does costs the most, 0


def test_smoothed_conjugates_tend_to_the_true_ones():
    policy, expert, features, _ = draw(5)
    for name in ("l2_ball", "simplex"):
        psi = psis.registry(features)[name]
        gradient = jax.grad(psi.smooth)(policy, expert, jnp.float64(1e-9))
        np.testing.assert_allclose(psi.smooth(policy, expert, 1e-9), psi.conjugate(policy, expert), atol=1e-6)
        np.testing.assert_allclose(gradient, psi.best_cost(policy, expert), atol=1e-6)
        numeric = jax.jacfwd(jax.grad(psi.smooth))(policy, expert, jnp.float64(0.1))
        bump = 1e-6 * jnp.eye(4, 3)
        up, down = (jax.grad(psi.smooth)(policy + k * bump, expert, jnp.float64(0.1)) for k in (1, -1))
        np.testing.assert_allclose(jnp.einsum("abcd,cd->ab", numeric, jnp.eye(4, 3)), (up - down) / 2e-6, atol=1e-6)


@functools.cache
def table():
    return psi_experiments.exactness_table(3, num_mdps=6)


@pytest.mark.parametrize("name", NAMES)
def test_occupancy_matching_and_rl_after_irl_give_one_policy(name):
    for row in table():
        if row["psi"] == name:
            assert row["codes"] == newton.CONVERGED
            assert max(row["occupancy_difference"], row["policy_difference"], row["value_difference"]) < 1e-6
            if name == "constant":
                assert row["matching_error"] < 1e-6
            else:
                assert row["matching_error"] > 1e-4  # the entropy pulls away from the expert
            if name == "logistic":
                assert row["js_error"] < 1e-12


@pytest.mark.parametrize("name", ["logistic", "quadratic"])
def test_the_adversarial_game_ends_at_the_same_saddle_point_below_all_policies(name):
    task = psi_experiments.random_task(jax.random.key(7))
    psi = psis.registry(task.features)[name]
    expert = tabular.occupancy(task.mdp, task.expert, normalised=True)
    game = jax.jit(lambda e: psi_solvers.adversary(psi, task.mdp, e, 0.1, tolerance=1e-8))(expert)
    best = jax.jit(lambda e: psi_solvers.direct(psi, task.mdp, e, 0.1))(expert)

    @jax.jit
    def near(seed):
        policy = jax.nn.softmax(jnp.log(best.policy) + jax.random.normal(jax.random.key(seed), (16, 4)))
        return psi_solvers.objective(psi, tabular.occupancy(task.mdp, policy, normalised=True), expert, 0.1)

    assert int(game.code) == newton.CONVERGED and 0 <= game.gap < 1e-7
    np.testing.assert_allclose(game.occupancy, best.occupancy, atol=1e-4)
    for seed in range(20):
        assert near(seed) > best.objective
