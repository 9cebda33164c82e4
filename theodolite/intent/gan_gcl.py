"""Guided cost learning as a GAN: AIRL's discriminator on whole trajectories, its baseline.

    D(τ) = exp f(τ) / (exp f(τ) + π(τ)),    logit = Σ_t f(s_t,a_t) - log π(a_t|s_t);    the dynamics cancel
    min over f of  -E_E[log D(τ)] - E_π[log(1 - D(τ))];    the policy is paid  f - log π  at every step

Differences from the paper (Finn et al. 2016, as Fu et al. 2018 use it in section 4):
1. Trajectories have one length, `horizon`, and never end before: a rollout holds whole ones, and so do the
   demonstrations, all transitions of them. Sums over different lengths would compare lengths.
2. `normalise` takes the mean over time instead of the sum, which keeps D from saturating; the paper's is the sum.
3. f is a tanh network, standardised as in `airl`; log π is the current policy's, of executed actions, as there.
4. No replay: a trajectory's weight under another policy is what makes the method hard.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from theodolite.core import demos, normalise, optim
from theodolite.core.agent import Agent, Batch, RewardOf, Seen
from theodolite.core.agent import State as LearnerState
from theodolite.core.arrays import Arrays, Metrics, PRNGKey, Scalar
from theodolite.core.claim import Paper
from theodolite.core.config import config, non_negative, one_of, positive, require, sizes
from theodolite.core.demos import Rows
from theodolite.core.env import Space
from theodolite.core.errors import UserError
from theodolite.intent import learned_reward, learned_run
from theodolite.intent.learned_reward import INPUTS, AnyRows, LearnedReward, Networks

PAPER = Paper(
    "A Connection between Generative Adversarial Networks, Inverse Reinforcement Learning, and Energy-Based Models",
    "Finn et al.", 2016, arxiv="1611.03852",
)  # fmt: skip
METRICS = {
    "discriminator_loss": "binary cross-entropy of trajectories, 2 log 2 = 1.386 when they cannot be told apart, nats",
    "expert_accuracy": "share of the expert's trajectories that D takes for the expert's",
    "policy_accuracy": "share of the policy's trajectories that D takes for the policy's",
    "learned_reward": "mean reward that the policy was paid",
}

reward = learned_run.load
"""`reward(run)` is what a run of this method learned, as a function on transitions."""


@config
class Config:
    """Hyper-parameters of GAN-GCL."""

    horizon: int = 100
    """Steps of every trajectory, the environment's fixed limit."""
    inputs: Literal["obs", "obs_action", "next_obs"] = "obs_action"
    """What f sees."""
    reward: Literal["f_minus_log_pi", "f"] = "f_minus_log_pi"
    """What pays the policy. With f give the learner temperature 1, with f_minus_log_pi 0; SAC takes f."""
    normalise: bool = False
    """Take means over time instead of sums."""
    learning_rate: float = 1e-3
    """Step size of the discriminator's Adam."""
    steps: int = 20
    """Updates of the discriminator per round."""
    batch_size: int = 16
    """Trajectories of each class per update, drawn with replacement."""
    freeze_after: int = 5
    """Rounds whose observations enter the standardiser of f."""
    hidden: tuple[int, ...] = (32, 32)
    """Widths of f's tanh layers."""

    def __post_init__(self):
        require(
            self,
            horizon=positive,
            inputs=one_of(*INPUTS),
            reward=one_of("f_minus_log_pi", "f"),
            learning_rate=positive,
            steps=positive,
            batch_size=positive,
            freeze_after=non_negative,
            hidden=sizes(),
        )


class State(Arrays):
    """The learner, the reward with its optimiser, and rounds done."""

    learner: LearnerState
    reward: LearnedReward
    opt: optim.OptState
    rounds: Array


class Trajectories(Arrays):
    """Whole trajectories, leading axes [N, horizon], the first `count` of them data."""

    rows: Rows
    count: Array


def trajectories(c: Config, rows: Rows, count: Array) -> Trajectories:
    """Rows in order, cut into trajectories; leading axis N."""
    cut = jax.tree.map(lambda x: x.reshape(-1, c.horizon, *x.shape[1:]), rows)
    return Trajectories(cut, count // c.horizon)


def init(c: Config, learner: Agent, expert: demos.Transitions, key: PRNGKey, space: Space) -> State:
    """A fresh learner and a reward that is nearly zero; moments start from the expert's observations."""
    learner_key, net_key = jax.random.split(key)
    moments = normalise.moments_of(expert.obs, expert.count)
    reward = learned_reward.init(net_key, space, c.inputs, c.hidden, None, moments)
    opt = optim.adam(c.learning_rate).init(learned_reward.learnt(reward))
    return State(learner.init(learner_key, space), reward, opt, jnp.int32(0))


def logits(c: Config, r: LearnedReward, p: AnyRows, log_prob: Float[Array, "N T"]) -> Float[Array, " N"]:
    """Σ_t f - log π, or its mean."""
    each = learned_reward.ground(r, p) - log_prob
    return each.mean(-1) if c.normalise else each.sum(-1)


def loss(
    networks: Networks, c: Config, r: LearnedReward, expert: tuple[Rows, Array], policy: tuple[Rows, Array]
) -> tuple[Scalar, Metrics]:
    """Binary cross-entropy of trajectories; log π counts as constant."""
    r = learned_reward.with_networks(r, networks)
    z_expert, z_policy = logits(c, r, *expert), logits(c, r, *policy)
    cross_entropy = jax.nn.softplus(-z_expert).mean() + jax.nn.softplus(z_policy).mean()
    return cross_entropy, {
        "discriminator_loss": cross_entropy,
        "expert_accuracy": (z_expert > 0).mean(dtype=jnp.float32),
        "policy_accuracy": (z_policy < 0).mean(dtype=jnp.float32),
    }


def fit(
    c: Config, learner: Agent, s: State, expert: Trajectories, policy: Trajectories, key: PRNGKey
) -> tuple[LearnedReward, optim.OptState, Metrics]:
    """`steps` updates of the discriminator on minibatches of trajectories."""
    optimiser = optim.adam(c.learning_rate)

    def draw(t: Trajectories, key: PRNGKey) -> tuple[Rows, Array]:
        chosen = jax.random.randint(key, (c.batch_size,), 0, t.count)
        some = jax.tree.map(lambda x: x[chosen], t.rows)
        return some, learner.log_prob(s.learner, some.obs, some.action)

    def step(carry: tuple, key: PRNGKey) -> tuple[tuple, Metrics]:
        networks, opt = carry
        expert_key, policy_key = jax.random.split(key)
        sides = draw(expert, expert_key), draw(policy, policy_key)
        gradient, metrics = jax.grad(loss, has_aux=True)(networks, c, s.reward, *sides)
        return optim.apply(optimiser, gradient, opt, networks), metrics

    start = learned_reward.learnt(s.reward), s.opt
    (networks, opt), metrics = jax.lax.scan(step, start, jax.random.split(key, c.steps))
    return learned_reward.with_networks(s.reward, networks), opt, jax.tree.map(lambda m: m[-1], metrics)


def pays(c: Config, learner: Agent, s: LearnerState, r: LearnedReward) -> RewardOf:
    """What the learner gets for transitions, f - log π with the π of its present state."""
    due = learned_reward.in_units_of(learner, r.space)

    def reward(p: Seen) -> Float[Array, "*batch"]:
        f = learned_reward.ground(r, p)
        if c.reward == "f":
            return f + due
        return f - learner.log_prob(s, p.obs, p.action)

    return reward


def update(
    c: Config, learner: Agent, expert: demos.Transitions, s: State, batch: Batch, key: PRNGKey
) -> tuple[State, Metrics]:
    """The discriminator learns to tell trajectories, then the policy improves on f - log π."""
    learner_key, fit_key = jax.random.split(key)
    seen = learned_reward.seen_in(batch, s.reward.space)
    in_order = learned_reward.flat(jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), seen))  # [E T]: episodes stay whole
    moved = learned_reward.standardiser(s.reward, in_order.obs, s.rounds, c.freeze_after)
    s = State(s.learner, moved, s.opt, s.rounds)
    shown = trajectories(c, expert.rows, expert.count)
    own = trajectories(c, in_order, jnp.int32(batch.reward.size))
    reward, opt, metrics = fit(c, learner, s, shown, own, fit_key)

    reward_of = pays(c, learner, s.learner, reward)
    pay = reward_of(seen)
    kept = learner.repay(s.learner, reward_of)
    learner_state, learner_metrics = learner.update(kept, batch._replace(reward=pay), learner_key)
    metrics = {**learner_metrics, **metrics, "learned_reward": pay.mean()}
    return State(learner_state, reward, opt, s.rounds + 1), metrics


def agent(c: Config, learner: Agent, expert: demos.Transitions) -> Agent:
    """The learner, paid by what tells its trajectories from the expert's.

    Raises:
        UserError: rollouts or demonstrations are not made of whole trajectories of the horizon, or the learner has
            options, no density, or a temperature that does not go with the pay.
    """
    learned_reward.check_learner(learner, "GAN-GCL", log_pi_is_paid=c.reward == "f_minus_log_pi")
    used, shown = (learned_reward.known(n) for n in (expert.count, expert.lengths.num_steps))
    if used is not None and shown is not None and used < shown:
        raise UserError(
            f"the demonstrations are thinned, {used:.0f} of {shown:.0f} steps: GAN-GCL compares whole trajectories. "
            "Use every step of fewer episodes (--demo-every 1, --demo-episodes), or AIRL, which compares transitions."
        )
    for what, rows in (("rollouts of the learner", learner.rollout), ("the demonstrations", expert.obs.shape[0])):
        if rows % c.horizon:
            raise UserError(
                f"horizon = {c.horizon}: {what} have {rows} steps, which is no whole number of trajectories. Use all "
                "steps of demonstrations of one length, a rollout that is a multiple of it, and a fixed horizon."
            )
    return Agent(
        init=partial(init, c, learner, expert),
        act=lambda s, obs, key: learner.act(s.learner, obs, key),
        update=partial(update, c, learner, expert),
        mode=lambda s, obs: learner.mode(s.learner, obs),
        log_prob=lambda s, obs, action: learner.log_prob(s.learner, obs, action),
        rollout=learner.rollout,
    )
