"""ε-greedy exploration: the best action, or with probability ε any of A.

p(a) = ε / A + (1 - ε) [a is the best]          ε falls linearly from its start to its end, then stays
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from theodolite.core.arrays import PRNGKey, Scalar
from theodolite.core.env import Action

LEAST = 1e-8
"""Probabilities below it count as this, so that their logarithms are finite."""


def falling(start: Scalar, end: Scalar, over: int, steps: Int[Array, ""]) -> Float[Array, ""]:
    """ε after `steps` environment steps, when it falls over the first `over` of them."""
    share = jnp.minimum(steps.astype(jnp.float32) / over, 1.0)
    return start + (end - start) * share


def drawn(key: PRNGKey, best: Action, epsilon: Scalar, num: int) -> tuple[Action, Float[Array, "..."]]:
    """Actions and their log-probabilities; one uniform number decides both whether an action is any, and which."""
    draw = jax.random.uniform(key, best.shape)
    any_action = jnp.minimum(jnp.floor(draw / jnp.maximum(epsilon, LEAST) * num), num - 1).astype(jnp.int32)
    action = jnp.where(draw < epsilon, any_action, best)
    return action, log_prob(epsilon, num, action == best)


def log_prob(epsilon: Scalar, num: int, is_best: Bool[Array, "..."]) -> Float[Array, "..."]:
    """Log-probability of an action that is the best one or is not."""
    return jnp.log(jnp.maximum(epsilon / num + jnp.where(is_best, 1 - epsilon, 0), LEAST))
