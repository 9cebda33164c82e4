"""The swimmer against the physics of bodies without inertia."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core.errors import UserError
from theodolite.envs import swimmer

STATE = jnp.array([0.1, -0.2, 0.4, 0.5, -0.7, 0.9])
RATES = jnp.array([0.3, -0.8, 0.6])


@jax.jit
def swim(actions, tangential, normal):
    """Displacement of the centre of mass, from straight and at rest; the number of links from the actions."""
    env = swimmer.swimmer(actions.shape[1] + 1, tangential, normal)
    start = jnp.zeros(3 + actions.shape[1])
    end, out = jax.lax.scan(lambda s, a: env.step(jax.random.key(0), s, a), start, actions)
    return swimmer.centre_of_mass(end) - swimmer.centre_of_mass(start), out.reward, end


def wave(steps=100, speed=3.0):
    t = 0.1 * jnp.arange(float(steps))[:, None]
    return jnp.sin(speed * t - 2 * jnp.arange(3.0)[None])


def test_no_net_force_and_no_net_torque_summed_link_by_link():
    body = np.asarray(swimmer.body_velocity(STATE, RATES, 1.0, 2.0))
    state, step = np.asarray(STATE, float), 1e-4
    velocity = np.concatenate([body, RATES])

    def place(x):
        phi, at = x[2] + np.concatenate([[0], np.cumsum(x[3:])]), [np.array(x[:2])]
        for i in range(3):  # half of this link and half of the next lie between two centres
            halves = [np.array([np.cos(angle), np.sin(angle)]) / 8 for angle in phi[i : i + 2]]
            at.append(at[-1] + halves[0] + halves[1])
        return np.array(at), phi

    (up, turned), (down, before) = place(state + step * velocity), place(state - step * velocity)
    force, torque = np.zeros(2), 0.0
    at, phi = place(state)
    for i in range(4):
        v, w = (up[i] - down[i]) / (2 * step), (turned[i] - before[i]) / (2 * step)
        t, n = np.array([np.cos(phi[i]), np.sin(phi[i])]), np.array([-np.sin(phi[i]), np.cos(phi[i])])
        f = -(t * (t @ v) + 2 * n * (n @ v)) / 4
        force += f
        torque += at[i][0] * f[1] - at[i][1] * f[0] - 2 * w / 4**3 / 12
    np.testing.assert_allclose([*force, torque], 0, atol=1e-6)


def test_equal_drag_moves_nothing_and_common_factors_of_drag_change_nothing():
    assert jnp.abs(swim(wave(), 1.0, 1.0)[0]).max() < 2e-3  # what the midpoint's steps leave
    np.testing.assert_allclose(swim(wave(), 1.0, 2.0)[0], swim(wave(), 3.0, 6.0)[0], atol=1e-4)


def test_a_scallop_goes_nowhere():
    t = 0.1 * jnp.arange(100.0)[:, None]
    stroke = jnp.cos(2 * jnp.pi * t / 5.0)
    there_and_back, there = (swim(a, 1.0, 2.0)[0] for a in (stroke, stroke[:12]))
    assert jnp.linalg.norm(there_and_back) < 1e-5 < 2e-3 < jnp.linalg.norm(there)
    assert jnp.linalg.norm(swim(wave(), 1.0, 2.0)[0]) > 0.03  # a wave is no such stroke


def test_swapped_drag_turns_the_gait_round():
    forwards, paid, _ = swim(wave(), 1.0, 2.0)
    backwards, _, _ = swim(wave(), 2.0, 1.0)
    assert float(forwards[0] * backwards[0]) < 0
    np.testing.assert_allclose(paid.mean() * 10, forwards[0], atol=1e-4)  # the reward is the displacement


def test_joints_stop_at_their_limits_and_push_nothing_there():
    _, _, end = swim(jnp.ones((40, 3)), 1.0, 2.0)
    np.testing.assert_allclose(end[3:], swimmer.LIMIT)
    env = swimmer.swimmer()
    after, out = env.step(jax.random.key(0), end, jnp.ones(3))
    np.testing.assert_allclose(after, end, atol=1e-6)
    assert abs(out.reward) < 1e-5
    with pytest.raises(UserError, match="links = 1"):
        swimmer.swimmer(1)
