"""The few layers that image networks are made of, and the gradient that wakes a silent ReLU."""

from functools import partial, reduce
from operator import add

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from theodolite.core.arrays import Scalar, lift
from theodolite.core.convolution import Factors, Padding, conv2d
from theodolite.interpret.vision.network import Layer

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)


def standardised(
    images: Float[Array, "B H W 3"], mean: np.ndarray = IMAGENET_MEAN, std: np.ndarray = IMAGENET_STD
) -> Float[Array, "B H W 3"]:
    """Images with ImageNet's mean colour at 0 and its deviation at 1."""
    return (images - lift(jnp.asarray(mean), 4)) / lift(jnp.asarray(std), 4)


def convolve(
    x: Float[Array, "B H W I"], layer: Layer, stride: int = 1, padding: Padding | None = None
) -> Float[Array, "B Y X O"]:
    """A convolution with bias. Groups follow from the kernel's shape; by default the size is kept.

    A layer that `network.prepared` saw brings the factors of its kernel.
    """
    kernel, bias = jnp.asarray(layer["kernel"]), jnp.asarray(layer["bias"])
    pads = kernel.shape[0] // 2 if padding is None else padding
    groups = x.shape[-1] // kernel.shape[2]
    known = Factors(*(jnp.asarray(layer[side]) for side in Factors._fields)) if "forward" in layer else None
    return conv2d(x, kernel, stride=stride, padding=pads, groups=groups, factors=known) + lift(bias, 4)


def dense(x: Float[Array, "B Y X I"], layer: Layer) -> Float[Array, "B Y X O"]:
    """A linear layer at every position."""
    return convolve(x, layer, padding=0)


def max_pool(x: Float[Array, "B H W C"], window: int, stride: int, padding: int = 0, whole: bool = True) -> Array:
    """The maximum over windows; those that reach over the border count only where `whole` is False."""
    size = x.shape[1:3]
    left = [(n + 2 * padding - window) % stride for n in size]
    after = [padding + (0 if whole or not rest else stride - rest) for rest in left]
    pads = ((0, 0), *((padding, a) for a in after), (0, 0))
    return _pooled(x, window, stride, pads)


Pads = tuple[tuple[int, int], ...]


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _pooled(x: Array, window: int, stride: int, pads: Pads) -> Array:
    """The pool itself, with a gradient that a CPU computes many times faster than the compiler's."""
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, window, window, 1), (1, stride, stride, 1), pads)


def _pooled_forward(x: Array, window: int, stride: int, pads: Pads) -> tuple[Array, tuple[Array, Array]]:
    y = _pooled(x, window, stride, pads)
    return y, (x, y)


def _pooled_backward(window: int, stride: int, pads: Pads, saved: tuple[Array, Array], gradient: Array) -> tuple[Array]:
    """The gradient goes to where the maximum was; equal maxima share it."""
    x, y = saved
    padded = jnp.pad(x, pads, constant_values=-jnp.inf)
    rows, columns = y.shape[1:3]
    places = [(i, j) for i in range(window) for j in range(window)]
    spans = {(i, j): _span(i, rows, stride) + _span(j, columns, stride) for i, j in places}
    hits = {(i, j): padded[:, a:b:stride, c:d:stride] == y for (i, j), (a, b, c, d) in spans.items()}
    share = gradient / sum(hit.astype(y.dtype) for hit in hits.values())
    spread = []
    for (i, j), (_, below, _, right) in spans.items():
        frame = (i, padded.shape[1] - below, stride - 1), (j, padded.shape[2] - right, stride - 1)
        part = jnp.where(hits[i, j], share, 0)
        spread.append(jax.lax.pad(part, jnp.zeros((), y.dtype), ((0, 0, 0), *frame, (0, 0, 0))))
    (top, _), (left, _) = pads[1:3]
    return (reduce(add, spread)[:, top : top + x.shape[1], left : left + x.shape[2]],)


def _span(first: int, count: int, stride: int) -> tuple[int, int]:
    return first, first + (count - 1) * stride + 1


_pooled.defvjp(_pooled_forward, _pooled_backward)


def mean_pool(x: Float[Array, "B H W C"], cells: int = 1) -> Float[Array, "B cells cells C"]:
    """Means over a grid of cells that covers the map, whatever its size."""
    rows, columns = (jnp.asarray(_cells(n, cells)) for n in x.shape[1:3])
    return jnp.einsum("yh,xw,bhwc->byxc", rows, columns, x)


def _cells(length: int, cells: int) -> np.ndarray:
    """Row i averages the positions of cell i, from floor(i n / cells) to ceil((i + 1) n / cells)."""
    weights = np.zeros((cells, length), np.float32)
    for i in range(cells):
        inside = slice(i * length // cells, -(-(i + 1) * length // cells))
        weights[i, inside] = 1 / len(range(*inside.indices(length)))
    return weights


def relu(x: Float[Array, "B h w C"], sign: Scalar | None = None, ceiling: float | None = None) -> Array:
    """max(x, 0), or the x between 0 and the ceiling; `sign` redirects the gradient, see `network.redirect`."""
    return _clipped(x, ceiling) if sign is None else _redirected(x, sign, ceiling)


def _clipped(x: Array, ceiling: float | None) -> Array:
    positive = jnp.where(x > 0, x, 0)
    return positive if ceiling is None else jnp.where(x < ceiling, positive, ceiling)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _redirected(x: Array, sign: Scalar, ceiling: float | None) -> Array:
    return _clipped(x, ceiling)


def _redirected_forward(x: Array, sign: Scalar, ceiling: float | None) -> tuple[Array, tuple[Array, Scalar]]:
    return _clipped(x, ceiling), (x, sign)


def _redirected_backward(ceiling: float | None, saved: tuple[Array, Scalar], gradient: Array) -> tuple[Array, Scalar]:
    """The true gradient, and where all of an image's is blocked, the part of it that leads back into the open range."""
    x, sign = saved
    top = jnp.inf if ceiling is None else ceiling
    true = jnp.where((x > 0) & (x < top), gradient, 0)
    upwards = gradient * sign
    back = jnp.where((x <= 0) & (upwards < 0) | (x >= top) & (upwards > 0), 0, gradient)
    blocked = jnp.all(true == 0, axis=tuple(range(1, x.ndim)), keepdims=True)
    return jnp.where(blocked & (sign != 0), back, true), jnp.zeros_like(sign)


_redirected.defvjp(_redirected_forward, _redirected_backward)
