"""A reward learned from demonstrations, as a thing that outlives its learner: g, its potential h, and their inputs.

    f(s,a,s') = g(s,a) + γ h(s') - h(s),       h(s') = 0 where s' is the end

g is what transfers, f is what one world's discriminator sees. Both are pure functions on transitions. What an agent
executes is what it is judged by: actions are clipped to the action space before anything looks at them.
"""

import math
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from theodolite.core import nets, normalise
from theodolite.core.agent import Agent, Batch, RewardOf, Seen, State
from theodolite.core.arrays import Arrays, Metrics, PRNGKey, Scalar
from theodolite.core.demos import Rows
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.errors import UserError
from theodolite.core.options import plain, refuse

Inputs = Literal["obs", "obs_action", "next_obs"]
INPUTS = ("obs", "obs_action", "next_obs")
Networks = tuple[nets.MLP, nets.MLP | None]


AnyRows = Rows | Seen


class LearnedReward(Arrays):
    """g and h with the moments that standardise observations; h may be missing."""

    g: nets.MLP
    h: nets.MLP | None
    moments: normalise.Moments
    inputs: Inputs = eqx.field(static=True)
    space: Space = eqx.field(static=True)


def init(
    key: PRNGKey,
    space: Space,
    inputs: Inputs,
    hidden: tuple[int, ...],
    potential_hidden: tuple[int, ...] | None,
    moments: normalise.Moments,
    activation: nets.Activation = "tanh",
) -> LearnedReward:
    """Fresh networks whose last layer starts small; without `potential_hidden` there is no h.

    Raises:
        UserError: observations are no vectors.
    """
    if len(space.obs.shape) != 1:
        raise UserError(
            f"observations have the shape {space.obs.shape}, expected vectors, which is what these networks read. Wrap "
            "the environment (gymnasium.wrappers.FlattenObservation, say) and register it under an id of yours."
        )
    g_key, h_key = jax.random.split(key)
    width = space.obs.shape[0]
    actions = space.action.num if isinstance(space.action, Discrete) else math.prod(space.action.shape)
    made: Any = {"hidden": nets.glorot(1.0), "head": nets.glorot(0.1), "activation": nets.ACTIVATIONS[activation]}
    g = nets.mlp(g_key, (width + (actions if inputs == "obs_action" else 0), *hidden, 1), **made)
    h = None if potential_hidden is None else nets.mlp(h_key, (width, *potential_hidden, 1), **made)
    return LearnedReward(g, h, moments, inputs, space)


def executed(space: Space, action: Array) -> Array:
    """The action that the environment gets: clipped to its box."""
    if isinstance(space.action, Box) and space.action.bounded:
        inner = space.action.shape
        shape = (1,) * (action.ndim - len(inner)) + inner
        low, high = (
            jnp.broadcast_to(jnp.asarray(b, action.dtype), inner).reshape(shape)
            for b in (space.action.low, space.action.high)
        )
        return jnp.clip(action, low, high)
    return action


def ground(r: LearnedReward, p: AnyRows) -> Float[Array, "*batch"]:
    """g: the reward that is meant to hold in other worlds."""
    if r.inputs == "next_obs":
        return r.g(r.moments.standardise(p.next_obs))[..., 0]
    x = r.moments.standardise(p.obs)
    if r.inputs == "obs_action":
        space = r.space.action
        if isinstance(space, Discrete):
            action = jax.nn.one_hot(p.action, space.num, dtype=x.dtype)
        else:
            axes = p.action.ndim - len(space.shape)
            action = executed(r.space, p.action).reshape(*p.action.shape[:axes], -1)
        x = jnp.concatenate([x, action], -1)
    return r.g(x)[..., 0]


def shaped(r: LearnedReward, p: AnyRows, discount: Scalar) -> Float[Array, "*batch"]:
    """f: g with the potential's differences. A termination leads to potential 0; a time limit leads on."""
    if r.h is None:
        return ground(r, p)
    now, following = (r.h(r.moments.standardise(x))[..., 0] for x in (p.obs, p.next_obs))
    return ground(r, p) + discount * jnp.where(p.terminated, 0, following) - now


def learnt(r: LearnedReward) -> Networks:
    """The part that gradients move."""
    return r.g, r.h


def with_networks(r: LearnedReward, networks: Networks) -> LearnedReward:
    """The same reward with other networks."""
    return LearnedReward(*networks, r.moments, r.inputs, r.space)


def seen_in(batch: Batch, space: Space) -> Seen:
    """The transitions of a batch, with leading axes [T, E]."""
    return Seen(batch.obs, executed(space, batch.action), batch.last_obs, batch.terminated)


def flat(seen: Seen) -> Rows:
    """The two leading axes as one."""
    return Rows(*(x.reshape(-1, *x.shape[2:]) for x in seen))


class Replay(Arrays):
    """The newest rows of earlier rounds, newest first, and how many are valid."""

    rows: Rows
    count: Array


def no_replay(size: int, like: Rows) -> Replay:
    """Room for `size` rows."""
    return Replay(jax.tree.map(lambda x: jnp.zeros((size, *x.shape[1:]), x.dtype), like), jnp.int32(0))


def remember(replay: Replay, fresh: Rows) -> Replay:
    """The fresh rows in front; the oldest fall out. With room for none the fresh rows alone."""
    size = replay.rows.terminated.shape[0]
    number = fresh.terminated.shape[0]
    rows = jax.tree.map(lambda new, old: jnp.concatenate([new, old])[: max(size, number)], fresh, replay.rows)
    return Replay(rows, jnp.minimum(replay.count + number, max(size, number)))


def kept(replay: Replay, size: int) -> Replay:
    """What the state holds on to."""
    return Replay(jax.tree.map(lambda x: x[:size], replay.rows), jnp.minimum(replay.count, size))


def standardiser(r: LearnedReward, obs: Float[Array, "N O"], rounds: Array, until: int) -> LearnedReward:
    """Take observations into the moments during the first `until` rounds; then they stay, and so does what g means."""
    grown = normalise.add(r.moments, obs)
    moments = jax.tree.map(lambda new, old: jnp.where(rounds < until, new, old), grown, r.moments)
    return LearnedReward(r.g, r.h, moments, r.inputs, r.space)


def check_learner(learner: Agent, who: str, *, log_pi_is_paid: bool) -> None:
    """Raise where f and log π cannot meet in a learner, which must count entropy once, at temperature 1.

    It may be paid f - log π and have no temperature, or be paid f or g and have temperature 1. Temperatures that are
    traced are taken on trust.

    Raises:
        UserError: the learner has options, no density, or another temperature.
    """
    refuse(learner, who)
    if learner.greedy:
        raise UserError(
            f"the learner's policy is the best action and nothing beside it, expected one with a density that it "
            f"learns: {who} weighs f against log π. Take trpo, ppo or sac."
        )
    entropy = learner.entropy
    if entropy.soft and (log_pi_is_paid or entropy.learned):
        found = "is paid f - log π" if log_pi_is_paid else "adjusts its temperature"
        raise UserError(
            f"the learner pays itself for entropy and {found}, expected f (or g) as pay and a temperature of 1 that "
            f"stays: {who} would count entropy twice, or at a price that moves. Set reward = f, temperature = 1 and "
            "learn_temperature = False (--reward f --learner.temperature 1 --learner.no-learn-temperature)."
        )
    found, wanted = known(entropy.temperature), 0 if log_pi_is_paid else 1
    if found is not None and found != wanted:
        pay = "f - log π" if log_pi_is_paid else "f or g"
        raise UserError(
            f"the learner has temperature {found:g}, expected {wanted} where {who} pays {pay}: entropy must count "
            f"once, at temperature 1. Set --learner.temperature {wanted}, or another --reward."
        )


def known(x: Any) -> float | None:
    """The number, unless it is traced or one per seed."""
    return None if isinstance(x, jax.core.Tracer) or np.ndim(x) else float(x)


def in_units_of(learner: Agent, space: Space) -> Scalar:
    """What is due at every step to a learner that counts entropy in units of the box of actions, as f does not."""
    box = space.action
    if not learner.entropy.soft or not isinstance(box, Box) or not box.bounded:
        return 0.0
    half_width = (np.broadcast_to(box.high, box.shape) - np.broadcast_to(box.low, box.shape)) / 2
    return learner.entropy.temperature * float(np.log(half_width).sum())


def paid_by(reward: RewardOf, learner: Agent, space: Space) -> Agent:
    """The learner, paid by a fixed reward on transitions instead of by the environment; its state is the learner's.

    The reward sees the environment's own observations and actions, also where the learner has options.
    """

    def update(s: State, batch: Batch, key: PRNGKey) -> tuple[State, Metrics]:
        paid = reward(seen_in(plain(batch, learner.options, space), space))
        s, metrics = learner.update(s, batch._replace(reward=paid), key)
        return s, {**metrics, "learned_reward": paid.mean()}

    return learner._replace(update=update)
