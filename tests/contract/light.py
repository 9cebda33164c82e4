"""A light generator of random numbers: Threefry's twenty rounds are half of what XLA compiles of a small program.

The contract asks for equal bits, keys that differ and fields that matter, whatever is drawn. What the library draws by
default is tested wherever something is learnt.
"""

import math

import jax
import jax.numpy as jnp
from jax.extend import random

GOLDEN = 0x9E3779B9


def mixed(x: jax.Array) -> jax.Array:
    """MurmurHash3's last step, a permutation of 32 bits in which every bit of the input moves half of the output."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = (x ^ (x >> jnp.uint32(shift))) * jnp.uint32(factor)
    return x ^ (x >> jnp.uint32(16))


def stream(key: jax.Array, use: int, shape: tuple[int, ...]) -> jax.Array:
    """Numbers of a key for one use of it."""
    count = jax.lax.iota(jnp.uint32, math.prod(shape))
    return mixed(mixed(key ^ jnp.uint32(use)) + jnp.uint32(GOLDEN) * count).reshape(shape)


def seed(number: jax.Array) -> jax.Array:
    return mixed(number.astype(jnp.uint32)).reshape(1)


def split(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return stream(key, 1, (*shape, 1))


def fold_in(key: jax.Array, data: jax.Array) -> jax.Array:
    return mixed(mixed(key ^ jnp.uint32(2)) + data.astype(jnp.uint32))


def random_bits(key: jax.Array, width: int, shape: tuple[int, ...]) -> jax.Array:
    assert width <= 32, width
    return stream(key, 3, shape).astype(f"uint{width}")


LIGHT = random.define_prng_impl(
    key_shape=(1,), seed=seed, split=split, random_bits=random_bits, fold_in=fold_in, name="light", tag="light"
)
