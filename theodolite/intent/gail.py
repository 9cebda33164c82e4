"""Generative adversarial imitation learning: a discriminator tells the expert's pairs from the policy's, and the
policy is paid for being taken for the expert.

    min_π max_D  E_π[log(1 - D(s,a))] + E_E[log D(s,a)] - λ H(π),      D = σ(z) = probability of expert

Differences from the paper:
1. D is the probability of the EXPERT, as in nearly all code; the paper's D is that of the policy.
2. The reward map is an option. `softplus` (-log(1 - D) >= 0, the released code where episodes end on failure) pays for
   survival, `logsigmoid` (log D <= 0, where they end on success) pays for ending; `absorbing` removes either bias by
   letting the discriminator see and the policy be paid for what follows a termination (Kostrikov et al. 2019): an
   absorbing state, entered by a termination and visited γ + γ² + … = γ/(1-γ) times.
3. The learner is any agent, given as an argument; its own `temperature` is the λ of the paper. One with a replay (SAC)
   is paid anew for what it has kept whenever D has moved, as in Kostrikov et al. 2019.
4. Beside the released code's entropy bonus for D there are a gradient penalty, several steps per round, minibatches,
   replay of old policy pairs, and state-only inputs (Torabi et al. 2019).
5. All of the expert's pairs are seen at every update, where the released code draws as many as the policy collected
   with replacement: the same expectation at less noise and cost.
6. The discriminator is updated first, as in algorithm 1 (the released code updates the policy first).
7. The moments that standardise D's input start from the expert's pairs and take in every policy pair once; the released
   code adds the expert's again in every round.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from theodolite.core import demos, nets, normalise, optim
from theodolite.core.agent import Agent, Batch, Seen
from theodolite.core.agent import State as LearnerState
from theodolite.core.arrays import Arrays, Metrics, PRNGKey, Scalar
from theodolite.core.claim import Paper
from theodolite.core.config import config, non_negative, one_of, optional, positive, probability, require, sizes
from theodolite.core.demos import Rows
from theodolite.core.env import Discrete, Space
from theodolite.core.errors import UserError
from theodolite.core.options import refuse

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
    """Newest policy pairs of earlier rounds that D goes on learning from beside the present round's."""
    hidden: tuple[int, ...] = (100, 100)
    """Widths of D's hidden layers."""
    activation: nets.Activation = "tanh"
    """Of the hidden layers; relu tells pairs apart that lie far from the expert's, where tanh is flat."""

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
            activation=one_of(*nets.ACTIVATIONS),
        )
        if self.absorbing and self.discount == 1:
            raise UserError("discount = 1.0: must be < 1 with absorbing, where an end is paid γ/(1-γ) rewards.")


class Discriminator(Arrays):
    """The logit of "expert", with the moments that standardise its input."""

    net: nets.MLP
    moments: normalise.Moments


class Pool(Arrays):
    """Pairs of which the first `count` are valid."""

    rows: Rows
    count: Int[Array, ""]


class State(Arrays):
    """The learner's state, the discriminator with its optimiser, and the replayed pairs if there is a replay."""

    learner: LearnerState
    discriminator: Discriminator
    opt: optim.OptState
    replay: Pool | None


def features(c: Config, p: Rows | Seen, discrete: bool) -> Float[Array, "*batch X"]:
    """The discriminator's raw input; a discrete action chooses an output instead of being an input."""
    if c.inputs == "obs_next_obs":
        return jnp.concatenate([p.obs, p.next_obs], -1)
    if c.inputs == "obs" or discrete:
        return p.obs
    return jnp.concatenate([p.obs, p.action], -1)


def inputs(c: Config, d: Discriminator, p: Rows | Seen) -> Float[Array, "*batch X"]:
    """What the net sees: standardised features and, with `absorbing`, a column that is 1 in the absorbing state."""
    x = d.moments.standardise(features(c, p, is_discrete(p)))
    return jnp.concatenate([x, jnp.zeros((*x.shape[:-1], 1), x.dtype)], -1) if c.absorbing else x


def is_discrete(p: Rows | Seen) -> bool:
    """Whether actions are choices."""
    return jnp.issubdtype(p.action.dtype, jnp.integer)


def absorbing_logit(d: Discriminator) -> Float[Array, ""]:
    """z of the absorbing state, where all features are 0 and actions mean nothing: the mean over them."""
    return d.net(jnp.zeros(d.moments.mean.size + 1).at[-1].set(1)).mean()


def logits(c: Config, d: Discriminator, p: Rows | Seen) -> Float[Array, "*batch"]:
    """z, positive where the pair looks like the expert's."""
    discrete = is_discrete(p)
    z = d.net(inputs(c, d, p))
    if discrete and c.inputs == "obs_action":
        return jnp.sum(z * jax.nn.one_hot(p.action, z.shape[-1], dtype=z.dtype), -1)
    return z[..., 0]


def reward(c: Config, d: Discriminator, p: Rows | Seen) -> Float[Array, "*batch"]:
    """What the discriminator pays; with `absorbing`, an end is also paid for all that follows it."""
    pay = REWARD_MAPS[c.reward]
    after_the_end = visits(c) * pay(absorbing_logit(d)) if c.absorbing else 0.0
    return pay(logits(c, d, p)) + jnp.where(p.terminated, after_the_end, 0.0)


def visits(c: Config) -> Scalar:
    """Discounted visits to the absorbing state after a termination."""
    return c.discount / (1 - c.discount)


def init(c: Config, learner: Agent, expert: demos.Transitions, key: PRNGKey, space: Space) -> State:
    """A fresh learner and a discriminator that knows nothing; input moments start from the expert's."""
    learner_key, net_key = jax.random.split(key)
    discrete = isinstance(space.action, Discrete)
    x = features(c, expert.rows, discrete)
    outputs = space.action.num if isinstance(space.action, Discrete) and c.inputs == "obs_action" else 1
    widths = (x.shape[-1] + c.absorbing, *c.hidden, outputs)
    activation = nets.ACTIVATIONS[c.activation]
    net = nets.mlp(net_key, widths, hidden=nets.glorot(1.0), head=nets.glorot(0.0), activation=activation)
    discriminator = Discriminator(net, normalise.moments_of(x, expert.count))
    empty = jax.tree.map(lambda a: jnp.zeros((c.replay, *a.shape[1:]), a.dtype), expert.rows)
    opt = optim.adam(c.learning_rate).init(net)
    replay = Pool(empty, jnp.int32(0)) if c.replay else None
    return State(learner.init(learner_key, space), discriminator, opt, replay)


class Sample(Arrays):
    """Rows of one class with weights that sum to one; padding has weight zero."""

    rows: Rows
    weight: Float[Array, " B"]


def loss(
    net: nets.MLP,
    c: Config,
    moments: normalise.Moments,
    expert: Sample,
    policy: Sample,
    ends: tuple[Scalar, Scalar],
    key: PRNGKey,
) -> tuple[Scalar, Metrics]:
    """Binary cross-entropy with each class at weight one, and its regularisers.

    `ends` are terminations per step of expert and policy: each adds γ/(1-γ) visits to the absorbing state, which then
    have their share in the class's weight.
    """
    d = Discriminator(net, moments)
    z_expert, z_policy = logits(c, d, expert.rows), logits(c, d, policy.rows)
    of_expert, of_policy = expert.weight @ jax.nn.softplus(-z_expert), policy.weight @ jax.nn.softplus(z_policy)
    if c.absorbing:
        z = absorbing_logit(d)
        of_expert = with_absorbing(c, of_expert, jax.nn.softplus(-z), ends[0])
        of_policy = with_absorbing(c, of_policy, jax.nn.softplus(z), ends[1])
    cross_entropy = of_expert + of_policy
    entropy = (expert.weight @ bernoulli_entropy(z_expert) + policy.weight @ bernoulli_entropy(z_policy)) / 2
    total = cross_entropy - c.entropy_bonus * entropy
    if c.gradient_penalty is not None:
        total += c.gradient_penalty * slope_penalty(c, d, expert, policy, key)
    metrics = {
        "discriminator_loss": cross_entropy,
        "expert_accuracy": expert.weight @ (z_expert > 0).astype(jnp.float32),
        "policy_accuracy": policy.weight @ (z_policy < 0).astype(jnp.float32),
        "js": jnp.log(2.0) - cross_entropy / 2,
    }
    return total, metrics


def with_absorbing(c: Config, of_pairs: Array, of_absorbing: Array, ends: Scalar) -> Array:
    """The mean over a class's pairs and its visits to the absorbing state."""
    share = visits(c) * ends / (1 + visits(c) * ends)
    return (1 - share) * of_pairs + share * of_absorbing


def bernoulli_entropy(z: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """Entropy of σ(z), nats."""
    return jax.nn.softplus(z) - z * jax.nn.sigmoid(z)


def slope_penalty(c: Config, d: Discriminator, expert: Sample, policy: Sample, key: PRNGKey) -> Scalar:
    """Mean (‖∂z/∂x‖ - 1)² at random points between expert and policy inputs, in standardised units."""
    discrete = is_discrete(policy.rows)
    x_expert, x_policy = inputs(c, d, expert.rows), inputs(c, d, policy.rows)
    partner_key, between_key = jax.random.split(key)
    partner = jax.random.choice(partner_key, x_expert.shape[0], (x_policy.shape[0],), p=expert.weight)
    between = jax.random.uniform(between_key, (x_policy.shape[0], 1))
    x = between * x_expert[partner] + (1 - between) * x_policy
    chosen = policy.rows.action if discrete and c.inputs == "obs_action" else jnp.zeros(x.shape[0], jnp.int32)
    slopes = jax.vmap(jax.grad(lambda x, a: d.net(x)[a]))(x, chosen)
    return policy.weight @ (jnp.sqrt(jnp.sum(slopes**2, -1) + 1e-12) - 1) ** 2


def draw(c: Config, pool: Pool, key: PRNGKey) -> Sample:
    """What one update of D sees of a class."""
    size = pool.rows.terminated.shape[0]
    if c.batch_size == 0:
        return Sample(pool.rows, jnp.where(jnp.arange(size) < pool.count, 1 / pool.count.astype(jnp.float32), 0))
    chosen = jax.random.randint(key, (c.batch_size,), 0, pool.count)
    return Sample(jax.tree.map(lambda x: x[chosen], pool.rows), jnp.full(c.batch_size, 1 / c.batch_size))


def fit(
    c: Config,
    d: Discriminator,
    opt: optim.OptState,
    expert: Pool,
    policy: Pool,
    ends: tuple[Scalar, Scalar],
    key: PRNGKey,
) -> tuple[Discriminator, optim.OptState, Metrics]:
    """`steps` updates of the discriminator."""
    optimiser = optim.adam(c.learning_rate)

    def step(carry: tuple, key: PRNGKey) -> tuple[tuple, Metrics]:
        net, opt = carry
        expert_key, policy_key, slope_key = jax.random.split(key, 3)
        experts, policies = draw(c, expert, expert_key), draw(c, policy, policy_key)
        gradient, metrics = jax.grad(loss, has_aux=True)(net, c, d.moments, experts, policies, ends, slope_key)
        return optim.apply(optimiser, gradient, opt, net), metrics

    (net, opt), metrics = jax.lax.scan(step, (d.net, opt), jax.random.split(key, c.steps))
    return Discriminator(net, d.moments), opt, jax.tree.map(lambda m: m[-1], metrics)


def remember(c: Config, replay: Pool, fresh: Rows) -> tuple[Pool, Pool]:
    """The round's pairs before the replayed ones, newest first, and the newest `replay` of both, which are kept."""
    rows = jax.tree.map(lambda new, old: jnp.concatenate([new[::-1], old]), fresh, replay.rows)
    count = replay.count + fresh.terminated.size
    return Pool(rows, count), Pool(jax.tree.map(lambda x: x[: c.replay], rows), jnp.minimum(count, c.replay))


def update(
    c: Config, learner: Agent, expert: demos.Transitions, s: State, batch: Batch, key: PRNGKey
) -> tuple[State, Metrics]:
    """Algorithm 1: the discriminator learns to tell, then the learner improves on what it pays."""
    learner_key, fit_key = jax.random.split(key)
    collected = Rows(
        *(x.reshape(-1, *x.shape[2:]) for x in (batch.obs, batch.action, batch.last_obs, batch.terminated))
    )
    fresh = Pool(collected, jnp.int32(batch.reward.size))
    x = features(c, collected, is_discrete(collected))
    moments = normalise.merge(s.discriminator.moments, normalise.moments_of(x, fresh.count))
    pool, later = (fresh, None) if s.replay is None else remember(c, s.replay, collected)
    ends = expert.lengths.num_terminated / expert.lengths.num_steps, batch.terminated.mean()
    d = Discriminator(s.discriminator.net, moments)
    d, opt, metrics = fit(c, d, s.opt, Pool(expert.rows, expert.count), pool, ends, fit_key)

    learned_reward = reward(c, d, collected).reshape(batch.reward.shape)
    kept = learner.repay(s.learner, partial(reward, c, d))
    learner_state, learner_metrics = learner.update(kept, batch._replace(reward=learned_reward), learner_key)
    metrics = {**learner_metrics, **metrics, "learned_reward": learned_reward.mean()}
    return State(learner_state, d, opt, later), metrics


def agent(c: Config, learner: Agent, expert: demos.Transitions) -> Agent:
    """The learner, paid by a discriminator that has seen the expert instead of by the environment.

    Raises:
        UserError: the learner has options.
    """
    refuse(learner, "GAIL")
    return Agent(
        init=partial(init, c, learner, expert),
        act=lambda s, obs, key: learner.act(s.learner, obs, key),
        update=partial(update, c, learner, expert),
        mode=lambda s, obs: learner.mode(s.learner, obs),
        log_prob=lambda s, obs, action: learner.log_prob(s.learner, obs, action),
        rollout=learner.rollout,
    )
