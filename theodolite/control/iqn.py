"""Implicit quantile networks: the return's quantile function as a network that is asked for any level.

    Z_τ(s, a) = f(ψ(s) ∘ φ(τ))_a,   φ_j(τ) = relu(Σ_{i<n} cos(π i τ) w_ij + b_j)                                  (4)
    Σ_i mean_j |τ_i - 1{δ_ij < 0}| L_κ(δ_ij) / κ,   δ_ij = R + γᵐ (1 - terminated) Z⁻_τ'j(s', a*) - Z_τi(s, a)    (3)
    a* = argmax_a mean_k Z_β(τ_k)(s', a),   β(τ) = η τ                                                        (1, 2)

τ_i and τ'_j are drawn uniformly for every transition, so one network learns the whole quantile function; the loss is
QR-DQN's (see `heads`). It chooses by the mean of the worst share η of returns: all of them at η = 1, and below it the
conditional value at risk, which avoids what may go badly (section 4).

Differences from the paper:
1. The K levels by which actions are chosen are midpoints of equal shares and not drawn: the mean over them is closer to
the integral, and a policy is a function of its state; 2. Adam's step is DQN's here, 5e-5 in the paper, and N = N' = 8
levels are compared where Dopamine takes 64, at an eighth of the time; 3. several steps and double targets are
options, priorities and dueling are none; 4. truncated episodes bootstrap from the true last observation; 5. dense
layers but the last make ψ where observations are vectors, and for images the convolutions alone do, Nature's where they
are large, as in the paper, where `hidden` has one width, 512.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from theodolite.control import actor_critic, exploring, heads
from theodolite.core import nets, optim, replay
from theodolite.core.agent import Agent, Batch, RewardOf
from theodolite.core.arrays import Arrays, Metrics, PRNGKey, Scalar, lift
from theodolite.core.claim import Paper
from theodolite.core.config import Constraint, config, non_negative, positive, probability, require, sizes
from theodolite.core.env import Action, Discrete, Obs, Space
from theodolite.core.errors import UserError

PAPER = Paper(
    "Implicit Quantile Networks for Distributional Reinforcement Learning", "Dabney et al.", 2018, arxiv="1806.06923"
)
METRICS = {
    "loss": "mean quantile loss of the gradient steps; 0 before learning starts",
    "value": "mean predicted return of the actions drawn from replay; 0 before learning starts",
    "spread": "mean standard deviation of the return of these actions over the levels drawn; 0 before learning starts",
    "excess": "largest predicted quantile as a share of what the largest reward seen, paid for ever, would be worth: "
    "above 1 no policy can have such a value",
    "epsilon": "probability of a random action",
}


@config
class Config:
    """Hyper-parameters; those that DQN has are DQN's, sized for classic control."""

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
    adam_epsilon: float = 0.01 / 128
    """Adam's ε: 0.01 over the batch's size, as in the paper."""
    max_gradient_norm: float = 10.0
    """Global norm to which the gradient is clipped."""
    discount: float = 0.99
    """γ, per step."""
    n_step: int = 5
    """Rewards that are summed before the bootstrap."""
    double: bool = True
    """Choose the next action by the online network, and value it by the target network."""
    target_every: int = 200
    """Gradient steps between two moves of the target network."""
    target_share: float = 1.0
    """How far it moves towards the online one: 1 copies it, 0.005 at every step is Polyak averaging."""
    levels: int = 8
    """N: levels at which a prediction is corrected."""
    target_levels: int = 8
    """N': levels of the target that it is compared with."""
    policy_levels: int = 32
    """K: levels whose mean chooses actions."""
    cosines: int = 64
    """n: cosines of a level that the network reads."""
    kappa: float = 1.0
    """Where the quantile loss turns from square to linear; 0 is linear throughout."""
    worst: float = 1.0
    """η: share of the returns, from the worst on, whose mean chooses actions; 1 is the plain mean."""
    epsilon_start: float = 1.0
    """Probability of a random action at first."""
    epsilon_end: float = 0.05
    """The same in the end."""
    epsilon_steps: int = 50_000
    """Environment steps over which it falls."""
    hidden: tuple[int, ...] = (120, 84)
    """Widths of the dense layers; the last one reads the product with the embedded level."""
    channels: int = 16
    """Channels of the convolution of small images; of large ones the first has twice, others have four times them."""

    def __post_init__(self):
        counts = ("rollout", "train_every", "replay", "batch_size", "n_step", "target_every", "levels", "target_levels",
                  "policy_levels", "cosines", "epsilon_steps", "channels")  # fmt: skip
        require(
            self,
            **dict.fromkeys((*counts, "learning_rate", "adam_epsilon", "max_gradient_norm"), positive),
            **dict.fromkeys(("learning_starts", "kappa"), non_negative),
            **dict.fromkeys(("discount", "target_share", "epsilon_start", "epsilon_end"), probability),
            worst=Constraint("must be > 0 and at most 1", lambda v: 0 < v <= 1, 0.0),
            hidden=sizes(),
        )


class Network(Arrays):
    """ψ, φ and f: features of an observation, of a level, and what their product says of every action."""

    torso: nets.Torso
    embedding: nets.Linear
    head: nets.MLP

    def __call__(self, obs: Obs, levels: Float[Array, "*#batch N"]) -> Float[Array, "*batch N A"]:
        """The quantiles of every action's return at the levels, which may be the same for all observations."""
        features = self.torso(obs)
        levels = lift(levels, features.ndim)
        turns = jnp.arange(self.embedding.weight.shape[0], dtype=levels.dtype)
        waves = nets.cosine(jnp.pi * levels[..., None] * lift(turns, levels.ndim + 1))
        return self.head(features[..., None, :] * jax.nn.relu(self.embedding(waves)))


class Learner(Arrays):
    """What gradient steps change."""

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


def init(c: Config, key: PRNGKey, space: Space) -> State:
    """A fresh network for a space, Glorot-uniform, the target network equal to it, and an empty ring.

    Raises:
        UserError: actions are no choice, or replay is too small.
    """
    kind = space.action
    if not isinstance(kind, Discrete):
        raise UserError(f"actions lie in {kind}, expected a choice among some: Q-learning compares all of them.")
    torso_key, level_key, head_key = jax.random.split(key, 3)
    draw = nets.glorot(1.0)
    torso, features = nets.torso(
        torso_key, space.obs, c.hidden[:-1], channels=c.channels, hidden=draw, large=nets.MNIH_2015
    )
    embedding = nets.Linear(draw(level_key, (c.cosines, features)), jnp.zeros(features))
    head = nets.mlp(head_key, (features, *c.hidden[-1:], kind.num), hidden=draw, head=draw, activation=jax.nn.relu)
    net = Network(torso, embedding, head)
    learner = Learner(net, net, optimiser(c).init(net), jnp.int32(0))
    return State(
        learner,
        replay.empty(space, c.replay, c.rollout, learning_starts=c.learning_starts),
        jnp.int32(0),
        jnp.float32(0),
    )


def optimiser(c: Config) -> optim.Optimiser:
    """Adam on a gradient of clipped global norm."""
    return optim.adam(c.learning_rate, max_norm=c.max_gradient_norm, eps=c.adam_epsilon)


def values(c: Config, net: Network, obs: Obs) -> Float[Array, "*batch A"]:
    """The mean of the worst share η of returns, by which actions are chosen."""
    return net(obs, c.worst * heads.midpoints(c.policy_levels)).mean(-2)


def exploration(c: Config, s: State) -> Float[Array, ""]:
    """ε now."""
    return exploring.falling(c.epsilon_start, c.epsilon_end, c.epsilon_steps, s.steps)


def act(c: Config, s: State, obs: Obs, key: PRNGKey) -> tuple[Action, Float[Array, "..."]]:
    """The best action, or with probability ε any."""
    return exploring.drawn(key, mode(c, s, obs), exploration(c, s), _actions(s))


def mode(c: Config, s: State, obs: Obs) -> Action:
    """The action of the largest value."""
    return jnp.argmax(values(c, s.learner.net, obs), axis=-1).astype(jnp.int32)


def log_prob(c: Config, s: State, obs: Obs, action: Action) -> Float[Array, "..."]:
    """Log-probability of an action under the present ε, at least that of 1e-8."""
    return exploring.log_prob(exploration(c, s), _actions(s), action == mode(c, s, obs))


def _actions(s: State) -> int:
    return s.learner.net.head.layers[-1].bias.shape[0]


def targets(c: Config, now: Learner, b: replay.Sample, levels: Float[Array, "B N"]) -> Float[Array, "B N"]:
    """Quantiles of the return that the predictions of a sample should have."""
    best = jnp.argmax(values(c, now.net if c.double else now.target, b.last_obs), axis=-1)
    reward, discount = b.returns(c.discount)
    following = chosen(now.target(b.last_obs, levels), best)
    return jax.lax.stop_gradient(reward[:, None] + discount[:, None] * following)


def chosen(quantiles: Float[Array, "B N A"], action: Int[Array, " B"]) -> Float[Array, "B N"]:
    """The quantiles of one action; a product with its indicator, since gathers are slow in both directions."""
    return jnp.einsum("bna,ba->bn", quantiles, jax.nn.one_hot(action, quantiles.shape[-1], dtype=quantiles.dtype))


def loss(
    net: Network, c: Config, b: replay.Sample, levels: Float[Array, "B N"], wanted: Float[Array, "B M"]
) -> tuple[Scalar, Float[Array, "B N"]]:
    """The mean quantile loss, and the predicted quantiles."""
    predicted = chosen(net(b.obs, levels), b.action)
    losses = jax.vmap(partial(heads.quantile_loss, kappa=c.kappa))(predicted, levels, wanted)
    return losses.mean(), predicted


def improve(c: Config, now: Learner, b: replay.Sample, key: PRNGKey) -> tuple[Learner, Metrics]:
    """One gradient step at fresh levels, and now and then a move of the target network."""
    own_key, target_key = jax.random.split(key)
    levels, other = (
        jax.random.uniform(k, (c.batch_size, n)) for k, n in ((own_key, c.levels), (target_key, c.target_levels))
    )
    slope = jax.value_and_grad(loss, has_aux=True)
    (value, predicted), gradient = slope(now.net, c, b, levels, targets(c, now, b, other))
    net, opt = optim.apply(optimiser(c), gradient, now.opt, now.net)
    updates = now.updates + 1
    share = jnp.where(updates % c.target_every == 0, c.target_share, 0.0)
    target = actor_critic.polyak(now.target, net, share)
    return Learner(net, target, opt, updates), {
        "loss": value,
        "value": predicted.mean(),
        "spread": predicted.std(1).mean(),
        "largest": jnp.abs(predicted).max(),
    }


def update(c: Config, s: State, batch: Batch, key: PRNGKey) -> tuple[State, Metrics]:
    """Remember a batch, then one gradient step for every `train_every` of its transitions.

    Raises:
        UserError: the batch is no multiple of `train_every`.
    """
    steps, ring = replay.paid(batch, c.train_every), replay.add(s.replay, batch)
    largest_reward = jnp.maximum(s.largest_reward, jnp.abs(batch.reward).max())

    def one(learner: Learner, key: PRNGKey) -> tuple[Learner, Metrics]:
        row_key, level_key = jax.random.split(key)
        return improve(c, learner, replay.sample(ring, row_key, c.batch_size, steps=c.n_step), level_key)

    started = replay.held(ring) >= jnp.maximum(c.learning_starts, 1)
    learner, m = replay.gradient_steps(one, s.learner, key, steps, started)
    excess = actor_critic.excess(m.pop("largest"), largest_reward, c.discount)
    found = {name: x.mean() for name, x in m.items()} | {"excess": excess, "epsilon": exploration(c, s)}
    return State(learner, ring, s.steps + batch.reward.size, largest_reward), found


def repay(s: State, reward: RewardOf) -> State:
    """The state with the rewards in its replay computed anew."""
    ring = replay.repaid(s.replay, lambda rows: reward(replay.seen(rows)))
    return State(s.learner, ring, s.steps, jnp.abs(ring.rows.reward).max())


def agent(c: Config) -> Agent:
    """IQN as an agent."""
    return Agent(
        init=partial(init, c),
        act=partial(act, c),
        update=partial(update, c),
        mode=partial(mode, c),
        log_prob=partial(log_prob, c),
        rollout=c.rollout,
        repay=repay,
        greedy=True,
    )
