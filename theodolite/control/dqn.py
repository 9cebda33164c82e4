"""Deep Q-learning from replay, with its improvements as options that do not know of each other.

    y = R + γᵐ (1 - terminated) Q⁻(s', argmax_a Q(s', a)),   minimise the loss of y - Q(s, a)

R is the reward of m ≤ n steps; Q⁻ is the target network, Q in the argmax the online one (`double`) or Q⁻ as well.
`head` replaces the mean by a distribution (C51, QR-DQN; see `heads`) and changes nothing else. With several horizons
(see `horizons`) every one has its own head on the same features, discount, greedy action and target.

Differences from the papers:
1. Adam for RMSProp (Obando-Ceron and Castro 2021 find it the larger improvement); 2. truncated episodes bootstrap from
the true last observation; 3. the dueling streams are single layers on shared features; 4. the priority is the root of
the loss for every head, and the exponent of the importance weights stays as it is; 5. many environments act at once,
and `train_every` of their steps pay for one gradient step; 6. exploration uses no noisy layers; 7. double targets and
five-step returns are on unless they are turned off (`--no-double --n-step 1`); 8. large images are read by Nature's
three convolutions, and then by layers of 120 and 84 where Nature has one of 512 (`--hidden 512`).
"""

from dataclasses import replace
from functools import partial
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from theodolite.control import heads, horizons, off_policy, target_network, value_learner
from theodolite.control.heads import Head, Target
from theodolite.control.target_network import Learner
from theodolite.core import nets, replay
from theodolite.core.agent import Agent, Batch
from theodolite.core.arrays import Arrays, Metrics, PRNGKey, Scalar
from theodolite.core.claim import Paper
from theodolite.core.config import Constraint, at_least, config, non_negative, one_of, positive, require
from theodolite.core.env import Box, Obs, Space
from theodolite.core.errors import UserError

PAPER = Paper(
    "Human-level control through deep reinforcement learning", "Mnih et al.", 2015, url="https://doi.org/10.1038/nature14236"
)  # fmt: skip
METRICS = {
    "loss": "mean loss of the gradient steps, weighted where rows are drawn by priority; 0 before learning starts",
    **value_learner.METRICS,
}


def _ascends(pair: tuple[float, float]) -> bool:
    return len(pair) == 2 and pair[0] < pair[1]


@config
class Config(horizons.Settings, target_network.Settings, value_learner.Settings):
    """Hyper-parameters; the defaults learn classic control from rewards of 1 a step, and are not those of Atari.

    Chosen on CartPole. Values there come near the most that is possible, and the plain learner overshoots: a memory of
    good episodes alone forgets what failure looks like, and a target that is copied too often chases itself. Hence a
    longer memory, double targets, a slow target network, and several rewards a step that make up for its slowness.
    """

    dueling: bool = False
    """Predict a value and advantages that are centred over actions."""
    loss: Literal["square", "huber"] = "square"
    """Of the mean's error; the other heads have their own."""
    prioritised: bool = False
    """Draw rows by priority."""
    priority_exponent: float = 0.6
    """α: 0 draws uniformly."""
    importance_exponent: float = 0.4
    """β: 1 undoes the bias of unequal priorities fully."""
    channels: int = 16
    """Channels of the convolution of small images; of large ones the first has twice, others have four times them."""
    head: Literal["expected", "categorical", "quantile"] = "expected"
    """What is predicted of the return: its mean, probabilities of atoms (C51), or quantiles (QR-DQN)."""
    atoms: int = 51
    """Atoms or quantiles."""
    support: tuple[float, float] = (-10.0, 10.0)
    """The lowest and the highest atom."""
    kappa: float = 1.0
    """Where the quantile loss turns from square to linear; 0 is linear throughout."""
    trunks: int = 1
    """Separate networks among which atoms or quantiles are divided."""

    def __post_init__(self):
        require(
            self,
            **value_learner.CONSTRAINTS,
            **target_network.CONSTRAINTS,
            **dict.fromkeys(("channels", "trunks"), positive),
            **dict.fromkeys(("priority_exponent", "importance_exponent", "kappa"), non_negative),
            loss=one_of("square", "huber"),
            head=one_of("expected", "categorical", "quantile"),
            atoms=at_least(2),
            support=Constraint("must be two numbers, the lower one first", _ascends, (1.0, 1.0)),
        )
        horizons.check(self)


C51 = Config(head="categorical", support=(-100.0, 100.0), atoms=101, adam_epsilon=0.01 / 128)
"""Bellemare, Dabney and Munos 2017; atoms for returns up to 100, which a discount of 0.99 makes of rewards of 1."""
QR_DQN = Config(head="quantile", adam_epsilon=0.01 / 128)
"""Dabney et al. 2018."""
MINATAR = Config(
    train_every=4, batch_size=32, adam_epsilon=3.125e-4, max_gradient_norm=10.0, n_step=1, double=False,
    target_every=250, epsilon_end=0.01, epsilon_steps=100_000, hidden=(128,),
)  # fmt: skip
"""The plain learner for the games of Young and Tian 2019: their network, with Dopamine's loss and optimiser."""
RAINBOW = Config(
    head="categorical", support=(-100.0, 100.0), double=True, dueling=True, n_step=3, prioritised=True,
    priority_exponent=0.5,
)  # fmt: skip
"""Hessel et al. 2018 without noisy layers."""


class Network(Arrays):
    """Features, and one linear layer of K numbers for every horizon and action; with `value`, dueling."""

    torso: nets.Torso
    advantage: nets.Linear
    value: nets.Linear | None
    shape: tuple[int, int, int] = eqx.field(static=True)
    """Horizons, actions, K."""

    def __call__(self, obs: Obs, passes: Float[Array, " K"] | None = None) -> Float[Array, "*batch H A K"]:
        """Predictions; those that do not pass their gradient on leave the features alone."""
        features = self.torso(obs)
        out = self._read(features)
        if passes is None:
            return out
        passes = passes.reshape((1,) * (out.ndim - 1) + passes.shape)
        return passes * out + (1 - passes) * self._read(jax.lax.stop_gradient(features))

    def _read(self, features: Array) -> Array:
        horizons, actions, size = self.shape
        out = self.advantage(features).reshape(*features.shape[:-1], horizons, actions, size)
        if self.value is None:
            return out
        value = self.value(features).reshape(*features.shape[:-1], horizons, 1, size)
        return value + out - out.mean(-2, keepdims=True)


class State(off_policy.Memory):
    """The memory, and the learner, whose networks have a leading axis of trunks where there are several."""

    learner: Learner


def init(c: Config, head: Head, key: PRNGKey, space: Space) -> State:
    """Fresh networks for a space, the target network equal to the online one, and an empty ring.

    Raises:
        UserError: actions are no choice, trunks do not divide the numbers of the head, or replay is too small.
    """
    num = value_learner.num_actions(space)
    if head.size % c.trunks:
        raise UserError(f"trunks = {c.trunks}: must divide the {head.size} numbers that an action gets, a share each.")
    make = partial(network, c, space.obs, (c.horizons, num, head.size // c.trunks))
    net = make(key) if c.trunks == 1 else jax.vmap(make)(jax.random.split(key, c.trunks))
    return State(*value_learner.nothing(c, space, c.prioritised), target_network.fresh(c, net))


def network(c: Config, obs: Box, shape: tuple[int, int, int], key: PRNGKey) -> Network:
    """One fresh network, Glorot-uniform."""
    torso_key, advantage_key, value_key = jax.random.split(key, 3)
    horizons, actions, size = shape
    draw = nets.glorot(1.0)
    torso, features = nets.torso(torso_key, obs, c.hidden, channels=c.channels, hidden=draw, large=nets.MNIH_2015)

    def linear(key: PRNGKey, outputs: int) -> nets.Linear:
        return nets.Linear(draw(key, (features, outputs)), jnp.zeros(outputs))

    value = linear(value_key, horizons * size) if c.dueling else None
    return Network(torso, linear(advantage_key, horizons * actions * size), value, shape)


def head_of(c: Config) -> Head:
    """The head that the configuration names."""
    if c.head == "categorical":
        return heads.categorical(c.atoms, *c.support)
    if c.head == "quantile":
        return heads.quantile(c.atoms, c.kappa)
    return heads.expected(c.loss)


def predict(c: Config, head: Head, net: Network, obs: Obs) -> Float[Array, "*batch H A K"]:
    """What the network, or the networks of all trunks together, predict."""
    passes = None if head.shapes_torso is None else jnp.asarray(head.shapes_torso, jnp.float32)
    if c.trunks == 1:
        return net(obs, passes)
    parts = jax.vmap(lambda trunk: trunk(obs, passes))(net)
    return jnp.concatenate(list(parts), axis=-1)


def values(c: Config, head: Head, s: State, obs: Obs) -> Float[Array, "*batch A"]:
    """The expected returns by which actions are chosen."""
    return horizons.acting(c, head.mean(predict(c, head, s.learner.net, obs)))


def targets(c: Config, head: Head, now: Learner, b: replay.Sample) -> Target:
    """What the predictions of a sample should be, for every horizon; leading axes [B, H]."""
    following = predict(c, head, now.target, b.last_obs)
    judge = predict(c, head, now.net, b.last_obs) if c.double else following
    best = jnp.argmax(head.mean(judge), axis=-1)
    reward, discount = horizons.returns(c, b)
    return jax.lax.stop_gradient(Target(reward, discount, chosen(following, best)))


def chosen(out: Float[Array, "B H A K"], action: Int[Array, "B H"]) -> Float[Array, "B H K"]:
    """The predictions of one action; a product with its indicator, since gathers are slow in both directions."""
    return jnp.einsum("bhak,bha->bhk", out, jax.nn.one_hot(action, out.shape[2], dtype=out.dtype))


def loss(net: Network, c: Config, head: Head, b: replay.Sample, target: Target) -> tuple[Scalar, tuple[Array, Array]]:
    """The weighted mean loss; beside it every row's own loss, averaged over horizons, and predicted returns."""
    action = jnp.broadcast_to(b.action[:, None], (b.action.shape[0], c.horizons))
    predicted = chosen(predict(c, head, net, b.obs), action)
    losses = jax.vmap(jax.vmap(head.loss))(predicted, target).mean(1)
    return (b.weight * losses).mean(), (losses, head.mean(predicted))


def improve(c: Config, head: Head, now: Learner, b: replay.Sample) -> tuple[Learner, Array, Metrics]:
    """One gradient step; also the new priorities of the rows."""
    slope = jax.grad(loss, has_aux=True)
    gradient, (losses, predicted) = slope(now.net, c, head, b, targets(c, head, now, b))
    metrics = {"loss": (b.weight * losses).mean(), "value": predicted.mean(), "largest": jnp.abs(predicted).max()}
    return target_network.step(c, now, gradient), jnp.sqrt(losses + 1e-10), metrics


def update(c: Config, head: Head, s: State, batch: Batch, key: PRNGKey) -> tuple[State, Metrics]:
    """Remember a batch, then one gradient step for every `train_every` of its transitions.

    Raises:
        UserError: the batch is no multiple of `train_every`.
    """
    steps, after = replay.paid(batch, c.train_every), off_policy.remember(s, batch)
    ring = after.replay

    def one(carry: tuple, key: PRNGKey) -> tuple[tuple, Metrics]:
        now, priorities = carry
        held = replay.Replay(ring.rows, ring.written, priorities)
        b = replay.sample(held, key, c.batch_size, steps=c.n_step, importance=c.importance_exponent)
        now, priority, metrics = improve(c, head, now, b)
        if priorities is not None:
            priorities = replay.reprioritise(priorities, b.index, priority, c.priority_exponent)
        return (now, priorities), metrics

    (learner, priorities), m = off_policy.learn(
        after, (s.learner, ring.priorities), key, one, steps=steps, starts=c.learning_starts
    )
    after = replace(after, learner=learner, replay=replay.Replay(ring.rows, ring.written, priorities))
    return after, value_learner.described(c, s, after, m, horizons.longest(c))


def agent(c: Config, head: Head | None = None) -> Agent:
    """DQN as an agent; a head given here stands in for the one that the configuration names."""
    own = head_of(c) if head is None else head
    return value_learner.agent(
        c, init=partial(init, c, own), values=partial(values, c, own), update=partial(update, c, own)
    )
