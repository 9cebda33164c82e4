"""Demonstrations: episodes on the host, checked once, and the pairs of them that learning methods see on the device.

`Demos` holds whole episodes as NumPy arrays. `subsample` takes some of their transitions, as Ho and Ermon (2016) do,
and returns `Transitions`: arrays with a count of valid rows, so that seeds with different data can be vmapped.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int, Shaped

from theodolite.core import demo_checks as checks
from theodolite.core.arrays import Arrays, PRNGKey
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.errors import UserError

Rowwise = Sequence[Any] | np.ndarray


class Episode(NamedTuple):
    """One episode of T steps. `terminated` or `truncated` says how it ended; neither means that it was cut off."""

    obs: Shaped[np.ndarray, "T+1 *obs"]
    action: Shaped[np.ndarray, "T *action"]
    reward: Float32[np.ndarray, " T"]
    terminated: bool
    truncated: bool


@dataclass(frozen=True, eq=False, repr=False)
class Demos:
    """Checked episodes with their space; made by `from_arrays`, `from_flat` or `minari.read`."""

    episodes: tuple[Episode, ...]
    space: Space
    env_id: str | None = None
    dataset_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What else the data set's file says of itself, as JSON values."""
    inferred: bool = False
    """True if the space was guessed from the arrays: no bounds are known, and untried actions are unknown."""

    def __repr__(self) -> str:
        return f"Demos({len(self.episodes)} episodes, {self.lengths.sum():,} steps, {self.env_id or 'no environment'})"

    @property
    def lengths(self) -> Int[np.ndarray, " K"]:
        """Steps of every episode."""
        return np.array([len(e.action) for e in self.episodes])

    @property
    def returns(self) -> Float[np.ndarray, " K"]:
        """Undiscounted return of every episode."""
        return np.array([e.reward.sum(dtype=np.float64) for e in self.episodes])

    def check_against(self, space: Space, name: str = "the environment", *, clip_actions: bool = False) -> "Demos":
        """The same demonstrations in an environment's own space.

        Raises:
            UserError: shapes or kinds differ, or an action lies outside the environment's bounds.
        """
        checks.check_match(self.space, space, name, self.inferred)
        episodes = [conform(e, space, k, clip_actions, allow_nan=False) for k, e in enumerate(self.episodes)]
        return replace(self, episodes=tuple(episodes), space=space, inferred=False)


def conform(e: Episode, space: Space, episode: int, clip_actions: bool, allow_nan: bool) -> Episode:
    """The episode in the space's shapes and dtypes, checked; what rounding put outside is moved into the bounds."""
    checks.check_shape(e.obs, space.obs.shape, "observations", episode)
    obs = checks.cast(e.obs, space.obs.dtype, "the observation", episode)
    shape, dtype = ((), "int32") if isinstance(space.action, Discrete) else (space.action.shape, space.action.dtype)
    checks.check_shape(e.action, shape, "actions", episode)
    if not allow_nan:
        for x, what in ((obs, "observation"), (e.action, "action"), (e.reward, "reward")):
            checks.check_finite(x, what, episode)
    action = checks.cast(e.action, dtype, "the action", episode)
    if not (clip_actions and isinstance(space.action, Box)):
        checks.check_actions(action, space.action, episode)
    if isinstance(space.action, Box):
        action = np.clip(action, space.action.low, space.action.high).astype(space.action.dtype)
    return Episode(obs, action, e.reward, e.terminated, e.truncated)


def from_arrays(
    obs: Rowwise,
    actions: Rowwise,
    rewards: Rowwise | None = None,
    terminated: Rowwise | None = None,
    truncated: Rowwise | None = None,
    *,
    space: Space | None = None,
    env_id: str | None = None,
    dataset_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    clip_actions: bool = False,
    allow_nan: bool = False,
) -> Demos:
    """Demonstrations from one array per episode: obs[k] has T+1 rows, actions[k] and rewards[k] have T.

    `terminated[k]` and `truncated[k]` are one flag, or one per step. Without rewards all are 0. Without a space it is
    guessed from the arrays. `allow_nan` is for looking at broken data, not for learning from it.

    Raises:
        UserError: the first thing wrong, with its episode, step and column.
    """
    given = {"actions": actions, "rewards": rewards, "terminated": terminated, "truncated": truncated}
    count = len(obs)
    for name, column in given.items():
        if column is not None and len(column) != count:
            raise UserError(
                f"{name} has {len(column)} episodes, obs has {count}: expected one entry per episode in each."
            )
    if count == 0:
        raise UserError(
            "the demonstrations hold zero episodes: expected at least one. Check the path, or the filter that chose "
            "them."
        )
    episodes = [_episode(k, *(c if c is None else c[k] for c in (obs, *given.values()))) for k in range(count)]
    known = space or checks.infer_space(episodes[0].obs, [e.action for e in episodes])
    episodes = [conform(e, known, k, clip_actions, allow_nan) for k, e in enumerate(episodes)]
    return Demos(tuple(episodes), known, env_id, dataset_id, dict(metadata or {}), inferred=space is None)


def _episode(k: int, obs: Any, actions: Any, rewards: Any, terminated: Any, truncated: Any) -> Episode:
    """Arrays of matching lengths, in whatever dtype they came."""
    obs, actions = checks.as_array(obs, "observations", k), checks.as_array(actions, "actions", k)
    rewards = np.zeros(actions.shape[:1]) if rewards is None else checks.as_array(rewards, "rewards", k)
    checks.check_lengths(obs, actions, rewards, k)
    steps = len(actions)
    over = terminated is not None and checks.ending(terminated, steps, "terminated", k)
    cut = truncated is not None and checks.ending(truncated, steps, "truncated", k)
    return Episode(obs, actions, checks.cast(rewards, "float32", "the reward", k), over, cut and not over)


def from_flat(
    obs: Any,
    actions: Any,
    next_obs: Any,
    rewards: Any = None,
    terminated: Any = None,
    truncated: Any = None,
    **settings: Any,
) -> Demos:
    """Demonstrations from flat arrays of N transitions, in order; an episode ends where either flag is set.

    `settings` are those of `from_arrays`. The last episode counts as cut off if no flag ends it.

    Raises:
        UserError: the numbers of rows differ, or an episode's next_obs is not the following obs.
    """
    columns = {
        "obs": obs,
        "actions": actions,
        "next_obs": next_obs,
        "rewards": rewards,
        "terminated": terminated,
        "truncated": truncated,
    }
    rows = {name: checks.as_array(x, name, 0) for name, x in columns.items() if x is not None}
    shapes = {name: x.shape for name, x in rows.items()}
    if len({s[:1] for s in shapes.values()}) > 1 or shapes["obs"] != shapes["next_obs"] or not shapes["obs"]:
        raise UserError(
            f"flat arrays have the shapes {shapes}: expected one row per transition in each, and next_obs of the "
            "shape of obs."
        )
    over = np.zeros(len(rows["obs"]), bool)
    for name in ("terminated", "truncated"):
        over |= rows[name].astype(bool) if name in rows else False
    cuts = np.flatnonzero(over[:-1]) + 1
    pieces = {name: np.split(x, cuts) if len(x) else [] for name, x in rows.items()}
    obs_rows = [_join(now, pieces["next_obs"][k], k) for k, now in enumerate(pieces["obs"])]
    optional = (pieces.get(name) for name in ("rewards", "terminated", "truncated"))
    return from_arrays(obs_rows, pieces["actions"], *optional, **settings)


def _join(obs: np.ndarray, next_obs: np.ndarray, episode: int) -> np.ndarray:
    """The T+1 observations of one episode, whose rows must follow each other."""
    broken = (obs[1:] != next_obs[:-1]) & ~(np.isnan(obs[1:]) & np.isnan(next_obs[:-1]))
    if broken.any():
        step = checks.first(broken)[0]
        raise UserError(
            f"episode {episode}, step {step}: next_obs is not the obs of the following row, so another episode "
            "begins there. Set truncated (or terminated) at this step."
        )
    return np.concatenate([obs, next_obs[-1:]])


class Rows(Arrays):
    """Some transitions; leading axis B."""

    obs: Float[Array, "B *obs"]
    action: Shaped[Array, "B ..."]
    next_obs: Float[Array, "B *obs"]
    terminated: Bool[Array, " B"]


class Lengths(Arrays):
    """Sums over the full episodes that transitions were taken from: what the absorbing state's share is counted by."""

    num_steps: Int[Array, ""]
    num_terminated: Int[Array, ""]
    terminated_steps: Int[Array, ""]

    def absorbing_steps(self, horizon: int) -> Int[Array, ""]:
        """Steps spent in the absorbing state if every terminated episode went on to `horizon`: Σ (horizon - T)."""
        return self.num_terminated * jnp.int32(horizon) - self.terminated_steps


class Transitions(Arrays):
    """Pairs to imitate, on the device. Only the first `count` rows are data; the rest is padding, never drawn."""

    obs: Float[Array, "N *obs"]
    action: Shaped[Array, "N ..."]
    next_obs: Float[Array, "N *obs"]
    terminated: Bool[Array, " N"]
    count: Int[Array, ""]
    lengths: Lengths

    @property
    def rows(self) -> Rows:
        """All rows, padding included."""
        return Rows(self.obs, self.action, self.next_obs, self.terminated)

    @property
    def valid(self) -> Bool[Array, " N"]:
        """True where a row is data."""
        return jnp.arange(len(self.obs)) < self.count


def take(t: Transitions, index: Int[Array, " B"]) -> Rows:
    """The rows at `index`."""
    return jax.tree.map(lambda x: x[index], t.rows)


def sample(t: Transitions, key: PRNGKey, size: int) -> Rows:
    """`size` rows drawn uniformly, with replacement, from the data."""
    return take(t, jax.random.randint(key, (size,), 0, t.count))


def subsample(demos: Demos, num_episodes: int | None = None, every: int = 1, seed: int = 0) -> Transitions:
    """Every `every`-th transition of `num_episodes` random episodes, from a random offset in each (Ho and Ermon 2016).

    Episodes are drawn without replacement, in an order that depends on the seed alone: with one seed, fewer episodes
    are a subset of more, at the same offsets. An episode shorter than `every` still gives one transition.

    Raises:
        UserError: there are fewer episodes than asked for.
    """
    available = len(demos.episodes)
    num_episodes = available if num_episodes is None else num_episodes
    if not 1 <= num_episodes <= available:
        raise UserError(
            f"{num_episodes} episodes were asked for, the demonstrations hold {available}: ask for 1 to {available}, "
            "or record more."
        )
    if every < 1:
        raise UserError(f"every = {every}: must be >= 1. Every n-th pair of an episode is used; 1 uses all of them.")
    rng = np.random.default_rng(seed)
    offsets = rng.integers(0, np.minimum(every, demos.lengths))
    chosen = rng.permutation(available)[:num_episodes]
    return _gather(demos, [(demos.episodes[k], np.arange(offsets[k], demos.lengths[k], every)) for k in chosen])


def transitions(demos: Demos) -> Transitions:
    """Every transition, in the order of the episodes."""
    return _gather(demos, [(e, np.arange(len(e.action))) for e in demos.episodes])


def _gather(demos: Demos, parts: list[tuple[Episode, np.ndarray]]) -> Transitions:
    """The given steps of the given episodes, on the device: floats in single precision."""
    steps = [len(e.action) for e, _ in parts]
    ended = [e.terminated for e, _ in parts]
    sums = (np.sum(steps), np.sum(ended), np.dot(steps, ended))
    ends = [(t == len(e.action) - 1) & e.terminated for e, t in parts]
    action = np.concatenate([e.action[t] for e, t in parts])
    rows = Rows(
        obs=jnp.asarray(np.concatenate([e.obs[t] for e, t in parts]), jnp.float32),
        action=jnp.asarray(action, jnp.int32 if isinstance(demos.space.action, Discrete) else jnp.float32),
        next_obs=jnp.asarray(np.concatenate([e.obs[t + 1] for e, t in parts]), jnp.float32),
        terminated=jnp.asarray(np.concatenate(ends)),
    )
    return _counted(rows, jnp.int32(len(action)), Lengths(*(jnp.int32(n) for n in sums)))


def _counted(rows: Rows, count: Array, lengths: Lengths) -> Transitions:
    return Transitions(rows.obs, rows.action, rows.next_obs, rows.terminated, count, lengths)


def pad_to(t: Transitions, num_rows: int) -> Transitions:
    """The same data in arrays of `num_rows` rows; the new rows are zero."""
    missing = num_rows - len(t.obs)
    if missing < 0:
        raise UserError(f"{len(t.obs)} transitions do not fit into {num_rows} rows: pad to at least {len(t.obs)}.")
    padded = jax.tree.map(lambda x: jnp.concatenate([x, jnp.zeros((missing, *x.shape[1:]), x.dtype)]), t.rows)
    return _counted(padded, t.count, t.lengths)


def stack(several: Iterable[Transitions]) -> Transitions:
    """Several data sets along a new leading axis S, for vmap; shorter ones are padded."""
    several = list(several)
    longest = max((len(t.obs) for t in several), default=0)
    if not several:
        raise UserError("there is nothing to stack: expected at least one set of transitions.")
    return jax.tree.map(lambda *x: jnp.stack(x), *(pad_to(t, longest) for t in several))
