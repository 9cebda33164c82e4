"""Any environment registered with Gymnasium, a user's own among them, with same-step resets.

Gymnasium's default spends the step after an episode's end on the reset (a dead transition); its SAME_STEP mode does
not, and hands the true final observation over beside the first one of the next episode.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from theodolite.core.env import Space, Step
from theodolite.core.errors import UserError
from theodolite.envs import host_spaces


def known_ids() -> list[str]:
    """The ids that are registered with Gymnasium at this moment."""
    return sorted(gymnasium.registry)


class _Plain(gymnasium.Wrapper):
    """Hands out copies of observations, as a reset may overwrite the final one in place, and drops the rest."""

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict]:
        obs, _ = self.env.reset(**kwargs)
        return np.array(obs), {}

    def step(self, action: Any) -> tuple[np.ndarray, Any, Any, Any, dict]:
        obs, reward, terminated, truncated, _ = self.env.step(action)
        return np.array(obs), reward, terminated, truncated, {}


class GymnasiumEnvs:
    """`num_envs` copies of a registered environment; a HostEnv.

    `vectorization="sync"` steps them one after another in this process, where an exception of the environment reaches
    the caller with its own traceback; "async" gives each its own process (started afresh, so the calling script needs
    the usual `if __name__ == "__main__"`), whose traceback Gymnasium prints before it raises the exception again here.
    Further options go to the environment.
    """

    def __init__(self, id: str, num_envs: int = 1, vectorization: str = "sync", **options: Any):
        if vectorization not in ("sync", "async"):
            raise UserError(f"vectorization = {vectorization!r}: must be one of sync, async.")
        self.id = id
        self.num_envs = num_envs
        # a forked child would inherit locks of JAX's threads, so processes are started afresh
        process = {"context": "spawn"} if vectorization == "async" else {}
        how = {"autoreset_mode": AutoresetMode.SAME_STEP, **process}
        task = id.removeprefix("gymnasium/").rpartition(":")[2]
        with _explained(id, options):
            self._envs = gymnasium.make_vec(
                task, num_envs, vectorization, vector_kwargs=how, wrappers=[_Plain], **options
            )
        try:
            self._reader = host_spaces.observations(
                id, self._envs.single_observation_space, _wrapped("FlattenObservation", task)
            )
            self._writer = host_spaces.actions(id, self._envs.single_action_space, _wrapped("YourActionWrapper", task))
        except UserError:
            self.close()
            raise
        self.space = Space(self._reader.space, self._writer.space, num_envs)
        self._started = False

    def reset(self, seed: int) -> np.ndarray:
        """Start every copy anew, with seeds derived from `seed`; the first observations, [E, *obs]."""
        seeds: Any = host_spaces.seeds(seed, self.num_envs)  # its base class promises less than all its kinds take
        obs, _ = self._envs.reset(seed=seeds)
        self._started = True
        return self._reader.read(obs)

    def step(self, action: np.ndarray) -> Step:
        """Act in every copy; start the next episode of those that ended."""
        if not self._started:
            raise UserError(f"environment {self.id!r} was stepped before reset(seed): reset it first.")
        seen, reward, terminated, truncated, info = self._envs.step(self._writer.write(action))
        obs = last_obs = self._reader.read(seen)
        ended = np.flatnonzero(terminated | truncated)
        if ended.size:
            last_obs = obs.copy()
            last_obs[ended] = self._reader.read(np.stack([info["final_obs"][i] for i in ended]))
        # wrappers may set both flags where a time limit meets the end of the task
        out: Any = (obs, reward.astype(np.float32), terminated, truncated & ~terminated, last_obs)
        return Step(*out)

    def close(self) -> None:
        """Close the copies, and end their processes if they have any."""
        self._envs.close()


def _wrapped(wrapper: str, task: str) -> str:
    """How to bring a wrapped environment: `wrapper` is one of gymnasium.wrappers or, for actions, the user's own."""
    return (
        f"Wrap it: in a module m of yours, gymnasium.register('Mine-v0', lambda: {wrapper}(gymnasium.make({task!r}))); "
        "then ask for 'm:Mine-v0'. Gymnasium's own wrappers are in gymnasium.wrappers."
    )


@contextmanager
def _explained(id: str, options: dict[str, Any]) -> Iterator[None]:
    """Turn what Gymnasium itself says into our errors; what the environment raises passes."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*precision lowered by casting.*")
            yield
    except gymnasium.error.DependencyNotInstalled as error:
        raise UserError(f"environment {id!r} needs a package that is not installed: {error}") from error
    except gymnasium.error.Error as error:
        raise UserError(f"Gymnasium could not make {id!r}: {error}") from error
    except TypeError as error:
        refused = [name for name in options if f"unexpected keyword argument '{name}'" in str(error)]
        if not refused:
            raise
        raise UserError(f"environment {id!r} has no option {refused[0]!r}; remove it or correct its name.") from error
