"""Classic control in JAX, each step for step the arithmetic of Gymnasium's original (in float32).

The tasks know no time limit, start no new episode and draw no random numbers after `reset`: `registry.make` adds the
limit of the id that was asked for. The keyword arguments are those of the originals.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from theodolite.core.arrays import PRNGKey, Scalar
from theodolite.core.env import Box, Discrete, Env, Space, Step

INFINITY = float("inf")


def _step(obs: Array, reward: Array, terminated: Array) -> Step:
    return Step(obs, reward, terminated, jnp.bool_(False), obs)


def _symmetric(*high: float) -> Box:
    return Box((len(high),), tuple(-h for h in high), high)


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

    return Env(reset, step, Space(_symmetric(4.8, INFINITY, 2 * max_angle, INFINITY), Discrete(2)))


def _acrobot_acceleration(state: tuple[Array, ...], torque: Array) -> tuple[Array, ...]:
    """d/dt of (θ1, θ2, θ1', θ2') of Sutton and Barto's book: links of mass, length and inertia 1, centred at 1/2."""
    angle1, angle2, speed1, speed2 = state
    gravity = 9.8
    cos2, sin2 = jnp.cos(angle2), jnp.sin(angle2)
    d1 = 0.25 + (1.25 + cos2) + 2
    d2 = 0.25 + 0.5 * cos2 + 1
    # the original's cos(x - π/2) is sin(x)
    phi2 = 0.5 * gravity * jnp.sin(angle1 + angle2)
    phi1 = -0.5 * speed2**2 * sin2 - speed2 * speed1 * sin2 + 1.5 * gravity * jnp.sin(angle1) + phi2
    acc2 = (torque + d2 / d1 * phi1 - 0.5 * speed1**2 * sin2 - phi2) / (1.25 - d2**2 / d1)
    acc1 = -(d2 * acc2 + phi1) / d1
    return speed1, speed2, acc1, acc2


def _runge_kutta(derivative, state: tuple[Array, ...], dt: float) -> tuple[Array, ...]:
    """One step of the classical fourth-order method."""

    def moved(slope: tuple[Array, ...], by: float) -> tuple[Array, ...]:
        return tuple(x + by * k for x, k in zip(state, slope, strict=True))

    k1 = derivative(state)
    k2 = derivative(moved(k1, dt / 2))
    k3 = derivative(moved(k2, dt / 2))
    k4 = derivative(moved(k3, dt))
    return moved(tuple(a + 2 * b + 2 * c + d for a, b, c, d in zip(k1, k2, k3, k4, strict=True)), dt / 6)


def _wrap(angle: Array) -> Array:
    return angle - 2 * math.pi * jnp.round(angle / (2 * math.pi))


def acrobot(angles: bool = False) -> Env:
    """Sutton 1996: two links, a torque at the joint between them; ends when the tip is one link above the pivot.

    Gym's v0 showed the four raw readings (θ1, θ2, θ1', θ2'), which `angles` asks for; v1 shows cosines and sines.
    """
    dt, max_speed1, max_speed2 = 0.2, 4 * math.pi, 9 * math.pi

    def observe(state: Float[Array, "4"]) -> Float[Array, " O"]:
        if angles:
            return state
        cos, sin = jnp.cos(state[:2]), jnp.sin(state[:2])
        return jnp.stack([cos[0], sin[0], cos[1], sin[1], state[2], state[3]])

    def reset(key: PRNGKey):
        state = jax.random.uniform(key, (4,), minval=-0.1, maxval=0.1)
        return state, observe(state)

    def step(key: PRNGKey, state: Float[Array, "4"], action: Array):
        torque = action.astype(jnp.float32) - 1
        moved = _runge_kutta(lambda s: _acrobot_acceleration(s, torque), tuple(state), dt)
        angle1, angle2 = _wrap(moved[0]), _wrap(moved[1])
        speed1, speed2 = jnp.clip(moved[2], -max_speed1, max_speed1), jnp.clip(moved[3], -max_speed2, max_speed2)
        state = jnp.stack([angle1, angle2, speed1, speed2])
        swung_up = -jnp.cos(angle1) - jnp.cos(angle2 + angle1) > 1
        return state, _step(observe(state), jnp.where(swung_up, 0, -1).astype(jnp.float32), swung_up)

    readings = (math.pi, math.pi) if angles else (1.0, 1.0, 1.0, 1.0)
    return Env(reset, step, Space(_symmetric(*readings, max_speed1, max_speed2), Discrete(3)))


_VALLEY = Box((2,), (-1.2, -0.07), (0.6, 0.07))


def _valley_reset(key: PRNGKey):
    """At rest, near the bottom of the valley."""
    state = jnp.stack([jax.random.uniform(key, minval=-0.6, maxval=-0.4), jnp.float32(0)])
    return state, state


def _roll(state: Float[Array, "2"], push: Array) -> tuple[Array, Array]:
    """Position and velocity one step later; the left wall stops the car."""
    velocity = jnp.clip(state[1] + push - 0.0025 * jnp.cos(3 * state[0]), -0.07, 0.07)
    position = jnp.clip(state[0] + velocity, -1.2, 0.6)
    return position, jnp.where((position == jnp.float32(-1.2)) & (velocity < 0), 0, velocity)


def mountain_car(goal_velocity: Scalar = 0.0) -> Env:
    """Moore 1990: a car too weak for the hill; -1 a step until it is past 0.5 at `goal_velocity` or faster."""

    def step(key: PRNGKey, state: Float[Array, "2"], action: Array):
        position, velocity = _roll(state, (action.astype(jnp.float32) - 1) * 0.001)
        arrived = (position >= 0.5) & (velocity >= goal_velocity)
        state = jnp.stack([position, velocity])
        return state, _step(state, jnp.float32(-1), arrived)

    return Env(_valley_reset, step, Space(_VALLEY, Discrete(3)))


def mountain_car_continuous(goal_velocity: Scalar = 0.0) -> Env:
    """The mountain car with a throttle: 100 for passing 0.45, less a tenth of the squared throttle in every step."""

    def step(key: PRNGKey, state: Float[Array, "2"], action: Float[Array, "1"]):
        position, velocity = _roll(state, jnp.clip(action[0], -1, 1) * 0.0015)
        arrived = (position >= 0.45) & (velocity >= goal_velocity)
        state = jnp.stack([position, velocity])
        return state, _step(state, jnp.where(arrived, 100, 0) - 0.1 * action[0] ** 2, arrived)

    return Env(_valley_reset, step, Space(_VALLEY, _symmetric(1.0)))


def pendulum(g: Scalar = 10.0) -> Env:
    """A pendulum to swing up and hold with a weak motor; it costs angle², speed² and torque², and never ends."""
    dt, max_speed, max_torque = 0.05, 8.0, 2.0

    def observe(state: Float[Array, "2"]) -> Float[Array, "3"]:
        return jnp.stack([jnp.cos(state[0]), jnp.sin(state[0]), state[1]])

    def reset(key: PRNGKey):
        high = jnp.array([math.pi, 1.0])
        state = jax.random.uniform(key, (2,), minval=-high, maxval=high)
        return state, observe(state)

    def step(key: PRNGKey, state: Float[Array, "2"], action: Float[Array, "1"]):
        angle, speed = state
        torque = jnp.clip(action[0], -max_torque, max_torque)
        tilt = (angle + math.pi) % (2 * math.pi) - math.pi
        cost = tilt**2 + 0.1 * speed**2 + 0.001 * torque**2
        speed = jnp.clip(speed + (1.5 * g * jnp.sin(angle) + 3 * torque) * dt, -max_speed, max_speed)
        state = jnp.stack([angle + speed * dt, speed])
        return state, _step(observe(state), -cost, jnp.bool_(False))

    return Env(reset, step, Space(_symmetric(1.0, 1.0, max_speed), _symmetric(max_torque)))
