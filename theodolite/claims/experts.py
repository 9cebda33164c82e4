"""Experts trained here on the true reward, and their demonstrations: made once, then kept in the user's cache."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from theodolite.control import ppo, trpo
from theodolite.core import compile_cache, demos, minari
from theodolite.core.agent import Agent
from theodolite.core.arrays import PRNGKey
from theodolite.core.demos import Demos
from theodolite.core.env import Action, Discrete, Obs, Space
from theodolite.core.errors import UserError
from theodolite.core.evaluate import Policy, record
from theodolite.core.normalise import normalise_obs, normalise_reward
from theodolite.core.train import train
from theodolite.envs.registry import make

REFERENCE_EPISODES = 200
"""Episodes behind the returns of the expert's mode and of the uniform policy, which normalise every score."""


class Recipe(NamedTuple):
    """How an expert is trained; the fields are the key under which it is kept."""

    env: str
    method: str
    updates: int
    num_envs: int
    episodes: int
    revision: int = 1


class Expert(NamedTuple):
    """Demonstrations of the stochastic policy, and the mean returns of its mode and of the uniform policy."""

    demos: Demos
    mode_return: float
    random_return: float

    def normalised(self, returns: np.ndarray) -> np.ndarray:
        """0 for the uniform policy, 1 for the expert's mode."""
        return (returns - self.random_return) / (self.mode_return - self.random_return)


def trpo_expert(c: trpo.Config) -> Agent:
    """TRPO on standardised observations."""
    return normalise_obs(trpo.agent(c))


def ppo_expert(c: ppo.Config) -> Agent:
    """PPO with the usual normalisations of continuous control."""
    return normalise_obs(normalise_reward(ppo.agent(c), c.discount))


LEARNERS: dict[str, tuple[Callable, ppo.Config | trpo.Config]] = {
    "trpo": (trpo_expert, trpo.Config(rollout=100, hidden=(64, 64))),
    "ppo": (ppo_expert, ppo.Config(rollout=32, epochs=10, minibatches=32)),
}


def uniform(space: Space) -> Policy:
    """The policy that knows nothing: uniform over discrete actions or over the box."""

    def act(obs: Obs, key: PRNGKey) -> Action:
        if isinstance(space.action, Discrete):
            return jax.random.randint(key, obs.shape[:1], 0, space.action.num)
        low, high = np.asarray(space.action.low, np.float32), np.asarray(space.action.high, np.float32)
        return jax.random.uniform(key, (obs.shape[0], *space.action.shape), minval=low, maxval=high)

    return act


@cache
def expert(recipe: Recipe) -> Expert:
    """The expert of a recipe, from the cache folder or trained now; the same bits either way on one machine."""
    place = _place(recipe)
    if place is None:
        return _expert(_train(recipe))
    if not place.exists():
        with suppress(UserError):  # another process was faster, and wrote the same
            minari.write(_train(recipe), place)
    return _expert(minari.read(place))


def _expert(shown: Demos) -> Expert:
    return Expert(shown, shown.metadata["mode_return"], shown.metadata["random_return"])


def _place(recipe: Recipe) -> Path | None:
    root = compile_cache.home()
    key = hashlib.sha256(repr((recipe, _settings(recipe), REFERENCE_EPISODES)).encode()).hexdigest()[:16]
    return None if root is None else root / "experts" / f"{recipe.env}-{key}"


def _settings(recipe: Recipe) -> ppo.Config | trpo.Config | None:
    return LEARNERS[recipe.method][1] if recipe.method in LEARNERS else None


def _train(recipe: Recipe) -> Demos:
    tests = make(recipe.env, num_envs=20)
    act, mode = policies(recipe)

    def mean_return(policy: Policy) -> float:
        return float(np.mean([e.reward.sum() for e in record(policy, tests, REFERENCE_EPISODES, seed=1_001)]))

    columns = zip(*record(act, tests, recipe.episodes, seed=1_002), strict=True)
    returns = {"mode_return": mean_return(mode), "random_return": mean_return(uniform(tests.space))}
    return demos.from_arrays(
        *(list(c) for c in columns), space=tests.space, env_id=recipe.env, metadata=returns, clip_actions=True
    )


def policies(recipe: Recipe) -> tuple[Policy, Policy]:
    """The stochastic policy and its mode, trained now; method "uniform" trains nothing."""
    envs = make(recipe.env, num_envs=recipe.num_envs)
    if recipe.method == "uniform":
        return uniform(envs.space), uniform(envs.space)
    build, config = LEARNERS[recipe.method]
    *_, last = train(build, config, envs, updates=recipe.updates, every=max(1, recipe.updates // 4), seed=1_000)
    state, agent = jax.tree.map(lambda x: x[0], last.carry.agent), build(config)
    return lambda obs, key: agent.act(state, obs, key)[0], lambda obs, key: agent.mode(state, obs)
