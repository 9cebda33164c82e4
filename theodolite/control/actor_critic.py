"""What off-policy learners of continuous actions share: critics, policies into a box, a memory, and the loop.

    u = (a - centre) / half width              inside, every dimension of an action is in units of its own box
    Q(s, u) = MLP([s, u]),  μ(s) = tanh(MLP(s))     weights and biases uniform in ± 1/√fan-in

How critics move towards their targets is an argument of the learner (`CriticStep`); `regression` is the usual one. With
several horizons (see `horizons`) predictions and targets have one more axis, the last.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from theodolite.control import off_policy
from theodolite.control.off_policy import Memory
from theodolite.core import nets, optim, replay
from theodolite.core.agent import Batch, RewardOf, Seen
from theodolite.core.arrays import Arrays, Metrics, PRNGKey, Scalar, lift
from theodolite.core.config import config, non_negative, one_of, positive, sizes
from theodolite.core.dists import Distribution, Normal
from theodolite.core.env import Action, Box, Obs, Space
from theodolite.core.errors import UserError

Learner = TypeVar("Learner")


@config
class Settings:
    """Fields of a Config; CONSTRAINTS are their rules."""

    rollout: int = 32
    """Steps that each environment contributes to an update."""
    train_every: int = 1
    """Steps, of all environments together, per gradient step."""
    learning_starts: int = 10_000
    """Transitions in replay before the first gradient step."""
    random_steps: int = 10_000
    """Environment steps during which actions are drawn uniformly from their box."""
    replay: int = 1_000_000
    """Transitions that are kept."""
    batch_size: int = 256
    """Transitions in a gradient step."""
    policy_learning_rate: float = 3e-4
    """Step size of the policy's Adam."""
    hidden: tuple[int, ...] = (256, 256)
    """Widths of the layers of policy and critics."""
    activation: nets.Activation = "relu"
    """Between the layers."""


CONSTRAINTS = off_policy.CONSTRAINTS | {
    "random_steps": non_negative,
    "policy_learning_rate": positive,
    "hidden": sizes(),
    "activation": one_of(*nets.ACTIVATIONS),
}


class Critics(Arrays):
    """One or more networks that share nothing and read an observation and an action side by side.

    A tuple and not a leading axis: a CPU multiplies two pairs of matrices in half the time of one batched pair.
    """

    nets: tuple[nets.MLP, ...]

    def __call__(self, obs: Obs, action: Action) -> Float[Array, "K *batch_H"]:
        """What every critic says of an action in units of its box."""
        x = pairs(obs, action)
        return jnp.stack([self._said(net(x)) for net in self.nets])

    def first(self, obs: Obs, action: Action) -> Float[Array, "*batch_H"]:
        """What the first one says: deterministic policies climb on it alone."""
        return self._said(self.nets[0](pairs(obs, action)))

    @property
    def horizons(self) -> int:
        """Values that each predicts of an action."""
        return self.nets[0].layers[-1].bias.shape[-1]

    def _said(self, out: Float[Array, "*batch H"]) -> Float[Array, "*batch_H"]:
        return out[..., 0] if self.horizons == 1 else out


class Policy(Arrays):
    """A deterministic policy: tanh of an MLP."""

    net: nets.MLP
    box: Box = eqx.field(static=True)

    def __call__(self, obs: Obs) -> Float[Array, "*batch A"]:
        """The action, in units of its box."""
        return jnp.tanh(self.net(obs))

    def noisy(self, obs: Obs, noise: Scalar) -> Normal:
        """The action as the environment wants it, with Gaussian noise of so many half widths; its door clips."""
        mean, (_, half_width) = scaled(self.box, self(obs)), frame(self.box)
        return Normal(mean, jnp.log(noise * half_width))


class CriticStep(NamedTuple):
    """How critics move towards targets.

    `init(critics)` is whatever the step remembers, a pytree of arrays. `step(critics, memory, sample, target)` returns
    both anew, and as metrics `critic_loss`, what `described` says of the predictions before it, and what it adds.
    """

    init: Callable[[Critics], PyTree]
    step: Callable[[Critics, PyTree, replay.Sample, Float[Array, "B *H"]], tuple[Critics, PyTree, Metrics]]
    repeats: bool = True
    """Whether a sample may hold a transition twice."""
    adds: tuple[tuple[str, str], ...] = ()
    """Metrics of its own, which join the learner's METRICS: names and what they mean."""


def check(space: Space, choices: str = "dqn") -> Box:
    """The box of actions; `choices` is the method to take where they are choices.

    Raises:
        UserError: observations or actions are no vectors, or actions have no finite bounds.
    """
    box = space.action
    if not isinstance(box, Box) or len(box.shape) != 1 or not box.bounded:
        raise UserError(
            f"actions lie in {box}, expected a vector between finite bounds: this policy is squashed into a box. Use a "
            f"method for choices ({choices}), or one whose actions are unbounded (ppo, trpo)."
        )
    if len(space.obs.shape) != 1:
        raise UserError(
            f"observations have the shape {space.obs.shape}, expected vectors, which is what these networks read. Wrap "
            "the environment (gymnasium.wrappers.FlattenObservation, say) and register it under an id of yours."
        )
    return box


def frame(box: Box) -> tuple[Float[Array, " A"], Float[Array, " A"]]:
    """Centre and half width of every dimension."""
    low, high = (jnp.broadcast_to(jnp.asarray(bound, jnp.float32), box.shape) for bound in (box.low, box.high))
    return (low + high) / 2, (high - low) / 2


def scaled(box: Box, unit: Float[Array, "*batch A"]) -> Action:
    """An action in units of its box as the environment wants it."""
    centre, half_width = (lift(x, unit.ndim) for x in frame(box))
    return centre + half_width * unit


def to_unit(box: Box, action: Action) -> Float[Array, "*batch A"]:
    """What an action that is clipped at the environment's door does, in units of its box."""
    centre, half_width = (lift(x, action.ndim) for x in frame(box))
    return jnp.clip((action - centre) / half_width, -1, 1)


def pairs(obs: Obs, action: Action) -> Float[Array, "*batch OA"]:
    """What a critic reads."""
    return jnp.concatenate([obs.astype(action.dtype), action], axis=-1)


def network(key: PRNGKey, widths: tuple[int, ...], activation: nets.Activation) -> nets.MLP:
    """An MLP of the given widths, whose weights and biases are uniform in ± 1/√fan-in."""

    def linear(key: PRNGKey, inputs: int, outputs: int) -> nets.Linear:
        weight_key, bias_key = jax.random.split(key)
        bound = inputs**-0.5
        weight = jax.random.uniform(weight_key, (inputs, outputs), minval=-bound, maxval=bound)
        return nets.Linear(weight, jax.random.uniform(bias_key, (outputs,), minval=-bound, maxval=bound))

    keys = jax.random.split(key, len(widths) - 1)
    layers = tuple(linear(k, *pair) for k, pair in zip(keys, pairwise(widths), strict=True))
    return nets.MLP(layers, nets.ACTIVATIONS[activation])


def critics(
    key: PRNGKey, space: Space, hidden: tuple[int, ...], activation: nets.Activation = "relu", count: int = 1,
    horizons: int = 1,
) -> Critics:  # fmt: skip
    """Fresh critics for a space."""
    inputs = space.obs.shape[0] + check(space).shape[0]
    keys = jax.random.split(key, count)
    return Critics(tuple(network(k, (inputs, *hidden, horizons), activation) for k in keys))


def policy(key: PRNGKey, space: Space, hidden: tuple[int, ...], activation: nets.Activation = "relu") -> Policy:
    """A fresh deterministic policy for a space."""
    box = check(space)
    return Policy(network(key, (*space.obs.shape, *hidden, *box.shape), activation), box)


def regression(learning_rate: Scalar) -> CriticStep:
    """Adam on the squared error, averaged over the sample and its horizons, and summed over critics."""
    adam = optim.adam(learning_rate)

    def loss(now: Critics, b: replay.Sample, target: Array) -> tuple[Scalar, Array]:
        predicted = now(b.obs, b.action)
        return ((predicted - target[None]) ** 2).mean(tuple(range(1, predicted.ndim))).sum(), predicted

    def step(now: Critics, opt: PyTree, b: replay.Sample, target: Array) -> tuple[Critics, PyTree, Metrics]:
        (value, predicted), gradient = jax.value_and_grad(loss, has_aux=True)(now, b, target)
        now, opt = optim.apply(adam, gradient, opt, now)
        return now, opt, {"critic_loss": value, **described(predicted)}

    return CriticStep(adam.init, step)


def described(predicted: Float[Array, "K B *H"]) -> Metrics:
    """What the critics' predictions for a sample look like."""
    return {
        "value": predicted.mean(),
        "disagreement": (predicted.max(0) - predicted.min(0)).mean(),
        "largest": jnp.abs(predicted).max(),
    }


def ascend(
    now: Policy,
    opt: optim.OptState,
    judge: Callable[[Obs, Action], Float[Array, " B"]],
    obs: Obs,
    learning_rate: Scalar,
) -> tuple[Policy, optim.OptState]:
    """One step of Adam up what is said of actions: the deterministic policy gradient. `opt` is that of `optim.adam`."""

    def loss(p: Policy) -> Scalar:
        return -judge(obs, p(obs)).mean()

    return optim.apply(optim.adam(learning_rate), jax.grad(loss)(now), opt, now)


def no_memory(space: Space, capacity: int, rollout: int, learning_starts: int = 0) -> Memory:
    """Nothing yet."""
    ring = replay.empty(space, capacity, rollout, learning_starts=learning_starts)
    return Memory(ring, jnp.int32(0), jnp.float32(0))


def remember(m: Memory, batch: Batch, box: Box) -> Memory:
    """The memory with a batch in it, whose actions are kept in units of their box."""
    return off_policy.remember(m, batch._replace(action=to_unit(box, batch.action)))


def repay(m: Memory, box: Box, reward: RewardOf) -> Memory:
    """The memory with all its rewards computed anew from transitions as the environment knows them."""

    def of(rows: replay.Rows) -> Array:
        return reward(Seen(rows.obs, scaled(box, rows.action), rows.last_obs, rows.terminated))

    return off_policy.repay(m, of)


def random_first(
    random: Bool[Array, ""], box: Box, later: Distribution, key: PRNGKey
) -> tuple[Action, Float[Array, "..."]]:
    """An action of the distribution, or anywhere in the box as long as all are `random`; and its log-probability."""
    uniform_key, later_key = jax.random.split(key)
    action = later.sample(later_key)
    anywhere = scaled(box, jax.random.uniform(uniform_key, action.shape, minval=-1, maxval=1))
    action = jnp.where(random, anywhere, action)
    return action, random_log_prob(random, box, later, action)


def random_log_prob(random: Bool[Array, ""], box: Box, later: Distribution, action: Action) -> Float[Array, "..."]:
    """Log-probability of an action under the same mixture in time."""
    anywhere = -jnp.sum(jnp.log(2 * frame(box)[1]))
    return jnp.where(random, anywhere, later.log_prob(action))


def learn(
    c: Settings, m: Memory, now: Learner, key: PRNGKey, *, paid: int,
    improve: Callable[[Learner, replay.Sample, PRNGKey], tuple[Learner, Metrics]], repeats: bool = True, more: int = 0,
) -> tuple[Learner, Metrics]:  # fmt: skip
    """`paid` gradient steps on samples of the memory, none before learning starts; metrics have one row per step.

    Samples hold a batch, and so many transitions `more`.
    """

    def one(now: Learner, key: PRNGKey) -> tuple[Learner, Metrics]:
        draw_key, step_key = jax.random.split(key)
        return improve(now, replay.sample(m.replay, draw_key, c.batch_size + more, repeats=repeats), step_key)

    return off_policy.learn(m, now, key, one, steps=paid, starts=c.learning_starts)
