"""Drivers: one scan for JAX environments, one Python loop for host ones, the same key schedule, the same Batch."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from theodolite.core.agent import Agent, Batch, State
from theodolite.core.arrays import Arrays, PRNGKey
from theodolite.core.env import EnvState, JaxEnvs, Obs, Step


class Episodes(Arrays):
    """Running return and length of every environment's episode, and those of the last one that ended."""

    running_return: Float[Array, " E"]
    running_length: Int[Array, " E"]
    last_return: Float[Array, " E"]
    last_length: Int[Array, " E"]
    count: Int[Array, ""]


def no_episodes(num_envs: int) -> Episodes:
    """Before the first step; last_return is NaN until an episode has ended."""
    zeros, none = jnp.zeros(num_envs), jnp.zeros(num_envs, jnp.int32)
    return Episodes(zeros, none, jnp.full(num_envs, jnp.nan), none, jnp.int32(0))


def record(e: Episodes, out: Step) -> Episodes:
    """Account for one step of every environment."""
    over = out.terminated | out.truncated
    total, length = e.running_return + out.reward, e.running_length + 1
    return Episodes(
        running_return=jnp.where(over, 0, total),
        running_length=jnp.where(over, 0, length),
        last_return=jnp.where(over, total, e.last_return),
        last_length=jnp.where(over, length, e.last_length),
        count=e.count + jnp.sum(over, dtype=jnp.int32),
    )


class Carry(Arrays):
    """Everything that a run needs to go on: it is the checkpoint."""

    agent: State
    env: EnvState
    obs: Obs
    episodes: Episodes


def start(agent: Agent, envs: JaxEnvs, key: PRNGKey) -> Carry:
    """The carry before the first update."""
    agent_key, env_key = jax.random.split(key)
    env_state, obs = jax.vmap(envs.env.reset)(jax.random.split(env_key, envs.num_envs))
    return Carry(agent.init(agent_key, envs.space), env_state, obs, no_episodes(envs.num_envs))


def collect(agent: Agent, envs: JaxEnvs, carry: Carry, key: PRNGKey, steps: int) -> tuple[Carry, Batch]:
    """Let the agent act for `steps` steps in every environment."""

    def one(carry: Carry, t: Array) -> tuple[Carry, Batch]:
        act_key, env_key = jax.random.split(jax.random.fold_in(key, t))
        action, log_prob = agent.act(carry.agent, carry.obs, act_key)
        env_keys = jax.random.split(env_key, envs.num_envs)
        env_state, out = jax.vmap(envs.env.step)(env_keys, carry.env, action)
        row = Batch(carry.obs, action, log_prob, *out[1:])
        return Carry(carry.agent, env_state, out.obs, record(carry.episodes, out)), row

    return jax.lax.scan(one, carry, jnp.arange(steps))
