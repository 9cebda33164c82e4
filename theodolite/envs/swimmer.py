"""A chain of links in a fluid without inertia: it moves only because drag along a link differs from drag across it.

Each of N links of length 1/N at heading φ with centre velocity v and turning rate w feels the force -L (c_t t tᵀ +
c_n n nᵀ) v and the torque -c_n L³ w / 12. Actions are the rates of the joints; the body's own velocity is what makes
total force and torque zero, a linear system of three equations. Swapping c_t and c_n turns every gait round, so a
copied policy swims backwards while the reward, the velocity along x, means what it meant.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from theodolite.core.arrays import PRNGKey, Scalar
from theodolite.core.env import Box, Env, Space, Step
from theodolite.core.errors import UserError

LIMIT, STEP, FRAMES = 1.2, 0.05, 2
"""Largest angle of a joint, seconds per integration step, integration steps per action."""


def swimmer(links: int = 4, tangential: Scalar = 1.0, normal: Scalar = 2.0) -> Env:
    """Swim towards +x; pays the mean velocity of the centre of mass along x during the step, and never ends.

    Seen are the joints, the heading's cosine and sine, and the velocity of the centre of mass over the last step. The
    state is (x, y, heading of the first link, joints).

    Raises:
        UserError: fewer than two links.
    """
    if links < 2:
        raise UserError(f"links = {links}: must be >= 2. A swimmer needs a joint.")

    def observe(state: Float[Array, " n"], moved: Float[Array, "2"]) -> Float[Array, " O"]:
        return jnp.concatenate([state[3:], jnp.cos(state[2:3]), jnp.sin(state[2:3]), moved])

    def reset(key: PRNGKey):
        joints = jax.random.uniform(key, (links - 1,), minval=-0.1, maxval=0.1)
        state = jnp.concatenate([jnp.zeros(3), joints])
        return state, observe(state, jnp.zeros(2))

    def step(key: PRNGKey, state: Float[Array, " n"], action: Float[Array, " joints"]):
        before = centre_of_mass(state)
        for _ in range(FRAMES):
            joints = jnp.clip(state[3:] + STEP * action, -LIMIT, LIMIT)
            rates = (joints - state[3:]) / STEP  # what the limits leave of the action
            # by the midpoint: Euler's step drifts by a tenth of what a gait gains
            body = body_velocity(state, rates, tangential, normal)
            half = state + STEP / 2 * jnp.concatenate([body, rates])
            body = body_velocity(half, rates, tangential, normal)
            state = jnp.concatenate([state[:3] + STEP * body, joints])
        moved = (centre_of_mass(state) - before) / (STEP * FRAMES)
        obs = observe(state, moved)
        return state, Step(obs, moved[0], jnp.bool_(False), jnp.bool_(False), obs)

    high = (*[LIMIT] * (links - 1), 1.0, 1.0, float("inf"), float("inf"))
    return Env(reset, step, Space(Box((len(high),), tuple(-h for h in high), high), Box((links - 1,), -1.0, 1.0)))


def headings(state: Float[Array, " n"]) -> Float[Array, " N"]:
    """Direction of every link."""
    return state[2] + jnp.concatenate([jnp.zeros(1, state.dtype), jnp.cumsum(state[3:])])


def centres(state: Float[Array, " n"]) -> Float[Array, "N 2"]:
    """Centres of the links; (x, y) is that of the first."""
    phi = headings(state)
    along = jnp.stack([jnp.cos(phi), jnp.sin(phi)], -1) / phi.size
    between = (along[:-1] + along[1:]) / 2
    return state[None, :2] + jnp.concatenate([jnp.zeros((1, 2), state.dtype), jnp.cumsum(between, 0)])


def centre_of_mass(state: Float[Array, " n"]) -> Float[Array, "2"]:
    """Mean of the links' centres."""
    return centres(state).mean(0)


def total_drag(
    state: Float[Array, " n"], velocity: Float[Array, " n"], tangential: Scalar, normal: Scalar
) -> Float[Array, "3"]:
    """Force along x and y, and torque about the first link's centre, when the state changes at `velocity`."""
    phi, turning = jax.jvp(headings, (state,), (velocity,))
    places, moving = jax.jvp(centres, (state,), (velocity,))
    length = 1 / phi.size
    t, n = jnp.stack([jnp.cos(phi), jnp.sin(phi)], -1), jnp.stack([-jnp.sin(phi), jnp.cos(phi)], -1)
    along, across = (jnp.sum(moving * axis, -1, keepdims=True) for axis in (t, n))
    force = -length * (tangential * along * t + normal * across * n)
    arm = places - places[:1]
    torque = arm[:, 0] * force[:, 1] - arm[:, 1] * force[:, 0] - normal * length**3 * turning / 12
    return jnp.concatenate([force.sum(0), torque.sum(keepdims=True)])


def body_velocity(
    state: Float[Array, " n"], rates: Float[Array, " joints"], tangential: Scalar, normal: Scalar
) -> Float[Array, "3"]:
    """(x', y', θ') without net force or torque: drag is linear in velocities: three columns and a right side."""

    def drag(body: Array, rates: Array) -> Array:
        return total_drag(state, jnp.concatenate([body, rates]), tangential, normal)

    columns = jax.vmap(lambda body: drag(body, jnp.zeros_like(rates)))(jnp.eye(3, dtype=state.dtype))
    return jnp.linalg.solve(columns.T, -drag(jnp.zeros(3, state.dtype), rates))
