"""Tile coding: a point of a box as the few active cells of several grids, each shifted against the others.

    tiling k, coordinate i:  cell = ⌊x_i b_i + k (2 i + 1) / num⌋,   x scaled to the unit box, b_i tiles over its side

One extra cell per coordinate takes what the shift pushes over the edge. The displacement by odd multiples is Miller and
Glanz's, which keeps the grids from lining up along the diagonal. No hashing: every cell has its own number.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from theodolite.core.errors import UserError


class Features(NamedTuple):
    """Observations as the numbers of their active binary features; `active` of them are on at a time."""

    of: Callable[[Array], Int[Array, " K"]]
    num: int
    active: int


def one_hot(num_states: int) -> Features:
    """The feature of a numbered state is its number."""
    return Features(lambda obs: obs.reshape(1).astype(jnp.int32), num_states, 1)


def tiles(low: tuple[float, ...], high: tuple[float, ...], bins: tuple[int, ...], num_tilings: int) -> Features:
    """Tile coding of the box between `low` and `high`; what lies outside is clipped to it.

    Raises:
        UserError: an empty box, no tiles, or lengths that differ.
    """
    if not len(low) == len(high) == len(bins):
        raise UserError(f"low, high and bins have lengths {len(low)}, {len(high)}, {len(bins)}: one entry per "
                        "coordinate of the observation is expected in each.")  # fmt: skip
    wide = bool(np.all(np.isfinite(low)) and np.all(np.isfinite(high)) and np.all(np.less(low, high)))
    if not wide:
        raise UserError(f"low = {low}, high = {high}: each side of the box must be finite and longer than nothing.")
    if num_tilings < 1 or min(bins) < 1:
        raise UserError(f"bins = {bins}, num_tilings = {num_tilings}: must be >= 1.")
    counts = np.array(bins) + 1
    strides = np.append(np.cumprod(counts[::-1])[::-1][1:], 1)
    per_tiling = int(counts.prod())
    shift = np.arange(num_tilings)[:, None] * (2 * np.arange(len(bins)) + 1) / num_tilings % 1
    first = jnp.asarray(np.arange(num_tilings) * per_tiling, jnp.int32)
    least, side = jnp.asarray(low, jnp.float32), jnp.asarray(np.subtract(high, low), jnp.float32)
    scale, shift, strides = (jnp.asarray(bins, jnp.float32), jnp.asarray(shift, jnp.float32),
                             jnp.asarray(strides, jnp.int32))  # fmt: skip

    def of(obs: Float[Array, " O"]) -> Int[Array, " K"]:
        inside = jnp.clip((obs - least) / side, 0, 1) * scale
        cell = jnp.floor(inside[None] + shift).astype(jnp.int32)
        return first + jnp.sum(jnp.minimum(cell, counts[None] - 1).astype(jnp.int32) * strides[None], axis=-1)

    return Features(of, num_tilings * per_tiling, num_tilings)
