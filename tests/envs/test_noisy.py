"""Noise where it is said to be and nowhere else, of mean zero; all else is the task's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core.env import JaxEnvs, auto_reset
from theodolite.envs import noisy
from theodolite.envs.checker import check


def played(task, steps=120, copies=64):
    """Rewards, where noise was due, and the observations, of random play."""
    num = task.env.space.action.num

    def one(carry, t):
        state, key = carry
        key, act_key, env_key = jax.random.split(key, 3)
        state, out = env.step(env_key, state, jax.random.randint(act_key, (), 0, num))
        return (state, key), (out.reward, task.where(out), out.last_obs)

    env = auto_reset(task.env)

    def run(key):
        return jax.lax.scan(one, (env.reset(key)[0], key), jnp.arange(steps))[1]

    return jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), copies))


@pytest.mark.parametrize(("make", "pay"), [(noisy.cartpole, 0.05), (noisy.space_invaders, 1.0)])
def test_noise_is_where_it_is_said_to_be(make, pay):
    reward, where, obs = (np.asarray(x) for x in played(make(scale=0.5)))
    quiet, same, same_obs = (np.asarray(x) for x in played(make(scale=0.0)))
    np.testing.assert_array_equal(obs, same_obs)
    np.testing.assert_array_equal(where, same)
    noise = (reward - quiet)[where]
    assert not (reward - quiet)[~where].any() and where.sum() > 100
    assert abs(noise.mean()) < 4 * 0.5 / len(noise) ** 0.5 and noise.std() == pytest.approx(0.5, rel=0.15)
    assert set(np.unique(quiet)) <= {np.float32(0), np.float32(pay)}
    if obs.ndim == 3:
        np.testing.assert_array_equal(where, obs[..., 0] > 0)
    else:
        np.testing.assert_array_equal(where, obs[..., 9, :5, 0].any(-1) & (quiet != 0))


def test_the_contract_holds():
    check(JaxEnvs("noisy", auto_reset(noisy.cartpole(limit=20).env), 2))
