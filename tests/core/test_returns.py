"""Generalised advantages against their definitions as double loops, over random ends of episodes."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from theodolite.core import returns

T, E = 6, 2
gae = jax.jit(returns.gae)
numbers = arrays(np.float32, (T, E), elements=st.floats(-2, 2, width=32))
flags = arrays(bool, (T, E))
share = st.floats(0, 1, width=32)


def by_sum_of_errors(reward, value, next_value, terminated, truncated, discount, trace):
    """Equation 16: the discounted sum of one-step errors up to the end of the episode."""
    advantage = np.zeros((T, E))
    for e in range(E):
        for t in range(T):
            for k in range(t, T):
                bootstrap = 0 if terminated[k, e] else next_value[k, e]
                error = reward[k, e] + discount * bootstrap - value[k, e]
                advantage[t, e] += (discount * trace) ** (k - t) * error
                if terminated[k, e] or truncated[k, e]:
                    break
    return advantage


def by_average_of_returns(reward, value, next_value, terminated, truncated, discount, trace):
    """Equation 15: the geometric average of n-step advantages, the last of which takes all the weight left."""
    advantage = np.zeros((T, E))
    for e in range(E):
        for t in range(T):
            over = next(k for k in range(t, T) if terminated[k, e] or truncated[k, e] or k == T - 1)
            for k in range(t, over + 1):
                paid = sum(discount ** (j - t) * reward[j, e] for j in range(t, k + 1))
                bootstrap = 0 if terminated[k, e] else discount ** (k - t + 1) * next_value[k, e]
                weight = trace ** (k - t) * (1 if k == over else 1 - trace)
                advantage[t, e] += weight * (paid + bootstrap - value[t, e])
    return advantage


@given(reward=numbers, value=numbers, ahead=numbers, terminated=flags, truncated=flags, discount=share, trace=share)
@settings(max_examples=200, deadline=None)
def test_gae_is_both_of_its_definitions(reward, value, ahead, terminated, truncated, discount, trace):
    truncated = truncated & ~terminated
    over = terminated | truncated
    following = np.concatenate([value[1:], ahead[-1:]])  # inside an episode the next value is the next row's
    for next_value, definition in (
        (ahead, by_sum_of_errors),
        (np.where(over, ahead, following), by_average_of_returns),
    ):
        given_to = reward, value, next_value, terminated, truncated, np.float32(discount), np.float32(trace)
        np.testing.assert_allclose(gae(*given_to), definition(*given_to), atol=2e-5)


@given(reward=numbers, terminated=flags, discount=share)
@settings(max_examples=50, deadline=None)
def test_without_a_critic_and_with_full_trace_they_are_discounted_returns(reward, terminated, discount):
    nothing, never = np.zeros((T, E), np.float32), np.zeros((T, E), bool)
    found = gae(reward, nothing, nothing, terminated, never, np.float32(discount), np.float32(1))
    expected, total = np.zeros((T, E)), np.zeros(E)
    for t in reversed(range(T)):
        total = reward[t] + discount * np.where(terminated[t], 0, total)
        expected[t] = total
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_the_two_ends_differ_by_the_bootstrap():
    zero, one = jnp.zeros((1, 1)), jnp.ones((1, 1))
    yes, no = jnp.ones((1, 1), bool), jnp.zeros((1, 1), bool)
    assert returns.gae(one, zero, one, yes, no, 0.9, 0.8)[0, 0] == 1
    np.testing.assert_allclose(returns.gae(one, zero, one, no, yes, 0.9, 0.8)[0, 0], 1.9)


def test_segments_are_sums_until_they_end(key):
    rng = np.random.default_rng(0)
    reward, bootstrap = rng.normal(size=(2, 6, 3)).astype(np.float32)
    goes_on = rng.random((6, 3)) < 0.6
    found = returns.segments(jnp.asarray(reward), jnp.asarray(bootstrap), jnp.asarray(goes_on), 0.9)
    for e in range(3):
        for t in range(6):
            total, end = 0.0, t
            while goes_on[end, e] and end < 5:
                end += 1
            total = sum(0.9 ** (k - t) * reward[k, e] for k in range(t, end + 1))
            assert abs(float(found[t, e]) - total - 0.9 ** (end - t + 1) * bootstrap[end, e]) < 1e-4
