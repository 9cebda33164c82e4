"""Classic control in JAX, each step for step the arithmetic of Gymnasium's original (in float32)."""

from typing import NamedTuple

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from theodolite.core.arrays import PRNGKey
from theodolite.core.env import Box, Discrete, Env, Space, Step


def _step(obs: Array, reward: Array, terminated: Array) -> Step:
    return Step(obs, reward, terminated, jnp.bool_(False), obs)


def cartpole() -> Env:
    """Barto, Sutton and Anderson 1983: a pole on a cart, two pushes; ends beyond 12 degrees or 2.4 m."""
    gravity, cart_mass, pole_mass, half_length, force, dt = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
    total_mass, pole_moment = cart_mass + pole_mass, pole_mass * half_length
    max_angle, max_position = 12 * 2 * math.pi / 360, 2.4

    def reset(key: PRNGKey):
        state = jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05)
        return state, state

    def step(key: PRNGKey, state: Float[Array, "4"], action: Array):
        x, x_dot, angle, angle_dot = state
        push = jnp.where(action == 1, force, -force)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        temp = (push + pole_moment * angle_dot**2 * sin) / total_mass
        angle_acc = (gravity * sin - cos * temp) / (half_length * (4 / 3 - pole_mass * cos**2 / total_mass))
        x_acc = temp - pole_moment * angle_acc * cos / total_mass
        # explicit Euler: positions move by the velocities before this step
        state = jnp.stack([x + dt * x_dot, x_dot + dt * x_acc, angle + dt * angle_dot, angle_dot + dt * angle_acc])
        fell = (jnp.abs(state[0]) > max_position) | (jnp.abs(state[2]) > max_angle)
        return state, _step(state, jnp.float32(1), fell)

    high = (4.8, float("inf"), 2 * max_angle, float("inf"))
    return Env(reset, step, Space(Box((4,), tuple(-h for h in high), high), Discrete(2)))
