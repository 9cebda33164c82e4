"""The puddle world of Safe Option-Critic's second version: a square to cross, with a puddle whose reward is noise.

The state is a point of the unit square. Each of four moves shifts it by 0.05, disturbed by uniform noise of ± 0.025 in
both coordinates; the border holds it. Within 0.1 (sum of coordinates) of the corner (1, 1) the episode ends with +50;
inside the puddle, [0.3, 0.7]², the reward is Gaussian with mean 0. Starts are uniform.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from theodolite.core.arrays import PRNGKey
from theodolite.core.env import Box, Discrete, Env, Space, Step
from theodolite.core.errors import UserError

MOVE, DISTURBANCE, REACH, PRIZE = 0.05, 0.025, 0.1, 50.0
PUDDLE = (0.3, 0.7)
DIRECTIONS = ((-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0))


def in_puddle(obs: Float[Array, "*B 2"]) -> Bool[Array, "*B"]:
    """Inside the puddle."""
    return jnp.all((obs >= PUDDLE[0]) & (obs <= PUDDLE[1]), axis=-1)


def puddle_world(scale: float = 8.0) -> Env:
    """The task without a time limit; `scale` is the standard deviation of the puddle's reward.

    Raises:
        UserError: a negative scale.
    """
    if not scale >= 0:
        raise UserError(f"scale = {scale}: must be >= 0. It is the standard deviation of the puddle's reward.")
    moves = MOVE * jnp.asarray(DIRECTIONS, jnp.float32)

    def reset(key: PRNGKey):
        state = jax.random.uniform(key, (2,))
        return state, state

    def step(key: PRNGKey, state: Float[Array, "2"], action: Array):
        move_key, noise_key = jax.random.split(key)
        disturbed = jax.random.uniform(move_key, (2,), minval=-DISTURBANCE, maxval=DISTURBANCE)
        state = jnp.clip(state + moves[action] + disturbed, 0, 1)
        arrived = jnp.sum(jnp.abs(1 - state)) < REACH
        noise = scale * jax.random.normal(noise_key)
        reward = jnp.where(arrived, PRIZE, jnp.where(in_puddle(state), noise, 0))
        return state, Step(state, reward, arrived, jnp.bool_(False), state)

    return Env(reset, step, Space(Box((2,), 0.0, 1.0), Discrete(len(DIRECTIONS))))
