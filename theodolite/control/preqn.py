"""Preconditioned Q-networks: critics whose steps move a batch as a table's would, without target networks or Adam.

    Δ_i = r_i + γ (1 - terminated) Q(s'_i, μ(s'_i)) - Q(s_i, a_i)            errors by the present networks
    K_ij = ∇Q(i)·∇Q(j),  K Z = Δ,  θ(α) = θ + α Σ_i Z_i ∇Q(i)                ΔQ = α Δ on the batch, to first order
    accept the largest α of a grid with cos(Q_θ(α) - Q_θ, Δ) ≥ η; then one step of Adam up Q(s, μ(s))

Off the batch nothing is promised, and values are not kept low by twin critics. Damping caps the alignment that any α
can reach (`attainable`, see `preconditioning`): if that stays below η every step is skipped, and `skipped` says so.
Turned up it ends at the semi-gradient of DDPG without target networks: `damping` equal to the batch's size and no line
search is temporal-difference learning at about its largest stable rate.

A `second_batch` H carries the rule across batches: K is then the kernel of both, with K(B, H) between them, and Z
solves for Δ on B and, on H, for no change (`still`: what is learned on B generalises to no pair of H) or for H's own
errors (`right`: it generalises as H would have it, as on one batch of both). Alignment is tested on both, and the
policy climbs on B.

Differences from the paper, which has neither code nor a table of settings:
1. The grid starts at 1 and halves; when no α passes, the step is skipped and counted; 2. the kernel is summed from
layers' inputs and gradients, and solved by a Cholesky factor with relative damping, or among the larger eigenvalues;
3. rows of a batch are distinct, one from each even share of the memory; 4. policy, noise and start are TD3's here, with
Adam's step at the 1e-3 of the authors' code base; 5. steps that would leave values not finite are skipped, too; 6.
there is one horizon, since a kernel of H heads has H times as many rows, and its solution costs H³ times as much.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from theodolite.control import actor_critic, ntk, off_policy, preconditioning
from theodolite.control.actor_critic import Critics, CriticStep, Policy
from theodolite.control.off_policy import Memory
from theodolite.core import nets, optim, replay
from theodolite.core.agent import Agent, Batch, RewardOf
from theodolite.core.arrays import Arrays, Flag, Metrics, PRNGKey
from theodolite.core.claim import Paper
from theodolite.core.config import config, non_negative, one_of, positive, probability, require
from theodolite.core.env import Action, Box, Obs, Space
from theodolite.core.errors import UserError

PAPER = Paper(
    "Towards Characterizing Divergence in Deep Q-Learning", "Achiam, Knight, Abbeel", 2019, arxiv="1903.08894"
)
METRICS = {
    "critic_loss": "mean squared error of the critic against its targets before the steps; 0 before learning",
    "value": "mean predicted return of the actions drawn from replay; 0 before learning",
    "alpha": "mean accepted step α, 0 where none was",
    "skipped": "share of steps for which no α was aligned",
    "alignment": "mean cosine of what accepted steps did to the values of the batch with its errors",
    "attainable": "the same for α → 0, which damping and cutoff cap: below η every step is skipped",
    "multipliers": "mean length of Z, the errors after preconditioning",
    "row_ratio": "mean row ratio of the batch's kernel: how far a plain step would move other pairs of the batch",
    "held_out_alignment": "the cosine on a batch that the steps did not see; 0 without one",
    "spill": "root mean square change of that batch over that of the batch that was learned; 0 without one",
    "excess": off_policy.EXCESS,
}
OF_THE_STEP = {n: METRICS[n] for n in ("alpha", "skipped", "attainable", "multipliers", "row_ratio")} | {
    "alignment": "mean cosine of what steps did to the values of the batch with its errors, 0 where none was accepted",
    "moved": "root mean square of that change",
}
"""What the step adds to the metrics of the learner that takes it."""


@config
class Config(preconditioning.Settings, actor_critic.Settings):
    """Hyper-parameters; η and sines are the paper's as recalled, the rest of the search is ours."""

    learning_starts: int = 1_000
    """Transitions in replay before the first gradient step."""
    batch_size: int = 100
    """Transitions in a gradient step."""
    policy_learning_rate: float = 1e-3
    """Step size of the policy's Adam."""
    discount: float = 0.99
    """γ, per step."""
    noise: float = 0.1
    """σ: standard deviation of the exploration noise, in half widths of the box."""
    activation: nets.Activation = "sin"
    """Between the layers of the critic; the policy's are relu."""
    held_out: int = 0
    """Transitions drawn beside each batch to see what a step does to what it does not see; 0 looks at none."""
    second_batch: int = 0
    """Transitions of a second batch, whose values a step does see; 0 has none."""
    across: Literal["still", "right"] = "still"
    """What a step is to do to the second batch: leave its values as they are, or move them by their own errors."""

    def __post_init__(self):
        require(
            self,
            **actor_critic.CONSTRAINTS,
            **preconditioning.CONSTRAINTS,
            **dict.fromkeys(("held_out", "second_batch"), non_negative),
            noise=positive,
            discount=probability,
            across=one_of("still", "right"),
        )


class Learner(Arrays):
    """What gradient steps change."""

    policy: Policy
    critics: Critics
    policy_opt: optim.OptState


class State(Arrays):
    """The learner and its memory."""

    learner: Learner
    memory: Memory

    @property
    def box(self) -> Box:
        """The box of actions."""
        return self.learner.policy.box


def init(c: Config, key: PRNGKey, space: Space) -> State:
    """Fresh networks and an empty memory.

    Raises:
        UserError: observations or actions are no vectors, actions have no bounds, or replay is too small.
    """
    actor_critic.check(space, choices="preq_dqn")
    policy_key, critic_key = jax.random.split(key)
    policy = actor_critic.policy(policy_key, space, c.hidden)
    critics = actor_critic.critics(critic_key, space, c.hidden, c.activation)
    learner = Learner(policy, critics, optim.adam(c.policy_learning_rate).init(policy))
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


def targets(c: Config, now: Learner, b: replay.Sample) -> Float[Array, " B"]:
    """r + γ (1 - terminated) Q(s', μ(s')), by the networks that are to be changed."""
    following = now.critics.first(b.last_obs, now.policy(b.last_obs))
    reward, discount = b.returns(c.discount)
    return reward + discount * following


def critic_step(c: Config) -> CriticStep:
    """The preconditioned step of every critic, to be given to any learner of continuous actions (TD3, say).

    The last `second_batch` rows of a sample are its second batch.

    Raises:
        UserError: when it is taken, that the critics predict several horizons.
    """

    def step(now: Critics, nothing: None, b: replay.Sample, target: Array) -> tuple[Critics, None, Metrics]:
        if now.horizons > 1:
            raise UserError(f"horizons = {now.horizons}: must be 1. A preconditioned step moves one value per pair.")
        x = actor_critic.pairs(b.obs, b.action)
        after, predicted, rows = zip(*(_moved(c, net, x, target) for net in now.nets), strict=True)
        predicted = jnp.stack(predicted)
        metrics = {name: jnp.mean(jnp.stack([m[name] for m in rows])) for name in OF_THE_STEP}
        loss = jnp.sum(jnp.mean((target[None] - predicted) ** 2, 1))
        return Critics(after), nothing, {"critic_loss": loss, **actor_critic.described(predicted), **metrics}

    return CriticStep(lambda critics: None, step, repeats=False, adds=tuple(OF_THE_STEP.items()))


def _moved(c: Config, net: nets.MLP, x: Array, target: Array) -> tuple[nets.MLP, Array, Metrics]:
    """The network after a step, what it predicted before, and what the step did."""
    parts, first = ntk.parts(net, x), len(x) - c.second_batch
    wanted = target - parts.q
    if c.across == "still":
        wanted = jnp.where(jnp.arange(len(x)) < first, wanted, 0)
    taken = preconditioning.step(net, parts, x, None, wanted, preconditioning.rules(c))
    return taken.net, parts.q, {
        "alpha": taken.rate,
        "skipped": taken.skipped.astype(x.dtype),
        "alignment": taken.alignment,
        "attainable": taken.attainable,
        "multipliers": jnp.linalg.norm(taken.multipliers),
        "row_ratio": taken.row_ratio,
        "moved": jnp.sqrt(jnp.mean(taken.change[:first] ** 2)),
    }  # fmt: skip


def held_out(c: Config, before: Learner, after: Critics, moved: Array, b: replay.Sample) -> Metrics:
    """What a step did to a batch that it did not see."""
    old = before.critics.first(b.obs, b.action)
    change, error = after.first(b.obs, b.action) - old, targets(c, before, b) - old
    size = jnp.sqrt(jnp.mean(change**2))
    return {
        "held_out_alignment": preconditioning.cosine(change, error),
        "spill": jnp.where(moved > 0, size / jnp.maximum(moved, 1e-20), 0),
    }


def improve(c: Config, m: Memory, now: Learner, b: replay.Sample, key: PRNGKey) -> tuple[Learner, Metrics]:
    """One step of the critic, and one of the policy."""
    if c.second_batch:  # a sample's rows come by their age, and neither batch is to be the older one
        order = jax.random.permutation(jax.random.fold_in(key, 1), c.batch_size + c.second_batch)
        b = jax.tree.map(lambda x: x[order], b)
    critics, _, metrics = critic_step(c).step(now.critics, None, b, targets(c, now, b))
    moved, _ = metrics.pop("moved"), metrics.pop("disagreement")  # there is one critic
    if c.held_out:
        aside = replay.sample(m.replay, key, c.held_out, repeats=False)
        metrics |= held_out(c, now, critics, moved, aside)
    seen = b.obs[: c.batch_size]
    policy, opt = actor_critic.ascend(now.policy, now.policy_opt, critics.first, seen, c.policy_learning_rate)
    return Learner(policy, critics, opt), metrics


def update(c: Config, s: State, batch: Batch, key: PRNGKey) -> tuple[State, Metrics]:
    """Remember a batch, then one gradient step for every `train_every` of its transitions.

    Raises:
        UserError: the batch is no multiple of `train_every`.
    """
    memory = actor_critic.remember(s.memory, batch, s.box)
    learner, m = actor_critic.learn(
        c, memory, s.learner, key, paid=replay.paid(batch, c.train_every), improve=partial(improve, c, memory),
        repeats=False, more=c.second_batch,
    )  # fmt: skip
    excess = off_policy.excess(m.pop("largest"), memory.largest_reward, c.discount)
    taken = 1 - m["skipped"]
    weighed = {name: m.pop(name) for name in ("alignment", "held_out_alignment", "spill") if name in m}
    nothing = dict.fromkeys(("held_out_alignment", "spill"), jnp.float32(0))
    means = {name: jnp.sum(x * taken) / jnp.maximum(jnp.sum(taken), 1) for name, x in weighed.items()}
    return State(learner, memory), nothing | means | {name: x.mean() for name, x in m.items()} | {"excess": excess}


def repay(s: State, reward: RewardOf) -> State:
    """The state with the rewards in its memory computed anew."""
    return State(s.learner, actor_critic.repay(s.memory, s.box, reward))


def agent(c: Config) -> Agent:
    """PreQN as an agent."""
    return Agent(
        init=partial(init, c),
        act=partial(act, c),
        update=partial(update, c),
        mode=mode,
        log_prob=partial(log_prob, c),
        rollout=c.rollout,
        repay=repay,
        greedy=True,
    )
