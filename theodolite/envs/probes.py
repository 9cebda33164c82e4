"""Five probe environments: each asks one faculty of an agent, and its docstring says what a right agent must find.

An agent that fails the first cannot fit a value, the second cannot read observations into values, the third cannot
bootstrap, the fourth cannot improve its policy, the fifth cannot make actions depend on observations. The first three
ignore the action. With `continuous` the action is one number of [-1, 1] instead of a choice of two.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from theodolite.core.arrays import PRNGKey
from theodolite.core.env import Box, Discrete, Env, Space, Step

TARGET = 0.5
"""The best continuous action of the last two probes; the worst one costs (1 + TARGET)² less."""


def _space(continuous: bool) -> Space:
    return Space(Box((1,), -1.0, 1.0), Box((1,), -1.0, 1.0) if continuous else Discrete(2))


def _last(obs: Array, reward: Array) -> Step:
    return Step(obs, reward, jnp.bool_(True), jnp.bool_(False), obs)


def _zero(key: PRNGKey) -> tuple[Float[Array, "1"], Float[Array, "1"]]:
    return jnp.zeros(1), jnp.zeros(1)


def _sign(key: PRNGKey) -> tuple[Float[Array, "1"], Float[Array, "1"]]:
    sign = jax.random.rademacher(key, (1,), jnp.float32)
    return sign, sign


def _agreement(action: Array, sign: Array, continuous: bool) -> Float[Array, ""]:
    """1 for the right action and -1 for the wrong one; continuous: 1 - (action - TARGET sign)²."""
    if continuous:
        return 1 - (action[0] - TARGET * sign) ** 2
    return jnp.where((action == 1) == (sign > 0), 1, -1).astype(jnp.float32)


def constant_value(continuous: bool = False) -> Env:
    """One step, observation 0, reward 1. V(0) = 1 under every policy."""

    def step(key: PRNGKey, state: Float[Array, "1"], action: Array):
        return state, _last(state, jnp.float32(1))

    return Env(_zero, step, _space(continuous))


def value_from_observation(continuous: bool = False) -> Env:
    """One step, observation -1 or 1 with equal chance, reward equal to it. V(o) = o under every policy."""

    def step(key: PRNGKey, state: Float[Array, "1"], action: Array):
        return state, _last(state, state[0])

    return Env(_sign, step, _space(continuous))


def discounting(continuous: bool = False) -> Env:
    """Two steps, observations 0 then 1, rewards 0 then 1. V(0) = γ and V(1) = 1 under every policy."""

    def reset(key: PRNGKey):
        return jnp.int32(0), jnp.zeros(1)

    def step(key: PRNGKey, state: Int[Array, ""], action: Array):
        second = state == 1
        obs = jnp.ones(1)
        return jnp.int32(1), Step(obs, second.astype(jnp.float32), second, jnp.bool_(False), obs)

    return Env(reset, step, _space(continuous))


def choice_of_action(continuous: bool = False) -> Env:
    """One step, observation 0, reward 1 for action 1 and -1 for action 0. π*(1 | 0) = 1 and V*(0) = 1.

    Continuous: reward 1 - (a - 1/2)²; the best policy plays 1/2, and a Gaussian of mean μ and std σ is worth
    1 - (μ - 1/2)² - σ².
    """

    def step(key: PRNGKey, state: Float[Array, "1"], action: Array):
        return state, _last(state, _agreement(action, jnp.float32(1), continuous))

    return Env(_zero, step, _space(continuous))


def action_given_observation(continuous: bool = False) -> Env:
    """One step, observation -1 or 1 with equal chance; reward 1 for action 1 at 1 and action 0 at -1, else -1.

    π*(1 | 1) = π*(0 | -1) = 1 and V*(o) = 1, while every policy blind to o is worth 0. Continuous: reward
    1 - (a - o/2)²; the best policy plays o/2, and the best blind one plays 0 and is worth 3/4.
    """

    def step(key: PRNGKey, state: Float[Array, "1"], action: Array):
        return state, _last(state, _agreement(action, state[0], continuous))

    return Env(_sign, step, _space(continuous))
