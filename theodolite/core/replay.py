"""Replay: a ring of transitions in arrays, drawn uniformly or by priority, as n-step returns made when drawn.

    R = Σ_{k<m} γᵏ r_{t+k},   bootstrap γᵐ (1 - terminated) V(s'),   m ≤ n the steps until an end or the newest row

The rows of one environment are consecutive, so an n-step return needs no copy of its own. What an action led to is
stored beside it, before any reset: a truncated episode therefore bootstraps from its true last observation, and a row
near the newest one from fewer steps; every row that is held may be drawn.
"""

import math
from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from theodolite.core.agent import Batch, Seen
from theodolite.core.arrays import Arrays, Flag, Metrics, PRNGKey, Scalar
from theodolite.core.env import Discrete, Space
from theodolite.core.errors import UserError

Learner = TypeVar("Learner")
REPAID_AT_ONCE = 1024
"""Rows of all environments whose rewards are computed together: enough for speed, and little memory."""


class Priorities(Arrays):
    """A sum tree: node 1 is the root, node i has the children 2i and 2i + 1, the leaves are the rows."""

    tree: Float[Array, " nodes"]
    largest: Float[Array, ""]
    """The largest priority so far, which new rows get."""


class Rows(Arrays):
    """What is kept of every transition; leading axes [L, E]."""

    obs: Array
    action: Array
    reward: Float[Array, "L E"]
    terminated: Bool[Array, "L E"]
    truncated: Bool[Array, "L E"]
    last_obs: Array


class Replay(Arrays):
    """The ring, how many rows of E transitions were ever written, and the priorities if there are any."""

    rows: Rows
    written: Int[Array, ""]
    priorities: Priorities | None


class Sample(Arrays):
    """Transitions of up to n steps, with the weights that undo unequal priorities."""

    obs: Array
    action: Array
    rewards: Float[Array, "B n"]
    """Of the steps that count; 0 after them."""
    steps: Int[Array, " B"]
    """How many count."""
    terminated: Bool[Array, " B"]
    last_obs: Array
    index: Int[Array, " B"]
    weight: Float[Array, " B"]

    def returns(self, discount: Scalar) -> tuple[Float[Array, " B"], Float[Array, " B"]]:
        """The discounted reward of the steps that count, and the factor of what follows them."""
        powers = discount ** jnp.arange(self.rewards.shape[1], dtype=self.rewards.dtype)
        follows = discount ** self.steps.astype(self.rewards.dtype)
        return self.rewards @ powers, jnp.where(self.terminated, 0, follows)


def empty(space: Space, capacity: int, rollout: int, *, learning_starts: int = 0, prioritised: bool = False) -> Replay:
    """A ring for about `capacity` transitions, that batches of `rollout` steps of every environment fill evenly.

    Raises:
        UserError: it would not hold one batch, or never the transitions with which learning starts.
    """
    num_envs = space.num_envs
    length = capacity // num_envs // rollout * rollout
    if length < 1:
        raise UserError(
            f"replay = {capacity}: must hold the {rollout * num_envs} transitions of a batch (rollout x environments). "
            "Raise it, or use fewer environments."
        )
    if length * num_envs < learning_starts:
        raise UserError(
            f"replay = {capacity}: holds {length * num_envs} transitions, but learning starts with {learning_starts}: "
            "it never would. Raise replay, or lower learning_starts."
        )
    kind = space.action
    lead = (length, num_envs)
    action = jnp.zeros(lead, jnp.int32) if isinstance(kind, Discrete) else jnp.zeros((*lead, *kind.shape), jnp.float32)
    obs, last_obs = (jnp.zeros((*lead, *space.obs.shape), space.obs.dtype) for _ in range(2))
    terminated, truncated = (jnp.zeros(lead, bool) for _ in range(2))  # memory is donated only once
    rows = Rows(obs, action, jnp.zeros(lead, jnp.float32), terminated, truncated, last_obs)
    leaves = 1 << max(length * num_envs - 1, 1).bit_length()
    priorities = Priorities(jnp.zeros(2 * leaves, jnp.float32), jnp.float32(1)) if prioritised else None
    return Replay(rows, jnp.int32(0), priorities)


def add(r: Replay, batch: Batch) -> Replay:
    """The ring with a batch in the place of its oldest rows; in place, where the old ring is donated."""
    new = Rows(batch.obs, batch.action, batch.reward, batch.terminated, batch.truncated, batch.last_obs)
    (length, num_envs), steps = r.rows.reward.shape, batch.reward.shape[0]
    start = r.written % length  # a multiple of the rollout: a batch never wraps around

    def write(old: Array, rows: Array) -> Array:
        return jax.lax.dynamic_update_slice_in_dim(old, rows.astype(old.dtype), start, axis=0)

    priorities = r.priorities
    if priorities is not None:
        leaf = start * num_envs + jnp.arange(steps * num_envs)
        tree = tree_write(priorities.tree, leaf, jnp.full(leaf.shape, priorities.largest))
        priorities = Priorities(tree, priorities.largest)
    return Replay(jax.tree.map(write, r.rows, new), r.written + steps, priorities)


def cut(r: Replay) -> Replay:
    """The ring where the newest rows end their episodes: what follows is another one, of environments set up anew."""
    length = r.rows.reward.shape[0]
    newest = jnp.arange(length, dtype=r.written.dtype) == (r.written - 1) % length
    ends = (newest & (r.written > 0))[:, None] & ~r.rows.terminated
    return eqx.tree_at(lambda x: x.rows.truncated, r, r.rows.truncated | ends)


def seen(rows: Rows) -> Seen:
    """What a learned reward sees of rows."""
    return Seen(rows.obs, rows.action, rows.last_obs, rows.terminated)


def repaid(r: Replay, reward: Callable[[Rows], Float[Array, "B E"]]) -> Replay:
    """The ring with every reward computed anew, block by block, for the rows that are held; all else stays.

    Rewards are kept one by one and become n-step returns when drawn, so these need nothing further.
    """
    length = r.rows.reward.shape[0]
    block, filled = min(REPAID_AT_ONCE, length), jnp.minimum(r.written, length)

    def one(i: Array, rewards: Array) -> Array:
        start = jnp.minimum(i * block, length - block)  # the last block repeats some rows of the one before it
        rows = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, start, block), r.rows)
        there = start + jnp.arange(block, dtype=start.dtype) < filled
        anew = jnp.where(there[:, None], reward(rows).astype(rewards.dtype), rows.reward)
        return jax.lax.dynamic_update_slice_in_dim(rewards, anew, start, axis=0)

    rewards = jax.lax.fori_loop(0, (filled + block - 1) // block, one, r.rows.reward)
    rows = Rows(r.rows.obs, r.rows.action, rewards, r.rows.terminated, r.rows.truncated, r.rows.last_obs)
    return Replay(rows, r.written, r.priorities)


def held(r: Replay) -> Int[Array, ""]:
    """How many transitions may be drawn."""
    length, num_envs = r.rows.reward.shape
    return jnp.minimum(r.written, length) * num_envs


def paid(batch: Batch, train_every: int) -> int:
    """How many gradient steps a batch pays for: one for every `train_every` of its transitions.

    Raises:
        UserError: the batch is no multiple of `train_every`.
    """
    count = batch.reward.size
    if count % train_every:
        raise UserError(
            f"train_every = {train_every}: must divide the {count} transitions of an update (rollout x environments). "
            f"Try --train-every {math.gcd(count, train_every)}, or a multiple of {train_every} environments."
        )
    return count // train_every


def gradient_steps(
    one: Callable[[Learner, PRNGKey], tuple[Learner, Metrics]], now: Learner, key: PRNGKey, count: int, started: Flag
) -> tuple[Learner, Metrics]:
    """`count` steps of `one` with a row of metrics for each; none, and zeros, where learning has not started."""

    def learn(now: Learner) -> tuple[Learner, Metrics]:
        return jax.lax.scan(one, now, jax.random.split(key, count))

    def wait(now: Learner) -> tuple[Learner, Metrics]:
        shapes = jax.eval_shape(learn, now)[1]
        return now, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    return jax.lax.cond(started, learn, wait, now)


def distinct(key: PRNGKey, size: int, filled: Int[Array, ""]) -> Int[Array, " B"]:
    """`size` rows, no two alike if so many are filled: one of every even share of them, the first begins anywhere.

    Every row is as likely as another, and a sort of all of them is spared. Fewer rows are drawn in turn, each as often
    as another or once more.
    """
    first_key, within_key = jax.random.split(key)
    share = jnp.arange(size, dtype=jnp.int32)
    whole, rest = filled // size, filled % size
    start = share * whole + jnp.where(whole == 0, share, jnp.minimum(share, rest))
    length = whole + (share < rest).astype(share.dtype)
    within = jax.random.randint(within_key, (size,), 0, jnp.maximum(length, 1))
    return (jax.random.randint(first_key, (), 0, filled) + start + within) % filled


def sample(
    r: Replay, key: PRNGKey, size: int, *, steps: int = 1, importance: Scalar = 0.0, repeats: bool = True
) -> Sample:
    """`size` transitions of up to `steps` steps; without priorities a row is drawn twice only if `repeats` allows it.

    By priority P where there are priorities, then with weights (N P)^-importance, the largest of which is 1.
    """
    (length, num_envs), filled = r.rows.reward.shape, held(r)
    if r.priorities is None:
        index = jax.random.randint(key, (size,), 0, filled) if repeats else distinct(key, size, filled)
        weight = jnp.ones(size)
    else:
        tree = r.priorities.tree
        strata = (jnp.arange(size, dtype=tree.dtype) + jax.random.uniform(key, (size,))) / size
        index = jnp.minimum(tree_find(tree, strata * tree[1]), filled - 1)  # a rounding error may lead past the end
        share = tree[tree.size // 2 + index] / tree[1]
        weight = (filled.astype(share.dtype) * jnp.maximum(share, 1e-12)) ** -importance
        weight = weight / weight.max()
    row, env = index // num_envs, index % num_envs
    ahead = (r.written - 1 - row) % length  # rows of this environment that are newer
    later = jnp.arange(steps)
    at = (row[:, None] + later[None]) % length * num_envs + env[:, None]
    over = taken(r.rows.terminated, at) | taken(r.rows.truncated, at)
    before = jnp.cumsum(over, axis=1, dtype=jnp.int32) - over.astype(jnp.int32)
    counts = (before == 0) & (later[None] <= ahead[:, None])
    number = jnp.sum(counts, axis=1, dtype=jnp.int32)
    last = (row + number - 1) % length * num_envs + env
    return Sample(
        obs=taken(r.rows.obs, index),
        action=taken(r.rows.action, index),
        rewards=jnp.where(counts, taken(r.rows.reward, at), 0),
        steps=number,
        terminated=taken(r.rows.terminated, last),
        last_obs=taken(r.rows.last_obs, last),
        index=index,
        weight=weight,
    )


def reprioritise(p: Priorities, index: Int[Array, " B"], priority: Float[Array, " B"], exponent: Scalar) -> Priorities:
    """Priorities after a step on some rows: theirs become `priority` to the power of `exponent`, and never zero."""
    value = (priority + 1e-6) ** exponent
    return Priorities(tree_write(p.tree, index, value), jnp.maximum(p.largest, value.max()))


def tree_write(tree: Float[Array, " nodes"], leaf: Int[Array, " B"], value: Float[Array, " B"]) -> Array:
    """The tree after leaves were set; two values for one leaf must be equal."""
    node = leaf + tree.size // 2
    tree = tree.at[node].set(value)
    for _ in range((tree.size // 2).bit_length() - 1):
        node = node // 2
        tree = tree.at[node].set(tree[2 * node] + tree[2 * node + 1])
    return tree


def tree_find(tree: Float[Array, " nodes"], mass: Float[Array, " B"]) -> Int[Array, " B"]:
    """The leaf at which the running sum of the leaves, from the left, first exceeds `mass`."""
    node = jnp.ones(mass.shape, jnp.int32)
    for _ in range((tree.size // 2).bit_length() - 1):
        left = tree[2 * node]
        right = mass >= left
        mass = jnp.where(right, mass - left, mass)
        node = 2 * node + right.astype(jnp.int32)
    return node - tree.size // 2


def taken(x: Array, at: Int[Array, "..."]) -> Array:
    """Entries of an array with leading axes [L, E] by their index in both together."""
    return x.reshape(-1, *x.shape[2:]).at[at].get(mode="promise_in_bounds")
