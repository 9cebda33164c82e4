"""Proximal policy optimisation: improve a policy for several epochs without leaving the one that collected the data.

    L(θ) = E[min(ρ A, clip(ρ, 1-ε, 1+ε) A)] - c_v (V - R)² / 2 + c_e H(π),   ρ = π_θ(a|s) / π_old(a|s)      (7), (9)

Differences from the paper, all from its released code or from later studies of it:
1. Advantages are standardised per minibatch; 2. the gradient's global norm is clipped; 3. hidden layers start
orthogonal with gain √2, the policy head with 0.01; 4. actor and critic share nothing; 5. truncated episodes
bootstrap from the true final observation, where the released code treats a time limit as a termination;
6. `temperature` puts -α log π into the reward, which makes the return that of maximum-entropy RL exactly.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from theodolite.core import nets, optim, returns
from theodolite.core.agent import Agent, Batch, Entropy
from theodolite.core.arrays import Arrays, Metrics, PRNGKey, Scalar
from theodolite.core.claim import Paper
from theodolite.core.config import config, non_negative, positive, probability, require, sizes
from theodolite.core.env import Action, Obs, Space
from theodolite.core.errors import UserError

PAPER = Paper("Proximal Policy Optimization Algorithms", "Schulman et al.", 2017, arxiv="1707.06347")
METRICS = {
    "policy_loss": "clipped surrogate, lower is better",
    "value_loss": "half the mean squared error of the critic against its targets",
    "entropy": "mean entropy of the policy, nats",
    "kl": "estimate of KL(old ‖ new) after the last epoch, nats",
    "clip_fraction": "share of probability ratios outside the clip range in the last epoch",
    "explained_variance": "1 - Var(target - value) / Var(target) before the update",
}


@config
class Config:
    """Hyper-parameters of PPO; the defaults are the paper's for continuous control, at vectorised width."""

    rollout: int = 64
    """Steps that each environment contributes to an update."""
    learning_rate: float = 3e-4
    """Step size of Adam."""
    epochs: int = 10
    """Passes over a batch."""
    minibatches: int = 32
    """Minibatches per pass."""
    discount: float = 0.99
    """γ, per step."""
    trace: float = 0.95
    """λ of the generalised advantage estimate."""
    clip: float = 0.2
    """ε: largest change of the action's probability ratio that is rewarded."""
    value_coefficient: float = 0.5
    """c_v: weight of the critic's loss."""
    entropy_bonus: float = 0.0
    """c_e: weight of the policy's mean entropy in the loss (a one-step bonus; see temperature)."""
    temperature: float = 0.0
    """α: -α log π(a|s) is added to every reward, so that the return is that of maximum-entropy RL."""
    max_gradient_norm: float = 0.5
    """Global norm to which the gradient is clipped."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the tanh layers of actor and critic."""
    squash: bool = False
    """Squash continuous actions by tanh; otherwise they are Gaussian and clipped at the environment's door."""

    def __post_init__(self):
        require(
            self,
            rollout=positive,
            learning_rate=positive,
            epochs=positive,
            minibatches=positive,
            discount=probability,
            trace=probability,
            clip=positive,
            value_coefficient=non_negative,
            entropy_bonus=non_negative,
            temperature=non_negative,
            max_gradient_norm=positive,
            hidden=sizes(),
        )


class Nets(Arrays):
    """Policy and value function, which share nothing."""

    actor: nets.Actor
    critic: nets.MLP


class State(Arrays):
    """Networks and the optimiser's moments."""

    nets: Nets
    opt: optim.OptState


class Minibatch(Arrays):
    """What the loss needs of a transition; leading axis B."""

    obs: Float[Array, "B *obs"]
    action: Array
    log_prob: Float[Array, " B"]
    advantage: Float[Array, " B"]
    target: Float[Array, " B"]


def init(c: Config, key: PRNGKey, space: Space) -> State:
    """Fresh networks for a space."""
    actor_key, critic_key = jax.random.split(key)
    hidden = nets.orthogonal(2**0.5)
    actor = nets.actor(actor_key, space, c.hidden, hidden=hidden, head=nets.orthogonal(0.01), squash=c.squash)
    critic = nets.mlp(critic_key, (*space.obs.shape, *c.hidden, 1), hidden=hidden, head=nets.orthogonal(1.0))
    both = Nets(actor, critic)
    return State(both, optimiser(c).init(both))


def optimiser(c: Config) -> optim.Optimiser:
    """Adam with ε = 1e-5 on a gradient of clipped global norm."""
    return optim.adam(c.learning_rate, max_norm=c.max_gradient_norm, eps=1e-5)


def act(s: State, obs: Obs, key: PRNGKey) -> tuple[Action, Float[Array, "..."]]:
    """Sample actions and their log-probabilities."""
    policy = s.nets.actor(obs)
    action = policy.sample(key)
    return action, policy.log_prob(action)


def advantages(c: Config, s: State, batch: Batch) -> tuple[Float[Array, "T E"], Float[Array, "T E"]]:
    """Advantages and the present values, for the entropy-augmented reward."""
    value, next_value = s.nets.critic(batch.obs)[..., 0], s.nets.critic(batch.last_obs)[..., 0]
    reward = batch.reward - c.temperature * batch.log_prob
    advantage = returns.gae(reward, value, next_value, batch.terminated, batch.truncated, c.discount, c.trace)
    return advantage, value


def loss(both: Nets, c: Config, b: Minibatch) -> tuple[Scalar, Metrics]:
    """Equation (9) with the sign of a loss."""
    policy, value = both.actor(b.obs), both.critic(b.obs)[..., 0]
    advantage = (b.advantage - b.advantage.mean()) / (b.advantage.std() + 1e-8)
    log_ratio = policy.log_prob(b.action) - b.log_prob
    ratio = jnp.exp(log_ratio)
    clipped = jnp.clip(ratio, 1 - c.clip, 1 + c.clip)
    policy_loss = -jnp.minimum(ratio * advantage, clipped * advantage).mean()  # (7)
    value_loss = 0.5 * ((value - b.target) ** 2).mean()
    entropy = policy.entropy().mean()
    metrics = {
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": entropy,
        "kl": (ratio - 1 - log_ratio).mean(),
        "clip_fraction": (jnp.abs(ratio - 1) > c.clip).mean(),
    }
    return policy_loss + c.value_coefficient * value_loss - c.entropy_bonus * entropy, metrics


def update(c: Config, s: State, batch: Batch, key: PRNGKey) -> tuple[State, Metrics]:
    """Several epochs of minibatch Adam on one batch (algorithm 1)."""
    advantage, value = advantages(c, s, batch)
    target = advantage + value
    if target.size < c.minibatches:
        raise UserError(
            f"minibatches = {c.minibatches}: a batch has {target.size} transitions (rollout x environments), and every "
            "minibatch needs one. Use fewer minibatches, a longer rollout or more environments."
        )
    columns = batch.obs, batch.action, batch.log_prob, advantage, target
    data = Minibatch(*(x.reshape(-1, *x.shape[2:]) for x in columns))
    step = optimiser(c)

    def one_minibatch(s: State, minibatch: Minibatch) -> tuple[State, Metrics]:
        gradient, metrics = jax.grad(loss, has_aux=True)(s.nets, c, minibatch)
        return State(*optim.apply(step, gradient, s.opt, s.nets)), metrics

    def one_epoch(s: State, order: Array) -> tuple[State, Metrics]:
        # gathered once, since every small gather costs a fixed time
        shuffled = jax.tree.map(lambda x: x[order].reshape(c.minibatches, -1, *x.shape[1:]), data)
        s, metrics = jax.lax.scan(one_minibatch, s, shuffled)
        return s, jax.tree.map(jnp.mean, metrics)

    order = optim.shuffles(key, c.epochs, target.size)[:, : target.size // c.minibatches * c.minibatches]
    s, metrics = jax.lax.scan(one_epoch, s, order)
    metrics = jax.tree.map(lambda m: m[-1], metrics)
    explained = 1 - jnp.var(target - value) / jnp.maximum(jnp.var(target), 1e-8)
    return s, {**metrics, "explained_variance": explained}


def agent(c: Config) -> Agent:
    """PPO as an agent."""
    return Agent(
        init=partial(init, c),
        act=act,
        update=partial(update, c),
        mode=lambda s, obs: s.nets.actor(obs).mode(),
        log_prob=lambda s, obs, action: s.nets.actor(obs).log_prob(action),
        rollout=c.rollout,
        entropy=Entropy(c.temperature),
    )
