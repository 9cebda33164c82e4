"""Convolutions of images, [B, H, W, C], with kernels [h, w, inputs, outputs], as fast as a CPU allows.

A CPU multiplies at its peak in a plain convolution already, so what makes it faster is fewer multiplications: kernels
of 3x3 at stride 1 go through Winograd's minimal filtering F(4x4, 3x3), which takes 36 products for 16 outputs instead
of 144 (Lavin, Gray 2016, arXiv:1509.09308). With the matrices B, G and A of that paper,

    Y = Aᵀ [ (G k Gᵀ) ⊙ (Bᵀ x B) ] A      for every tile of 6x6 inputs x and 4x4 outputs Y                          (1)

and the sum over input channels turns ⊙ into 36 products of matrices. The gradient by the image is the same convolution
with the kernel turned round. Rounding is a few times that of the plain sum, about 1e-5 of the largest value. Where
every channel is convolved by itself, the sum over the kernel's places is one loop, much faster than the compiler's own.
"""

from collections.abc import Sequence
from functools import partial, reduce
from operator import add
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from theodolite.core.arrays import lift

Padding = Literal["SAME", "VALID"] | int
Pads = tuple[tuple[int, int], tuple[int, int]]
FEWEST_CHANNELS, FEWEST_TILES = 16, 16
"""Below these, of inputs and of outputs, the transforms cost more than they save."""
G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], np.float32) / 24


def conv2d(
    x: Float[Array, "B H W I"],
    kernel: Float[Array, "h w i O"],
    *,
    stride: int = 1,
    padding: Padding = 0,
    groups: int = 1,
    factors: "Factors | None" = None,
) -> Float[Array, "B Y X O"]:
    """The cross-correlation that networks call a convolution; `SAME` pads as TensorFlow does, a number on all sides.

    With `factors`, those of the kernel, the kernel counts as a constant where they are used.
    """
    worth_it = _worth_transforming(x.shape, kernel.shape, stride, padding, groups)
    if worth_it and x.dtype == kernel.dtype == jnp.float32 and jax.default_backend() == "cpu":
        return winograd(x, jnp.asarray(kernel)) if factors is None else filtered(x, factors)
    if groups > 1 and kernel.shape[2] == 1 and kernel.shape[3] == groups:
        return depthwise(x, jnp.asarray(kernel), stride, _pads(x.shape, kernel.shape, stride, padding))
    if tuple(kernel.shape[:2]) == (1, 1) and stride == groups == 1 and padding in (0, "SAME", "VALID"):
        return jnp.einsum("bhwi,io->bhwo", x, jnp.asarray(kernel)[0, 0])  # its gradient is faster than a convolution's
    return plain(x, kernel, stride, padding, groups)


def _pads(x: Sequence[int], kernel: Sequence[int], stride: int, padding: Padding) -> Pads:
    """Rows above and below, columns left and right."""
    if isinstance(padding, int):
        return (padding, padding), (padding, padding)
    (top, bottom), (left, right) = jax.lax.padtype_to_pads(x[1:3], kernel[:2], (stride, stride), padding)
    return (int(top), int(bottom)), (int(left), int(right))


def plain(x: Array, kernel: Array, stride: int = 1, padding: Padding = 1, groups: int = 1) -> Array:
    """The convolution as the compiler makes it."""
    pads = _pads(x.shape, kernel.shape, stride, padding)
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups
    )


def _worth_transforming(x: Sequence[int], kernel: Sequence[int], stride: int, padding: Padding, groups: int) -> bool:
    same = padding in ("SAME", 1) and stride == 1 and groups == 1 and tuple(kernel[:2]) == (3, 3)
    tiles = x[0] * -(-x[1] // 4) * -(-x[2] // 4)
    return same and min(kernel[2:]) >= FEWEST_CHANNELS and tiles >= FEWEST_TILES


@jax.custom_vjp
def winograd(x: Float[Array, "B H W I"], kernel: Float[Array, "3 3 I O"]) -> Float[Array, "B H W O"]:
    """A convolution of 3x3 that keeps the size, by equation (1). It has gradients, but no forward derivative."""
    return _tiled(x, _factor(kernel))


def _factor(kernel: Float[Array, "3 3 I O"]) -> Float[Array, "36 I O"]:
    """G k Gᵀ."""
    return jnp.einsum("ja,ib,baco->jico", G, G, kernel).reshape(36, *kernel.shape[2:])


def _tiled(x: Float[Array, "B H W I"], factor: Float[Array, "36 I O"]) -> Float[Array, "B H W O"]:
    """Equation (1) for a kernel that is already transformed."""
    batch, height, width, channels = x.shape
    down, across = -(-height // 4), -(-width // 4)
    tiled = jnp.pad(x, ((0, 0), (1, 4 * down + 1 - height), (1, 4 * across + 1 - width), (0, 0)))
    rows = jnp.stack(_inputs([tiled[:, i : i + 4 * down - 3 : 4] for i in range(6)]))
    both = jnp.stack(_inputs([rows[:, :, :, i : i + 4 * across - 3 : 4] for i in range(6)]))
    products = jnp.einsum("tpc,tco->tpo", both.reshape(36, -1, channels), factor)
    products = products.reshape(6, 6, batch, down, across, -1)
    columns = jnp.stack(_outputs([products[j] for j in range(6)]), axis=4)
    y = jnp.stack(_outputs([columns[i] for i in range(6)]), axis=2)
    return y.reshape(batch, 4 * down, 4 * across, -1)[:, :height, :width]


def _inputs(x: list[Array]) -> list[Array]:
    """Bᵀ x, for the six rows of x."""
    a, b, c, d, e, f = x
    even, odd, half, twice = e - 4 * c, d - 4 * b, e - c, 2 * (d - b)
    return [4 * a - 5 * c + e, even + odd, even - odd, half + twice, half - twice, 4 * b - 5 * d + f]


def _outputs(m: list[Array]) -> list[Array]:
    """Aᵀ m, for the six rows of m."""
    a, b, c, d, e, f = m
    sum1, difference1, sum2, difference2 = b + c, b - c, d + e, d - e
    return [a + sum1 + sum2, difference1 + 2 * difference2, sum1 + 4 * sum2, difference1 + 8 * difference2 + f]


def _forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return winograd(x, kernel), (x, kernel)


def _turned(kernel: Float[Array, "3 3 I O"]) -> Float[Array, "3 3 O I"]:
    return kernel[::-1, ::-1].swapaxes(2, 3)


def _backward(saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = saved
    (by_kernel,) = jax.linear_transpose(lambda k: plain(x, k), kernel)(gradient)  # not computed where nobody asks
    return winograd(gradient, _turned(kernel)), by_kernel


winograd.defvjp(_forward, _backward)


class Factors(NamedTuple):
    """A kernel's G k Gᵀ, and that of the turned kernel for the gradient: computed once where the kernel stays."""

    forward: Float[Array, "36 I O"]
    backward: Float[Array, "36 O I"]


def factors(kernel: Float[Array, "h w I O"]) -> Factors | None:
    """The factors of a kernel that some image may be worth transforming for."""
    fits = kernel.shape[:2] == (3, 3) and min(kernel.shape[2:]) >= FEWEST_CHANNELS and kernel.dtype == jnp.float32
    if not fits or jax.default_backend() != "cpu":
        return None
    return Factors(_factor(jnp.asarray(kernel)), _factor(_turned(jnp.asarray(kernel))))


@jax.custom_vjp
def filtered(x: Float[Array, "B H W I"], factors: Factors) -> Float[Array, "B H W O"]:
    """`winograd` by a kernel whose factors are known, which has a gradient by the image alone."""
    return _tiled(x, factors.forward)


def _filtered_forward(x: Array, factors: Factors) -> tuple[Array, Factors]:
    return filtered(x, factors), factors


def _filtered_backward(factors: Factors, gradient: Array) -> tuple[Array, Factors]:
    return _tiled(gradient, factors.backward), jax.tree.map(jnp.zeros_like, factors)


filtered.defvjp(_filtered_forward, _filtered_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise(x: Float[Array, "B H W C"], kernel: Float[Array, "h w 1 C"], stride: int, pads: Pads) -> Array:
    """A convolution of every channel by itself: a sum over the places of the kernel. It has gradients only."""
    seen = _shifted(x, kernel.shape[:2], stride, pads)
    return reduce(add, (part * lift(kernel[i, j, 0], 4) for (i, j), part in seen.items()))


def _shifted(x: Array, window: Sequence[int], stride: int, pads: Pads) -> dict[tuple[int, int], Array]:
    """For every place of the kernel, what it sees of the image."""
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    rows, columns = ((n - size) // stride * stride + 1 for n, size in zip(x.shape[1:3], window, strict=True))
    places = [(i, j) for i in range(window[0]) for j in range(window[1])]
    return {(i, j): x[:, i : i + rows : stride, j : j + columns : stride] for i, j in places}


def _depthwise_forward(x: Array, kernel: Array, stride: int, pads: Pads) -> tuple[Array, tuple[Array, Array]]:
    return depthwise(x, kernel, stride, pads), (x, kernel)


def _depthwise_backward(stride: int, pads: Pads, saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = saved
    parts = _shifted(x, kernel.shape[:2], stride, pads).values()
    by_kernel = jnp.stack([(part * gradient).sum((0, 1, 2)) for part in parts]).reshape(kernel.shape)
    around = []
    for axis, (before, _) in enumerate(pads):
        size, apart = kernel.shape[axis], (gradient.shape[axis + 1] - 1) * stride + 1
        low = size - 1 - before
        around.append((low, x.shape[axis + 1] + size - 1 - apart - low, stride - 1))
    spread = jax.lax.pad(gradient, jnp.zeros((), gradient.dtype), ((0, 0, 0), *around, (0, 0, 0)))
    return depthwise(spread, kernel[::-1, ::-1], 1, ((0, 0), (0, 0))), by_kernel


depthwise.defvjp(_depthwise_forward, _depthwise_backward)
