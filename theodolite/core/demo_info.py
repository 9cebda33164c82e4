"""What a set of demonstrations holds, and what about it will bite whoever learns from it."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from theodolite.core import demo_checks as checks
from theodolite.core.demos import Demos
from theodolite.core.env import Box, Discrete

SCALE_RATIO = 1e3
"""Columns whose standard deviations differ by more than this make an unstandardised network deaf to the smaller."""
SATURATED = 0.2
"""Share of action entries at a bound above which a Gaussian policy fits badly."""
AT_BOUND = 1e-4
"""Distance to a bound, as a share of the range, within which an action counts as saturated."""


@dataclass(frozen=True)
class Range:
    """Four numbers about a quantity of every episode."""

    min: float
    mean: float
    max: float
    sd: float
    median: float


@dataclass(frozen=True)
class Info:
    """What `theodolite demos info` prints."""

    env_id: str | None
    dataset_id: str | None
    num_episodes: int
    num_steps: int
    lengths: Range
    returns: Range
    observations: str
    actions: str
    share_terminated: float
    share_truncated: float
    share_cut: float
    warnings: tuple[str, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values; numbers that do not exist are null."""
        return _without_nan(asdict(self))

    def __str__(self) -> str:
        lines = [
            f"environment   {self.env_id or 'not named'}",
            f"episodes      {self.num_episodes:,} with {self.num_steps:,} steps",
            f"lengths       {self.lengths.min:.0f} to {self.lengths.max:.0f}, median {self.lengths.median:g}",
            f"returns       {self.returns.mean:.2f} ± {self.returns.sd:.2f}, {self.returns.min:.2f} to "
            f"{self.returns.max:.2f}",
            f"observations  {self.observations}",
            f"actions       {self.actions}",
            f"ends          {self.share_terminated:.0%} terminated, {self.share_truncated:.0%} truncated, "
            f"{self.share_cut:.0%} cut off",
        ]
        return "\n".join(lines + [f"warning: {w}" for w in self.warnings])


def info(demos: Demos) -> Info:
    """A summary of demonstrations, with warnings; data with NaN (`allow_nan=True`) are located, not refused."""
    obs, count = demos.space.obs, len(demos.episodes)
    terminated = sum(e.terminated for e in demos.episodes) / count
    truncated = sum(e.truncated for e in demos.episodes) / count
    return Info(
        env_id=demos.env_id,
        dataset_id=demos.dataset_id,
        num_episodes=count,
        num_steps=int(demos.lengths.sum()),
        lengths=_range(demos.lengths.astype(float)),
        returns=_range(demos.returns),
        observations=f"{obs.dtype} of the shape {obs.shape}",
        actions=checks.describe(demos.space.action) + (" (guessed from the data)" if demos.inferred else ""),
        share_terminated=terminated,
        share_truncated=truncated,
        share_cut=max(0.0, 1 - terminated - truncated),
        warnings=tuple(warnings_for(demos)),
    )


def warnings_for(demos: Demos) -> Iterator[str]:
    """One sentence for everything that will bite."""
    for find in (not_finite, ends, scales, actions, duplicates, returns):
        yield from find(demos)


def not_finite(demos: Demos) -> Iterator[str]:
    """Where numbers are NaN or infinite."""
    for k, e in enumerate(demos.episodes):
        for x, what in ((e.obs, "observations"), (e.action, "actions"), (e.reward, "rewards")):
            wrong = ~np.isfinite(x)
            if wrong.any():
                where = checks.place(k, checks.first(wrong))
                yield f"{what} are not finite in {int(wrong.sum())} places, first at {where}."


def ends(demos: Demos) -> Iterator[str]:
    """What the lengths and the ends of episodes reveal."""
    shortest, longest = demos.lengths.min(), demos.lengths.max()
    if shortest < longest:
        yield (
            f"lengths vary from {shortest} to {longest}: when an episode ends tells a learner about the reward, "
            "whatever it learns from the demonstrations (survival bias). Use an environment of fixed length, or "
            "gail's option absorbing, and say so in your report."
        )
    limit = _spec(demos).get("max_episode_steps")
    if isinstance(limit, int) and longest > limit:
        yield f"the longest episode has {longest} steps, {demos.env_id} stops after {limit}: another version of it?"
    cut = sum(not (e.terminated or e.truncated) for e in demos.episodes)
    if cut:
        yield f"{cut} episodes neither terminated nor were truncated: they count as cut off in the middle."


def scales(demos: Demos) -> Iterator[str]:
    """Columns of the observation that are constant, of very different scale, or outside the space."""
    obs = np.concatenate([e.obs for e in demos.episodes]).reshape(-1, int(np.prod(demos.space.obs.shape, dtype=int)))
    sd = _finite_sd(obs)
    constant = np.flatnonzero(sd == 0)
    if len(constant):
        yield f"observation columns {_list(constant)} never change: nothing about them can be learned from these data."
    moving = np.where(sd > 0, sd, np.nan)
    if np.isfinite(moving).any() and np.nanmax(moving) > SCALE_RATIO * np.nanmin(moving):
        small, large = int(np.nanargmin(moving)), int(np.nanargmax(moving))
        yield (
            f"observation columns differ in scale by {moving[large] / moving[small]:.0e}: the standard deviation of "
            f"column {large} is {moving[large]:.3g}, of column {small} {moving[small]:.3g}. Keep the methods' "
            "standardisation on."
        )
    box = demos.space.obs
    rows = obs.reshape(-1, *box.shape)
    wrong = ((rows < np.asarray(box.low)) | (rows > np.asarray(box.high))).sum()
    if wrong:
        yield f"{wrong} observed numbers lie outside the observation space: another version of the environment?"


def actions(demos: Demos) -> Iterator[str]:
    """Actions that never vary, are never taken, or sit at a bound."""
    taken, space = np.concatenate([e.action for e in demos.episodes]), demos.space.action
    if isinstance(space, Discrete):
        missing = np.setdiff1d(np.arange(space.num), taken)
        if len(missing):
            yield f"actions {_list(missing)} are never taken."
        return
    taken = taken.reshape(len(taken), -1)
    constant = np.flatnonzero(_finite_sd(taken) == 0)
    if len(constant):
        yield f"action columns {_list(constant)} never change."
    share = _saturated_share(taken, space)
    if share > SATURATED:
        yield f"{share:.0%} of the actions sit at a bound: a Gaussian policy's mean will fall short of it."


def duplicates(demos: Demos) -> Iterator[str]:
    """Episodes that are the same in every number."""
    same = defaultdict(list)
    for k, e in enumerate(demos.episodes):
        same[e.obs.tobytes(), e.action.tobytes()].append(k)
    copies = [group for group in same.values() if len(group) > 1]
    if copies:
        groups = "; ".join(_list(np.array(group)) for group in copies[:3])
        more = f" and {len(copies) - 3} more groups" if len(copies) > 3 else ""
        extra = sum(map(len, copies)) - len(copies)
        yield f"{extra} episodes are copies of others ({groups}{more}): there are fewer demonstrations than it seems."


def returns(demos: Demos) -> Iterator[str]:
    """Returns that say nothing, or that the named environment would not call solved."""
    if all((e.reward == 0).all() for e in demos.episodes):
        yield "every reward is 0: returns do not tell how good the demonstrator was (imitation does not use them)."
        return
    threshold, mean = _spec(demos).get("reward_threshold"), demos.returns.mean()
    if isinstance(threshold, int | float) and mean < threshold:
        yield (
            f"the mean return {mean:.1f} is below the {threshold:g} at which {demos.env_id} counts as solved: the "
            "demonstrator is no expert, or the rewards are not the environment's."
        )


def _spec(demos: Demos) -> dict[str, Any]:
    """The environment's specification in the data set's file, if it says anything."""
    try:
        spec = json.loads(demos.metadata.get("env_spec", "{}"))
    except (TypeError, ValueError):
        return {}
    return spec if isinstance(spec, dict) else {}


def _saturated_share(taken: np.ndarray, space: Box) -> float:
    """Share of entries at a finite bound, out of those that have two."""
    low, high = (np.broadcast_to(np.asarray(b, float), space.shape).reshape(-1) for b in (space.low, space.high))
    bounded = np.isfinite(low) & np.isfinite(high)
    if not bounded.any():
        return 0.0
    taken, low, high = taken[:, bounded], low[bounded], high[bounded]
    near = AT_BOUND * (high - low)
    return float(((taken <= low + near) | (taken >= high - near)).mean())


def _finite_sd(x: np.ndarray) -> Float[np.ndarray, " columns"]:
    """Standard deviation of every column, exactly 0 where it is constant; over its finite entries."""
    return np.array([0.0 if not len(c) or (c == c[0]).all() else c.std(dtype=float) for c in _finite_columns(x)])


def _finite_columns(x: np.ndarray) -> Iterator[np.ndarray]:
    return (column[np.isfinite(column)] for column in x.T)


def _range(x: Float[np.ndarray, " K"]) -> Range:
    return Range(*(float(f(x)) for f in (np.min, np.mean, np.max, np.std, np.median)))


def _list(numbers: np.ndarray) -> str:
    """The numbers in words, no more than ten of them."""
    shown = ", ".join(str(n) for n in numbers[:10])
    return shown if len(numbers) <= 10 else f"{shown} and {len(numbers) - 10} more"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
