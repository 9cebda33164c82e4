"""What learners from replay share: the ring and what they have seen of rewards, and the loop of gradient steps on it.

Every `train_every` new transitions pay for one gradient step, as soon as `learning_starts` of them are kept.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from theodolite.core import replay
from theodolite.core.agent import Batch
from theodolite.core.arrays import Arrays, Metrics, PRNGKey, Scalar
from theodolite.core.config import non_negative, positive

M = TypeVar("M", bound="Memory")
Learner = TypeVar("Learner")
CONSTRAINTS = {
    **dict.fromkeys(("rollout", "train_every", "replay", "batch_size"), positive), "learning_starts": non_negative,
}  # fmt: skip
"""Of the fields of a Config whose learner remembers."""
EXCESS = (
    "largest predicted return as a share of what the largest reward seen, paid for ever, would be worth: "
    "above 1 no policy can have such a value"
)
"""What `excess` means."""


class Memory(Arrays):
    """The ring, environment steps so far, and the largest size of a reward so far; a State may add its learner."""

    replay: replay.Replay
    steps: Int[Array, ""]
    largest_reward: Float[Array, ""]


def remember(m: M, batch: Batch) -> M:
    """The memory with a batch in the place of the oldest rows."""
    largest = jnp.maximum(m.largest_reward, jnp.abs(batch.reward).max())
    ring = replay.add(m.replay, batch)
    return replace(m, replay=ring, steps=m.steps + batch.reward.size, largest_reward=largest)


def repay(m: M, reward: Callable[[replay.Rows], Array]) -> M:
    """The memory with all its rewards computed anew from its rows."""
    ring = replay.repaid(m.replay, reward)
    return replace(m, replay=ring, largest_reward=jnp.abs(ring.rows.reward).max())


def learn(
    m: Memory, now: Learner, key: PRNGKey, one: Callable[[Learner, PRNGKey], tuple[Learner, Metrics]], *,
    steps: int, starts: int,
) -> tuple[Learner, Metrics]:  # fmt: skip
    """So many gradient steps, none before so many transitions are there; metrics have one row per step."""
    return replay.gradient_steps(one, now, key, steps, replay.held(m.replay) >= max(starts, 1))


def excess(largest: Float[Array, " n"], per_step: Scalar, discount: Scalar) -> Float[Array, ""]:
    """The largest prediction as a share of what `per_step`, paid for ever, would be worth; 0 if nothing is paid."""
    most = per_step / jnp.maximum(1 - discount, 1e-6)
    return jnp.where(most > 0, largest.max() / jnp.maximum(most, 1e-6), 0)
