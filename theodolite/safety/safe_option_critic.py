"""Safe Option-Critic: options that avoid what surprises them, by a penalty on the squared TD error.

    J = E[Q_O(s_0,ω_0) + ψ C(s_0,ω_0)],     C(s,ω) = -E[δ²|s,ω],     δ = r + γ U(ω,s') - Q_U(s,ω,a)
    actor:    θ -= α_π ψ δ² ∇θ log π(a|s,ω)
    critic:   r - min(ψ δ², cap) takes the place of r in both critics of option-critic

The printed gradient touches the first action of an episode only: the penalty does not flow through the critics. The
second rule, ours, lets it. The learner is an argument: `penalty(Config(...))` is what it needs.

Differences from the paper, each of them a setting:
1. `repeat="step"` is the authors' code for the grid, which takes the start pair's step again at every step of the
episode, with the squared error of its last visit and the probabilities of the step after that; `repeat="visit"` is the
formula; 2. `scope="all"` penalises every pair, which their code for Atari does in effect; 3. there the squared error is
not detached from the critic, `detach=False`: the critic then ascends -ψ log(π + 1e-4) δ² too, which drives it away from
its target where π < 1; 4. `through="critic"` and the cap are ours; 5. where the episode ended nothing follows, while
the authors' error of the start pair goes on to add the goal's value; 6. the start pair counts as visited if all its
features are on, not some.
"""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from theodolite.core.arrays import Arrays
from theodolite.core.claim import Paper
from theodolite.core.config import config, non_negative, one_of, positive, require
from theodolite.core.errors import UserError
from theodolite.safety.penalty import FLOOR, UNCAPPED, Penalty, Policy, Score, Visit

PAPER = Paper("Safe Option-Critic: Learning Safety in the Option-Critic Architecture", "Jain, Khetarpal, Precup", 2018,
              arxiv="1807.08060")  # fmt: skip
METRICS = {"cost": "mean penalty per step that the critics were charged; 0 for rules that act through the actor alone"}


@config
class Config:
    """The rule; the defaults are the corrected form."""

    psi: float = 0.02
    """ψ: weight of controllability."""
    through: Literal["critic", "actor"] = "critic"
    """What feels the penalty: both critics, by the reward, or the policies inside options, by their gradient."""
    scope: Literal["all", "start"] = "all"
    """Which pairs of state and option are penalised."""
    repeat: Literal["visit", "step"] = "visit"
    """The start pair's step in the actor is taken once per visit, or at every step of the episode."""
    cap: float = 20.0
    """Most that one step is penalised."""
    detach: bool = True
    """Keep the actor's penalty out of the critic."""

    def __post_init__(self):
        require(self, psi=non_negative, cap=positive, through=one_of("critic", "actor"), scope=one_of("all", "start"))
        require(self, repeat=one_of("visit", "step"))
        if self.repeat == "step" and (self.through, self.scope) != ("actor", "start"):
            raise UserError(f"repeat = step: must be visit with through = {self.through} and scope = {self.scope}. "
                            "Only the start pair's step in the actor can be taken again.")  # fmt: skip
        if not self.detach and self.through != "actor":
            raise UserError("detach = False: must be True with through = critic. The critics' penalty has no gradient "
                            "of its own to keep out.")  # fmt: skip


RELEASED = Config(psi=0.05, through="actor", scope="start", repeat="step", cap=UNCAPPED)
"""The authors' code for the grid."""
PRINTED = Config(psi=0.05, through="actor", scope="start", cap=UNCAPPED)
"""The formula."""


class State(Arrays):
    """The episode's start pair and what is remembered of it."""

    features: Int[Array, "*S K"]
    option: Int[Array, "*S"]
    action: Int[Array, "*S"]
    squared: Float[Array, "*S"]
    """Penalty of its last visit."""
    weight: Float[Array, "*S"]
    """The penalty in use."""
    probs: Float[Array, "*S A"]
    """The probabilities in use."""
    stale: Bool[Array, "*S"]
    """Weight and probabilities are to be looked up again."""


def init(c: Config, visit: Visit) -> State:
    """Nothing penalised yet."""
    nought = jnp.zeros_like(visit.error)
    return State(visit.features, visit.option, visit.action, nought, nought, visit.probs, jnp.ones_like(visit.first))


def penalised(c: Config, s: State, visit: Visit) -> Float[Array, ""]:
    """min(ψ δ², cap) where the scope reaches, else 0."""
    return jnp.where(_reached(c, s, visit), jnp.minimum(c.psi * visit.error**2, c.cap), 0)


def _reached(c: Config, s: State, visit: Visit) -> Bool[Array, ""]:
    same = jnp.all(visit.features == s.features) & (visit.option == s.option)
    return jnp.bool_(True) if c.scope == "all" else visit.first | same


def update(c: Config, s: State, visit: Visit, policy: Policy) -> State:
    """The memory after a visit, in the order of the authors' code."""
    here, first = _reached(c, s, visit), visit.first
    features, option = jnp.where(first, visit.features, s.features), jnp.where(first, visit.option, s.option)
    squared = jnp.where(here, penalised(c, s, visit), s.squared)
    refresh = first | s.stale
    probs = jnp.where(refresh, policy(features, option), s.probs)
    weight = jnp.where(refresh, squared, s.weight)
    return State(features, option, jnp.where(here, visit.action, s.action), squared, weight, probs, here)


def penalty(c: Config) -> Penalty:
    """The rule as the learner wants it."""

    def cost(s: State, visit: Visit) -> Float[Array, ""]:
        return penalised(c, s, visit) if c.through == "critic" else 0 * visit.error

    def score(s: State, visit: Visit, policy: Policy) -> tuple[State, Float[Array, ""], Score | None]:
        moved = update(c, s, visit, policy)
        if c.through == "critic":
            return moved, 0 * visit.error, None
        if c.repeat == "visit":
            return moved, penalised(c, moved, visit), None
        return moved, 0 * visit.error, Score(moved.features, moved.option, moved.action, moved.probs, moved.weight)

    def push(s: State, visit: Visit) -> Float[Array, ""]:
        free = _reached(c, s, visit) & (c.psi * visit.error**2 < c.cap)
        slope = 2 * c.psi * visit.error * jnp.log(visit.probs[visit.action] + FLOOR)
        return jnp.where(free, slope, 0)

    return Penalty(lambda visit: init(c, visit), cost, score, None if c.detach else push)
