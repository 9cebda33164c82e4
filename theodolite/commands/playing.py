"""Scoring a trained run on the environment's own reward, with randomness of its own."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from theodolite.commands.policies import Trained
from theodolite.core import stats
from theodolite.core.agent import Agent, Solver, State
from theodolite.core.arrays import PRNGKey
from theodolite.core.demo_checks import check_match
from theodolite.core.env import JaxEnvs
from theodolite.core.errors import UserError
from theodolite.core.evaluate import Policy, episode_scores, record
from theodolite.core.host import HostEnv
from theodolite.core.judge import Json
from theodolite.core.train import env_seed
from theodolite.envs import registry

EVALUATION = 0x45564C
"""Folded into the seed, so that evaluation never meets the episodes of training."""
HOST_COPIES = 8
"""Copies of a host environment that play together at most."""

TRAINING_ONLY = ("episodic_life", "reward_clip")
"""EnvPool's options of Atari games that help to learn: a life is no game, and a sign no score."""


def evaluate(
    run: str | Path,
    env: str | None = None,
    *,
    episodes: int = 20,
    seed: int = 0,
    stochastic: bool = False,
    env_options: dict[str, Any] | None = None,
) -> Json:
    """Mean, interquartile mean and their intervals, with the return and length of every episode of every seed.

    With several seeds the statistics are over the seeds' mean returns, with one over its episodes.

    Raises:
        UserError: the folder holds no run, or the environment does not fit it.
    """
    if episodes < 1:
        raise UserError(f"episodes = {episodes}: must be >= 1.")
    trained = Trained(Path(run))
    env_id = env or trained.manifest["env"]
    if env_id is None:
        raise UserError(f"{run} names no environment: give one with --env.")
    options = env_options if env_options is not None else whole_games(trained.manifest) if env is None else {}
    envs = registry.make(env_id, num_envs=copies(env_id, episodes), **options)
    try:
        check_match(trained.space, envs.space, env_id, inferred=False, who="the run's policies")
        played = [_play(trained, k, envs, episodes, seed, stochastic) for k in range(trained.seeds)]
    finally:
        if not isinstance(envs, JaxEnvs):
            envs.close()
    returns, lengths = (np.array([one[i] for one in played], float) for i in (0, 1))
    about = {"run": str(run), "method": trained.manifest["method"], "env": env_id, "seed": seed}
    shown = {"returns": returns.tolist(), "lengths": lengths.astype(int).tolist()}
    return {**about, "policy": "stochastic" if stochastic else "mode", **summary(returns), **shown}


def whole_games(manifest: Json) -> dict[str, Any]:
    """The environment's options in training, without those that make its score another one than the game's."""
    return {name: value for name, value in manifest["env_options"].items() if name not in TRAINING_ONLY}


def summary(returns: np.ndarray) -> Json:
    """Statistics of the returns [S, N]: over the seeds' means, or over the episodes of a single seed."""
    units = returns.mean(1) if len(returns) > 1 else returns[0]
    generator = np.random.default_rng(EVALUATION)
    found: Json = {"over": "seeds" if len(returns) > 1 else "episodes", "count": len(units)}
    for name in ("mean", "iqm"):
        bootstrap = stats.bootstrap([units], name, generator)
        found[name] = bootstrap.estimate
        found[f"{name}_interval"] = list(bootstrap.interval())
    return found


def acting(trained: Trained, seed: int, stochastic: bool) -> Policy:
    """The policy of one seed of a run, for players."""
    agent, state = trained.agent, trained.state(seed)
    return (lambda obs, key: agent.act(state, obs, key)[0]) if stochastic else (lambda obs, _: agent.mode(state, obs))


def copies(env_id: str, episodes: int) -> int:
    """Copies of an environment in which so many episodes are played."""
    jitted = env_id.removeprefix("theodolite/") in registry.TASKS or env_id.startswith("gymnax/")
    return episodes if jitted else min(episodes, HOST_COPIES)


def _play(
    trained: Trained, index: int, envs: JaxEnvs | HostEnv, episodes: int, seed: int, stochastic: bool
) -> tuple[list[float], list[int]]:
    """Returns and lengths of the episodes of one seed."""
    own_seed = env_seed(seed + EVALUATION, index)
    if isinstance(envs, JaxEnvs):
        total, length = _scorer(trained.agent, envs, stochastic)(trained.state(index), jax.random.key(own_seed))
        return np.asarray(total).tolist(), np.asarray(length).tolist()
    kept = record(acting(trained, index, stochastic), envs, episodes, own_seed, trained.agent.options)
    return [float(e.reward.sum(dtype=np.float64)) for e in kept], [len(e.action) for e in kept]


@cache
def _scorer(agent: Agent | Solver, envs: JaxEnvs, stochastic: bool) -> Callable:
    """The compiled player, one for all seeds of a run."""

    def score(state: State, key: PRNGKey) -> tuple[Array, Array]:
        policy = (lambda obs, k: agent.act(state, obs, k)[0]) if stochastic else (lambda obs, _: agent.mode(state, obs))
        return episode_scores(policy, envs, key, agent.options)

    return jax.jit(score)
