"""The agent contract: pure functions over one state; agents wrap agents."""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array, Bool, Float, PyTree

from theodolite.core.arrays import Metrics, PRNGKey, Scalar
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


class Seen(NamedTuple):
    """Transitions with any leading axes, as the environment knows them: observations raw, actions as executed."""

    obs: Array
    action: Array
    next_obs: Array
    terminated: Array


RewardOf = Callable[[Seen], Float[Array, "..."]]


class Entropy(NamedTuple):
    """What a learner pays itself beside its rewards: -temperature · log π(a|s) at every step."""

    temperature: Scalar = 0.0
    learned: bool = False
    """The temperature is adjusted while it learns."""
    soft: bool = False
    """It cannot do without: the temperature is never 0, and log π is of actions in units of their box."""


def keeps_no_rewards(s: State, reward: RewardOf) -> State:
    """The `repay` of a learner that forgets a batch once it has learned from it."""
    return s


class Agent(NamedTuple):
    """A method as pure functions over its State.

    `act` and `mode` see observations with any leading axes. `mode` is the action that evaluation plays: the most
    likely one, of a squashed Gaussian the median.
    `log_prob(state, obs, action)` is the present policy's, in nats; imitation methods need it. `rollout` is the number
    of steps that every environment contributes to a batch. With `options` it is shown which option is in force and
    chooses pairs of option and action, as `theodolite.core.options` says; `init` gets the environment's own space.

    The rest concerns learners whose reward is itself learned. `repay(state, reward)` recomputes the rewards of all
    transitions that the state holds, which would go stale: whoever learns the reward calls it before `update`, so an
    agent with a replay must have one. `entropy` is what the learner is paid for randomness; `greedy` says that its
    policy is the best action alone, and that `log_prob` is of that and of exploration beside it.
    """

    init: Callable[[PRNGKey, Space], State]
    act: Callable[[State, Obs, PRNGKey], tuple[Action, Float[Array, "..."]]]
    update: Callable[[State, Batch, PRNGKey], tuple[State, Metrics]]
    mode: Callable[[State, Obs], Action]
    log_prob: Callable[[State, Obs, Action], Float[Array, "..."]]
    rollout: int
    options: int = 0
    repay: Callable[[State, RewardOf], State] = keeps_no_rewards
    entropy: Entropy = Entropy()
    greedy: bool = False


class Solver(NamedTuple):
    """A method that learns without an environment (from demonstrations, say): `step` in the place of `update`."""

    init: Callable[[PRNGKey, Space], State]
    act: Callable[[State, Obs, PRNGKey], tuple[Action, Float[Array, "..."]]]
    step: Callable[[State, PRNGKey], tuple[State, Metrics]]
    mode: Callable[[State, Obs], Action]
    log_prob: Callable[[State, Obs, Action], Float[Array, "..."]]
    options: int = 0
