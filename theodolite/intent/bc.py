"""Behavioural cloning: fit the policy to the demonstrator's actions by supervised learning.

    min_θ  E_E[-log π_θ(a|s)]     or, for continuous actions,     min_θ  E_E[‖a - μ_θ(s)‖²]

The policy that acts is the snapshot with the best score on demonstrations that were held out. The protocol (Adam, batch
128, 70/30 split, best snapshot) is that of the GAIL paper (Ho and Ermon 2016, appendix B). Differences from Pomerleau:
1. The policy is a categorical or Gaussian distribution; the paper spreads the target over a row of steering units and
   minimises squared error (`mean_square` is that loss on the Gaussian's mean).
2. Adam on minibatches drawn with replacement, not gradient descent with momentum.
3. Observations are standardised by the mean and sd of the training rows.
4. With `mean_square` nothing trains the Gaussian's sd: each snapshot gets the root mean square error on the held-out
   rows, which is its maximum-likelihood value there.
5. No transformed images and no correction of the demonstrator's errors (Pomerleau 1991): vectors only.
"""

from dataclasses import replace
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from theodolite.core import demos, nets, normalise, optim
from theodolite.core.agent import Solver
from theodolite.core.arrays import Arrays, Metrics, PRNGKey, Scalar
from theodolite.core.claim import Paper
from theodolite.core.config import Constraint, config, one_of, positive, require, sizes
from theodolite.core.demos import Transitions
from theodolite.core.dists import Distribution, Normal
from theodolite.core.env import Action, Discrete, Obs, Space
from theodolite.core.errors import UserError

PAPER = Paper("ALVINN: An Autonomous Land Vehicle in a Neural Network", "Pomerleau", 1989)
METRICS = {
    "loss": "mean loss of the step's minibatches: nats, or squared error",
    "validation": "mean loss on the held-out rows after the step",
    "best_validation": "that of the snapshot which acts",
    "best_update": "minibatch updates after which the snapshot was taken",
}

share = Constraint("must lie between 0 and 1, both excluded", lambda v: 0 < v < 1, 1.0)
SMALLEST_VARIANCE = 1e-8
"""Floor under the held-out squared error, so that a perfect fit keeps a density."""


@config
class Config:
    """Hyper-parameters of behavioural cloning; the defaults are those of the GAIL paper."""

    learning_rate: float = 1e-3
    """Step size of Adam."""
    batch_size: int = 128
    """Rows of a minibatch, drawn with replacement."""
    loss: Literal["log_likelihood", "mean_square"] = "log_likelihood"
    """What is minimised for continuous actions; discrete ones always use the likelihood."""
    validation_share: float = 0.3
    """Share of the rows that is held out to choose the snapshot."""
    validate_every: int = 20
    """Minibatch updates in one step, which ends with a validation."""
    hidden: tuple[int, ...] = (100, 100)
    """Widths of the policy's tanh layers; none for a linear policy."""

    def __post_init__(self):
        require(
            self,
            learning_rate=positive,
            batch_size=positive,
            loss=one_of("log_likelihood", "mean_square"),
            validation_share=share,
            validate_every=positive,
            hidden=sizes(),
        )


class Split(Arrays):
    """A random order of the rows: `num_train` to learn from, then those held out, then padding."""

    order: Int[Array, " N"]
    num_train: Int[Array, ""]
    held_out: Bool[Array, " N"]


class State(Arrays):
    """The network in training, the best snapshot, and what they were fitted and judged with."""

    net: nets.Actor
    best: nets.Actor
    opt: optim.OptState
    moments: normalise.Moments
    split: Split
    update: Int[Array, ""]
    best_update: Int[Array, ""]
    validation: Float[Array, ""]
    best_validation: Float[Array, ""]


def init(c: Config, expert: Transitions, key: PRNGKey, space: Space) -> State:
    """A network that has seen nothing, with its validation score."""
    check(expert, space)
    net_key, split_key = jax.random.split(key)
    net = nets.actor(net_key, space, c.hidden, hidden=nets.glorot(1.0), head=nets.glorot(0.0))
    split = split_rows(expert, c.validation_share, split_key)
    moments = normalise.moments_of(expert.obs[split.order], split.num_train)
    validation, snapshot = validate(c, expert, split, moments, net)
    zero = jnp.int32(0)
    return State(net, snapshot, optimiser(c).init(net), moments, split, zero, zero, validation, validation)


def check(expert: Transitions, space: Space) -> None:
    """Refuse demonstrations that do not fit the space, and spaces that the network does not fit.

    Raises:
        UserError: the shapes found and expected.
    """
    if len(space.obs.shape) != 1:
        raise UserError(f"observations have the shape {space.obs.shape}, expected vectors: flatten them first.")
    shapes, actions = (expert.obs.shape[1:], expert.action.shape[1:]), space.action
    expected = space.obs.shape, () if isinstance(actions, Discrete) else actions.shape
    if shapes != expected or len(expected[1]) > 1:
        raise UserError(
            f"demonstrations have rows of the shapes (observation, action) {shapes}, the environment has {expected}, "
            "and behavioural cloning takes vectors: check that they belong together (Demos.check_against)."
        )


def split_rows(expert: Transitions, held_out: Scalar, key: PRNGKey) -> Split:
    """A random split of the data, the same whatever the padding; a single row is both learnt from and held out."""
    position = jnp.arange(len(expert.obs), dtype=jnp.int32)
    words = jax.vmap(lambda i: jax.random.bits(jax.random.fold_in(key, i)))(position)  # one key a row: blind to N
    order = jnp.argsort(jnp.where(expert.valid, words >> 1, jnp.uint32(2**32 - 1)))
    wanted = jnp.round((1 - held_out) * expert.count.astype(jnp.float32)).astype(jnp.int32)
    num_train = jnp.clip(wanted, 1, jnp.maximum(expert.count - 1, 1))
    first_held_out = jnp.minimum(num_train, expert.count - 1)
    return Split(order.astype(jnp.int32), num_train, (position >= first_held_out) & expert.valid)


def optimiser(c: Config) -> optim.Optimiser:
    """Adam."""
    return optim.adam(c.learning_rate)


def losses(
    net: nets.Actor, c: Config, moments: normalise.Moments, obs: Float[Array, "B O"], action: Action
) -> Float[Array, " B"]:
    """What each row costs: -log π(a|s), or ‖a - μ(s)‖²."""
    policy = net(moments.standardise(obs))
    if c.loss == "mean_square" and isinstance(policy, Normal):
        return jnp.sum((action - policy.mean) ** 2, axis=-1)
    return -policy.log_prob(action)


def loss(net: nets.Actor, c: Config, moments: normalise.Moments, rows: demos.Rows) -> Float[Array, ""]:
    """The mean cost of a minibatch."""
    return losses(net, c, moments, rows.obs, rows.action).mean()


def validate(
    c: Config, expert: Transitions, split: Split, moments: normalise.Moments, net: nets.Actor
) -> tuple[Float[Array, ""], nets.Actor]:
    """The mean loss on the held-out rows, and the network as it would act."""
    held_out = demos.take(expert, split.order)

    def mean(x: Float[Array, "N *A"]) -> Float[Array, " *A"]:
        row = split.held_out.reshape(-1, *[1] * (x.ndim - 1))
        return jnp.where(row, x, 0).sum(0) / split.held_out.sum(dtype=x.dtype)

    score = mean(losses(net, c, moments, held_out.obs, held_out.action))
    policy = net(moments.standardise(held_out.obs))
    if c.loss == "mean_square" and isinstance(policy, Normal):
        variance = mean((held_out.action - policy.mean) ** 2)
        net = replace(net, log_std=0.5 * jnp.log(jnp.maximum(variance, SMALLEST_VARIANCE)))
    return score, net


def step(c: Config, expert: Transitions, s: State, key: PRNGKey) -> tuple[State, Metrics]:
    """`validate_every` minibatches of Adam, then a validation; the snapshot is replaced if the score is the best yet.

    A whole round is one step because a validation under a condition would be computed at every update as soon as seeds
    are vmapped: a condition that may differ between seeds runs both of its branches.
    """
    adam = optimiser(c)

    def one_minibatch(carry: tuple, key: PRNGKey) -> tuple[tuple, Array]:
        net, opt = carry
        drawn = jax.random.randint(key, (c.batch_size,), 0, s.split.num_train)
        rows = demos.take(expert, s.split.order[drawn])
        value, gradient = jax.value_and_grad(loss)(net, c, s.moments, rows)
        return optim.apply(adam, gradient, opt, net), value

    (net, opt), values = jax.lax.scan(one_minibatch, (s.net, s.opt), jax.random.split(key, c.validate_every))
    update = s.update + jnp.int32(c.validate_every)
    validation, snapshot = validate(c, expert, s.split, s.moments, net)
    better = validation < s.best_validation
    best, best_update, best_validation = jax.tree.map(
        lambda new, old: jnp.where(better, new, old),
        (snapshot, update, validation),
        (s.best, s.best_update, s.best_validation),
    )
    metrics = {
        "loss": values.mean(),
        "validation": validation,
        "best_validation": best_validation,
        "best_update": best_update,
    }
    return State(net, best, opt, s.moments, s.split, update, best_update, validation, best_validation), metrics


def policy(s: State, obs: Obs) -> Distribution:
    """The action distribution of the best snapshot."""
    return s.best(s.moments.standardise(obs))


def act(s: State, obs: Obs, key: PRNGKey) -> tuple[Action, Float[Array, "..."]]:
    """Sample actions and their log-probabilities."""
    actions = policy(s, obs)
    action = actions.sample(key)
    return action, actions.log_prob(action)


def mode(s: State, obs: Obs) -> Action:
    """The most likely action."""
    return policy(s, obs).mode()


def log_prob(s: State, obs: Obs, action: Action) -> Float[Array, "..."]:
    """Log-probability of actions, nats."""
    return policy(s, obs).log_prob(action)


def solver(c: Config, expert: Transitions) -> Solver:
    """Behavioural cloning as a solver."""
    return Solver(init=partial(init, c, expert), act=act, step=partial(step, c, expert), mode=mode, log_prob=log_prob)


@partial(jax.jit, static_argnames=("space", "updates"))
def fit(c: Config, expert: Transitions, key: PRNGKey, space: Space, updates: int) -> State:
    """The state after `updates` minibatches, rounded up to whole steps; may be vmapped over keys and stacked data."""
    init_key, step_key = jax.random.split(key)
    clone = solver(c, expert)

    def one(s: State, number: Array) -> tuple[State, Metrics]:
        return clone.step(s, jax.random.fold_in(step_key, number))

    return jax.lax.scan(one, clone.init(init_key, space), jnp.arange(-(-updates // c.validate_every)))[0]
