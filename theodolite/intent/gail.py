"""Generative adversarial imitation learning: a discriminator tells the expert's pairs from the policy's, and the
policy is paid for being taken for the expert.

    min_π max_D  E_π[log(1 - D(s,a))] + E_E[log D(s,a)] - λ H(π),      D = σ(z) = probability of expert

Differences from the paper:
1. D is the probability of the EXPERT, as in nearly all code; the paper's D is that of the policy.
2. The reward map is an option. `softplus` (-log(1 - D) >= 0, the released code where episodes end on failure) pays for
   survival, `logsigmoid` (log D <= 0, where they end on success) pays for ending; `absorbing` removes either bias by
   letting the discriminator see and the policy be paid for what follows a termination (Kostrikov et al. 2019).
3. The learner is any agent, given as an argument; its own `temperature` is the λ of the paper.
4. Beside the released code's entropy bonus for D there are a gradient penalty, several steps per round, minibatches,
   replay of old policy pairs, and state-only inputs (Torabi et al. 2019).
5. All of the expert's pairs are seen at every update, where the released code draws as many as the policy collected
   with replacement: the same expectation at less noise and cost.
6. The discriminator is updated first, as in algorithm 1 (the released code updates the policy first).
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from theodolite.core import demos, nets, normalise, optim
from theodolite.core.agent import Agent, Batch
from theodolite.core.agent import State as LearnerState
from theodolite.core.arrays import Arrays, Metrics, PRNGKey, Scalar
from theodolite.core.claim import Paper
from theodolite.core.config import config, non_negative, one_of, optional, positive, probability, require, sizes
from theodolite.core.demos import Rows
from theodolite.core.env import Discrete, Space
from theodolite.core.errors import UserError

PAPER = Paper("Generative Adversarial Imitation Learning", "Ho and Ermon", 2016, arxiv="1606.03476")
METRICS = {
    "discriminator_loss": "binary cross-entropy, 2 log 2 = 1.386 when the two cannot be told apart, nats",
    "expert_accuracy": "share of the expert's pairs that D takes for the expert's",
    "policy_accuracy": "share of the policy's pairs that D takes for the policy's",
    "js": "estimate of the Jensen-Shannon divergence of the occupancies, nats; log 2 at most",
    "learned_reward": "mean reward that the discriminator paid",
}

REWARD_MAPS = {
    "softplus": jax.nn.softplus,  # -log(1 - D)
    "logsigmoid": jax.nn.log_sigmoid,  # log D
    "logit": lambda z: z,  # log D - log(1 - D): AIRL's, reverse KL
    "fairl": lambda z: -z * jnp.exp(jnp.clip(z, -10, 10)),  # forward KL (Ghasemipour et al. 2020)
}


@config
class Config:
    """Hyper-parameters of GAIL; the defaults are those of the released code."""

    reward: Literal["softplus", "logsigmoid", "logit", "fairl"] = "softplus"
    """What a logit pays. softplus pays for survival, logsigmoid for ending: see absorbing."""
    inputs: Literal["obs_action", "obs", "obs_next_obs"] = "obs_action"
    """What the discriminator sees; the last two imitate from states alone."""
    absorbing: bool = False
    """Treat termination as a move to an absorbing state that D judges too, which removes survival bias."""
    discount: float = 0.995
    """γ of the learner, per step; used with absorbing only."""
    learning_rate: float = 0.01
    """Step size of D's Adam."""
    steps: int = 1
    """Updates of D per round."""
    batch_size: int = 0
    """Pairs of each class per update of D, drawn with replacement; 0 takes all of both."""
    entropy_bonus: float = 0.001
    """Weight of the mean Bernoulli entropy of D."""
    gradient_penalty: float | None = None
    """Weight of (‖∂z/∂x‖ - 1)² between expert and policy inputs (Gulrajani et al. 2017); it doubles the cost of D."""
    replay: int = 0
    """Policy pairs of earlier rounds that D goes on learning from; 0 for the present round only."""
    hidden: tuple[int, ...] = (100, 100)
    """Widths of D's tanh layers."""

    def __post_init__(self):
        require(
            self,
            reward=one_of(*REWARD_MAPS),
            inputs=one_of("obs_action", "obs", "obs_next_obs"),
            discount=probability,
            learning_rate=positive,
            steps=positive,
            batch_size=non_negative,
            entropy_bonus=non_negative,
            gradient_penalty=optional(non_negative),
            replay=non_negative,
            hidden=sizes(),
        )
        if self.absorbing and self.discount == 1:
            raise UserError("discount = 1.0: must be < 1 with absorbing, where an end is paid γ/(1-γ) rewards.")


class Discriminator(Arrays):
    """The logit of "expert", with the moments that standardise its input and the logit of the absorbing state."""

    net: nets.MLP
    absorbing: Float[Array, ""]
    moments: normalise.Moments


class State(Arrays):
    """The learner's state, the discriminator with its optimiser, and the replayed pairs with their number."""

    learner: LearnerState
    discriminator: Discriminator
    opt: optim.OptState
    replay: Rows | None
    replayed: Array | None


def features(c: Config, p: Rows, discrete: bool) -> Float[Array, "*batch X"]:
    """The discriminator's raw input; a discrete action chooses an output instead of being an input."""
    if c.inputs == "obs_next_obs":
        return jnp.concatenate([p.obs, p.next_obs], -1)
    if c.inputs == "obs" or discrete:
        return p.obs
    return jnp.concatenate([p.obs, p.action], -1)


def logits(c: Config, d: Discriminator, p: Rows) -> Float[Array, "*batch"]:
    """z, positive where the pair looks like the expert's."""
    discrete = jnp.issubdtype(p.action.dtype, jnp.integer)
    z = d.net(d.moments.standardise(features(c, p, discrete)))
    if discrete and c.inputs == "obs_action":
        return jnp.sum(z * jax.nn.one_hot(p.action, z.shape[-1], dtype=z.dtype), -1)
    return z[..., 0]


def reward(c: Config, d: Discriminator, p: Rows) -> Float[Array, "*batch"]:
    """What the discriminator pays; with `absorbing`, an end is also paid for all that follows it."""
    pay = REWARD_MAPS[c.reward]
    after_the_end = c.discount / (1 - c.discount) * pay(d.absorbing) if c.absorbing else 0.0
    return pay(logits(c, d, p)) + jnp.where(p.terminated, after_the_end, 0.0)


def init(c: Config, learner: Agent, expert: demos.Transitions, key: PRNGKey, space: Space) -> State:
    """A fresh learner and a discriminator that knows nothing; input moments start from the expert's."""
    learner_key, net_key = jax.random.split(key)
    discrete = isinstance(space.action, Discrete)
    x = features(c, expert.rows, discrete)
    outputs = space.action.num if isinstance(space.action, Discrete) and c.inputs == "obs_action" else 1
    net = nets.mlp(net_key, (x.shape[-1], *c.hidden, outputs), hidden=nets.glorot(1.0), head=nets.glorot(0.0))
    discriminator = Discriminator(net, jnp.float32(0), normalise.moments_of(x, expert.count))
    empty = jax.tree.map(lambda a: jnp.zeros((c.replay, *a.shape[1:]), a.dtype), expert.rows) if c.replay else None
    opt = optim.adam(c.learning_rate).init(learnt(discriminator))
    return State(learner.init(learner_key, space), discriminator, opt, empty, jnp.int32(0) if c.replay else None)


def learnt(d: Discriminator) -> tuple[nets.MLP, Float[Array, ""]]:
    """The part of the discriminator that gradients move."""
    return d.net, d.absorbing


class Sample(Arrays):
    """Rows of one class with weights that sum to one; padding has weight zero."""

    rows: Rows
    weight: Float[Array, " B"]


def loss(
    parts: tuple[nets.MLP, Array],
    c: Config,
    moments: normalise.Moments,
    expert: Sample,
    policy: Sample,
    ends: tuple[Scalar, Scalar],
    key: PRNGKey,
) -> tuple[Scalar, Metrics]:
    """Binary cross-entropy with each class at weight one, its regularisers, and the absorbing state's share.

    `ends` are terminations per step of expert and policy: each stands for γ/(1-γ) visits to the absorbing state.
    """
    d = Discriminator(*parts, moments)
    z_expert, z_policy = logits(c, d, expert.rows), logits(c, d, policy.rows)
    cross_entropy = expert.weight @ jax.nn.softplus(-z_expert) + policy.weight @ jax.nn.softplus(z_policy)
    entropy = (expert.weight @ bernoulli_entropy(z_expert) + policy.weight @ bernoulli_entropy(z_policy)) / 2
    total = cross_entropy - c.entropy_bonus * entropy
    if c.absorbing:
        of_expert, of_policy = ends
        visits = c.discount / (1 - c.discount)
        total += visits * of_expert * jax.nn.softplus(-d.absorbing) + visits * of_policy * jax.nn.softplus(d.absorbing)
    if c.gradient_penalty is not None:
        total += c.gradient_penalty * slope_penalty(c, d, expert, policy, key)
    metrics = {
        "discriminator_loss": cross_entropy,
        "expert_accuracy": expert.weight @ (z_expert > 0).astype(jnp.float32),
        "policy_accuracy": policy.weight @ (z_policy < 0).astype(jnp.float32),
        "js": jnp.log(2.0) - cross_entropy / 2,
    }
    return total, metrics


def bernoulli_entropy(z: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """Entropy of σ(z), nats."""
    return jax.nn.softplus(z) - z * jax.nn.sigmoid(z)


def slope_penalty(c: Config, d: Discriminator, expert: Sample, policy: Sample, key: PRNGKey) -> Scalar:
    """Mean (‖∂z/∂x‖ - 1)² at random points between expert and policy inputs, in standardised units."""
    discrete = jnp.issubdtype(policy.rows.action.dtype, jnp.integer)
    x_expert, x_policy = (d.moments.standardise(features(c, sample.rows, discrete)) for sample in (expert, policy))
    partner_key, between_key = jax.random.split(key)
    partner = jax.random.choice(partner_key, x_expert.shape[0], (x_policy.shape[0],), p=expert.weight)
    between = jax.random.uniform(between_key, (x_policy.shape[0], 1))
    x = between * x_expert[partner] + (1 - between) * x_policy
    chosen = policy.rows.action if discrete and c.inputs == "obs_action" else jnp.zeros(x.shape[0], jnp.int32)
    slopes = jax.vmap(jax.grad(lambda x, a: d.net(x)[a]))(x, chosen)
    return policy.weight @ (jnp.sqrt(jnp.sum(slopes**2, -1) + 1e-12) - 1) ** 2


def draw(c: Config, rows: Rows, count: Array, key: PRNGKey) -> Sample:
    """What one update of D sees of a class whose first `count` rows are valid."""
    size = rows.terminated.shape[0]
    if c.batch_size == 0:
        return Sample(rows, jnp.where(jnp.arange(size) < count, 1 / count.astype(jnp.float32), 0))
    chosen = jax.random.randint(key, (c.batch_size,), 0, count)
    return Sample(jax.tree.map(lambda x: x[chosen], rows), jnp.full(c.batch_size, 1 / c.batch_size))


def fit(
    c: Config,
    s: State,
    expert: demos.Transitions,
    policy: Rows,
    count: Array,
    ends: tuple[Scalar, Scalar],
    key: PRNGKey,
) -> tuple[Discriminator, optim.OptState, Metrics]:
    """`steps` updates of the discriminator; the first `count` policy pairs are valid."""
    optimiser = optim.adam(c.learning_rate)
    discrete = jnp.issubdtype(policy.action.dtype, jnp.integer)
    moments = normalise.merge(s.discriminator.moments, normalise.moments_of(features(c, policy, discrete), count))

    def step(carry: tuple, key: PRNGKey) -> tuple[tuple, Metrics]:
        parts, opt = carry
        expert_key, policy_key, slope_key = jax.random.split(key, 3)
        experts, policies = draw(c, expert.rows, expert.count, expert_key), draw(c, policy, count, policy_key)
        gradient, metrics = jax.grad(loss, has_aux=True)(parts, c, moments, experts, policies, ends, slope_key)
        return optim.apply(optimiser, gradient, opt, parts), metrics

    (parts, opt), metrics = jax.lax.scan(step, (learnt(s.discriminator), s.opt), jax.random.split(key, c.steps))
    net, absorbing = parts
    return Discriminator(net, absorbing, moments), opt, jax.tree.map(lambda m: m[-1], metrics)


def remember(c: Config, s: State, fresh: Rows) -> tuple[Rows, Array]:
    """The newest `replay` pairs, newest first, and how many of them are valid."""
    assert s.replayed is not None
    pool = jax.tree.map(lambda new, old: jnp.concatenate([new, old])[: c.replay], fresh, s.replay)
    return pool, jnp.minimum(s.replayed + fresh.terminated.size, c.replay)


def update(
    c: Config, learner: Agent, expert: demos.Transitions, s: State, batch: Batch, key: PRNGKey
) -> tuple[State, Metrics]:
    """Algorithm 1: the discriminator learns to tell, then the learner improves on what it pays."""
    learner_key, fit_key = jax.random.split(key)
    collected = Rows(
        *(x.reshape(-1, *x.shape[2:]) for x in (batch.obs, batch.action, batch.last_obs, batch.terminated))
    )
    pool, count = remember(c, s, collected) if c.replay else (collected, jnp.int32(batch.reward.size))
    ends = expert.lengths.num_terminated / expert.lengths.num_steps, batch.terminated.mean()
    discriminator, opt, metrics = fit(c, s, expert, pool, count, ends, fit_key)

    learned_reward = reward(c, discriminator, collected).reshape(batch.reward.shape)
    learner_state, learner_metrics = learner.update(s.learner, batch._replace(reward=learned_reward), learner_key)
    metrics = {**learner_metrics, **metrics, "learned_reward": learned_reward.mean()}
    kept = (pool, count) if c.replay else (None, None)
    return State(learner_state, discriminator, opt, *kept), metrics


def agent(c: Config, learner: Agent, expert: demos.Transitions) -> Agent:
    """The learner, paid by a discriminator that has seen the expert instead of by the environment."""
    return Agent(
        init=partial(init, c, learner, expert),
        act=lambda s, obs, key: learner.act(s.learner, obs, key),
        update=partial(update, c, learner, expert),
        mode=lambda s, obs: learner.mode(s.learner, obs),
        log_prob=lambda s, obs, action: learner.log_prob(s.learner, obs, action),
        rollout=learner.rollout,
    )
