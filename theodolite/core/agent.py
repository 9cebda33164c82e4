"""The agent contract: pure functions over one state; agents wrap agents."""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array, Bool, Float, PyTree

from theodolite.core.arrays import Metrics, PRNGKey
from theodolite.core.env import Action, Obs, Space

State = PyTree[Array]


class Batch(NamedTuple):
    """What a driver collected: every field has leading axes [T, E].

    `log_prob` is the behaviour policy's at the time of acting, in nats. `last_obs[t]` is what `action[t]` led to,
    before any reset.
    """

    obs: Float[Array, "T E *obs"]
    action: Array
    log_prob: Float[Array, "T E"]
    reward: Float[Array, "T E"]
    terminated: Bool[Array, "T E"]
    truncated: Bool[Array, "T E"]
    last_obs: Float[Array, "T E *obs"]


class Agent(NamedTuple):
    """A method as pure functions over its State.

    `act` and `mode` see observations with any leading axes. `mode` is the action that evaluation plays: the most
    likely one, of a squashed Gaussian the median.
    `log_prob(state, obs, action)` is the present policy's, in nats; imitation methods need it. `rollout` is the number
    of steps that every environment contributes to a batch.
    """

    init: Callable[[PRNGKey, Space], State]
    act: Callable[[State, Obs, PRNGKey], tuple[Action, Float[Array, "..."]]]
    update: Callable[[State, Batch, PRNGKey], tuple[State, Metrics]]
    mode: Callable[[State, Obs], Action]
    log_prob: Callable[[State, Obs, Action], Float[Array, "..."]]
    rollout: int


class Solver(NamedTuple):
    """A method that learns without an environment (from demonstrations, say): `step` in the place of `update`."""

    init: Callable[[PRNGKey, Space], State]
    act: Callable[[State, Obs, PRNGKey], tuple[Action, Float[Array, "..."]]]
    step: Callable[[State, PRNGKey], tuple[State, Metrics]]
    mode: Callable[[State, Obs], Action]
    log_prob: Callable[[State, Obs, Action], Float[Array, "..."]]
