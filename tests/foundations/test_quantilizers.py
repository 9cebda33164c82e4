"""Quantilizers against linear programming, enumeration of all samples, closed forms, and their own bounds."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, stats

from theodolite.core.errors import UserError
from theodolite.foundations import quantilizers as qz


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def problem(seed: int, actions: int = 7, ties: bool = True):
    rng = np.random.default_rng(seed)
    base = rng.dirichlet(np.full(actions, 0.7))
    utility = rng.integers(0, 4, actions).astype(float) if ties else rng.normal(size=actions)
    return jnp.asarray(base), jnp.asarray(utility), float(rng.uniform(0.02, 1))


LAW = jax.jit(qz.quantile_law)
EACH_Q = jax.jit(jax.vmap(qz.quantile_law, in_axes=(None, None, 0)))
SOFTMAX = jax.jit(qz.softmax_with, static_argnums=3)


@pytest.mark.parametrize("ties", [False, True])
def test_no_law_under_the_cap_has_more_utility(ties):
    for seed in range(50):
        base, utility, q = problem(seed, ties=ties)
        law = np.asarray(LAW(base, utility, q))
        ceiling = np.asarray(base) / q
        found = optimize.linprog(-np.asarray(utility), A_eq=np.ones((1, 7)), b_eq=[1],
                                 bounds=np.stack([0 * ceiling, ceiling], 1))  # fmt: skip
        assert law.sum() == pytest.approx(1, abs=1e-12)
        assert np.all(law <= ceiling)
        assert law @ np.asarray(utility) == pytest.approx(-found.fun, abs=1e-9)


def test_the_bound_is_attained_by_a_cost_on_what_is_kept():
    for seed in range(50):
        base, utility, q = problem(seed, ties=False)
        law = LAW(base, utility, q)
        cost = jnp.where(law >= base / q * (1 - 1e-12), 1.0, 0.0)
        assert float(law @ cost) == pytest.approx(float(base @ cost) / q, rel=1e-12)
        other = jnp.asarray(np.random.default_rng(seed).exponential(size=7))
        assert float(law @ other) <= float(base @ other) / q + 1e-15


def test_actions_of_equal_utility_are_treated_alike():
    base = jnp.array([0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(LAW(base, jnp.ones(4), 0.25), base, atol=1e-15)
    np.testing.assert_allclose(LAW(base, jnp.array([1.0, 1.0, 0.0, 0.0]), 0.6), [0.1 / 0.6, 0.2 / 0.6, 3 / 14, 2 / 7])


def test_a_quantilizer_of_a_quantilizer():
    for seed in range(20):
        base, utility, q = problem(seed, ties=False)
        inner = LAW(base, utility, 0.6)
        np.testing.assert_allclose(LAW(inner, utility, q), LAW(base, utility, 0.6 * q), atol=1e-12)
        other = LAW(inner, -utility, q)
        assert np.all(np.asarray(other) <= np.asarray(base) / (0.6 * q) * (1 + 1e-12))


@pytest.mark.parametrize(("n", "m"), [(4, 1), (5, 3)])
def test_the_law_of_samples_counts_every_sample(n, m):
    base, utility = np.array([0.1, 0.25, 0.3, 0.35]), np.array([3.0, 1.0, 2.0, 1.5])
    slow = np.zeros(4)
    for draws in itertools.product(range(4), repeat=n):
        for chosen in sorted(draws, key=lambda a: -utility[a])[:m]:
            slow[chosen] += np.prod(base[list(draws)]) / m
    law = np.asarray(qz.sampled_law(jnp.asarray(base), jnp.asarray(utility), n, m))
    np.testing.assert_allclose(law, slow, atol=1e-12)
    assert np.all(law <= base * qz.certificate(n=n, m=m) + 1e-12)


def test_drawn_samples_follow_that_law(key):
    base, utility = jnp.array([0.1, 0.25, 0.3, 0.35]), jnp.array([3.0, 1.0, 2.0, 1.5])

    def draw(key):
        return qz.quantilize_samples(
            key, lambda k: jax.random.categorical(k, jnp.log(base)), lambda a: utility[a], 4, 2
        )

    counts = np.bincount(jax.jit(jax.vmap(draw))(jax.random.split(key, 4_000)), minlength=4)
    expected = 4_000 * np.asarray(qz.sampled_law(base, utility, 4, 2))
    assert stats.chisquare(counts, expected * 4_000 / expected.sum()).pvalue > 1e-3


def test_drawn_actions_follow_the_law_and_report_their_ratio(key):
    base, utility, _ = problem(3)
    actions, ratios = jax.jit(jax.vmap(lambda k: qz.quantilize(k, base, utility, 0.3)))(jax.random.split(key, 4_000))
    law = np.asarray(LAW(base, utility, 0.3))
    counts = np.bincount(actions, minlength=7)
    assert not counts[law == 0].any()
    assert stats.chisquare(counts[law > 0], 4_000 * law[law > 0] / law.sum()).pvalue > 1e-3
    assert float(ratios.max()) <= np.log(1 / 0.3) + 1e-12


def test_the_best_fraction_is_the_best_of_a_fine_grid():
    for seed in range(20):
        base, utility, _ = problem(seed, ties=False)
        q, value = qz.best_fraction(base, utility, 0.05)
        grid = np.linspace(0.001, 1, 500)
        laws = np.asarray(EACH_Q(base, utility, jnp.asarray(grid)))
        slow = laws @ np.asarray(utility) - 0.05 / grid
        assert float(value) >= slow.max() - 1e-12
        assert float(LAW(base, utility, q) @ utility - 0.05 / q) == pytest.approx(float(value))


def test_softmax_meets_its_target_and_never_beats_the_quantilizer_at_the_same_ratio():
    for seed in range(20):
        base, utility, _ = problem(seed, actions=40, ties=False)
        law = LAW(base, utility, 0.3)
        ratio = SOFTMAX(base, utility, 1 / 0.3, qz.worst_ratio)
        assert float(qz.worst_ratio(ratio, base)) == pytest.approx(1 / 0.3, rel=1e-6)
        assert float(ratio @ utility) <= float(law @ utility) + 1e-9
        kl = SOFTMAX(base, utility, qz.divergence(law, base), qz.divergence)
        assert float(qz.divergence(kl, base)) == pytest.approx(float(qz.divergence(law, base)), rel=1e-6)
        assert float(kl @ utility) >= float(law @ utility) - 1e-6
        assert float(qz.divergence(law, base)) == pytest.approx(stats.entropy(law, base), rel=1e-9)


def test_normal_errors_have_a_closed_form(key):
    fractions = jnp.array([0.5, 0.1, 0.02])
    curves = jax.jit(jax.vmap(lambda k: qz.goodhart(k, "normal", fractions, 4_000)))(jax.random.split(key, 20))
    z = stats.norm.isf(np.asarray(fractions))
    exact = stats.norm.pdf(z) / np.asarray(fractions) / np.sqrt(2)
    found = np.asarray(curves["quantilizer"])
    error = found.std(0) / np.sqrt(20)
    assert np.all(np.abs(found.mean(0) - exact) < 4 * error + 0.01)
    best = [stats.norm.expect(lambda x, n=n: x * n * stats.norm.cdf(x) ** (n - 1)) / np.sqrt(2) for n in (2, 10, 50)]
    np.testing.assert_allclose(np.asarray(curves["best_of_n"]).mean(0), best, atol=0.06)


def test_decisions_are_certified_or_refused(key):
    utility = np.linspace(0, 1, 100)
    made = qz.decide(key, utility, 0.1, cost=np.full(100, 0.01))
    assert (made.kept, made.certificate) == (10, 10.0)
    assert utility[made.index] >= 0.9
    assert made.cost_bound == 1.0  # a hundred draws cannot rule out a base cost of 0.13
    assert qz.decide(key, np.arange(1e5), 0.1, np.full(100_000, 0.01)).cost_bound < 0.15
    with pytest.raises(UserError, match="at least 200"):
        qz.decide(key, utility, 0.05)
    with pytest.raises(UserError, match="not finite"):
        qz.decide(key, np.append(utility, np.nan), 0.5)
    with pytest.raises(UserError, match="Rescale"):
        qz.decide(key, utility, 0.5, 2 * utility)


def test_bad_numbers_are_refused():
    base, utility, _ = problem(0)
    for q in (0.0, 1.5, -1.0):
        with pytest.raises(UserError, match="must lie in"):
            qz.quantile_law(base, utility, q)
    with pytest.raises(UserError, match="1 <= m <= n"):
        qz.sampled_law(base, utility, 2, 3)
    with pytest.raises(UserError, match="give q"):
        qz.certificate()
    assert qz.certificate(0.25) == qz.certificate(n=8, m=2) == 4
    assert qz.fraction_for(0.01, 0.1) == pytest.approx(0.1)
    with pytest.raises(UserError, match="positive"):
        qz.fraction_for(0.0, 0.1)
