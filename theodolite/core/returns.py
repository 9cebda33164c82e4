"""Returns and advantages: each recursion stands in the docstring and the code is its scan."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from theodolite.core.arrays import Scalar


def gae(
    reward: Float[Array, "T *E"],
    value: Float[Array, "T *E"],
    next_value: Float[Array, "T *E"],
    terminated: Bool[Array, "T *E"],
    truncated: Bool[Array, "T *E"],
    discount: Scalar,
    trace: Scalar,
) -> Float[Array, "T *E"]:
    """Generalised advantage estimates (Schulman et al. 2016, equation 16), right at both ends of an episode.

        δ_t = r_t + γ (1 - terminated_t) V(s'_t) - V(s_t)
        A_t = δ_t + γλ (1 - terminated_t) (1 - truncated_t) A_{t+1},   A_T = 0

    `next_value` is the value of the true next observation (`last_obs`), not of the one after a reset: termination
    stops the bootstrap, truncation only cuts the trace.
    """
    delta = reward + discount * jnp.where(terminated, 0, next_value) - value
    carries = jnp.where(terminated | truncated, 0, discount * trace)

    def backward(advantage: Array, row: tuple[Array, Array]):
        delta_t, carry_t = row
        advantage = delta_t + carry_t * advantage
        return advantage, advantage

    _, advantages = jax.lax.scan(backward, jnp.zeros_like(delta[0]), (delta, carries), reverse=True, unroll=8)
    return advantages


def segments(
    reward: Float[Array, "T *E"],
    bootstrap: Float[Array, "T *E"],
    goes_on: Bool[Array, "T *E"],
    discount: Scalar,
) -> Float[Array, "T *E"]:
    """Returns of segments of a rollout, each of which ends in a value of what follows it.

        R_t = r_t + γ R_{t+1} where the segment goes on after step t,   R_t = r_t + γ bootstrap_t where it ends there

    The last row ends one, whatever `goes_on` says; where nothing follows, the bootstrap is 0.
    """
    goes_on = goes_on.at[-1].set(False)

    def backward(following: Array, row: tuple[Array, Array, Array]):
        reward_t, bootstrap_t, goes_on_t = row
        total = reward_t + discount * jnp.where(goes_on_t, following, bootstrap_t)
        return total, total

    _, found = jax.lax.scan(backward, jnp.zeros_like(reward[0]), (reward, bootstrap, goes_on), reverse=True, unroll=8)
    return found
