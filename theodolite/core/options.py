"""The option in force as a part of what is seen: an agent with options then acts on the observation alone.

    state  (s, ω) and action (ω', a) of the augmented decision process of Levy and Shimkin 2011

An observation ends in one mark per option, 1 for the one that was running and all 0 at the start of an episode: more
numbers of a vector, or more channels of an image. An action is the index ω' A + a, of which the environment gets a.
Acting, learning, replay and probabilities of actions need no memory beside it. An agent that declares `options` is
shown this by the drivers, by evaluation and by recording; all else sees the environment's own space.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from theodolite.core.agent import Agent, Batch
from theodolite.core.arrays import PRNGKey
from theodolite.core.env import Action, Box, Discrete, Env, EnvState, JaxEnvs, Obs, Space, Step
from theodolite.core.errors import UserError
from theodolite.core.host import HostEnv

NOT_YET = -1
"""The option in force where there is none."""


def seen_space(space: Space, options: int) -> Space:
    """What an agent with so many options sees, and chooses from; the space itself where it has none.

    Raises:
        UserError: actions are no choice, or observations neither vectors nor images.
    """
    if not options:
        return space
    box, num = space.obs, num_actions(space)
    if len(box.shape) not in (1, 3):
        raise UserError(
            f"observations have the shape {box.shape}, expected vectors, or images with channels last: the option in "
            "force is added to the last axis. Wrap the environment (gymnasium.wrappers.FlattenObservation, say)."
        )
    low, high = box.low, box.high
    if len(box.shape) == 1:
        low, high = (tuple(np.broadcast_to(bound, box.shape).tolist()) for bound in (low, high))
        low, high = low + options * (0.0,), high + options * (1.0,)
    shape = (*box.shape[:-1], box.shape[-1] + options)
    return space._replace(obs=Box(shape, low, high, box.dtype), action=Discrete(options * num))


def num_actions(space: Space) -> int:
    """How many actions the environment itself offers.

    Raises:
        UserError: they are no choice.
    """
    if not isinstance(space.action, Discrete):
        raise UserError(f"actions lie in {space.action}, expected a choice among some: options choose among actions.")
    return space.action.num


def join(obs: Any, option: Any, options: int) -> Any:
    """An observation, with any leading axes, that shows the option in force; NumPy or JAX."""
    if isinstance(obs, np.ndarray):
        marks = (np.asarray(option)[..., None] == np.arange(options)).astype(obs.dtype)
        broadcast, concatenate = np.broadcast_to, np.concatenate
    else:
        marks = jax.nn.one_hot(option, options, dtype=obs.dtype)
        broadcast, concatenate = jnp.broadcast_to, jnp.concatenate
    axes = obs.ndim - np.ndim(option) - 1  # before the last one, where marks are repeated over an image
    marks = broadcast(marks.reshape(*marks.shape[:-1], *(1,) * axes, options), (*obs.shape[:-1], options))
    return concatenate([obs, marks], -1)


def split(obs: Array, options: int, rank: int) -> tuple[Array, Float[Array, "*batch W"]]:
    """The environment's own observation, of so many axes, and the marks of the option in force."""
    marks = obs[..., -options:]
    for _ in range(rank - 1):
        marks = marks[..., 0, :]
    return obs[..., :-options], marks.astype(jnp.float32)


def with_options(envs: JaxEnvs | HostEnv, options: int) -> JaxEnvs | HostEnv:
    """The environments as an agent with so many options sees them; themselves where it has none."""
    if not options:
        return envs
    if isinstance(envs, JaxEnvs):
        return envs._replace(env=remembering(envs.env, options))
    return HostOptions(envs, options)


def remembering(env: Env, options: int) -> Env:
    """A JAX environment that shows the option in force; it goes around automatic resets, which forget it."""
    num = num_actions(env.space)

    def reset(key: PRNGKey) -> tuple[EnvState, Obs]:
        state, obs = env.reset(key)
        return state, join(obs, jnp.int32(NOT_YET), options)

    def step(key: PRNGKey, state: EnvState, action: Action) -> tuple[EnvState, Step]:
        option = action // num
        state, out = env.step(key, state, action % num)
        in_force = jnp.where(out.terminated | out.truncated, NOT_YET, option)
        return state, out._replace(obs=join(out.obs, in_force, options), last_obs=join(out.last_obs, option, options))

    return Env(reset, step, seen_space(env.space, options))


class HostOptions:
    """The same for a host environment."""

    def __init__(self, envs: HostEnv, options: int):
        self.id, self.num_envs, self.space = envs.id, envs.num_envs, seen_space(envs.space, options)
        self._envs, self._options, self._actions = envs, options, num_actions(envs.space)

    def reset(self, seed: int) -> np.ndarray:
        """Start every copy anew; no option is in force."""
        return join(self._envs.reset(seed), np.full(self.num_envs, NOT_YET), self._options)

    def step(self, action: np.ndarray) -> Step:
        """Act in every copy by pairs of option and action."""
        option, own = np.divmod(action, self._actions)
        out: Any = self._envs.step(own)
        in_force = np.where(out.terminated | out.truncated, NOT_YET, option)
        seen, last = join(out.obs, in_force, self._options), join(out.last_obs, option, self._options)
        return out._replace(obs=seen, last_obs=last)

    def close(self) -> None:
        """Free what the copies hold."""
        self._envs.close()


def plain(batch: Batch, options: int, space: Space) -> Batch:
    """A batch as the environment knows it: its own observations and actions. `space` is the environment's own."""
    if not options:
        return batch
    own = {"obs": batch.obs[..., :-options], "last_obs": batch.last_obs[..., :-options]}
    return batch._replace(action=batch.action % num_actions(space), **own)


def without_options(
    obs: np.ndarray, action: np.ndarray, out: Step, options: int, space: Space
) -> tuple[np.ndarray, np.ndarray, Step]:
    """A step as the environment knows it. `space` is the environment's own."""
    own = out._replace(obs=out.obs[..., :-options], last_obs=out.last_obs[..., :-options])
    return obs[..., :-options], action % num_actions(space), own


def refuse(learner: Agent, who: str) -> None:
    """Raise where a method compares a learner's choices with those of a demonstrator, who shows no options.

    Raises:
        UserError: the learner has options.
    """
    if learner.options:
        raise UserError(
            f"the learner has {learner.options} options, expected none: {who} compares it with demonstrations, "
            "which do not say which option was in force. Take ppo or trpo."
        )
