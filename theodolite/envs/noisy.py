"""Noise of mean zero on one kind of reward: what is averse to it has a choice, what is not has no reason for one.

    cartpole         a step on the right of the track pays with noise, one elsewhere does not
    space_invaders   MinAtar's: an alien that is hit while the cannon is in the left half pays with noise

Both are mirror images of themselves but for the noise, so that the best return is nearly the same without it.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from theodolite.core.arrays import PRNGKey, Scalar
from theodolite.core.env import Action, Env, EnvState, Step, time_limit
from theodolite.envs import classic, minatar

Where = Callable[[Step], Bool[Array, ""]]


class Noisy(NamedTuple):
    """A task, and where its reward is a matter of chance."""

    env: Env
    where: Where
    scale: float
    """Standard deviation of the noise."""


def noisy(env: Env, where: Where, scale: Scalar, pay: Scalar = 1.0) -> Env:
    """Rewards times `pay`, with normal noise of standard deviation `scale` after steps of which `where` is true."""

    def step(key: PRNGKey, state: EnvState, action: Action) -> tuple[EnvState, Step]:
        step_key, noise_key = jax.random.split(key)
        state, out = env.step(step_key, state, action)
        noise = jnp.where(where(out), scale * jax.random.normal(noise_key), 0)
        return state, out._replace(reward=pay * out.reward + noise)

    return env._replace(step=step)


def cartpole(scale: float = 0.3, edge: float = 0.0, limit: int = 500) -> Noisy:
    """A step pays 1/20, so that values stay small. Carts start within 0.05 of the middle, where the noise begins."""

    def right(out: Step) -> Bool[Array, ""]:
        return out.last_obs[0] > edge

    return Noisy(time_limit(noisy(classic.cartpole(), right, scale, 0.05), limit), right, scale)


def space_invaders(scale: float = 3.0, limit: int = 1_000) -> Noisy:
    """An alien pays 1; the channel of the cannon tells where it stands."""

    def left(out: Step) -> Bool[Array, ""]:
        return (out.last_obs[9, : minatar.SIZE // 2, 0] > 0).any() & (out.reward != 0)

    return Noisy(time_limit(noisy(minatar.env("SpaceInvaders"), left, scale), limit), left, scale)
