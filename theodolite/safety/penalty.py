"""What a penalty on risk may do to option-critic, and what it is told: the learner takes one as an argument.

A penalty has three doors, each of which may stay shut. `cost` is subtracted from the reward in both critics. `score`
weighs -∇ log π(a|s,ω), at the pair of this step and, if asked, at one other pair. `push` moves the action critic. Its
memory is part of the run's state.
"""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array, Bool, Float, Int, PyTree

UNCAPPED = 1e30
"""A cap that never binds."""
FLOOR = 1e-4
"""Added to a probability before its logarithm is taken, as the authors of the penalty do."""
Memory = PyTree[Array]
Policy = Callable[[Int[Array, " K"], Int[Array, ""]], Float[Array, " A"]]
"""π(·|features, option) as it stands."""


class Visit(NamedTuple):
    """One step, as a penalty sees it."""

    features: Int[Array, " K"]
    option: Int[Array, ""]
    action: Int[Array, ""]
    probs: Float[Array, " A"]
    """π(·|s,ω)."""
    error: Float[Array, ""]
    """δ = r + γ U(ω,s') - Q_U(s,ω,a) of the reward as it was paid: before the critics' step for `cost`, after it for
    the other two."""
    first: Bool[Array, ""]
    """The episode's first step."""


class Score(NamedTuple):
    """-weight ∇ log π(action | features, option), of a pair that need not be the present one."""

    features: Int[Array, " K"]
    option: Int[Array, ""]
    action: Int[Array, ""]
    probs: Float[Array, " A"]
    weight: Float[Array, ""]


class Penalty(NamedTuple):
    """A rule, as four pure functions."""

    init: Callable[[Visit], Memory]
    """Memory before the first step, given a visit for its shapes."""
    cost: Callable[[Memory, Visit], Float[Array, ""]]
    score: Callable[[Memory, Visit, Policy], tuple[Memory, Float[Array, ""], Score | None]]
    """New memory, the weight of the present pair's score, and another pair's score if the rule has one."""
    push: Callable[[Memory, Visit], Float[Array, ""]] | None = None
    """Change of Q_U(s,ω,a) in units of the critic's step size, given the new memory."""


def _nothing(memory: Memory, visit: Visit) -> Array:
    return 0 * visit.error


NONE = Penalty(lambda visit: (), _nothing, lambda memory, visit, policy: (memory, 0 * visit.error, None))
"""Risk-neutral."""
