"""Worlds that can be talked about as environments to train in."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from theodolite.core.arrays import PRNGKey
from theodolite.core.env import Box, Discrete, Env, Space, Step
from theodolite.envs.worlds import WORLDS, Told


def maker(id: str) -> Callable[..., Env]:
    """What makes the environment of an id, with the options of its world."""

    @wraps(WORLDS[id])
    def make(**options: Any) -> Env:
        return environment(WORLDS[id](**options))

    return make


def environment(told: Told) -> Env:
    """The world as an environment: terminates where the world is over, pays what arrivals are worth."""
    world = told.world
    num_actions, num_obs = len(world.actions), told.obs.shape[1]
    successors, cumulative = _successors(world.transition, num_actions)
    reward, over = jnp.asarray(told.reward, jnp.float32), jnp.asarray(world.over)
    obs = jnp.asarray(told.obs, jnp.float32)
    first = jnp.asarray(np.log(np.maximum(world.begin, 1e-30)), jnp.float32)

    def reset(key: PRNGKey):
        state = jax.random.categorical(key, first).astype(jnp.int32)
        return state, obs[state]

    def step(key: PRNGKey, state: Int[Array, ""], action: Int[Array, ""]):
        drawn = jnp.sum(jax.random.uniform(key) >= cumulative[state, action])
        following = successors[state, action, jnp.minimum(drawn, successors.shape[-1] - 1)]
        return following, Step(obs[following], reward[following], over[following], jnp.bool_(False), obs[following])

    return Env(reset, step, Space(Box((num_obs,), 0.0, 1.0), Discrete(num_actions)))


def _successors(transition: Any, num_actions: int) -> tuple[Array, Array]:
    """The states that each state and action may lead to, and their cumulative probabilities. [S, A, K]"""
    rows, pointers = transition.shape[0], np.asarray(transition.indptr)
    counts = np.diff(pointers)
    widest = int(counts.max())
    at = pointers[:-1, None] + np.minimum(np.arange(widest), counts[:, None] - 1)  # the last one again, never drawn
    cumulative = np.zeros((rows, widest))
    cumulative[np.arange(widest) < counts[:, None]] = transition.data
    shape = rows // num_actions, num_actions, widest
    cumulative = np.where(np.arange(widest) < counts[:, None] - 1, cumulative.cumsum(1), 1.0)
    successors = np.asarray(transition.indices)[at]
    return jnp.asarray(successors.reshape(shape), jnp.int32), jnp.asarray(cumulative.reshape(shape), jnp.float32)
