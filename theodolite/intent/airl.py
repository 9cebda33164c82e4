"""Adversarial inverse reinforcement learning: a discriminator whose optimum contains the demonstrator's reward.

    D(s,a,s') = exp f / (exp f + π(a|s)),    logit = f - log π,    f = g(s) + γ h(s') - h(s)                        (4)
    min over g, h of  -E_E[log D] - E_π[log(1 - D)];    the policy is paid  log D - log(1 - D) = f - log π

With g of states alone and deterministic, decomposable dynamics g is the reward up to a constant (theorem C.1), and so
can be optimised again where the dynamics differ.

Differences from the paper:
1. The policy's reward is that of its appendix and algorithm; its main text prints the sign the other way round.
2. What pays the policy is an option: f - log π with a learner without entropy bonus, or f with a learner of temperature
   1 (the same objective), or g, as the released code does, also with temperature 1. SAC, which lives on its entropy,
   takes f or g and a fixed temperature of 1. What it has kept is paid anew whenever f has moved.
3. log π of every sample, expert, fresh or replayed, is that of the CURRENT policy, of the action that was executed. For
   policies that are clipped rather than squashed this is the density at the bound, on both sides; f - log π is the log
   ratio of the two all the same, but f and g are exact for squashed and discrete policies only: squash PPO and TRPO
   where the reward is to be kept. A deterministic policy has no density, and is refused.
4. γ in f is the learner's discount (the released code takes 1), h(s') is 0 at a termination alone, and the next
   observation is the true last one (the released code takes zeros).
5. Observations are standardised by the expert's and the first rounds' moments, then frozen: otherwise the saved reward
   would drift. g is linear if `hidden` is empty, as in the paper; layers are tanh unless `activation` is relu, its own.
6. The discriminator draws its policy samples uniformly from the last rounds.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from theodolite.core import demos, nets, normalise, optim
from theodolite.core.agent import Agent, Batch, RewardOf, Seen
from theodolite.core.agent import State as LearnerState
from theodolite.core.arrays import Arrays, Metrics, PRNGKey, Scalar
from theodolite.core.claim import Paper
from theodolite.core.config import config, non_negative, one_of, positive, probability, require, sizes
from theodolite.core.demos import Rows
from theodolite.core.env import Space
from theodolite.intent import learned_reward, learned_run
from theodolite.intent.learned_reward import INPUTS, AnyRows, LearnedReward, Networks, Replay

PAPER = Paper(
    "Learning Robust Rewards with Adversarial Inverse Reinforcement Learning", "Fu et al.", 2018, arxiv="1710.11248"
)
METRICS = {
    "discriminator_loss": "binary cross-entropy, 2 log 2 = 1.386 when the two cannot be told apart, nats",
    "expert_accuracy": "share of the expert's transitions that D takes for the expert's",
    "policy_accuracy": "share of the policy's transitions that D takes for the policy's",
    "learned_reward": "mean reward that the policy was paid",
    "ground_reward": "mean g on the policy's transitions",
}
PAID = ("f_minus_log_pi", "f", "g")

reward = learned_run.load
"""`reward(run)` is what a run of this method learned, as a function on transitions."""


@config
class Config:
    """Hyper-parameters of AIRL."""

    reward: Literal["f_minus_log_pi", "f", "g"] = "f_minus_log_pi"
    """What pays the policy. With f or g give the learner temperature 1, with f_minus_log_pi 0; SAC takes f or g."""
    inputs: Literal["obs", "obs_action", "next_obs"] = "obs"
    """What g sees; only a reward of states alone can be expected to transfer."""
    discount: float = 0.995
    """γ of the potential's differences: the learner's."""
    learning_rate: float = 1e-3
    """Step size of the discriminator's Adam."""
    steps: int = 20
    """Updates of the discriminator per round."""
    batch_size: int = 256
    """Transitions of each class per update, drawn with replacement."""
    replay: int = 20_000
    """Policy transitions of earlier rounds that the discriminator also sees; 0 for the present round alone."""
    weight_decay: float = 0.0
    """Weight of half the squared norm of g's and h's parameters."""
    freeze_after: int = 5
    """Rounds whose observations enter the standardiser of g and h."""
    hidden: tuple[int, ...] = (32, 32)
    """Widths of g's layers; none for a linear g."""
    potential_hidden: tuple[int, ...] = (32, 32)
    """Widths of h's layers."""
    activation: nets.Activation = "tanh"
    """Between the layers of g and h."""

    def __post_init__(self):
        require(
            self,
            reward=one_of(*PAID),
            inputs=one_of(*INPUTS),
            discount=probability,
            learning_rate=positive,
            steps=positive,
            batch_size=positive,
            replay=non_negative,
            weight_decay=non_negative,
            freeze_after=non_negative,
            hidden=sizes(),
            potential_hidden=sizes(),
            activation=one_of(*nets.ACTIVATIONS),
        )


class State(Arrays):
    """The learner, the reward with its optimiser, replayed transitions, and rounds done."""

    learner: LearnerState
    reward: LearnedReward
    opt: optim.OptState
    replay: Replay
    rounds: Array


def init(c: Config, learner: Agent, expert: demos.Transitions, key: PRNGKey, space: Space) -> State:
    """A fresh learner and a reward that is nearly zero; moments start from the expert's observations."""
    learner_key, net_key = jax.random.split(key)
    moments = normalise.moments_of(expert.obs, expert.count)
    widths = c.hidden, c.potential_hidden
    reward = learned_reward.init(net_key, space, c.inputs, *widths, moments, c.activation)
    opt = optim.adam(c.learning_rate).init(learned_reward.learnt(reward))
    replay = learned_reward.no_replay(c.replay, expert.rows)
    return State(learner.init(learner_key, space), reward, opt, replay, jnp.int32(0))


def logits(c: Config, r: LearnedReward, p: AnyRows, log_prob: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """f - log π, the log-odds of "expert"."""
    return learned_reward.shaped(r, p, c.discount) - log_prob


def loss(
    networks: Networks, c: Config, r: LearnedReward, expert: tuple[Rows, Array], policy: tuple[Rows, Array]
) -> tuple[Scalar, Metrics]:
    """Binary cross-entropy of logistic regression; log π counts as constant."""
    r = learned_reward.with_networks(r, networks)
    z_expert, z_policy = logits(c, r, *expert), logits(c, r, *policy)
    cross_entropy = jax.nn.softplus(-z_expert).mean() + jax.nn.softplus(z_policy).mean()
    squares = sum(jnp.sum(x**2) for x in jax.tree.leaves(networks))
    metrics = {
        "discriminator_loss": cross_entropy,
        "expert_accuracy": (z_expert > 0).mean(dtype=jnp.float32),
        "policy_accuracy": (z_policy < 0).mean(dtype=jnp.float32),
    }
    return cross_entropy + c.weight_decay / 2 * squares, metrics


def fit(
    c: Config, learner: Agent, expert: demos.Transitions, s: State, pool: Replay, key: PRNGKey
) -> tuple[LearnedReward, optim.OptState, Metrics]:
    """`steps` updates of the discriminator on minibatches of either class."""
    optimiser = optim.adam(c.learning_rate)

    def draw(rows: Rows, count: Array, key: PRNGKey) -> tuple[Rows, Array]:
        chosen = jax.random.randint(key, (c.batch_size,), 0, count)
        some = jax.tree.map(lambda x: x[chosen], rows)
        return some, learner.log_prob(s.learner, some.obs, some.action)

    def step(carry: tuple, key: PRNGKey) -> tuple[tuple, Metrics]:
        networks, opt = carry
        expert_key, policy_key = jax.random.split(key)
        sides = draw(expert.rows, expert.count, expert_key), draw(pool.rows, pool.count, policy_key)
        gradient, metrics = jax.grad(loss, has_aux=True)(networks, c, s.reward, *sides)
        return optim.apply(optimiser, gradient, opt, networks), metrics

    start = learned_reward.learnt(s.reward), s.opt
    (networks, opt), metrics = jax.lax.scan(step, start, jax.random.split(key, c.steps))
    return learned_reward.with_networks(s.reward, networks), opt, jax.tree.map(lambda m: m[-1], metrics)


def paid(c: Config, r: LearnedReward, p: AnyRows, log_prob: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """The policy's reward."""
    if c.reward == "g":
        return learned_reward.ground(r, p)
    return learned_reward.shaped(r, p, c.discount) - (log_prob if c.reward == "f_minus_log_pi" else 0)


def pays(c: Config, learner: Agent, s: LearnerState, r: LearnedReward) -> RewardOf:
    """What the learner gets for transitions, f - log π with the π of its present state."""
    due = learned_reward.in_units_of(learner, r.space)

    def reward(p: Seen) -> Float[Array, "*batch"]:
        pay = paid(c, r, p, learner.log_prob(s, p.obs, p.action))
        return pay + due if learner.entropy.soft else pay

    return reward


def update(
    c: Config, learner: Agent, expert: demos.Transitions, s: State, batch: Batch, key: PRNGKey
) -> tuple[State, Metrics]:
    """Algorithm 1: the discriminator learns to tell, then the policy improves on what it pays."""
    learner_key, fit_key = jax.random.split(key)
    seen = learned_reward.seen_in(batch, s.reward.space)
    fresh = learned_reward.flat(seen)
    pool = learned_reward.remember(s.replay, fresh)
    moved = learned_reward.standardiser(s.reward, fresh.obs, s.rounds, c.freeze_after)
    s = State(s.learner, moved, s.opt, s.replay, s.rounds)
    reward, opt, metrics = fit(c, learner, expert, s, pool, fit_key)

    reward_of = pays(c, learner, s.learner, reward)
    pay = reward_of(seen)
    kept = learner.repay(s.learner, reward_of)
    learner_state, learner_metrics = learner.update(kept, batch._replace(reward=pay), learner_key)
    ground = learned_reward.ground(reward, fresh).mean()
    metrics = {**learner_metrics, **metrics, "learned_reward": pay.mean(), "ground_reward": ground}
    return State(learner_state, reward, opt, learned_reward.kept(pool, c.replay), s.rounds + 1), metrics


def agent(c: Config, learner: Agent, expert: demos.Transitions) -> Agent:
    """The learner, paid by a reward that is learned from the expert instead of by the environment.

    Raises:
        UserError: the learner has options, no density, or a temperature that does not go with the pay.
    """
    learned_reward.check_learner(learner, "AIRL", log_pi_is_paid=c.reward == "f_minus_log_pi")
    return Agent(
        init=partial(init, c, learner, expert),
        act=lambda s, obs, key: learner.act(s.learner, obs, key),
        update=partial(update, c, learner, expert),
        mode=lambda s, obs: learner.mode(s.learner, obs),
        log_prob=lambda s, obs, action: learner.log_prob(s.learner, obs, action),
        rollout=learner.rollout,
    )
