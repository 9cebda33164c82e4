"""A reward that a run learned, out of its folder: a plain function on transitions, and what other runs are paid by.

`load` is also `airl.reward`, `gan_gcl.reward` and `theodolite.load_reward`: one function.
"""

import hashlib
from pathlib import Path
from typing import Any

import jax
import numpy as np

from theodolite.core import checkpoint, compile_cache, normalise, runlog
from theodolite.core.arrays import Arrays
from theodolite.core.demo_checks import check_match
from theodolite.core.env import Discrete, Space
from theodolite.core.errors import UserError
from theodolite.core.judge import Json
from theodolite.core.train import Learnt, over_axis
from theodolite.intent import learned_reward
from theodolite.intent.learned_reward import LearnedReward, Seen

LEARN_REWARDS = ("airl", "gan_gcl")
"""Methods whose state holds a reward that may be optimised again."""


class Held(Arrays):
    """The part of their state that is read."""

    reward: LearnedReward


def load(folder: str | Path, seed: int = 0) -> "Reward":
    """The reward of one seed of a run of airl or gan_gcl, counted from 0; needs no environment.

        from theodolite.intent import airl

        reward = airl.reward("runs/airl-PointMaze-WayLeft-v1-0")
        paid = reward(obs, action, next_obs)

    Raises:
        UserError: the folder holds no run of these methods, or has no such seed.
    """
    compile_cache.enable()
    learned = _learned(Path(folder), runlog.read(Path(folder)), seed)
    return Reward(learned, learned.space)


def fitting(folder: str | Path, seed: int, space: Space, name: str) -> LearnedReward:
    """The reward of a run, for an environment of the same observations and actions.

    Raises:
        UserError: it has others, or the folder holds no such run.
    """
    manifest = runlog.read(Path(folder))
    check_match(runlog.space_from_json(manifest["space"]), space, name, inferred=False)
    return _learned(Path(folder), manifest, seed)


def digest(folder: str | Path) -> str:
    """Which reward this is, wherever the folder lies."""
    parts = runlog.read(Path(folder)).get("parts") or [""]
    content = b"".join((Path(folder) / part / runlog.LAST).read_bytes() for part in parts)
    return hashlib.sha256(content).hexdigest()


def _learned(folder: Path, manifest: Json, seed: int) -> LearnedReward:
    method, seeds, c = manifest["method"], manifest["seeds"], manifest["config"]
    if method not in LEARN_REWARDS:
        raise UserError(
            f"{folder} is a run of {method}, which learns no reward that outlives it: expected a run of "
            f"{' or '.join(LEARN_REWARDS)}."
        )
    runlog.check_seed(folder, seeds, seed)
    space = runlog.space_from_json(manifest["space"])
    potential = tuple(c["potential_hidden"]) if "potential_hidden" in c else None  # gan_gcl has none

    def blank() -> Learnt:
        key, moments = jax.random.key(0), normalise.no_moments(space.obs.shape)
        widths = tuple(c["hidden"]), potential
        return Learnt(Held(learned_reward.init(key, space, c["inputs"], *widths, moments, c.get("activation", "tanh"))))

    parts = manifest.get("parts")
    place, index, count = (folder / parts[seed], 0, 1) if parts else (folder, seed, seeds)
    like = over_axis(jax.eval_shape(blank), count)
    found = checkpoint.load(place / runlog.LAST, like, part="agent.reward")
    return jax.tree.map(lambda x: x[index], found.agent.reward)


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
