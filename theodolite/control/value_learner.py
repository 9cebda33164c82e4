"""What ε-greedy learners of values share: settings, a memory, how they act and what they report; actions are choices.

A method brings its network as a function from state and observations to the values of all actions, and its gradient
step; it acts by the largest value, or with probability ε by chance (see `exploring`).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from theodolite.control import exploring, off_policy
from theodolite.control.off_policy import Memory
from theodolite.core import replay
from theodolite.core.agent import Agent, RewardOf
from theodolite.core.arrays import Metrics, PRNGKey, Scalar
from theodolite.core.config import config, positive, probability, sizes
from theodolite.core.env import Action, Discrete, Obs, Space
from theodolite.core.errors import UserError

METRICS = {
    "value": "mean predicted return of the actions drawn from replay; 0 before learning starts",
    "excess": off_policy.EXCESS,
    "epsilon": "probability of a random action",
}
"""What all of them report, beside their own."""
Values = Callable[[Any, Obs], Float[Array, "*batch A"]]
"""What every action is worth in a state of the agent."""


@config
class Settings:
    """Fields of a Config, sized for classic control; CONSTRAINTS are their rules."""

    rollout: int = 1
    """Steps that each environment contributes to an update."""
    train_every: int = 8
    """Steps, of all environments together, per gradient step."""
    learning_starts: int = 1_000
    """Transitions in replay before the first gradient step."""
    replay: int = 100_000
    """Transitions that are kept; of large images take fewer."""
    batch_size: int = 128
    """Transitions in a gradient step."""
    n_step: int = 5
    """Rewards that are summed before the bootstrap."""
    epsilon_start: float = 1.0
    """Probability of a random action at first."""
    epsilon_end: float = 0.05
    """The same in the end."""
    epsilon_steps: int = 50_000
    """Environment steps over which it falls."""
    hidden: tuple[int, ...] = (120, 84)
    """Widths of the dense layers."""


CONSTRAINTS = off_policy.CONSTRAINTS | {
    **dict.fromkeys(("n_step", "epsilon_steps"), positive),
    **dict.fromkeys(("epsilon_start", "epsilon_end"), probability),
    "hidden": sizes(),
}


def num_actions(space: Space, otherwise: str = "Q-learning compares all of them") -> int:
    """How many actions there are to choose from; `otherwise` is said where they are no choice.

    Raises:
        UserError: they are not.
    """
    if not isinstance(space.action, Discrete):
        raise UserError(f"actions lie in {space.action}, expected a choice among some: {otherwise}.")
    return space.action.num


def nothing(c: Settings, space: Space, prioritised: bool = False) -> tuple[replay.Replay, Array, Array]:
    """The fields of a Memory that holds nothing yet, in their order.

    Raises:
        UserError: replay is too small.
    """
    ring = replay.empty(space, c.replay, c.rollout, learning_starts=c.learning_starts, prioritised=prioritised)
    return ring, jnp.int32(0), jnp.float32(0)


def exploration(c: Settings, s: Memory) -> Float[Array, ""]:
    """ε now."""
    return exploring.falling(c.epsilon_start, c.epsilon_end, c.epsilon_steps, s.steps)


def act(c: Settings, values: Values, s: Memory, obs: Obs, key: PRNGKey) -> tuple[Action, Float[Array, "..."]]:
    """The best action, or with probability ε any."""
    of_each = values(s, obs)
    return exploring.drawn(key, best(of_each), exploration(c, s), of_each.shape[-1])


def mode(values: Values, s: Memory, obs: Obs) -> Action:
    """The action of the largest value."""
    return best(values(s, obs))


def log_prob(c: Settings, values: Values, s: Memory, obs: Obs, action: Action) -> Float[Array, "..."]:
    """Log-probability of an action under the present ε, at least that of 1e-8."""
    of_each = values(s, obs)
    return exploring.log_prob(exploration(c, s), of_each.shape[-1], action == best(of_each))


def best(values: Float[Array, "*batch A"]) -> Action:
    """The action of the largest value."""
    return jnp.argmax(values, axis=-1).astype(jnp.int32)


def described(c: Settings, before: Memory, after: Memory, m: Metrics, discount: Scalar) -> Metrics:
    """Means over an update's gradient steps; `largest` becomes the excess over what can be earned at a discount."""
    m = dict(m)
    excess = off_policy.excess(m.pop("largest"), after.largest_reward, discount)
    return {name: x.mean() for name, x in m.items()} | {"excess": excess, "epsilon": exploration(c, before)}


def repay(s: Memory, reward: RewardOf) -> Memory:
    """The state with the rewards in its replay computed anew."""
    return off_policy.repay(s, lambda rows: reward(replay.seen(rows)))


def agent(c: Settings, *, init: Callable, values: Values, update: Callable) -> Agent:
    """A learner of values as an agent."""
    return Agent(
        init=init,
        act=partial(act, c, values),
        update=update,
        mode=partial(mode, values),
        log_prob=partial(log_prob, c, values),
        rollout=c.rollout,
        repay=repay,
        greedy=True,
    )
