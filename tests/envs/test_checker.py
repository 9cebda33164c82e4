"""The checker finds each breach of the contract, one planted at a time, and nothing in an honest environment."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core.env import Box, Discrete, Env, JaxEnvs, Space, Step
from theodolite.core.errors import UserError
from theodolite.envs.checker import check


class Honest:
    """Two copies that count to five."""

    id = "honest"
    num_envs = 2
    space = Space(Box((3,)), Discrete(2), 2)

    def reset(self, seed: int) -> np.ndarray:
        self.draw, self.count = np.random.default_rng(seed), 0
        return self.draw.normal(size=(2, 3)).astype(np.float32)

    def step(self, action: np.ndarray) -> Step:
        self.count += 1
        last_obs = self.draw.normal(size=(2, 3)).astype(np.float32)
        over = np.array([self.count % 5 == 0, False])
        obs = np.where(over[:, None], np.float32(0), last_obs)
        return Step(obs, action.astype(np.float32), over, np.zeros(2, bool), last_obs)

    def close(self) -> None:
        pass


def breaking(**fields) -> Honest:
    """An honest environment but for one field of what step returns."""
    envs, honest = Honest(), Honest.step
    envs.step = lambda action: (out := honest(envs, action))._replace(**{k: f(out) for k, f in fields.items()})
    return envs


def test_an_honest_environment_passes():
    check(Honest())


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"reward": lambda o: o.reward.astype(np.float64)}, r"reward is float64\[200, 2\] .* float32\[200, 2\]"),
        ({"reward": lambda o: o.reward[:, None]}, r"reward is float32\[200, 2, 1\]"),
        ({"reward": lambda o: o.reward * np.float32(np.nan)}, "reward is not finite"),
        ({"obs": lambda o: o.obs.astype(np.float64)}, r"obs is float64\[200, 2, 3\]"),
        ({"last_obs": lambda o: o.last_obs[:, :2]}, r"last_obs is float32\[200, 2, 2\]"),
        ({"last_obs": lambda o: o.last_obs / np.float32(0)}, "last_obs is not finite"),
        ({"last_obs": lambda o: o.last_obs + 1}, "obs differs from last_obs although the episode goes on"),
        ({"terminated": lambda o: o.terminated.astype(int)}, r"terminated is int64\[200, 2\]"),
        ({"truncated": lambda o: o.terminated}, "terminated and was truncated in one step"),
        ({"truncated": lambda o: np.float32(0)}, r"truncated is float32\[200\]"),
        ({"reward": lambda o: np.random.default_rng().normal(size=2).astype(np.float32)}, "reward differs between two"),
    ],
)
def test_each_breach_is_named(fields, says):
    with np.errstate(all="ignore"), pytest.raises(UserError, match=f"'honest' breaks the contract: .*{says}"):
        check(breaking(**fields))


def test_overwritten_and_reshaped_arrays_are_found():
    envs, shared = Honest(), np.zeros((2, 3), np.float32)
    envs.reset = lambda seed: Honest.reset(envs, seed) * 0 + shared if seed is None else reset_in_place(envs, seed)

    def reset_in_place(envs, seed):
        shared[:] = Honest.reset(envs, seed)
        return shared

    def step(action):
        out = Honest.step(envs, action)
        shared[:] = out.obs
        return out

    envs.step = step
    with np.errstate(all="ignore"), pytest.raises(UserError, match="step overwrites arrays"):
        check(envs)
    envs = Honest()
    envs.step = lambda action: Honest.step(envs, action)._replace(reward=np.zeros(1 + envs.count % 2, np.float32))
    with pytest.raises(UserError, match="reward changes its shape from step to step"):
        check(envs)


def jax_env(**changes) -> Env:
    """A random walk in the unit square that stops at its edge; `changes` replace what step returns."""

    def reset(key):
        state = jax.random.uniform(key, (2,))
        return state, state

    def step(key, state, action):
        state = jnp.clip(state + 0.3 * jax.random.normal(key, (2,)), 0, 1)
        out = Step(state, jnp.float32(0), jnp.any(state == 1), jnp.bool_(False), state)
        return changes.get("state", lambda s: s)(state), changes.get("out", lambda o: o)(out)

    return Env(reset, step, Space(Box((2,), 0.0, changes.get("high", 1.0)), Box((1,), -1.0, 1.0)))


def test_a_bare_jax_environment_and_its_copies_pass():
    check(jax_env(), steps=40)
    check(JaxEnvs("walk", jax_env(), 2), steps=40)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"state": lambda s: s.astype(jnp.bfloat16)}, r"float32\[2\]'} after reset but .*bfloat16\[2\]'} after a step"),
        ({"state": lambda s: (s, s)}, "it must keep its form"),
        ({"out": tuple}, "step returns a tuple beside the state"),
        ({"high": 0.5}, "leaves the bounds of the observation space"),
        ({"out": lambda o: o._replace(reward=jnp.int32(0))}, "reward is int32"),
        ({"out": lambda o: o._replace(truncated=o.terminated)}, "terminated and was truncated"),
    ],
)
def test_breaches_of_jax_environments_are_named(changes, says):
    with pytest.raises(UserError, match=f"'walk' breaks the contract: .*{says}"):
        check(JaxEnvs("walk", jax_env(**changes), 2), steps=40)
