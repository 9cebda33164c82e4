"""What a value learner predicts of the return: its mean, its probabilities on fixed atoms, or its quantiles.

    mean         y = r + γ Q'                                 loss of y - Q                                    (DQN)
    categorical  Σ_j p'_j δ(r + γ z_j), put back onto the atoms z                  -Σ_i m_i log p_i       (C51, 7)
    quantile     y_j = r + γ θ'_j       Σ_i mean_j |τ_i - 1{y_j < θ_i}| L_κ(y_j - θ_i) / κ            (QR-DQN, 10)

A head says how many numbers an action gets, what their mean is, and how far they are from a target. Everything else
(replay, targets, exploration, dueling, several horizons) is the learner's and the same for all of them. Functions are
for one transition; the learner maps them.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from theodolite.core.arrays import Scalar


class Target(NamedTuple):
    """The reward of some steps, the factor of what follows (0 after an end), and the prediction of what follows."""

    reward: Float[Array, ""]
    discount: Float[Array, ""]
    following: Float[Array, " K"]


class Head(NamedTuple):
    """A kind of prediction: K numbers, their mean (over the last axis), and the loss against a target."""

    size: int
    mean: Callable[[Float[Array, "*batch K"]], Float[Array, "*batch"]]
    loss: Callable[[Float[Array, " K"], Target], Float[Array, ""]]
    shapes_torso: tuple[bool, ...] | None = None
    """Which of the K numbers pass their gradient on to the features; all, if None."""


def error_loss(kind: Literal["square", "huber"], error: Float[Array, "..."]) -> Float[Array, "..."]:
    """Half the square of an error; the Huber loss goes on linearly from 1."""
    if kind == "square":
        return 0.5 * error**2
    return huber(error, 1.0)


def huber(error: Float[Array, "..."], kappa: Scalar) -> Float[Array, "..."]:
    """L_κ(u) / κ: u² / 2κ up to κ, |u| - κ/2 beyond; |u| at κ = 0."""
    kappa = jnp.maximum(jnp.asarray(kappa, error.dtype), 1e-6)
    size = jnp.abs(error)
    inside = jnp.minimum(size, kappa)
    return inside**2 / (2 * kappa) + size - inside


def expected(kind: Literal["square", "huber"]) -> Head:
    """The mean alone: DQN."""

    def loss(predicted: Float[Array, " 1"], target: Target) -> Float[Array, ""]:
        wanted = target.reward + target.discount * target.following[0]
        return error_loss(kind, wanted - predicted[0])

    return Head(1, lambda predicted: predicted[..., 0], loss)


def support(atoms: int, low: Scalar, high: Scalar) -> Float[Array, " K"]:
    """K equally spaced values."""
    return jnp.linspace(0, 1, atoms) * (high - low) + low


def project(
    values: Float[Array, " J"], masses: Float[Array, " J"], low: Scalar, high: Scalar, atoms: int
) -> Float[Array, " K"]:
    """Masses at any values put onto equally spaced atoms; between the ends the mean is kept (C51, 7)."""
    z, spacing = support(atoms, low, high), (high - low) / (atoms - 1)
    distance = jnp.abs(jnp.clip(values, low, high)[None] - z[:, None]) / spacing
    return jnp.clip(1 - distance, 0, 1) @ masses


def categorical(atoms: int, low: Scalar, high: Scalar) -> Head:
    """Probabilities of K returns between `low` and `high`, as logits: C51."""
    z = support(atoms, low, high)

    def loss(predicted: Float[Array, " K"], target: Target) -> Float[Array, ""]:
        moved = target.reward + target.discount * z
        wanted = project(moved, jax.nn.softmax(target.following), low, high, atoms)
        return -jnp.sum(wanted * jax.nn.log_softmax(predicted))

    return Head(atoms, lambda predicted: jax.nn.softmax(predicted) @ z, loss)


def midpoints(count: int) -> Float[Array, " K"]:
    """The levels τ_i = (i - 1/2) / K whose quantiles have the least Wasserstein distance to a distribution."""
    return (jnp.arange(count, dtype=jnp.float32) + 0.5) / count


def quantile_loss(
    predicted: Float[Array, " K"], levels: Float[Array, " K"], wanted: Float[Array, " J"], kappa: Scalar
) -> Float[Array, ""]:
    """Quantile regression of K levels onto J values, summed over levels and averaged over values (QR-DQN, 10)."""
    error = wanted[None] - predicted[:, None]
    tilt = jnp.abs(levels[:, None] - (error < 0).astype(error.dtype))
    return jnp.sum(jnp.mean(tilt * huber(error, kappa), axis=1))


def quantile(count: int, kappa: Scalar) -> Head:
    """K quantiles of the return: QR-DQN."""

    def loss(predicted: Float[Array, " K"], target: Target) -> Float[Array, ""]:
        return quantile_loss(predicted, midpoints(count), target.reward + target.discount * target.following, kappa)

    return Head(count, partial(jnp.mean, axis=-1), loss)
