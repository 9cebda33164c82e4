"""Trust-region policy optimisation: the best step of a linear model of the return within a ball of mean KL.

    maximise E[ρ A]  subject to  E[KL(π_old ‖ π)] ≤ δ          (14)
    step = √(2δ / xᵀFx) x,   F x = g,   then halve it until the surrogate improves and the KL holds      (appendix C)

Differences from the paper:
1. the Fisher product is the Gauss-Newton one (one jvp, the curvature of the KL in the distribution's parameters, one
vjp), the same number as differentiating the KL twice; 2. advantages are GAE, standardised over the batch; 3. the critic
is fitted by natural-gradient steps too, its "KL" being the mean squared change of its standardised output (as in the
code of Ho & Ermon 2016); 4. truncated episodes bootstrap from the true final observation; 5. `temperature` as in PPO.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from theodolite.core import nets, optim, returns
from theodolite.core.agent import Agent, Batch, Entropy
from theodolite.core.arrays import Arrays, Metrics, PRNGKey, Scalar
from theodolite.core.claim import Paper
from theodolite.core.config import config, non_negative, positive, probability, require, sizes
from theodolite.core.env import Action, Obs, Space
from theodolite.core.normalise import Moments, add, no_moments

PAPER = Paper("Trust Region Policy Optimization", "Schulman et al.", 2015, arxiv="1502.05477")
METRICS = {
    "policy_loss": "minus the surrogate after the step, in units of standardised advantage",
    "value_loss": "mean squared error of the critic before its fit, in units of the target's variance",
    "entropy": "mean entropy of the policy, nats",
    "kl": "mean KL(old ‖ new) of the step taken, nats",
    "step_fraction": "share of the full step that the line search accepted; 0 if it refused all",
    "explained_variance": "1 - Var(target - value) / Var(target) before the update",
}


@config
class Config:
    """Hyper-parameters of TRPO; the defaults are those of the code that Ho & Ermon 2016 released."""

    rollout: int = 100
    """Steps that each environment contributes to an update."""
    max_kl: float = 0.01
    """δ: bound on the mean KL of a step, nats."""
    kl_slack: float = 2.0
    """The line search accepts a KL of up to this multiple of δ."""
    damping: float = 0.1
    """Added to the diagonal of the Fisher matrix."""
    conjugate_iterations: int = 10
    """Iterations of conjugate gradient."""
    fisher_every: int = 10
    """Fisher products see one transition in this many, drawn at random."""
    backtracks: int = 10
    """Halvings of the step that the line search may try."""
    accept_ratio: float = 0.1
    """Least improvement, as a share of what the linear model promises."""
    discount: float = 0.995
    """γ, per step."""
    trace: float = 0.97
    """λ of the generalised advantage estimate."""
    critic_bound: float = 0.01
    """Mean squared change of the critic's standardised output per natural-gradient step."""
    critic_steps: int = 5
    """Natural-gradient steps of the critic per update; the code of Ho & Ermon takes 1."""
    temperature: float = 0.0
    """α: -α log π(a|s) is added to every reward, so that the return is that of maximum-entropy RL."""
    hidden: tuple[int, ...] = (100, 100)
    """Widths of the tanh layers of actor and critic."""
    squash: bool = False
    """Squash continuous actions by tanh; otherwise they are Gaussian and clipped at the environment's door."""

    def __post_init__(self):
        require(
            self,
            rollout=positive,
            max_kl=positive,
            kl_slack=positive,
            damping=non_negative,
            critic_bound=positive,
            conjugate_iterations=positive,
            fisher_every=positive,
            backtracks=positive,
            accept_ratio=probability,
            discount=probability,
            trace=probability,
            critic_steps=positive,
            temperature=non_negative,
            hidden=sizes(),
        )


class State(Arrays):
    """Policy, critic, and the moments that standardise the critic's targets."""

    actor: nets.Actor
    critic: nets.MLP
    targets: Moments


Vector = Float[Array, " n"]


def init(c: Config, key: PRNGKey, space: Space) -> State:
    """Fresh networks: Glorot hidden layers and zero heads, so the first policy is uniform and the first value 0."""
    actor_key, critic_key = jax.random.split(key)
    hidden, head = nets.glorot(1.0), nets.glorot(0.0)
    actor = nets.actor(actor_key, space, c.hidden, hidden=hidden, head=head, squash=c.squash)
    critic = nets.mlp(critic_key, (*space.obs.shape, *c.hidden, 1), hidden=hidden, head=head)
    return State(actor, critic, no_moments(()))


def act(s: State, obs: Obs, key: PRNGKey) -> tuple[Action, Float[Array, "..."]]:
    """Sample actions and their log-probabilities."""
    policy = s.actor(obs)
    action = policy.sample(key)
    return action, policy.log_prob(action)


def value(s: State, obs: Obs) -> Float[Array, "..."]:
    """The critic's value in units of reward."""
    return s.targets.restore(s.critic(obs)[..., 0])


def curvature_product(net: Callable, obs: Array, distance: Callable, damping: Scalar) -> Callable[[Vector], Vector]:
    """v ↦ (JᵀMJ + damping) v, with J the Jacobian of `net(obs)` and M the Hessian of `distance(old, new)` at old."""
    flat, unravel = ravel_pytree(net)
    output, push = jax.linearize(lambda p: unravel(p)(obs), flat)
    pull = jax.linear_transpose(push, flat)
    slope = jax.grad(lambda new: distance(output, new).mean())

    def product(v: Vector) -> Vector:
        return pull(jax.jvp(slope, (output,), (push(v),))[1])[0] + damping * v

    return product


def improve(c: Config, actor: nets.Actor, batch: Batch, advantage: Array, rows: Array) -> tuple[nets.Actor, Metrics]:
    """One trust-region step (appendix C); `rows` are the transitions that Fisher products see."""
    flat, unravel = ravel_pytree(actor)
    old = actor(batch.obs)

    def surrogate(p: Vector) -> Scalar:
        return (jnp.exp(unravel(p)(batch.obs).log_prob(batch.action) - batch.log_prob) * advantage).mean()

    before, gradient = jax.value_and_grad(surrogate)(flat)
    product = curvature_product(actor, batch.obs[rows], lambda p, q: p.kl(q), c.damping)
    step = optim.natural_step(product, gradient, c.max_kl, c.conjugate_iterations)
    promised = gradient @ step

    def judge(fraction: Scalar) -> tuple[Array, Array, Array]:
        candidate = flat + fraction * step
        gain, kl = surrogate(candidate) - before, old.kl(unravel(candidate)(batch.obs)).mean()
        return (gain > c.accept_ratio * fraction * promised) & (kl <= c.kl_slack * c.max_kl), gain, kl

    def halve(carry: tuple) -> tuple:
        tries, fraction, *_ = carry
        return tries + 1, fraction / 2, *judge(fraction / 2)

    def refused(carry: tuple) -> Array:
        return ~carry[2] & (carry[0] < c.backtracks)

    whole = jnp.ones((), flat.dtype)
    first = (jnp.int32(0), whole, *judge(whole))
    _, fraction, accepted, gain, kl = jax.lax.while_loop(refused, halve, first)
    fraction, gain, kl = (jnp.where(accepted, x, 0) for x in (fraction, gain, kl))
    metrics = {"policy_loss": -(before + gain), "kl": kl, "step_fraction": fraction, "entropy": old.entropy().mean()}
    return unravel(flat + fraction * step), metrics


def fit(c: Config, critic: nets.MLP, obs: Array, target: Array, rows: Array) -> nets.MLP:
    """Natural-gradient steps on the squared error, never beyond its minimum along the step."""
    start, unravel = ravel_pytree(critic)

    def one(flat: Vector, _: None) -> tuple[Vector, None]:
        error, pull = jax.vjp(lambda p: target - unravel(p)(obs)[..., 0], flat)
        gradient = pull(-error / error.size)[0]
        product = curvature_product(unravel(flat), obs[rows], squared_change, c.damping)
        step = optim.natural_step(product, gradient, 0.5 * c.critic_bound, c.conjugate_iterations)
        length = jnp.minimum(1.0, gradient @ step / jnp.maximum(step @ product(step), 1e-12))
        return flat + length * step, None

    return unravel(jax.lax.scan(one, start, None, c.critic_steps)[0])


def squared_change(old: Array, new: Array) -> Array:
    """The critic's counterpart of the KL."""
    return 0.5 * (new - old)[..., 0] ** 2


def update(c: Config, s: State, batch: Batch, key: PRNGKey) -> tuple[State, Metrics]:
    """One step of the policy, then the fit of the critic."""
    now, after = value(s, batch.obs), value(s, batch.last_obs)
    reward = batch.reward - c.temperature * batch.log_prob
    advantage = returns.gae(reward, now, after, batch.terminated, batch.truncated, c.discount, c.trace)
    target = advantage + now
    batch, advantage, target, now = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (batch, advantage, target, now))

    count = target.size
    rows = jax.random.randint(key, (max(1, count // c.fisher_every),), 0, count)
    standardised = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    actor, metrics = improve(c, s.actor, batch, standardised, rows)

    targets = add(s.targets, target)
    scaled = targets.standardise(target)
    metrics["value_loss"] = ((scaled - targets.standardise(now)) ** 2).mean()
    metrics["explained_variance"] = 1 - jnp.var(target - now) / jnp.maximum(jnp.var(target), 1e-8)
    return State(actor, fit(c, s.critic, batch.obs, scaled, rows), targets), metrics


def agent(c: Config) -> Agent:
    """TRPO as an agent."""
    return Agent(
        init=partial(init, c),
        act=act,
        update=partial(update, c),
        mode=lambda s, obs: s.actor(obs).mode(),
        log_prob=lambda s, obs, action: s.actor(obs).log_prob(action),
        rollout=c.rollout,
        entropy=Entropy(c.temperature),
    )
