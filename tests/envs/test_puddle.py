"""The puddle world moves by its step and disturbance, pays in the puddle and at the corner, and nowhere else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core.errors import UserError
from theodolite.envs import puddle

COUNT = 4_000


def steps_from(state, action, scale=8.0):
    env = puddle.puddle_world(scale)
    keys = jax.random.split(jax.random.key(0), COUNT)
    return jax.vmap(lambda key: env.step(key, jnp.array(state), jnp.int32(action)))(keys)[1]


@pytest.mark.parametrize(("action", "shift"), enumerate([(-0.05, 0), (0.05, 0), (0, -0.05), (0, 0.05)]))
def test_moves_are_disturbed_uniformly(action, shift):
    out = steps_from([0.2, 0.2], action)
    moved = np.asarray(out.last_obs) - 0.2 - np.array(shift)
    assert np.abs(moved).max() <= 0.025 + 1e-6
    np.testing.assert_allclose(moved.std(0), 0.05 / 12**0.5, rtol=0.05)
    assert not np.any(out.reward) and not np.any(out.terminated)


def test_the_puddle_is_noise_and_the_corner_ends_it():
    inside = steps_from([0.5, 0.5], 1)
    assert np.asarray(inside.reward).std() == pytest.approx(8, rel=0.05)
    assert np.asarray(inside.reward).mean() == pytest.approx(0, abs=0.5)
    edge = steps_from([0.7, 0.5], 0, scale=1.0)
    np.testing.assert_array_equal(np.asarray(edge.reward) != 0, np.asarray(puddle.in_puddle(edge.last_obs)))
    corner = steps_from([0.96, 0.9], 3)
    near = np.abs(1 - np.asarray(corner.last_obs)).sum(-1) < 0.1
    assert near.any() and not near.all()
    np.testing.assert_array_equal(corner.terminated, near)
    np.testing.assert_array_equal(corner.reward, 50.0 * near)
    assert np.asarray(steps_from([0.0, 0.0], 0).last_obs).min() == 0


def test_starts_are_uniform_and_a_negative_scale_is_refused():
    _, starts = jax.vmap(puddle.puddle_world().reset)(jax.random.split(jax.random.key(1), COUNT))
    np.testing.assert_allclose(np.histogram2d(*np.asarray(starts).T, bins=2)[0] / COUNT, 0.25, atol=0.03)
    with pytest.raises(UserError, match="scale"):
        puddle.puddle_world(-1.0)
