"""ε-greedy: how often each action comes, and what is said of its probability."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.control import exploring


@pytest.mark.parametrize(("steps", "wanted"), [(0, 0.9), (25, 0.7), (100, 0.1), (1_000, 0.1)])
def test_epsilon_falls_and_stays(steps, wanted):
    np.testing.assert_allclose(exploring.falling(0.9, 0.1, 100, jnp.int32(steps)), wanted, rtol=1e-6)


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_actions_come_as_often_as_their_probability_says(epsilon):
    best = jnp.full(30_000, 2, jnp.int32)
    action, log_prob = exploring.drawn(jax.random.key(0), best, epsilon, 5)
    wanted = epsilon / 5 + (1 - epsilon) * (np.arange(5) == 2)
    shares = np.bincount(action, minlength=5) / 30_000
    np.testing.assert_allclose(shares, wanted, atol=0.01)
    np.testing.assert_allclose(np.exp(log_prob), wanted[action], rtol=1e-5)


def test_what_cannot_happen_has_a_finite_logarithm():
    np.testing.assert_allclose(exploring.log_prob(0.0, 4, jnp.array([True, False])), [0, np.log(1e-8)], atol=1e-6)
