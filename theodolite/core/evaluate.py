"""Playing a policy: scores for claims and evaluation, whole episodes for demonstrations."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from theodolite.core.arrays import PRNGKey
from theodolite.core.demos import Episode
from theodolite.core.drive import step_keys
from theodolite.core.env import Action, JaxEnvs, Obs, Step
from theodolite.core.errors import UserError
from theodolite.core.host import HostEnv
from theodolite.core.options import remembering, with_options, without_options

Policy = Callable[[Obs, PRNGKey], Action]
"""What is played: observations with a leading axis and a key to actions; deterministic ones ignore the key."""

PATIENCE = 100_000
"""Steps after which an episode is held to be endless."""


def episode_scores(
    policy: Policy, envs: JaxEnvs, key: PRNGKey, options: int = 0
) -> tuple[Float[Array, " E"], Int[Array, " E"]]:
    """Return and length of the first episode of every environment; pure, so it can be jitted and vmapped over seeds.

    One episode per environment, so that short ones are not over-represented. `options` is the number that the policy's
    agent has.
    """
    reset_key, play_key = jax.random.split(key)
    env, num_envs = remembering(envs.env, options) if options else envs.env, envs.num_envs

    def unfinished(carry: tuple) -> Array:
        t, _, _, alive, *_ = carry
        return alive.any() & (t < PATIENCE)

    def one(carry: tuple) -> tuple:
        t, env_state, obs, alive, total, length = carry
        act_key, env_key = step_keys(play_key, t)
        env_keys = jax.random.split(env_key, num_envs)
        env_state, out = jax.vmap(env.step)(env_keys, env_state, policy(obs, act_key))
        total, length = total + jnp.where(alive, out.reward, 0), length + alive.astype(jnp.int32)
        return t + 1, env_state, out.obs, alive & ~out.terminated & ~out.truncated, total, length

    env_state, obs = jax.vmap(env.reset)(jax.random.split(reset_key, num_envs))
    nothing = jnp.zeros(num_envs), jnp.zeros(num_envs, jnp.int32)
    first = (jnp.int32(0), env_state, obs, jnp.ones(num_envs, bool), *nothing)
    *_, total, length = jax.lax.while_loop(unfinished, one, first)
    return total, length


def record(policy: Policy, envs: JaxEnvs | HostEnv, episodes: int, seed: int = 0, options: int = 0) -> list[Episode]:
    """Whole episodes, an equal number from every environment, so that short ones are not over-represented.

    `options` is the number that the policy's agent has; episodes hold the environment's own observations and actions.

    Raises:
        UserError: an episode does not end.
    """
    quota = -(-episodes // envs.num_envs)
    kept: list[list[Episode]] = [[] for _ in range(envs.num_envs)]
    rows: list[list[tuple]] = [[] for _ in range(envs.num_envs)]
    for obs, action, out in _play(policy, envs, seed, options):
        for e in range(envs.num_envs):
            if len(kept[e]) == quota:
                continue
            rows[e].append((obs[e], action[e], out.reward[e]))
            if out.terminated[e] or out.truncated[e]:
                seen, done, paid = zip(*rows[e], strict=True)
                whole = np.stack([*seen, out.last_obs[e]]), np.stack(done), np.asarray(paid, np.float32)
                kept[e].append(Episode(*whole, bool(out.terminated[e]), bool(out.truncated[e])))
                rows[e] = []
            elif len(rows[e]) > PATIENCE:
                raise UserError(f"{envs.id}: an episode did not end within {PATIENCE:,} steps. Give it a time limit.")
        if all(len(k) == quota for k in kept):
            break
    return [episode for turn in zip(*kept, strict=True) for episode in turn][:episodes]


def _play(
    policy: Policy, envs: JaxEnvs | HostEnv, seed: int, options: int
) -> Iterator[tuple[np.ndarray, np.ndarray, Step]]:
    """(obs, action, outcome) of every step of all environments, for ever, as the environments know them; NumPy."""
    key, own = jax.random.key(seed), envs.space
    envs = with_options(envs, options)
    act = jax.jit(lambda obs, t: policy(obs, step_keys(key, t)[0]))
    if isinstance(envs, JaxEnvs):
        state, obs = jax.jit(jax.vmap(envs.env.reset))(jax.random.split(jax.random.fold_in(key, 0), envs.num_envs))
        step = jax.jit(
            lambda t, state, action: jax.vmap(envs.env.step)(
                jax.random.split(step_keys(key, t)[1], envs.num_envs), state, action
            )
        )
    else:
        state, obs = None, envs.reset(seed)
        step = lambda t, state, action: (None, envs.step(np.asarray(action)))  # noqa: E731
    t = 0
    while True:
        action = act(obs, t)
        state, out = step(t, state, action)
        done = np.asarray(action), jax.tree.map(np.asarray, out)
        yield without_options(np.asarray(obs), *done, options, own) if options else (np.asarray(obs), *done)
        obs, t = out.obs, t + 1
