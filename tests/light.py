"""A light generator of random numbers: Threefry's twenty rounds are half of what XLA compiles of a small program.

For tests that ask for equal bits, keys that differ, fields that matter or a program that ends, whatever is drawn. What
the library draws by default is tested wherever something is learnt.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import pytest
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
    bits = stream(key, 3, shape).astype(f"uint{width}")
    return bits if width <= 32 else bits << 32 | stream(key, 4, shape).astype(bits.dtype)


LIGHT = random.define_prng_impl(
    key_shape=(1,), seed=seed, split=split, random_bits=random_bits, fold_in=fold_in, name="light", tag="light"
)


@pytest.fixture(scope="module")
def light_numbers():
    """Every new key is of the light generator."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.random, "key", partial(jax.random.key, impl=LIGHT))
        yield
