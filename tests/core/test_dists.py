"""Distributions against SciPy, numerical integration and the frequencies of their own samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.integrate import quad

from theodolite.core.dists import Categorical, Normal, TanhNormal

logits = arrays(np.float32, (2, 4), elements=st.integers(-500, 500).map(lambda n: n / 100))
means = arrays(np.float32, (2, 3), elements=st.floats(-2, 2, width=32))
log_stds = arrays(np.float32, 3, elements=st.floats(-1.5, 1, width=32))
DRAWS = 40_000


def softmax(x):
    x = np.asarray(x, np.float64)
    p = np.exp(x - x.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


@given(logits, logits, arrays(np.int32, 2, elements=st.integers(0, 3)))
@settings(max_examples=100, deadline=None)
def test_categorical_is_scipys(x, y, value):
    p, q = softmax(x), softmax(y)
    mine, other = Categorical(jnp.asarray(x)), Categorical(jnp.asarray(y))
    np.testing.assert_allclose(mine.log_prob(jnp.asarray(value)), np.log(p[[0, 1], value]), atol=1e-5)
    np.testing.assert_allclose(mine.entropy(), stats.entropy(p, axis=-1), atol=1e-5)
    np.testing.assert_allclose(mine.kl(other), stats.entropy(p, q, axis=-1), atol=2e-5)
    np.testing.assert_array_equal(mine.mode(), x.argmax(-1))


def test_categorical_samples_have_the_masses_as_frequencies(key):
    x = jnp.array([[0.0, 1.0, -1.0, 0.5], [3.0, -20.0, 3.0, 0.0]])
    drawn = np.asarray(jax.vmap(Categorical(x).sample)(jax.random.split(key, DRAWS)))
    assert drawn.dtype == np.int32
    for row, p in zip(drawn.T, softmax(x), strict=True):
        counts = np.bincount(row, minlength=4)
        possible = p > 1e-6
        assert counts[~possible].sum() == 0
        assert stats.chisquare(counts[possible], DRAWS * (p[possible] / p[possible].sum())).pvalue > 1e-3


def test_a_gradient_of_the_log_mass_is_the_indicator_less_the_mass():
    x = jnp.array([0.3, -1.0, 2.0])
    slope = jax.grad(lambda x: Categorical(x).log_prob(jnp.int32(1)))(x)
    np.testing.assert_allclose(slope, np.eye(3)[1] - softmax(x), atol=1e-6)


@given(means, log_stds, means, log_stds, means)
@settings(max_examples=100, deadline=None)
def test_normal_is_scipys(mean, log_std, other_mean, other_log_std, value):
    mine = Normal(jnp.asarray(mean), jnp.asarray(log_std))
    other = Normal(jnp.asarray(other_mean), jnp.asarray(other_log_std))
    p = stats.norm(np.float64(mean), np.exp(np.float64(log_std)))
    np.testing.assert_allclose(mine.log_prob(jnp.asarray(value)), p.logpdf(value).sum(-1), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(mine.entropy(), p.entropy().sum(-1), atol=1e-5)
    v, w = np.exp(2 * np.float64(log_std)), np.exp(2 * np.float64(other_log_std))
    # through matrices: tr(W⁻¹V) + dᵀW⁻¹d - k + log det W / det V
    d = np.float64(other_mean) - mean
    kl = 0.5 * ((v / w).sum() + (d**2 / w).sum(-1) - 3 + np.log(w.prod() / v.prod()))
    np.testing.assert_allclose(mine.kl(other), kl, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(mine.mode(), mean)


MEAN, LOG_STD = np.array([0.4, -1.5, 0.0], np.float32), np.array([-1.0, 0.0, 0.7], np.float32)


@pytest.mark.parametrize("kind", [Normal, TanhNormal])
def test_samples_follow_the_distribution_function(kind, key):
    drawn = jax.vmap(kind(jnp.asarray(MEAN), jnp.asarray(LOG_STD)).sample)(jax.random.split(key, DRAWS))
    for column, mean, log_std in zip(np.asarray(drawn).T, MEAN, LOG_STD, strict=True):
        before = np.arctanh(np.clip(np.float64(column), -1 + 1e-7, 1 - 1e-7)) if kind is TanhNormal else column
        assert stats.kstest(before, stats.norm(mean, np.exp(log_std)).cdf).pvalue > 1e-3


def squashed(mean: float, log_std: float) -> TanhNormal:
    return TanhNormal(jnp.array([mean], jnp.float32), jnp.array([log_std], jnp.float32))


def over_the_line(f, mean: float, log_std: float) -> float:
    """∫ f(u) N(u; mean, std) du."""
    std = np.exp(log_std)
    density = stats.norm(mean, std).pdf
    return quad(lambda u: f(u) * density(u), mean - 9 * std, mean + 9 * std, limit=200)[0]


def log_slope(u: float) -> float:
    """log d tanh(u)/du."""
    return -2 * np.logaddexp(u, -u) + 2 * np.log(2)


@pytest.mark.parametrize("log_std", [-2.0, -0.5, 0.0, 0.5])
@pytest.mark.parametrize("mean", [-2.0, 0.0, 0.7])
def test_squashed_normal_against_integrals(mean, log_std):
    p, std = squashed(mean, log_std), np.exp(log_std)
    for u in mean + std * np.array([-1.5, 0.0, 0.8]):
        expected = stats.norm(mean, std).logpdf(u) - log_slope(u)
        np.testing.assert_allclose(p.log_prob(jnp.tanh(jnp.array([u], jnp.float32))), expected, rtol=1e-3, atol=1e-3)
    entropy = stats.norm(mean, std).entropy() + over_the_line(log_slope, mean, log_std)
    np.testing.assert_allclose(p.entropy(), entropy, atol=2e-3)
    q = squashed(0.3, -0.2)
    log_ratio = lambda u: stats.norm(mean, std).logpdf(u) - stats.norm(0.3, np.exp(-0.2)).logpdf(u)  # noqa: E731
    np.testing.assert_allclose(p.kl(q), over_the_line(log_ratio, mean, log_std), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(p.mode(), [np.tanh(mean)], rtol=1e-6)


def test_squashed_density_integrates_to_one():
    y = np.linspace(-1 + 1e-4, 1 - 1e-4, 20_001, dtype=np.float32)
    mass = np.exp(jax.vmap(squashed(0.3, -0.7).log_prob)(jnp.asarray(y)[:, None]))
    np.testing.assert_allclose(np.trapezoid(mass, y), 1, atol=1e-3)


def test_squashed_density_is_finite_at_the_edge_of_the_box():
    edge = jnp.array([[1.0], [-1.0]])
    assert np.isfinite(jax.vmap(squashed(0.0, 0.0).log_prob)(edge)).all()


def test_a_log_std_without_batch_axes_counts_for_every_row():
    mean, log_std = jnp.zeros((5, 3)), jnp.asarray(LOG_STD)
    for kind in (Normal, TanhNormal):
        assert kind(mean, log_std).entropy().shape == kind(mean, log_std).log_prob(mean).shape == (5,)
        np.testing.assert_allclose(
            kind(mean, log_std).entropy(), kind(mean[0], log_std).entropy() * np.ones(5), rtol=1e-5
        )
