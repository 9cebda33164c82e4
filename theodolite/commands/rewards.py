"""A reward that a run learned, out of its folder: a plain function on transitions, and what other runs are paid by."""

import hashlib
from pathlib import Path
from typing import Any

import jax
import numpy as np

from theodolite.commands.policies import Trained
from theodolite.core import runlog
from theodolite.core.demo_checks import check_match
from theodolite.core.env import Discrete, Space
from theodolite.core.errors import UserError
from theodolite.intent import learned_reward
from theodolite.intent.learned_reward import LearnedReward, Seen

LEARN_REWARDS = ("airl", "gan_gcl")
"""Methods whose state holds a reward that may be optimised again."""


def load(folder: str | Path, seed: int = 0) -> "Reward":
    """The reward of one seed of a run of airl or gan_gcl, counted from 0; needs no environment.

        reward = theodolite.load_reward("runs/airl-PointMaze-WayLeft-v0-0")
        paid = reward(obs, action, next_obs)

    Raises:
        UserError: the folder holds no run of these methods, or has no such seed.
    """
    trained = Trained(Path(folder))
    return Reward(_learned(trained, seed), trained.space)


def fitting(folder: str | Path, seed: int, space: Space, name: str) -> LearnedReward:
    """The reward of a run, for an environment of the same observations and actions.

    Raises:
        UserError: it has others, or the folder holds no such run.
    """
    trained = Trained(Path(folder))
    check_match(trained.space, space, name, inferred=False)
    return _learned(trained, seed)


def digest(folder: str | Path) -> str:
    """Which reward this is, wherever the folder lies."""
    trained = Trained(Path(folder))
    parts = trained.manifest.get("parts") or [""]
    content = b"".join((Path(folder) / part / runlog.LAST).read_bytes() for part in parts)
    return hashlib.sha256(content).hexdigest()


def _learned(trained: Trained, seed: int) -> LearnedReward:
    method = trained.manifest["method"]
    if method not in LEARN_REWARDS:
        raise UserError(
            f"{trained.folder} is a run of {method}, which learns no reward that outlives it: expected a run of "
            f"{' or '.join(LEARN_REWARDS)}."
        )
    return trained.state(seed).reward


class Reward:
    """`reward(obs, action, next_obs, terminated)` of one transition, or of each row of a batch; NumPy in and out.

    It is g; with a `discount` it is f, g with the potential that the world of training shaped it by.
    """

    def __init__(self, learned: LearnedReward, space: Space) -> None:
        self.learned, self.space = learned, space
        self._ground = jax.jit(learned_reward.ground)
        self._shaped = jax.jit(learned_reward.shaped)

    def __call__(
        self, obs: Any, action: Any, next_obs: Any, terminated: Any = False, *, discount: float | None = None
    ) -> Any:
        """What is paid."""
        shape = self.space.obs.shape
        now, following = (np.asarray(x, np.float32) for x in (obs, next_obs))
        if now.shape != following.shape or (now.shape != shape and now.shape[1:] != shape):
            raise UserError(
                f"obs and next_obs have the shapes {now.shape} and {following.shape}: expected {shape} for both, or a "
                "batch of them."
            )
        kind = np.int32 if isinstance(self.space.action, Discrete) else np.float32
        acted = learned_reward.executed(self.space, jax.numpy.asarray(np.asarray(action, kind)))
        columns: Any = (now, acted, following, np.broadcast_to(np.asarray(terminated, bool), now.shape[:-1]))
        rows: Any = columns if now.ndim > len(shape) else [np.asarray(x)[None] for x in columns]
        batch = Seen(*rows)
        paid = self._ground(self.learned, batch) if discount is None else self._shaped(self.learned, batch, discount)
        return np.asarray(paid) if now.ndim > len(shape) else np.asarray(paid)[0]
