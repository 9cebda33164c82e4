"""How a look reads each Q-learner: its values, its own targets, its features, and when its target network moves."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from theodolite.commands.methods import METHODS
from theodolite.control import diagnosis, dqn, heads, horizons, iqn, preq_dqn
from theodolite.control.target_network import Learner
from theodolite.core.arrays import PRNGKey
from theodolite.core.errors import UserError
from theodolite.core.replay import Replay, Sample, sample

AHEAD = 1_000
"""Gradient steps that are made at most, on the buffer as it is, to see the target network's next move."""


class Lens(NamedTuple):
    """A Q-learner of choices, seen from outside; `net` is what its gradient steps change."""

    net: Callable[[PyTree], PyTree]
    """Of the agent's state."""
    q: Callable[[PyTree, Array], Float[Array, "B A"]]
    """Of a net and observations: the mean return."""
    features: Callable[[PyTree, Array], Float[Array, "B F"]]
    """What the last layer of a net reads."""
    targets: Callable[[PyTree, Sample], Float[Array, " B"]]
    """What the learner of a state would have a sample's values be, in the mean."""
    moved: Callable[[PyTree, Sample, PRNGKey], Float[Array, " B"]] | None
    """How far these move at the target network's next move; None without such a network."""
    discount: float
    n_step: int


def lens_of(method: str, config: Any) -> Lens:
    """The lens of a method that learns a Q function of choices.

    Raises:
        UserError: it has several trunks, or acts by a mixture of horizons.
    """
    if METHODS[method].module == iqn.__name__:
        return _iqn(config)
    return _preq_dqn(config) if METHODS[method].module == preq_dqn.__name__ else _dqn(config)


def turnable(method: str, config: Any, images: bool) -> set[str]:
    """The settings that advice may name: those the method has, without switches that are on."""
    fixed = METHODS[method].fixed
    found = {name for name in config.__dataclass_fields__ if name not in fixed and getattr(config, name) is not True}
    return found if images or method == "preq_dqn" else found | {"preq_dqn"}


def _dqn(c: dqn.Config) -> Lens:
    if c.trunks > 1:
        raise UserError(f"trunks = {c.trunks}: must be 1. One network's features and kernel are measured.")
    _check_horizon(c)
    head = dqn.head_of(c)

    def targets(now: Learner, b: Sample) -> Array:
        found = dqn.targets(c, head, now, b)
        return (found.reward + found.discount * head.mean(found.following))[:, -1]

    def step(now: Learner, b: Sample, _: PRNGKey) -> Learner:
        return dqn.improve(c, head, now, b)[0]

    return Lens(
        net=lambda s: s.learner.net,
        q=lambda net, obs: head.mean(dqn.predict(c, head, net, obs))[..., -1, :],
        features=lambda net, obs: net.torso(obs),
        targets=lambda s, b: targets(s.learner, b),
        moved=lambda s, b, key: _moved(c, targets, step, s, b, key),
        discount=float(horizons.longest(c)),
        n_step=c.n_step,
    )


def _check_horizon(c: horizons.Settings) -> None:
    if c.horizons > 1 and c.act_by != "longest":
        raise UserError(f"act_by = {c.act_by}: must be longest. The values of the head that acts are measured.")


def _iqn(c: iqn.Config) -> Lens:
    _check_horizon(c)

    def targets(now: Learner, b: Sample) -> Array:
        levels = jnp.broadcast_to(heads.midpoints(c.policy_levels), (b.action.shape[0], c.policy_levels))
        return iqn.targets(c, now, b, levels).mean(1)[:, -1]

    def step(now: Learner, b: Sample, key: PRNGKey) -> Learner:
        return iqn.improve(c, now, b, key)[0]

    return Lens(
        net=lambda s: s.learner.net,
        q=lambda net, obs: net(obs, heads.midpoints(c.policy_levels)).mean(-3)[..., -1, :],
        features=lambda net, obs: net.torso(obs),
        targets=lambda s, b: targets(s.learner, b),
        moved=lambda s, b, key: _moved(c, targets, step, s, b, key),
        discount=float(horizons.longest(c)),
        n_step=c.n_step,
    )


def _preq_dqn(c: preq_dqn.Config) -> Lens:
    def features(net: Any, obs: Array) -> Array:
        x = obs.astype(jnp.float32)
        for layer in net.layers[:-1]:
            x = net.activation(layer(x))
        return x

    return Lens(
        net=lambda s: s.net,
        q=lambda net, obs: net(obs),
        features=features,
        targets=lambda s, b: preq_dqn.targets(c, s.net, b),
        moved=None,
        discount=float(c.discount),
        n_step=c.n_step,
    )


def _moved(c: Any, targets: Callable, step: Callable, s: PyTree, b: Sample, key: PRNGKey) -> Float[Array, " B"]:
    """Gradient steps up to the target network's next move, and how far targets are apart with the online one in its
    place: for a network that is copied this is the move, for one that trails behind its whole distance."""
    ring: Replay = s.replay

    def one(i: Array, now: PyTree) -> PyTree:
        row_key, own_key = jax.random.split(jax.random.fold_in(key, i))
        return step(now, sample(ring, row_key, c.batch_size, steps=c.n_step), own_key)

    left = jnp.minimum((-s.learner.updates - 1) % c.target_every, AHEAD)
    before = jax.lax.fori_loop(0, left, one, s.learner)
    now = one(left, before)  # moves the target network
    old, new = (type(now)(now.net, net, now.opt, now.updates) for net in (before.target, now.net))
    return targets(new, b) - targets(old, b)


def rows(lens: Lens, s: PyTree, b: Sample) -> diagnosis.Rows:
    """A sample as the learner sees it."""
    return diagnosis.Rows(b.obs, diagnosis.taken(lens.q(lens.net(s), b.obs), b.action), lens.targets(s, b))
