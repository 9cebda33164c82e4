"""Implicit quantile networks: the return's quantile function as a network that is asked for any level.

    Z_τ(s, a) = f(ψ(s) ∘ φ(τ))_a,   φ_j(τ) = relu(Σ_{i<n} cos(π i τ) w_ij + b_j)                                  (4)
    Σ_i mean_j |τ_i - 1{δ_ij < 0}| L_κ(δ_ij) / κ,   δ_ij = R + γᵐ (1 - terminated) Z⁻_τ'j(s', a*) - Z_τi(s, a)    (3)
    a* = argmax_a mean_k Z_β(τ_k)(s', a),   β(τ) = η τ                                                        (1, 2)

τ_i and τ'_j are drawn uniformly for every transition, so one network learns the whole quantile function; the loss is
QR-DQN's (see `heads`). It chooses by the mean of the worst share η of returns: all of them at η = 1, and below it the
conditional value at risk, which avoids what may go badly (section 4). With several horizons (see `horizons`) Z has one
more axis, and every horizon its own discount, action and target.

Differences from the paper:
1. The K levels by which actions are chosen are midpoints of equal shares and not drawn: the mean over them is closer to
the integral, and a policy is a function of its state; 2. Adam's step is DQN's here, 5e-5 in the paper, and N = N' = 8
levels are compared where Dopamine takes 64, at an eighth of the time; 3. several steps and double targets are
options, priorities and dueling are none; 4. truncated episodes bootstrap from the true last observation; 5. dense
layers but the last make ψ, after convolutions where observations are images, Nature's where these are large; with
`--hidden 512` the convolutions alone do, as in the paper.
"""

from dataclasses import replace
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from theodolite.control import heads, horizons, off_policy, target_network, value_learner
from theodolite.control.target_network import Learner
from theodolite.core import nets, replay
from theodolite.core.agent import Agent, Batch
from theodolite.core.arrays import Arrays, Metrics, PRNGKey, Scalar, lift
from theodolite.core.claim import Paper
from theodolite.core.config import Constraint, config, non_negative, positive, require
from theodolite.core.env import Obs, Space

PAPER = Paper(
    "Implicit Quantile Networks for Distributional Reinforcement Learning", "Dabney et al.", 2018, arxiv="1806.06923"
)
METRICS = {
    "loss": "mean quantile loss of the gradient steps; 0 before learning starts",
    "spread": "mean standard deviation of the return of these actions over the levels drawn; 0 before learning starts",
    **value_learner.METRICS,
    "excess": off_policy.EXCESS.replace("return", "quantile", 1),
}


@config
class Config(horizons.Settings, target_network.Settings, value_learner.Settings):
    """Hyper-parameters; those that DQN has are DQN's, sized for classic control."""

    adam_epsilon: float = 0.01 / 128
    """Adam's ε: 0.01 over the batch's size, as in the paper."""
    max_gradient_norm: float = 10.0
    """Global norm to which the gradient is clipped."""
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
    hidden: tuple[int, ...] = (120, 84)
    """Widths of the dense layers; the last one reads the product with the embedded level."""
    channels: int = 16
    """Channels of the convolution of small images; of large ones the first has twice, others have four times them."""

    def __post_init__(self):
        require(
            self,
            **value_learner.CONSTRAINTS,
            **target_network.CONSTRAINTS,
            **dict.fromkeys(("levels", "target_levels", "policy_levels", "cosines", "channels"), positive),
            kappa=non_negative,
            worst=Constraint("must be > 0 and at most 1", lambda v: 0 < v <= 1, 0.0),
        )
        horizons.check(self)


class Network(Arrays):
    """ψ, φ and f: features of an observation, of a level, and what their product says of every horizon and action."""

    torso: nets.Torso
    embedding: nets.Linear
    head: nets.MLP
    horizons: int = eqx.field(static=True)

    def __call__(self, obs: Obs, levels: Float[Array, "*#batch N"]) -> Float[Array, "*batch N H A"]:
        """The quantiles of every action's return at the levels, which may be the same for all observations."""
        features = self.torso(obs)
        levels = lift(levels, features.ndim)
        turns = jnp.arange(self.embedding.weight.shape[0], dtype=levels.dtype)
        waves = nets.cosine(jnp.pi * levels[..., None] * lift(turns, levels.ndim + 1))
        out = self.head(features[..., None, :] * jax.nn.relu(self.embedding(waves)))
        return out.reshape(*out.shape[:-1], self.horizons, out.shape[-1] // self.horizons)


class State(off_policy.Memory):
    """The memory and the learner."""

    learner: Learner


def init(c: Config, key: PRNGKey, space: Space) -> State:
    """A fresh network for a space, Glorot-uniform, the target network equal to it, and an empty ring.

    Raises:
        UserError: actions are no choice, or replay is too small.
    """
    num = value_learner.num_actions(space)
    torso_key, level_key, head_key = jax.random.split(key, 3)
    draw = nets.glorot(1.0)
    torso, features = nets.torso(
        torso_key, space.obs, c.hidden[:-1], channels=c.channels, hidden=draw, large=nets.MNIH_2015
    )
    embedding = nets.Linear(draw(level_key, (c.cosines, features)), jnp.zeros(features))
    widths = (features, *c.hidden[-1:], c.horizons * num)
    head = nets.mlp(head_key, widths, hidden=draw, head=draw, activation=jax.nn.relu)
    net = Network(torso, embedding, head, c.horizons)
    return State(*value_learner.nothing(c, space), target_network.fresh(c, net))


def means(c: Config, net: Network, obs: Obs) -> Float[Array, "*batch H A"]:
    """The mean of the worst share η of returns, at every horizon."""
    return net(obs, c.worst * heads.midpoints(c.policy_levels)).mean(-3)


def values(c: Config, s: State, obs: Obs) -> Float[Array, "*batch A"]:
    """The means by which actions are chosen."""
    return horizons.acting(c, means(c, s.learner.net, obs))


def targets(c: Config, now: Learner, b: replay.Sample, levels: Float[Array, "B N"]) -> Float[Array, "B N H"]:
    """Quantiles of the return that the predictions of a sample should have, at every horizon."""
    best = jnp.argmax(means(c, now.net if c.double else now.target, b.last_obs), axis=-1)
    reward, discount = horizons.returns(c, b)
    following = chosen(now.target(b.last_obs, levels), best)
    return jax.lax.stop_gradient(reward[:, None] + discount[:, None] * following)


def chosen(quantiles: Float[Array, "B N H A"], action: Int[Array, "B H"]) -> Float[Array, "B N H"]:
    """The quantiles of one action; a product with its indicator, since gathers are slow in both directions."""
    picked = jax.nn.one_hot(action, quantiles.shape[-1], dtype=quantiles.dtype)
    return jnp.einsum("bnha,bha->bnh", quantiles, picked)


def loss(
    net: Network, c: Config, b: replay.Sample, levels: Float[Array, "B N"], wanted: Float[Array, "B M H"]
) -> tuple[Scalar, Float[Array, "B N H"]]:
    """The mean quantile loss over rows and horizons, and the predicted quantiles."""
    action = jnp.broadcast_to(b.action[:, None], (b.action.shape[0], c.horizons))
    predicted = chosen(net(b.obs, levels), action)
    of_horizon = jax.vmap(partial(heads.quantile_loss, kappa=c.kappa), in_axes=(1, None, 1))
    return jax.vmap(of_horizon)(predicted, levels, wanted).mean(), predicted


def improve(c: Config, now: Learner, b: replay.Sample, key: PRNGKey) -> tuple[Learner, Metrics]:
    """One gradient step at fresh levels."""
    own_key, target_key = jax.random.split(key)
    levels, other = (
        jax.random.uniform(k, (c.batch_size, n)) for k, n in ((own_key, c.levels), (target_key, c.target_levels))
    )
    slope = jax.value_and_grad(loss, has_aux=True)
    (value, predicted), gradient = slope(now.net, c, b, levels, targets(c, now, b, other))
    return target_network.step(c, now, gradient), {
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
    steps, after = replay.paid(batch, c.train_every), off_policy.remember(s, batch)

    def one(now: Learner, key: PRNGKey) -> tuple[Learner, Metrics]:
        row_key, level_key = jax.random.split(key)
        return improve(c, now, replay.sample(after.replay, row_key, c.batch_size, steps=c.n_step), level_key)

    learner, m = off_policy.learn(after, s.learner, key, one, steps=steps, starts=c.learning_starts)
    return replace(after, learner=learner), value_learner.described(c, s, after, m, horizons.longest(c))


def agent(c: Config) -> Agent:
    """IQN as an agent."""
    return value_learner.agent(c, init=partial(init, c), values=partial(values, c), update=partial(update, c))
