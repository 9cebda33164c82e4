"""What a penalty on risk may do to option-critic, and what it is told: the learner takes one as an argument.

A penalty has three doors, each of which may stay shut. `cost` is subtracted from the reward in both critics. `score`
weighs -∇ log π(a|s, ω), at the pair of this step and, if asked, at one other pair. `push` moves the action critic. Its
memory is part of the run's state and begins anew with every episode.
"""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array, Bool, Float, Int, PyTree

Memory = PyTree[Array]


class Visit(NamedTuple):
    """One step, as the penalty sees it after the critics have moved."""

    features: Int[Array, " K"]
    option: Int[Array, ""]
    action: Int[Array, ""]
    probs: Float[Array, " A"]
    """π(·|s, ω) at this pair."""
    error: Float[Array, ""]
    """δ = r + γ U(ω, s') - Q_U(s, ω, a), before anything is subtracted from r."""
    first: Bool[Array, ""]
    """The episode's first step."""


class Score(NamedTuple):
    """-weight ∇ log π(action | features, option), of a pair other than the present one."""

    features: Int[Array, " K"]
    option: Int[Array, ""]
    action: Int[Array, ""]
    probs: Float[Array, " A"]
    weight: Float[Array, ""]


class Penalty(NamedTuple):
    """A rule. `elsewhere` says, before anything is traced, whether `score` returns another pair's score."""

    init: Callable[[Visit], Memory]
    """Memory before the first step, in the shapes of a visit."""
    cost: Callable[[Float[Array, ""]], Float[Array, ""]]
    score: Callable[
        [Memory, Visit, Callable[[Array, Array], Array]], tuple[Memory, Float[Array, ""], Score | None]
    ]
    """Of memory, visit, and π(·|features, option) as it stands: new memory, the weight here, the score elsewhere."""
    push: Callable[[Visit], Float[Array, ""]] | None = None
    """Change of Q_U(s, ω, a), in units of the critic's step."""


def _nothing(error: Array) -> Array:
    return 0 * error


NONE = Penalty(lambda visit: (), _nothing, lambda memory, visit, policy: (memory, 0 * visit.error, None))
"""Risk-neutral."""
