"""Soft actor-critic: the best policy that is also as random as it can afford to be, learned from replay.

    y = r + γ (1 - terminated) (min_i Q⁻_i(s', u') - α log π(u'|s')),  u' ~ π(·|s')      soft Bellman target   (3), (5)
    minimise Σ_i (Q_i(s, u) - y)²,   minimise E[α log π(u|s) - min_i Q_i(s, u)]          critics, policy       (5), (9)
    minimise -log α · (log π(u|s) + H)                                                   temperature           (18)

π is a Gaussian squashed by tanh, whose log-density is computed from what was drawn before squashing, so that actions at
the bounds of the box keep exact gradients. Its entropy H is aimed at, per dimension, by `target_entropy`; with a fixed
temperature it comes out as it does. With several horizons (see `horizons`) a critic has a value and a target for each,
which discount rewards and entropies alike.

Differences from the paper (its second version), 1 and 2 as in its authors' code:
1. The temperature's loss is linear in log α; 2. log-std is clipped to [-20, 2]; 3. the policy's step sees the critics
after theirs; 4. truncated episodes bootstrap from the true last observation; 5. entropies are those of actions in units
of their own box, dimension by dimension; 6. many environments may act at once, for `rollout` steps between updates, and
every `train_every` of their steps pay for one gradient step.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from theodolite.control import actor_critic, horizons, off_policy
from theodolite.control.actor_critic import Critics, CriticStep
from theodolite.control.off_policy import Memory
from theodolite.core import nets, optim, replay
from theodolite.core.agent import Agent, Batch, Entropy, RewardOf
from theodolite.core.arrays import Arrays, Flag, Metrics, PRNGKey, Scalar, lift
from theodolite.core.claim import Paper
from theodolite.core.config import any_value, config, positive, probability, require
from theodolite.core.dists import TanhNormal
from theodolite.core.env import Action, Box, Obs, Space

PAPER = Paper("Soft Actor-Critic Algorithms and Applications", "Haarnoja et al.", 2018, arxiv="1812.05905")
METRICS = {
    "critic_loss": "mean squared error of the critics against their targets, summed over critics; 0 before learning",
    "value": "mean predicted return, entropies included, of the actions drawn from replay; 0 before learning",
    "disagreement": "mean distance between the two critics' predictions",
    "temperature": "α: what a nat of entropy is worth in reward",
    "entropy": "estimate of the policy's entropy, nats, in units of the box; 0 before learning",
    "excess": "largest predicted return as a share of what the largest reward seen, and the largest or the wanted "
    "entropy, paid for ever, would be worth: far above 1 values have lost their ground",
}
LOG_STD = (-20.0, 2.0)
"""The range of log-std."""


@config
class Config(horizons.Settings, actor_critic.Settings):
    """Hyper-parameters; the defaults are the paper's."""

    learning_rate: float = 3e-4
    """Step size of the critics' Adam."""
    temperature_learning_rate: float = 3e-4
    """Step size of the temperature's Adam, on its logarithm."""
    target_share: float = 0.005
    """τ: how far the slow critics move in every gradient step; 1 makes them the fast ones."""
    temperature: float = 1.0
    """α at first, or for good."""
    learn_temperature: bool = True
    """Adjust α until the policy has the entropy that is wanted."""
    target_entropy: float = -1.0
    """The entropy wanted of every dimension of an action, nats, in units of its box."""

    def __post_init__(self):
        require(
            self,
            **actor_critic.CONSTRAINTS,
            **dict.fromkeys(("learning_rate", "temperature_learning_rate", "temperature"), positive),
            target_share=probability,
            target_entropy=any_value,
        )
        horizons.check(self)


class Actor(Arrays):
    """A Gaussian squashed by tanh, whose mean and log-std see the observation."""

    net: nets.MLP
    box: Box = eqx.field(static=True)

    def __call__(self, obs: Obs) -> TanhNormal:
        """The distribution of actions in units of their box."""
        mean, log_std = jnp.split(self.net(obs), 2, axis=-1)
        return TanhNormal(mean, jnp.clip(log_std, *LOG_STD))

    def scaled(self, obs: Obs) -> TanhNormal:
        """The same of actions as the environment wants them."""
        unit = self(obs)
        centre, half_width = (lift(x, unit.mean.ndim) for x in actor_critic.frame(self.box))
        return TanhNormal(unit.mean, unit.log_std, centre, half_width)


class Learner(Arrays):
    """What gradient steps change; `critic_memory` is what the critics' step remembers."""

    actor: Actor
    critics: Critics
    slow_critics: Critics
    log_temperature: Float[Array, ""]
    actor_opt: optim.OptState
    critic_memory: PyTree
    temperature_opt: optim.OptState
    updates: Int[Array, ""]


class State(Arrays):
    """The learner and its memory."""

    learner: Learner
    memory: Memory

    @property
    def box(self) -> Box:
        """The box of actions."""
        return self.learner.actor.box


def init(c: Config, critic_step: CriticStep, key: PRNGKey, space: Space) -> State:
    """Fresh networks, slow critics equal to the fast ones, and an empty memory.

    Raises:
        UserError: observations or actions are no vectors, actions have no bounds, or replay is too small.
    """
    actor_key, critic_key = jax.random.split(key)
    box = actor_critic.check(space)
    widths = (*space.obs.shape, *c.hidden, 2 * box.shape[0])
    actor = Actor(actor_critic.network(actor_key, widths, c.activation), box)
    critics = actor_critic.critics(critic_key, space, c.hidden, c.activation, 2, c.horizons)
    log_temperature = jnp.log(jnp.asarray(c.temperature, jnp.float32))
    learner = Learner(
        actor=actor,
        critics=critics,
        slow_critics=critics,
        log_temperature=log_temperature,
        actor_opt=optim.adam(c.policy_learning_rate).init(actor),
        critic_memory=critic_step.init(critics),
        temperature_opt=optim.adam(c.temperature_learning_rate).init(log_temperature),
        updates=jnp.int32(0),
    )
    return State(learner, actor_critic.no_memory(space, c.replay, c.rollout, c.learning_starts))


def act(c: Config, s: State, obs: Obs, key: PRNGKey) -> tuple[Action, Float[Array, "..."]]:
    """An action of the policy, or at first any action."""
    return actor_critic.random_first(_random(c, s), s.box, s.learner.actor.scaled(obs), key)


def mode(s: State, obs: Obs) -> Action:
    """The median action: tanh of the mean."""
    return s.learner.actor.scaled(obs).mode()


def log_prob(c: Config, s: State, obs: Obs, action: Action) -> Float[Array, "..."]:
    """Log-probability of an action."""
    return actor_critic.random_log_prob(_random(c, s), s.box, s.learner.actor.scaled(obs), action)


def _random(c: Config, s: State) -> Flag:
    return s.memory.steps < c.random_steps


def targets(c: Config, now: Learner, b: replay.Sample, key: PRNGKey) -> Float[Array, "B *H"]:
    """y for every transition of a sample, and for every horizon where there are several."""
    following, log_prob = now.actor(b.last_obs).sample_and_log_prob(key)
    paid = jnp.exp(now.log_temperature) * log_prob
    value = now.slow_critics(b.last_obs, following).min(0) - (paid if c.horizons == 1 else paid[:, None])
    return jax.lax.stop_gradient(horizons.targets(c, b, value))


def policy_loss(
    actor: Actor, c: Config, critics: Critics, temperature: Scalar, obs: Obs, key: PRNGKey
) -> tuple[Scalar, Float[Array, ""]]:
    """Equation (9), and the entropy that was met."""
    action, log_prob = actor(obs).sample_and_log_prob(key)
    return (temperature * log_prob - horizons.judged(c, critics(obs, action).min(0))).mean(), -log_prob.mean()


def improve(
    c: Config, critic_step: CriticStep, now: Learner, b: replay.Sample, key: PRNGKey
) -> tuple[Learner, Metrics]:
    """One step of critics, policy and temperature, in this order, and of the slow critics."""
    target_key, policy_key = jax.random.split(key)
    critics, memory, metrics = critic_step.step(now.critics, now.critic_memory, b, targets(c, now, b, target_key))
    temperature = jnp.exp(now.log_temperature)
    slope = jax.grad(policy_loss, has_aux=True)
    gradient, entropy = slope(now.actor, c, critics, temperature, b.obs, policy_key)
    actor, actor_opt = optim.apply(optim.adam(c.policy_learning_rate), gradient, now.actor_opt, now.actor)
    log_temperature, temperature_opt = now.log_temperature, now.temperature_opt
    if c.learn_temperature:
        missing = c.target_entropy * b.action.shape[-1] - entropy
        adam = optim.adam(c.temperature_learning_rate)
        log_temperature, temperature_opt = optim.apply(adam, -missing, temperature_opt, log_temperature)
    slow = optim.polyak(now.slow_critics, critics, c.target_share)
    after = Learner(
        actor, critics, slow, log_temperature, actor_opt, memory, temperature_opt, now.updates + 1
    )  # fmt: skip
    return after, {**metrics, "entropy": entropy}


def update(c: Config, critic_step: CriticStep, s: State, batch: Batch, key: PRNGKey) -> tuple[State, Metrics]:
    """Remember a batch, then one gradient step for every `train_every` of its transitions (algorithm 1).

    Raises:
        UserError: the batch is no multiple of `train_every`.
    """
    memory = actor_critic.remember(s.memory, batch, s.box)
    learner, m = actor_critic.learn(
        c, memory, s.learner, key, paid=replay.paid(batch, c.train_every), improve=partial(improve, c, critic_step),
        repeats=critic_step.repeats,
    )  # fmt: skip
    temperature = jnp.exp(learner.log_temperature)
    most = jnp.maximum(jnp.abs(c.target_entropy), jnp.log(2.0)) * s.box.shape[0]
    excess = off_policy.excess(m.pop("largest"), memory.largest_reward + temperature * most, horizons.longest(c))
    means = {name: x.mean() for name, x in m.items()}
    return State(learner, memory), {**means, "temperature": temperature, "excess": excess}


def repay(s: State, reward: RewardOf) -> State:
    """The state with the rewards in its memory computed anew."""
    return State(s.learner, actor_critic.repay(s.memory, s.box, reward))


def agent(c: Config, critic_step: CriticStep | None = None) -> Agent:
    """SAC as an agent; a step of the critics given here stands in for Adam on the squared error and adds metrics."""
    step = actor_critic.regression(c.learning_rate) if critic_step is None else critic_step
    return Agent(
        init=partial(init, c, step),
        act=partial(act, c),
        update=partial(update, c, step),
        mode=mode,
        log_prob=partial(log_prob, c),
        rollout=c.rollout,
        repay=repay,
        entropy=Entropy(c.temperature, c.learn_temperature, soft=True),
    )
