"""Experts trained here on the true reward, and their demonstrations: made once, then kept in the user's cache."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
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

ATTEMPTS = 5
"""Experts trained one after another until one learns: on a sparse reward, such as MountainCar's, some never see it."""


class Recipe(NamedTuple):
    """How an expert is trained; the fields are the key under which it is kept."""

    env: str
    method: str
    updates: int
    num_envs: int
    episodes: int
    revision: int = 2


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


def soft_expert(c: ppo.Config) -> Agent:
    """PPO on standardised observations and the reward as it is, whose entropy has a price: what soft IRL assumes."""
    return normalise_obs(ppo.agent(c))


SOFT = ppo.Config(rollout=100, minibatches=10, temperature=0.02, squash=True, hidden=(32, 32), learning_rate=1e-3)
LEARNERS: dict[str, tuple[Callable, ppo.Config | trpo.Config]] = {
    "trpo": (trpo_expert, trpo.Config(rollout=100, hidden=(64, 64))),
    "soft ppo": (soft_expert, SOFT),
    "soft ppo, small rewards": (soft_expert, replace(SOFT, temperature=0.001)),
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
    """The expert of a recipe, from the cache folder or trained now; the same bits either way on one machine.

    Raises:
        UserError: it cannot be trained.
    """
    place = _place(recipe)
    if place is None:
        return _expert(_train(recipe))
    if not place.exists():
        made = _train(recipe)
        with suppress(UserError):  # another process was faster, and wrote the same
            minari.write(made, place)
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
    """Demonstrations of the first attempt that learned the task.

    Raises:
        UserError: no attempt did.
    """
    tests = make(recipe.env, num_envs=20)

    def returns(policy: Policy) -> np.ndarray:
        return np.asarray([e.reward.sum() for e in record(policy, tests, REFERENCE_EPISODES, seed=1_001)])

    by_chance = returns(uniform(tests.space))
    for attempt in range(ATTEMPTS):
        act, mode = policies(recipe, attempt)
        mode_return = float(returns(mode).mean())
        if recipe.method == "uniform" or mode_return > by_chance.max():
            break
    else:
        raise UserError(
            f"{recipe.env}: none of {ATTEMPTS} experts, trained for {recipe.updates} updates each, does better than "
            f"the best of {REFERENCE_EPISODES} episodes of the uniform policy ({by_chance.max():g}). Train for longer."
        )
    columns = zip(*record(act, tests, recipe.episodes, seed=1_002), strict=True)
    return demos.from_arrays(
        *(list(c) for c in columns),
        space=tests.space,
        env_id=recipe.env,
        metadata={"mode_return": mode_return, "random_return": float(by_chance.mean())},
        clip_actions=True,
    )


def policies(recipe: Recipe, attempt: int) -> tuple[Policy, Policy]:
    """The stochastic policy and its mode, trained now; method "uniform" trains nothing."""
    envs = make(recipe.env, num_envs=recipe.num_envs)
    if recipe.method == "uniform":
        return uniform(envs.space), uniform(envs.space)
    build, config = LEARNERS[recipe.method]
    every = max(1, recipe.updates // 4)
    *_, last = train(build, config, envs, updates=recipe.updates, every=every, seed=1_000 + attempt)
    state, agent = jax.tree.map(lambda x: x[0], last.carry.agent), build(config)
    return lambda obs, key: agent.act(state, obs, key)[0], lambda obs, key: agent.mode(state, obs)
