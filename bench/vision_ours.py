"""Worker: steps of gradient ascent on an image through our layers; `plain` as the argument takes the compiler's own."""

import sys

import jax
import jax.numpy as jnp
from vision_stack import CHANNEL, POOLED, RATE, STEPS, image, weights
from worker import serve

from theodolite.core.convolution import conv2d, plain
from theodolite.interpret.vision.layers import max_pool, relu

PLAIN = "plain" in sys.argv


def pool(x):
    if PLAIN:
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return max_pool(x, 2, 2)


def objective(x, kernels):
    for i, kernel in enumerate(kernels):
        x = relu(plain(x, kernel) if PLAIN else conv2d(x, kernel, padding=1))
        x = pool(x) if i in POOLED else x
    return x[..., CHANNEL].mean()


@jax.jit
def ascend(x, kernels):
    return jax.lax.fori_loop(0, STEPS, lambda _, x: x + RATE * jax.grad(objective)(x, kernels), x)


start, kernels = jnp.asarray(image()), [jnp.asarray(kernel) for kernel in weights()]


def segment() -> dict:
    moved = ascend(start, kernels).block_until_ready()
    return {"steps": STEPS, "moved": float(jnp.abs(moved - start).sum())}


serve(segment, {"steps": segment})
