"""Drivers: one scan for JAX environments, one Python loop for host ones, the same key schedule, the same Batch."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from theodolite.core.agent import Agent, Batch, State
from theodolite.core.arrays import Arrays, Metrics, PRNGKey
from theodolite.core.env import Action, Env, EnvState, JaxEnvs, Obs
from theodolite.core.host import HostEnv
from theodolite.core.options import remembering

EPISODE_METRICS = {
    "return": "mean return of each environment's last finished episode, true reward; NaN until one has finished",
    "length": "mean length of each environment's last finished episode, steps",
    "episodes": "episodes finished since the start",
}

RUNS_ONCE = {"xla_backend_optimization_level": 0}
"""Compiler options of what runs once: random numbers unroll into code that takes six times as long to optimise."""


class Episodes(Arrays):
    """Running return and length of every environment's episode, and those of the last one that ended."""

    running_return: Float[Array, " E"]
    running_length: Int[Array, " E"]
    last_return: Float[Array, " E"]
    last_length: Float[Array, " E"]
    count: Int[Array, ""]


def no_episodes(num_envs: int) -> Episodes:
    """Before the first step."""
    unknown, unknown_too = (jnp.full(num_envs, jnp.nan, jnp.float32) for _ in range(2))  # memory is donated only once
    return Episodes(jnp.zeros(num_envs), jnp.zeros(num_envs, jnp.int32), unknown, unknown_too, jnp.int32(0))


def account(e: Episodes, batch: Batch) -> Episodes:
    """Account for every step of a batch, in order."""

    def one(e: Episodes, row: tuple[Array, Array]) -> tuple[Episodes, None]:
        reward, over = row
        total, length = e.running_return + reward, e.running_length + 1
        return Episodes(
            running_return=jnp.where(over, 0, total),
            running_length=jnp.where(over, 0, length),
            last_return=jnp.where(over, total, e.last_return),
            last_length=jnp.where(over, length.astype(jnp.float32), e.last_length),
            count=e.count + jnp.sum(over, dtype=jnp.int32),
        ), None

    return jax.lax.scan(one, e, (batch.reward, batch.terminated | batch.truncated))[0]


class Carry(Arrays):
    """Everything that a run needs to go on: it is the checkpoint. Host environments keep their own state."""

    agent: State
    env: EnvState | None
    obs: Obs
    episodes: Episodes


def _seen_by(agent: Agent, envs: JaxEnvs) -> Env:
    return remembering(envs.env, agent.options) if agent.options else envs.env


def start(agent: Agent, envs: JaxEnvs, key: PRNGKey) -> Carry:
    """The carry before the first update."""
    agent_key, env_key = jax.random.split(key)
    env_state, obs = jax.vmap(_seen_by(agent, envs).reset)(jax.random.split(env_key, envs.num_envs))
    carry = Carry(agent.init(agent_key, envs.space), env_state, obs, no_episodes(envs.num_envs))
    return jax.tree.map(jnp.copy, carry)  # a state that is its own observation would be donated twice


Init = Callable[[PRNGKey], State]


def start_host(init: Init, envs: HostEnv, key: PRNGKey, seed: int) -> Carry:
    """The carry before the first update of a host environment that was reset with `seed`; `init` is jitted."""
    agent_key, _ = jax.random.split(key)
    obs = jnp.asarray(envs.reset(seed))
    return Carry(init(agent_key), None, obs, no_episodes(envs.num_envs))


def step_keys(key: PRNGKey, t: Array | int) -> tuple[PRNGKey, PRNGKey]:
    """The keys of acting and of the environments at step `t` of a rollout: the same for both drivers."""
    act_key, env_key = jax.random.split(jax.random.fold_in(key, t))
    return act_key, env_key


def collect(agent: Agent, envs: JaxEnvs, carry: Carry, key: PRNGKey) -> tuple[Carry, Batch]:
    """Let the agent act for one rollout in every environment."""
    env = _seen_by(agent, envs)

    def one(now: tuple[EnvState, Obs], t: Array) -> tuple[tuple[EnvState, Obs], Batch]:
        env_state, obs = now
        act_key, env_key = step_keys(key, t)
        action, log_prob = agent.act(carry.agent, obs, act_key)
        env_state, out = jax.vmap(env.step)(jax.random.split(env_key, envs.num_envs), env_state, action)
        return (env_state, out.obs), Batch(obs, action, log_prob, *out[1:])

    (env_state, obs), batch = jax.lax.scan(one, (carry.env, carry.obs), jnp.arange(agent.rollout))
    return Carry(carry.agent, env_state, obs, carry.episodes), batch


Act = Callable[[Obs, PRNGKey, int], tuple[Action, Array]]


def collect_host(act: Act, envs: HostEnv, carry: Carry, key: PRNGKey, rollout: int) -> tuple[Carry, Batch]:
    """The same in a host environment; `act(obs, key, t)` is jitted and draws with `step_keys(key, t)`."""
    obs: Any = np.asarray(carry.obs)
    rows = []
    for t in range(rollout):
        action, log_prob = act(obs, key, t)
        out: Any = envs.step(np.asarray(action))  # NumPy throughout, until the rollout is stacked
        rows.append(Batch(obs, action, log_prob, *out[1:]))
        obs = out.obs
    batch = jax.tree.map(lambda *column: jnp.asarray(np.stack(column)), *rows)
    return Carry(carry.agent, None, jnp.asarray(obs), carry.episodes), batch


def learn(agent: Agent, carry: Carry, batch: Batch, key: PRNGKey) -> tuple[Carry, Metrics]:
    """One update of the agent, with the episodes' metrics beside its own."""
    state, metrics = agent.update(carry.agent, batch, key)
    e = account(carry.episodes, batch)
    episodes = {"return": jnp.nanmean(e.last_return), "length": jnp.nanmean(e.last_length), "episodes": e.count}
    return Carry(state, carry.env, carry.obs, e), {**metrics, **episodes}
