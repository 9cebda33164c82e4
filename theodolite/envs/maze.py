"""The shifting point maze of Fu et al. 2018 in JAX: a particle, a target, and a barrier with one way round.

The recurrence is that of MuJoCo's implicit Euler for a damped particle: v ← (m v + h u)/(m + h), x ← x + h v, with h
= 0.01 and five such steps per action. Contact is a projection: centres stay 0.049 from the axis of a wall, and the
speed into the wall is lost. (Radii are 0.02 and 0.03, and walls lie 0.01 higher: 0.05² - 0.01² = 0.049².) MuJoCo's
contact is soft: the same bodies there come to rest 0.4 mm closer at full force, are up to a centimetre apart for a few
steps after a hit, and earn the same to 0.2; one that meets the round end of the barrier may pass it on the other side.
The released model also gives its bodies margins of 2 mm, which keep the particle another 2 mm from the walls, or 4
where MuJoCo adds the two; here there are none.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from theodolite.core.arrays import PRNGKey
from theodolite.core.env import Box, Env, Space, Step
from theodolite.core.errors import UserError

MASS, DAMPING, STEP, FRAMES = 0.113097, 1.0, 0.01, 5
LOW, HIGH, REACH = -0.1, 0.6, 0.049
START, TARGET, BARRIER_Y = (0.3, 0.0), (0.3, 0.5), 0.3
BARRIERS = {"left": (0.2, 0.6), "right": (-0.1, 0.4)}
"""From where to where the barrier reaches, by the side on which the way round it is."""


def point_maze(way: str = "left", velocity: bool = False) -> Env:
    """Reach the target round the barrier; pays minus the distance before the step and a thousandth of the action².

    The observation is the position, as in the paper (less a constant 0), which hides the speed; `velocity` shows it.

    Raises:
        UserError: the way is neither left nor right.
    """
    if way not in BARRIERS:
        raise UserError(f"way = {way!r}: must be left or right. It is the side on which the barrier is passed.")
    ends = BARRIERS[way]
    target = jnp.array(TARGET, jnp.float32)

    def observe(state: Float[Array, "4"]) -> Float[Array, " O"]:
        return state if velocity else state[:2]

    def reset(key: PRNGKey):
        state = jnp.concatenate([jnp.array(START), jax.random.uniform(key, (2,), minval=-0.01, maxval=0.01)])
        return state, observe(state)

    def step(key: PRNGKey, state: Float[Array, "4"], action: Float[Array, "2"]):
        paid = -jnp.linalg.norm(state[:2] - target) - 0.001 * jnp.sum(action**2)
        position, speed = state[:2], state[2:]
        for _ in range(FRAMES):
            speed = (MASS * speed + STEP * action) / (MASS + STEP * DAMPING)
            position, speed = collide(position + STEP * speed, speed, ends)
        state = jnp.concatenate([position, speed])
        return state, Step(observe(state), paid, jnp.bool_(False), jnp.bool_(False), observe(state))

    place = (LOW, LOW), (HIGH, HIGH)
    # the particle never outruns its terminal speed, 1 per unit of force
    bounds = (*place[0], -math.sqrt(2), -math.sqrt(2)), (*place[1], math.sqrt(2), math.sqrt(2))
    low, high = bounds if velocity else place
    return Env(reset, step, Space(Box((len(low),), low, high), Box((2,), -1.0, 1.0)))


def collide(
    position: Float[Array, "2"], speed: Float[Array, "2"], ends: tuple[float, float]
) -> tuple[Float[Array, "2"], Float[Array, "2"]]:
    """Push the particle out of the barrier and of the outer walls, and take its speed into them away."""
    nearest = jnp.stack([jnp.clip(position[0], *ends), jnp.asarray(BARRIER_Y, position.dtype)])
    away = position - nearest
    distance = jnp.maximum(jnp.linalg.norm(away), 1e-9)
    normal, inside = away / distance, distance < REACH
    position = jnp.where(inside, nearest + REACH * normal, position)
    speed = jnp.where(inside, speed - jnp.minimum(speed @ normal, 0) * normal, speed)
    within = jnp.clip(position, LOW + REACH, HIGH - REACH)
    return within, jnp.where(within == position, speed, 0)


def distance_to_target(obs: Float[Array, "*batch O"]) -> Float[Array, "*batch"]:
    """What the true reward is made of."""
    x, y = obs[..., 0] - TARGET[0], obs[..., 1] - TARGET[1]
    return jnp.sqrt(x**2 + y**2)
