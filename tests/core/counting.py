"""A task whose every number can be foreseen, and an agent that remembers all that it was shown."""

import jax
import jax.numpy as jnp

from theodolite.core.agent import Agent
from theodolite.core.env import Box, Discrete, Env, JaxEnvs, Space, Step, auto_reset, time_limit

LIMIT = 4


def counting(num_envs: int = 3, limit: int = LIMIT) -> JaxEnvs:
    """The observation is (steps of the episode, a random number drawn at the step); action 1 ends it at step 3.

    The reward of a step is its number plus ten times the action.
    """

    def reset(key):
        return jnp.float32(0), jnp.stack([jnp.float32(0), jax.random.uniform(key)])

    def step(key, state, action):
        state = state + 1
        obs = jnp.stack([state, jax.random.uniform(key)])
        ended = (state == 3) & (action == 1)
        return state, Step(obs, state + 10 * action.astype(jnp.float32), ended, jnp.bool_(False), obs)

    env = auto_reset(time_limit(Env(reset, step, Space(Box((2,)), Discrete(2))), limit))
    return JaxEnvs("Counting", env, num_envs)


def scribe(rollout: int = 5, fail_at: int = 10**6) -> Agent:
    """Actions by coin; the state is the number of updates and the last batch's sums. It diverges at an update."""

    def init(key, space):
        return {"updates": jnp.int32(0), "drawn": jax.random.uniform(key, (2,)), "seen": jnp.float32(0)}

    def act(s, obs, key):
        action = jax.random.bernoulli(key, 0.5, obs.shape[:-1]).astype(jnp.int32)
        return action, jnp.full(obs.shape[:-1], jnp.log(0.5))

    def update(s, batch, key):
        updates = s["updates"] + 1
        drawn = jnp.where(updates == fail_at, jnp.nan, jax.random.uniform(key, (2,)))
        return {"updates": updates, "drawn": drawn, "seen": batch.obs[..., 1].sum()}, {"first": drawn[0]}

    return Agent(init, act, update, lambda s, obs: obs[..., 0].astype(jnp.int32) % 2, lambda s, obs, a: 0.0, rollout)
