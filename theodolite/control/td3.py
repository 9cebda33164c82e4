"""Twin delayed deep deterministic policy gradient: three cures for values that are too high; DDPG without them.

    ũ = clip(μ⁻(s') + clip(ε, -c, c), -1, 1), ε ~ N(0, σ̃²)            target policy smoothing       (algorithm 1)
    y = r + γ (1 - terminated) min_i Q⁻_i(s', ũ)                       clipped double Q-learning
    minimise Σ_i (Q_i(s, u) - y)²; every d-th step maximise Q_1(s, μ(s)) and move the slow copies   delayed updates

Twin critics, smoothing and the delay are one field each, and do not know of each other: `DDPG` is one critic, neither
smoothed nor delayed. How critics move is an argument of `agent`; a `target_share` of 1 learns without slow copies. With
several horizons (see `horizons`) a critic has a value and a target for each, the lower one of both critics at each.

Differences from the paper, of which 1 to 3 are in its authors' present code:
1. Networks have 256-256 units, and the critic reads the action beside the observation; 2. Adam steps by 3e-4 on batches
of 256; 3. actions are random for 25,000 steps; 4. actions are in units of their own box, dimension by dimension, inside
the learner; 5. many environments may act at once, for `rollout` steps between updates, and every `train_every` of their
steps pay for one gradient step; 6. DDPG explores by Gaussian noise and neither decays weights nor normalises batches.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from theodolite.control import actor_critic, horizons, off_policy
from theodolite.control.actor_critic import Critics, CriticStep, Policy
from theodolite.control.off_policy import Memory
from theodolite.core import optim, replay
from theodolite.core.agent import Agent, Batch, RewardOf
from theodolite.core.arrays import Arrays, Flag, Metrics, PRNGKey
from theodolite.core.claim import Paper
from theodolite.core.config import config, non_negative, positive, probability, require
from theodolite.core.env import Action, Box, Obs, Space

PAPER = Paper(
    "Addressing Function Approximation Error in Actor-Critic Methods", "Fujimoto, van Hoof, Meger", 2018,
    arxiv="1802.09477",
)  # fmt: skip
METRICS = {
    "critic_loss": "mean squared error of the critics against their targets, summed over critics; 0 before learning",
    "value": "mean predicted return of the actions drawn from replay; 0 before learning",
    "disagreement": "mean distance between the two critics' predictions; 0 with one",
    "saturation": "share of the policy's actions, on the observations of the batch, within 1% of a bound",
    "excess": off_policy.EXCESS,
}


@config
class Config(horizons.Settings, actor_critic.Settings):
    """Hyper-parameters; the defaults are those of the authors' present code."""

    learning_starts: int = 25_000
    """Transitions in replay before the first gradient step."""
    random_steps: int = 25_000
    """Environment steps during which actions are drawn uniformly from their box."""
    learning_rate: float = 3e-4
    """Step size of the critics' Adam."""
    target_share: float = 0.005
    """τ: how far the slow copies move; 1 makes them the fast ones."""
    noise: float = 0.1
    """σ: standard deviation of the exploration noise, in half widths of the box."""
    twin: bool = True
    """Two critics, of which the lower one sets the target."""
    policy_every: int = 2
    """d: critic steps per step of the policy and of the slow copies."""
    smoothing: float = 0.2
    """σ̃: standard deviation of the noise on the target policy's actions, in half widths of the box."""
    smoothing_clip: float = 0.5
    """c: largest size of that noise."""

    def __post_init__(self):
        require(
            self,
            **actor_critic.CONSTRAINTS,
            **dict.fromkeys(("learning_rate", "noise", "policy_every"), positive),
            **dict.fromkeys(("smoothing", "smoothing_clip"), non_negative),
            target_share=probability,
        )
        horizons.check(self)


DDPG = Config(twin=False, policy_every=1, smoothing=0.0)
"""Lillicrap et al. 2016 at the same settings, which the paper finds far better than the original ones."""


class Learner(Arrays):
    """What gradient steps change; `critic_memory` is what the critics' step remembers."""

    policy: Policy
    critics: Critics
    slow_policy: Policy
    slow_critics: Critics
    policy_opt: optim.OptState
    critic_memory: PyTree
    updates: Int[Array, ""]


class State(Arrays):
    """The learner and its memory."""

    learner: Learner
    memory: Memory

    @property
    def box(self) -> Box:
        """The box of actions."""
        return self.learner.policy.box


def init(c: Config, critic_step: CriticStep, key: PRNGKey, space: Space) -> State:
    """Fresh networks, slow copies equal to them, and an empty memory.

    Raises:
        UserError: observations or actions are no vectors, actions have no bounds, or replay is too small.
    """
    policy_key, critic_key = jax.random.split(key)
    policy = actor_critic.policy(policy_key, space, c.hidden, c.activation)
    critics = actor_critic.critics(critic_key, space, c.hidden, c.activation, 1 + c.twin, c.horizons)
    policy_opt = optim.adam(c.policy_learning_rate).init(policy)
    learner = Learner(policy, critics, policy, critics, policy_opt, critic_step.init(critics), jnp.int32(0))
    return State(learner, actor_critic.no_memory(space, c.replay, c.rollout, c.learning_starts))


def act(c: Config, s: State, obs: Obs, key: PRNGKey) -> tuple[Action, Float[Array, "..."]]:
    """The policy's action with noise, or at first any action."""
    return actor_critic.random_first(_random(c, s), s.box, s.learner.policy.noisy(obs, c.noise), key)


def mode(s: State, obs: Obs) -> Action:
    """The policy's action."""
    return actor_critic.scaled(s.box, s.learner.policy(obs))


def log_prob(c: Config, s: State, obs: Obs, action: Action) -> Float[Array, "..."]:
    """Log-probability of an action, before the environment's door clips it."""
    return actor_critic.random_log_prob(_random(c, s), s.box, s.learner.policy.noisy(obs, c.noise), action)


def _random(c: Config, s: State) -> Flag:
    return s.memory.steps < c.random_steps


def targets(c: Config, now: Learner, b: replay.Sample, key: PRNGKey) -> Float[Array, "B *H"]:
    """y for every transition of a sample, and for every horizon where there are several."""
    best = now.slow_policy(b.last_obs)
    noise = jnp.clip(c.smoothing * jax.random.normal(key, best.shape), -c.smoothing_clip, c.smoothing_clip)
    following = now.slow_critics(b.last_obs, jnp.clip(best + noise, -1, 1)).min(0)
    return jax.lax.stop_gradient(horizons.targets(c, b, following))


def improve(
    c: Config, critic_step: CriticStep, now: Learner, b: replay.Sample, key: PRNGKey
) -> tuple[Learner, Metrics]:
    """One step of the critics, and every `policy_every` of them one of the policy and of the slow copies."""
    critics, memory, metrics = critic_step.step(now.critics, now.critic_memory, b, targets(c, now, b, key))
    updates = now.updates + 1

    def judge(obs: Obs, action: Action) -> Float[Array, " B"]:
        return horizons.judged(c, critics.first(obs, action))

    def move(_: None) -> tuple[Policy, optim.OptState, Policy, Critics]:
        policy, opt = actor_critic.ascend(now.policy, now.policy_opt, judge, b.obs, c.policy_learning_rate)
        slow_policy = optim.polyak(now.slow_policy, policy, c.target_share)
        return policy, opt, slow_policy, optim.polyak(now.slow_critics, critics, c.target_share)

    def stay(_: None) -> tuple[Policy, optim.OptState, Policy, Critics]:
        return now.policy, now.policy_opt, now.slow_policy, now.slow_critics

    if c.policy_every == 1:
        policy, opt, slow_policy, slow_critics = move(None)
    else:
        policy, opt, slow_policy, slow_critics = jax.lax.cond(updates % c.policy_every == 0, move, stay, None)
    return Learner(policy, critics, slow_policy, slow_critics, opt, memory, updates), metrics


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
    excess = off_policy.excess(m.pop("largest"), memory.largest_reward, horizons.longest(c))
    saturation = (jnp.abs(learner.policy(batch.obs)) > 0.99).mean()
    return State(learner, memory), {**{k: x.mean() for k, x in m.items()}, "saturation": saturation, "excess": excess}


def repay(s: State, reward: RewardOf) -> State:
    """The state with the rewards in its memory computed anew."""
    return State(s.learner, actor_critic.repay(s.memory, s.box, reward))


def agent(c: Config, critic_step: CriticStep | None = None) -> Agent:
    """TD3 as an agent; a step of the critics given here stands in for Adam on the squared error and adds metrics."""
    step = actor_critic.regression(c.learning_rate) if critic_step is None else critic_step
    return Agent(
        init=partial(init, c, step),
        act=partial(act, c),
        update=partial(update, c, step),
        mode=mode,
        log_prob=partial(log_prob, c),
        rollout=c.rollout,
        repay=repay,
        greedy=True,
    )
