"""The arms of the newsletter's question: what, in learning quantiles, shapes the features?

Quantiles on a shared network beat the mean alone. Is it the distribution, or that the features serve many tasks? If
every quantile has a network of its own nothing is shared, and the gain should go; if quantiles only shape the features
and the mean alone acts, it should stay.
"""

from dataclasses import fields, replace
from itertools import pairwise

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from theodolite.control import dqn, heads, iqn
from theodolite.control.dqn import Config
from theodolite.control.heads import Head, Target

COUNT = 8
"""Quantiles, or members of an ensemble."""
Arm = tuple[Config | iqn.Config, Head | None]
"""A configuration, and the head if the configuration does not name it."""


def ensemble(count: int) -> Head:
    """Members that all learn the mean, from the mean of their predictions of what follows."""

    def loss(predicted: Float[Array, " K"], target: Target) -> Float[Array, ""]:
        wanted = target.reward + target.discount * target.following.mean()
        return jnp.sum(heads.error_loss("square", wanted - predicted))

    return Head(count, lambda out: out.mean(-1), loss)


def auxiliary(count: int, kappa: float) -> Head:
    """The first number is the mean, which acts and bootstraps; the others are quantiles, which only shape features."""

    def loss(predicted: Float[Array, " K"], target: Target) -> Float[Array, ""]:
        wanted = target.reward + target.discount * target.following
        mean = heads.error_loss("square", wanted[0] - predicted[0])
        return mean + heads.quantile_loss(predicted[1:], heads.midpoints(count), wanted[1:], kappa)

    return Head(count + 1, lambda out: out[..., 0], loss)


def histogram(atoms: int, low: float, high: float, width: float = 0.75) -> Head:
    """The mean as a class: cross-entropy against a Gaussian, `width` atoms wide (Imani and White 2018)."""
    z, spacing = heads.support(atoms, low, high), (high - low) / (atoms - 1)

    def mean(out: Float[Array, "*batch K"]) -> Float[Array, "*batch"]:
        return jax.nn.softmax(out) @ z

    def loss(predicted: Float[Array, " K"], target: Target) -> Float[Array, ""]:
        wanted = jnp.clip(target.reward + target.discount * mean(target.following), low, high)
        bell = jax.nn.softmax(-((z - wanted) ** 2) / (2 * (width * spacing) ** 2))
        return -jnp.sum(bell * jax.nn.log_softmax(predicted))

    return Head(atoms, mean, loss)


def parameters(inputs: int, hidden: tuple[int, ...], outputs: int) -> int:
    """Weights and biases of dense layers."""
    widths = (inputs, *hidden, outputs)
    return sum((a + 1) * b for a, b in pairwise(widths))


def narrow(inputs: int, hidden: tuple[int, ...], actions: int, count: int) -> tuple[int, ...]:
    """Widths at which `count` networks of one number per action have as many parameters as one of `count` has."""
    whole = parameters(inputs, hidden, actions * count)
    share = max(s for s in range(1, 101) if count * parameters(inputs, _scaled(hidden, s), actions) <= whole or s == 1)
    return _scaled(hidden, share)


def _scaled(hidden: tuple[int, ...], percent: int) -> tuple[int, ...]:
    return tuple(max(1, round(h * percent / 100)) for h in hidden)


def implicit(base: Config, levels: int) -> iqn.Config:
    """IQN with everything that it shares with DQN as in the base."""
    shared = {f.name: getattr(base, f.name) for f in fields(iqn.Config) if hasattr(base, f.name)}
    return iqn.Config(**shared, levels=levels, target_levels=levels)


def arms(base: Config, inputs: int, actions: int) -> dict[str, Arm]:
    """Every arm around one base: same stream, same exploration, same optimiser, same initial features."""
    quantiles = replace(base, head="quantile", atoms=COUNT)
    slim = narrow(inputs, base.hidden, actions, COUNT) if base.hidden else base.hidden
    central = tuple(i == COUNT // 2 for i in range(COUNT))
    return {
        "DQN": (base, None),
        "C51": (replace(base, head="categorical"), None),
        "QR-DQN": (quantiles, None),
        "IQN": (implicit(base, COUNT), None),
        "separate": (replace(quantiles, trunks=COUNT), None),
        "separate, small": (replace(quantiles, trunks=COUNT, hidden=slim), None),
        "two trunks": (replace(quantiles, trunks=2), None),
        "ensemble": (replace(base, trunks=COUNT), ensemble(COUNT)),
        "ensemble, small": (replace(base, trunks=COUNT, hidden=slim), ensemble(COUNT)),
        "auxiliary": (base, auxiliary(COUNT, base.kappa)),
        "blocked": (quantiles, heads.quantile(COUNT, base.kappa)._replace(shapes_torso=central)),
        "histogram": (base, histogram(base.atoms, *base.support)),
        "horizons": (replace(base, horizons=10), None),
        "hyperbolic": (replace(base, horizons=10, act_by="mixture"), None),
    }


def make(arm: Arm):
    """A maker of an arm's agent from its configuration alone, whose numbers are traced."""
    if isinstance(arm[0], iqn.Config):
        return iqn.agent
    return lambda c: dqn.agent(c, arm[1])
