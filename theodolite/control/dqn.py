"""Deep Q-learning from replay, with its improvements as options that do not know of each other.

    y = R + γᵐ (1 - terminated) Q⁻(s', argmax_a Q(s', a)),   minimise the loss of y - Q(s, a)

R is the reward of m ≤ n steps; Q⁻ is the target network, Q in the argmax the online one (`double`) or Q⁻ as well.
`head` replaces the mean by a distribution (C51, QR-DQN; see `heads`) and changes nothing else. With several horizons
every one has its own head on the same features, discount, greedy action and target (Fedus et al. 2019).

Differences from the papers:
1. Adam for RMSProp (Obando-Ceron and Castro 2021 find it the larger improvement); 2. truncated episodes bootstrap from
the true last observation; 3. the dueling streams are single layers on shared features; 4. the priority is the root of
the loss for every head, and the exponent of the importance weights stays as it is; 5. many environments act at once,
and `train_every` of their steps pay for one gradient step; 6. exploration uses no noisy layers; 7. double targets and
five-step returns are on unless they are turned off (`--no-double --n-step 1`); 8. large images are read by Nature's
three convolutions, and then by layers of 120 and 84 where Nature has one of 512 (`--hidden 512`).
"""

from functools import partial
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from theodolite.control import actor_critic, exploring, heads
from theodolite.control.heads import Head, Target
from theodolite.core import nets, optim, replay
from theodolite.core.agent import Agent, Batch, RewardOf
from theodolite.core.arrays import Arrays, Metrics, PRNGKey, Scalar
from theodolite.core.claim import Paper
from theodolite.core.config import (
    Constraint,
    at_least,
    config,
    non_negative,
    one_of,
    positive,
    probability,
    require,
    sizes,
)
from theodolite.core.env import Action, Box, Discrete, Obs, Space
from theodolite.core.errors import UserError

PAPER = Paper(
    "Human-level control through deep reinforcement learning", "Mnih et al.", 2015, url="https://doi.org/10.1038/nature14236"
)  # fmt: skip
METRICS = {
    "loss": "mean loss of the gradient steps, weighted where rows are drawn by priority; 0 before learning starts",
    "value": "mean predicted return of the actions drawn from replay; 0 before learning starts",
    "excess": "largest predicted return as a share of what the largest reward seen, paid for ever, would be worth: "
    "above 1 no policy can have such a value",
    "epsilon": "probability of a random action",
}


def _ascends(pair: tuple[float, float]) -> bool:
    return len(pair) == 2 and pair[0] < pair[1]


BELOW_ONE = Constraint("must be below 1 where there are several horizons, whose limit it is", lambda v: v < 1, 1.0)


@config
class Config:
    """Hyper-parameters; the defaults learn classic control from rewards of 1 a step, and are not those of Atari.

    Chosen on CartPole. Values there come near the most that is possible, and the plain learner overshoots: a memory of
    good episodes alone forgets what failure looks like, and a target that is copied too often chases itself. Hence a
    longer memory, double targets, a slow target network, and several rewards a step that make up for its slowness.
    """

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
    learning_rate: float = 2.5e-4
    """Step size of Adam."""
    adam_epsilon: float = 1e-8
    """Adam's ε; 1.5e-4 is usual on Atari."""
    max_gradient_norm: float = 1_000.0
    """Global norm to which the gradient is clipped; 10 is usual where rewards are clipped to 1."""
    discount: float = 0.99
    """γ, per step; with several horizons the limit of the longest."""
    n_step: int = 5
    """Rewards that are summed before the bootstrap."""
    double: bool = True
    """Choose the next action by the online network, and value it by the target network."""
    dueling: bool = False
    """Predict a value and advantages that are centred over actions."""
    loss: Literal["square", "huber"] = "square"
    """Of the mean's error; the other heads have their own."""
    target_every: int = 200
    """Gradient steps between two moves of the target network."""
    target_share: float = 1.0
    """How far it moves towards the online one: 1 copies it, 0.005 at every step is Polyak averaging."""
    prioritised: bool = False
    """Draw rows by priority."""
    priority_exponent: float = 0.6
    """α: 0 draws uniformly."""
    importance_exponent: float = 0.4
    """β: 1 undoes the bias of unequal priorities fully."""
    epsilon_start: float = 1.0
    """Probability of a random action at first."""
    epsilon_end: float = 0.05
    """The same in the end."""
    epsilon_steps: int = 50_000
    """Environment steps over which it falls."""
    hidden: tuple[int, ...] = (120, 84)
    """Widths of the dense layers."""
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
    horizons: int = 1
    """Discounts that are learned at once."""
    horizon_rate: float = 0.01
    """k: the mixture of horizons discounts by 1 / (1 + kt)."""
    act_by: Literal["longest", "mixture"] = "longest"
    """Which horizon chooses actions; the others are auxiliary tasks."""

    def __post_init__(self):
        counts = ("rollout", "train_every", "replay", "batch_size", "n_step", "target_every", "epsilon_steps",
                  "channels", "trunks", "horizons")  # fmt: skip
        require(
            self,
            **dict.fromkeys((*counts, "learning_rate", "adam_epsilon", "max_gradient_norm", "horizon_rate"), positive),
            **dict.fromkeys(("learning_starts", "priority_exponent", "importance_exponent", "kappa"), non_negative),
            **dict.fromkeys(("discount", "target_share", "epsilon_start", "epsilon_end"), probability),
            loss=one_of("square", "huber"),
            head=one_of("expected", "categorical", "quantile"),
            act_by=one_of("longest", "mixture"),
            hidden=sizes(),
            atoms=at_least(2),
            support=Constraint("must be two numbers, the lower one first", _ascends, (1.0, 1.0)),
        )
        if self.horizons > 1:
            require(self, discount=BELOW_ONE)


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


class Learner(Arrays):
    """What gradient steps change; networks have a leading axis of trunks where there are several."""

    net: Network
    target: Network
    opt: optim.OptState
    updates: Int[Array, ""]


class State(Arrays):
    """The learner, its replay, environment steps so far, and the largest size of a reward so far."""

    learner: Learner
    replay: replay.Replay
    steps: Int[Array, ""]
    largest_reward: Float[Array, ""]


def init(c: Config, head: Head, key: PRNGKey, space: Space) -> State:
    """Fresh networks for a space, the target network equal to the online one, and an empty ring.

    Raises:
        UserError: actions are no choice, trunks do not divide the numbers of the head, or replay is too small.
    """
    kind = space.action
    if not isinstance(kind, Discrete):
        raise UserError(f"actions lie in {kind}, expected a choice among some: Q-learning compares all of them.")
    if head.size % c.trunks:
        raise UserError(f"trunks = {c.trunks}: must divide the {head.size} numbers that an action gets, a share each.")
    shape = (c.horizons, kind.num, head.size // c.trunks)
    make = partial(network, c, space.obs, shape)
    net = make(key) if c.trunks == 1 else jax.vmap(make)(jax.random.split(key, c.trunks))
    learner = Learner(net, net, optimiser(c).init(net), jnp.int32(0))
    ring = replay.empty(space, c.replay, c.rollout, learning_starts=c.learning_starts, prioritised=c.prioritised)
    return State(learner, ring, jnp.int32(0), jnp.float32(0))


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


def optimiser(c: Config) -> optim.Optimiser:
    """Adam on a gradient of clipped global norm."""
    return optim.adam(c.learning_rate, max_norm=c.max_gradient_norm, eps=c.adam_epsilon)


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
    mean = head.mean(predict(c, head, s.learner.net, obs))
    if c.act_by == "longest":
        return mean[..., -1, :]
    return jnp.einsum("h,...ha->...a", horizons(c)[1], mean)


def horizons(c: Config) -> tuple[Float[Array, " H"], Float[Array, " H"]]:
    """Discounts γ_i = e_iᵏ at e_i = 1 - bⁱ, and weights e_{i+1} - e_i, with which Σ w_i γ_iᵗ is about 1 / (1 + kt).

    A lower Riemann sum of the integral of eᵏᵗ over [0, 1] (Fedus et al. 2019, section 4); one horizon is γ itself.
    """
    if c.horizons == 1:
        return jnp.reshape(jnp.asarray(c.discount, jnp.float32), 1), jnp.ones(1)
    log_base = jnp.log1p(-(c.discount ** (1 / c.horizon_rate))) / c.horizons
    edges = 1 - jnp.exp(log_base * jnp.arange(c.horizons, dtype=jnp.float32))
    return edges**c.horizon_rate, jnp.diff(edges, append=jnp.ones(1))


def exploration(c: Config, s: State) -> Float[Array, ""]:
    """ε now."""
    return exploring.falling(c.epsilon_start, c.epsilon_end, c.epsilon_steps, s.steps)


def act(c: Config, head: Head, s: State, obs: Obs, key: PRNGKey) -> tuple[Action, Float[Array, "..."]]:
    """The best action, or with probability ε any."""
    return exploring.drawn(key, mode(c, head, s, obs), exploration(c, s), _actions(s))


def mode(c: Config, head: Head, s: State, obs: Obs) -> Action:
    """The action of the largest expected return."""
    return jnp.argmax(values(c, head, s, obs), axis=-1).astype(jnp.int32)


def log_prob(c: Config, head: Head, s: State, obs: Obs, action: Action) -> Float[Array, "..."]:
    """Log-probability of an action under the present ε, at least that of 1e-8."""
    return exploring.log_prob(exploration(c, s), _actions(s), action == mode(c, head, s, obs))


def _actions(s: State) -> int:
    return s.learner.net.shape[1]


def targets(c: Config, head: Head, now: Learner, b: replay.Sample) -> Target:
    """What the predictions of a sample should be, for every horizon; leading axes [B, H]."""
    following = predict(c, head, now.target, b.last_obs)
    judge = predict(c, head, now.net, b.last_obs) if c.double else following
    best = jnp.argmax(head.mean(judge), axis=-1)
    reward, discount = jax.vmap(b.returns, out_axes=1)(horizons(c)[0])
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
    """One gradient step, and now and then a move of the target network; also the new priorities of the rows."""
    slope = jax.grad(loss, has_aux=True)
    gradient, (losses, predicted) = slope(now.net, c, head, b, targets(c, head, now, b))
    net, opt = optim.apply(optimiser(c), gradient, now.opt, now.net)
    updates = now.updates + 1
    share = jnp.where(updates % c.target_every == 0, c.target_share, 0.0)
    target = jax.tree.map(lambda old, new: jnp.where(share == 1, new, old + share * (new - old)), now.target, net)
    metrics = {"loss": (b.weight * losses).mean(), "value": predicted.mean(), "largest": jnp.abs(predicted).max()}
    return Learner(net, target, opt, updates), jnp.sqrt(losses + 1e-10), metrics


def update(c: Config, head: Head, s: State, batch: Batch, key: PRNGKey) -> tuple[State, Metrics]:
    """Remember a batch, then one gradient step for every `train_every` of its transitions.

    Raises:
        UserError: the batch is no multiple of `train_every`.
    """
    steps = replay.paid(batch, c.train_every)
    ring = replay.add(s.replay, batch)
    largest_reward = jnp.maximum(s.largest_reward, jnp.abs(batch.reward).max())

    def one(carry: tuple, key: PRNGKey) -> tuple[tuple, Metrics]:
        learner, priorities = carry
        held = replay.Replay(ring.rows, ring.written, priorities)
        b = replay.sample(held, key, c.batch_size, steps=c.n_step, importance=c.importance_exponent)
        learner, priority, metrics = improve(c, head, learner, b)
        if priorities is not None:
            priorities = replay.reprioritise(priorities, b.index, priority, c.priority_exponent)
        return (learner, priorities), metrics

    started = replay.held(ring) >= jnp.maximum(c.learning_starts, 1)
    (learner, priorities), m = replay.gradient_steps(one, (s.learner, ring.priorities), key, steps, started)
    ring = replay.Replay(ring.rows, ring.written, priorities)
    excess = actor_critic.excess(m.pop("largest"), largest_reward, horizons(c)[0][-1])
    found = {name: x.mean() for name, x in m.items()} | {"excess": excess, "epsilon": exploration(c, s)}
    return State(learner, ring, s.steps + batch.reward.size, largest_reward), found


def repay(s: State, reward: RewardOf) -> State:
    """The state with the rewards in its replay computed anew."""
    ring = replay.repaid(s.replay, lambda rows: reward(replay.seen(rows)))
    return State(s.learner, ring, s.steps, jnp.abs(ring.rows.reward).max())


def agent(c: Config, head: Head | None = None) -> Agent:
    """DQN as an agent; a head given here stands in for the one that the configuration names."""
    chosen_head = head_of(c) if head is None else head
    return Agent(
        init=partial(init, c, chosen_head),
        act=partial(act, c, chosen_head),
        update=partial(update, c, chosen_head),
        mode=partial(mode, c, chosen_head),
        log_prob=partial(log_prob, c, chosen_head),
        rollout=c.rollout,
        repay=repay,
        greedy=True,
    )
