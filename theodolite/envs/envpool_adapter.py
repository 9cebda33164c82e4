"""EnvPool's environments (MuJoCo, Atari, classic control, …) with same-step resets.

EnvPool itself spends the step after an episode's end on the reset: the action is ignored and the reward is 0, a dead
transition. Here the copies that ended are reset alone, right after the step that ended them: `last_obs` is what that
step led to, `obs` the first observation of the next episode.

EnvPool reports an episode that terminates in the very step of its time limit as truncated. For the families of
`OWN_CLOCK` the limit is therefore kept here, one step inside EnvPool's own, and both ends are exact. For the others
(their rewards or resets read the limit) EnvPool's flags hold, which differ in that one case.

Atari games come with the usual preprocessing: grey, 84 x 84, four frames, each the last of four; `episodic_life=true`
ends an episode with every life, `reward_clip=true` leaves a reward its sign. The ROMs are in EnvPool's own packages.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import envpool
import numpy as np
from envpool.registration import registry

from theodolite.core import devices
from theodolite.core.env import Space, Step
from theodolite.core.errors import UserError, nearest
from theodolite.envs import host_spaces

OWN_CLOCK = frozenset({"envpool.mujoco.gym", "envpool.classic_control", "envpool.box2d", "envpool.toy_text"})
MEND = (
    "EnvPool has no wrappers: choose another id, or register a Gymnasium environment of the task with its spaces "
    "wrapped (gymnasium.wrappers.FlattenObservation, say) in a module m of yours and ask for 'm:YourId-v0'."
)
NO_LIMIT = 2**31 - 1
"""What EnvPool calls the limit of a task that has none; one more does not fit into its integers."""
RESERVED = frozenset({"num_envs", "batch_size", "seed", "env_seed", "max_num_players", "base_path"})


def known_ids() -> list[str]:
    """The ids that EnvPool answers to."""
    return sorted(envpool.list_all_envs())


class EnvPoolEnvs:
    """`num_envs` copies in one pool of C++ threads; a HostEnv.

    EnvPool takes seeds when a pool is built, so `reset` builds one: the same seed and the same actions give the same
    stream, whatever the number of threads. `obs` and `last_obs` are one array in steps that end no episode.
    """

    def __init__(self, id: str, num_envs: int = 1, num_threads: int | None = None, **options: Any):
        self.id = id
        self.num_envs = num_envs
        self._task = id.removeprefix("envpool/")
        self._options = _checked(self._task, options)
        self._options.update(num_envs=num_envs, num_threads=num_threads or min(devices.cores(), num_envs))
        with _quiet():
            spec = _build(envpool.make_spec, self._task, self._options)
            obs, action = spec.gymnasium_observation_space, spec.gymnasium_action_space
        self._reader = host_spaces.observations(id, obs, MEND)
        self._writer = host_spaces.actions(id, action, MEND)
        self.space = Space(self._reader.space, self._writer.space, num_envs)
        limit = spec.config.max_episode_steps
        own_clock = registry.specs[self._task][0] in OWN_CLOCK and limit < NO_LIMIT
        self._limit = limit if own_clock else None
        if self._limit is not None:
            self._options["max_episode_steps"] = limit + 1
        self._pool: Any = None

    def reset(self, seed: int) -> np.ndarray:
        """Start every copy anew, with seeds derived from `seed`; the first observations, [E, *obs]."""
        self.close()
        options = {**self._options, "seed": host_spaces.seeds(seed, self.num_envs)}
        with _quiet():
            self._pool = _build(envpool.make_gymnasium, self._task, options)
            obs, _ = self._pool.reset()
        return self._reader.read(obs)

    def step(self, action: np.ndarray) -> Step:
        """Act in every copy; start the next episode of those that ended."""
        if self._pool is None:
            raise UserError(f"environment {self.id!r} was stepped before reset(seed): reset it first.")
        seen, reward, terminated, truncated, info = self._pool.step(self._writer.write(action))
        if self._limit is not None:
            truncated = truncated | (info["elapsed_step"] >= self._limit)
        last_obs = self._reader.read(seen)
        obs, ended = last_obs, np.flatnonzero(terminated | truncated)
        if ended.size:
            obs = last_obs.copy()
            obs[ended] = self._reader.read(self._next_episodes(ended.astype(np.int32)))
        out: Any = (obs, np.asarray(reward, np.float32), terminated, truncated & ~terminated, last_obs)
        return Step(*out)

    def _next_episodes(self, ended: np.ndarray) -> np.ndarray:
        """The first observations of the copies that ended; of one that only lost a life, those of the next life."""
        if self._options.get("episodic_life"):  # a reset would begin a new game, EnvPool's own dead step does not
            return self._pool.step(self._writer.write(np.zeros(len(ended), np.int32)), ended)[0]
        return self._pool.reset(ended)[0]

    def close(self) -> None:
        """Free the pool."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None


def _checked(task: str, options: dict[str, Any]) -> dict[str, Any]:
    with _quiet():
        known = set(envpool.make_spec(task).config._fields) - RESERVED
    for name in options:
        if name not in known:
            listed = ", ".join(sorted(known))
            raise UserError(
                f"environment {task!r} has no option {name!r}.{nearest(name, known)} Its options: {listed}."
            )
    return dict(options)


def _build(make: Any, task: str, options: dict[str, Any]) -> Any:
    try:
        return make(task, **options)
    except (TypeError, AssertionError, ValueError) as error:  # mostly C++ signatures, of which the first line is enough
        given = ", ".join(f"{name}={value!r}" for name, value in options.items() if name != "seed")
        found = str(error).strip().split("\n")[0][:200]
        raise UserError(f"EnvPool cannot make {task!r} with {given}: {found} Check the type of each option.") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide Gymnasium's remarks on the precision of bounds, which the user can do nothing about."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*precision lowered by casting.*")
        yield
