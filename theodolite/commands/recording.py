"""Demonstrations from trained and random policies, and from files of plain arrays."""

import zipfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from theodolite.commands.playing import acting, whole_games
from theodolite.commands.policies import Trained
from theodolite.core import demos as demonstrations
from theodolite.core.arrays import PRNGKey
from theodolite.core.demo_checks import check_match
from theodolite.core.demos import Demos
from theodolite.core.env import Action, Discrete, JaxEnvs, Obs, Space
from theodolite.core.errors import UserError, nearest
from theodolite.core.evaluate import Policy
from theodolite.core.evaluate import record as play
from theodolite.core.files import replacing
from theodolite.core.host import HostEnv
from theodolite.envs import registry

COLUMNS = ("obs", "actions", "next_obs", "rewards", "terminated", "truncated")


def of_run(
    run: Path,
    env: str | None,
    *,
    episodes: int,
    seed: int = 0,
    num_envs: int = 1,
    run_seed: int = 0,
    stochastic: bool = False,
    env_options: dict[str, Any] | None = None,
) -> Demos:
    """Episodes of one seed of a training run.

    Raises:
        UserError: no such run or seed, or an environment that does not fit it.
    """
    trained = Trained(run)
    env_id = env or trained.manifest["env"]
    options = env_options if env_options is not None else whole_games(trained.manifest) if env is None else {}
    envs = _make(env_id, num_envs, options)
    check_match(trained.space, envs.space, env_id, inferred=False, who="the run's policies")
    return _keep(acting(trained, run_seed, stochastic), envs, episodes, seed, trained.agent.options)


def random(
    env: str | None,
    *,
    episodes: int,
    seed: int = 0,
    num_envs: int = 1,
    env_options: dict[str, Any] | None = None,
) -> Demos:
    """Episodes of a policy that draws every action uniformly, or from a standard normal where there are no bounds."""
    envs = _make(env, num_envs, env_options or {})
    return _keep(random_policy(envs.space), envs, episodes, seed)


def random_policy(space: Space) -> Policy:
    """Uniform actions, standard normal ones where there are no bounds."""

    def policy(obs: Obs, key: PRNGKey) -> Action:
        count = obs.shape[0]
        if isinstance(space.action, Discrete):
            return jax.random.randint(key, (count,), 0, space.action.num)
        shape = (count, *space.action.shape)
        if not space.action.bounded:
            return jax.random.normal(key, shape)
        low, high = jnp.asarray(space.action.low), jnp.asarray(space.action.high)
        return jax.random.uniform(key, shape) * (high - low) + low

    return policy


def _make(env: str | None, num_envs: int, options: dict[str, Any]) -> JaxEnvs | HostEnv:
    if env is None:
        raise UserError("no environment was named: give one with --env, such as --env CartPole-v1.")
    return registry.make(env, num_envs=num_envs, **options)


def _keep(policy: Policy, envs: JaxEnvs | HostEnv, episodes: int, seed: int, options: int = 0) -> Demos:
    try:
        kept = play(policy, envs, episodes, seed, options)
    finally:
        if not isinstance(envs, JaxEnvs):
            envs.close()
    columns = ([getattr(e, name) for e in kept] for name in ("obs", "action", "reward", "terminated", "truncated"))
    return demonstrations.from_arrays(*columns, space=envs.space, env_id=envs.id, clip_actions=True)


def from_npz(path: Path, env: str | None = None) -> Demos:
    """Demonstrations from flat arrays in an .npz file.

    Raises:
        UserError: the file is damaged, or arrays are missing, unknown or do not fit.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            columns = dict(file)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: expected an .npz file. Check the path.") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read ({error}): expected an .npz file of plain arrays.") from error
    for name in columns:
        if name not in COLUMNS:
            raise UserError(f"{path} holds an array {name!r}.{nearest(name, COLUMNS)} Expected {', '.join(COLUMNS)}.")
    missing = [name for name in COLUMNS[:3] if name not in columns]
    if missing:
        raise UserError(f"{path} has no array {missing[0]!r}. Expected {', '.join(COLUMNS)}; the last three may lack.")
    if env is None:
        return demonstrations.from_flat(**columns)
    envs = registry.make(env)
    if not isinstance(envs, JaxEnvs):
        envs.close()
    return demonstrations.from_flat(**columns, space=envs.space, env_id=env)


def to_npz(demos: Demos, path: Path) -> None:
    """Write demonstrations as flat arrays; an episode that was cut off counts as truncated.

    Raises:
        UserError: the file could not be written.
    """
    steps = [len(e.action) for e in demos.episodes]
    last = np.cumsum(steps) - 1
    terminated, truncated = np.zeros(sum(steps), bool), np.zeros(sum(steps), bool)
    terminated[last] = [e.terminated for e in demos.episodes]
    truncated[last] = ~terminated[last]
    columns = {
        "obs": np.concatenate([e.obs[:-1] for e in demos.episodes]),
        "actions": np.concatenate([e.action for e in demos.episodes]),
        "next_obs": np.concatenate([e.obs[1:] for e in demos.episodes]),
        "rewards": np.concatenate([e.reward for e in demos.episodes]),
    }
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, **columns, terminated=terminated, truncated=truncated)
