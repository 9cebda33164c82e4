"""The environment contract: pure, unbatched `reset` and `step`; the two ends of an episode never merge."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from theodolite.core.arrays import PRNGKey

EnvState = PyTree[Array]
Obs = Array
Action = Array


class Box(NamedTuple):
    """Arrays of one shape whose entries lie in [low, high]; bounds are broadcast and may be infinite."""

    shape: tuple[int, ...]
    low: tuple[float, ...] | float = -float("inf")
    high: tuple[float, ...] | float = float("inf")
    dtype: str = "float32"

    @property
    def bounded(self) -> bool:
        """True if both bounds are finite everywhere."""
        return bool(np.all(np.isfinite(self.low)) and np.all(np.isfinite(self.high)))


class Discrete(NamedTuple):
    """The integers 0 to num - 1."""

    num: int


class Space(NamedTuple):
    """What an agent must know to build its state; hashable, hence static under jit."""

    obs: Box
    action: Discrete | Box
    num_envs: int = 1


class Step(NamedTuple):
    """One transition's outcome.

    `terminated`: the task ended, nothing follows, the value of what follows is zero.
    `truncated`: a limit outside the task cut the episode; what follows has a value, that of `last_obs`.
    `last_obs`: what was seen after the action and before any reset. `obs` is what the next action will be based on.
    """

    obs: Obs
    reward: Float[Array, "..."]
    terminated: Bool[Array, "..."]
    truncated: Bool[Array, "..."]
    last_obs: Obs


class Env(NamedTuple):
    """A JAX-native environment: pure functions without a batch axis; drivers vmap them."""

    reset: Callable[[PRNGKey], tuple[EnvState, Obs]]
    step: Callable[[PRNGKey, EnvState, Action], tuple[EnvState, Step]]
    space: Space


class JaxEnvs(NamedTuple):
    """`num_envs` copies of a JAX environment under its registered id, ready for a driver."""

    id: str
    env: Env
    num_envs: int

    @property
    def space(self) -> Space:
        """The space of one copy, with the number of copies."""
        return self.env.space._replace(num_envs=self.num_envs)


def time_limit(env: Env, limit: int) -> Env:
    """Truncate episodes after `limit` steps, unless they terminate by then."""

    def reset(key: PRNGKey):
        state, obs = env.reset(key)
        return (state, jnp.int32(0)), obs

    def step(key: PRNGKey, state: EnvState, action: Action):
        inner, elapsed = state
        inner, out = env.step(key, inner, action)
        late = elapsed + 1 >= limit
        return (inner, elapsed + 1), out._replace(truncated=(out.truncated | late) & ~out.terminated)

    return env._replace(reset=reset, step=step)


def fixed_horizon(env: Env) -> Env:
    """Never terminate: what would have ended stands still, unpaid, until a time limit around this cuts the episode.

    The end of an episode then says nothing about the reward, which imitation with a learned reward needs (Gleave et
    al. 2022, seals).
    """

    def reset(key: PRNGKey):
        state, obs = env.reset(key)
        return (state, obs, jnp.bool_(False)), obs

    def step(key: PRNGKey, state: EnvState, action: Action):
        inner, obs, ended = state
        moved, out = env.step(key, inner, action)
        inner, obs = jax.tree.map(lambda new, old: jnp.where(ended, old, new), (moved, out.last_obs), (inner, obs))
        reward = jnp.where(ended, 0, out.reward)
        now = ended | out.terminated
        return (inner, obs, now), Step(obs, reward, jnp.bool_(False), out.truncated, obs)

    return env._replace(reset=reset, step=step)


def auto_reset(env: Env) -> Env:
    """Start a new episode in the very step that ends one; `last_obs` keeps the final observation."""

    def step(key: PRNGKey, state: EnvState, action: Action):
        step_key, reset_key = jax.random.split(key)
        state, out = env.step(step_key, state, action)
        fresh = env.reset(reset_key)
        over = out.terminated | out.truncated
        state, obs = jax.tree.map(lambda new, old: jnp.where(over, new, old), fresh, (state, out.obs))
        return state, out._replace(obs=obs)

    return env._replace(step=step)


def clip_actions(env: Env) -> Env:
    """Clip actions to the box at the environment's door; policies keep the unclipped sample and its probability."""
    box = env.space.action
    assert isinstance(box, Box)
    low, high = jnp.asarray(box.low), jnp.asarray(box.high)

    def step(key: PRNGKey, state: EnvState, action: Action) -> tuple[EnvState, Step]:
        return env.step(key, state, jnp.clip(action, low, high))

    return env._replace(step=step)
