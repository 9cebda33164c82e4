"""Networks whose leaves are all arrays: activations are static, so plain jit, scan, grad and vmap apply."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jax.lax import optimization_barrier
from jaxtyping import Array, Float, Real

from theodolite.core.arrays import Arrays, PRNGKey, lift
from theodolite.core.dists import Categorical, Distribution, Normal, TanhNormal
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.errors import UserError

Initialiser = Callable[[PRNGKey, tuple[int, ...]], Array]


@jax.custom_jvp
def sine(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """sin x to rounding for |x| up to ten thousand, in a quarter of the compiler's time on a CPU."""
    if x.dtype != jnp.float32:
        return jnp.sin(x)
    r, sign = _near_zero(x)
    return sign * _series(r, r, (-1 / 6, 1 / 120, -1 / 5040, 1 / 362880, -1 / 39916800))


@jax.custom_jvp
def cosine(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """cos x, likewise."""
    if x.dtype != jnp.float32:
        return jnp.cos(x)
    r, sign = _near_zero(x)
    return sign * _series(jnp.ones_like(r), r, (-1 / 2, 1 / 24, -1 / 720, 1 / 40320, -1 / 3628800, 1 / 479001600))


sine.defjvps(lambda dx, _, x: cosine(x) * dx)
cosine.defjvps(lambda dx, _, x: -sine(x) * dx)


def _near_zero(x: Array) -> tuple[Array, Array]:
    """x less the nearest multiple k of π, within π/2 of 0, and (-1)ᵏ; π in three parts, of which k times are exact."""
    k = jnp.round(x * (1 / np.pi))
    r = x - k * 3.140625 - k * 9.67502593994140625e-4 - k * 1.509957990978376432e-7
    return r, 1 - 2 * (k - 2 * jnp.floor(k / 2))


def _series(first: Array, r: Array, coefficients: tuple[float, ...]) -> Array:
    """first · (1 + c₁ r² + c₂ r⁴ + ...): Taylor's series, whose rest is below rounding for |r| ≤ π/2."""
    square = r * r
    total = jnp.full_like(r, coefficients[-1])
    for c in coefficients[-2::-1]:
        total = total * square + c
    return first + first * square * total


Activation = Literal["tanh", "relu", "sin"]
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"tanh": jnp.tanh, "relu": jax.nn.relu, "sin": sine}


def orthogonal(scale: float) -> Initialiser:
    """Orthogonal weights times `scale`; sqrt(2) for hidden layers, 0.01 for policy heads, 1 for value heads."""
    return jax.nn.initializers.orthogonal(scale)


def glorot(scale: float) -> Initialiser:
    """Glorot-uniform weights times `scale`; 0 gives a layer of zeros."""
    uniform = jax.nn.initializers.glorot_uniform()
    return lambda key, shape: scale * uniform(key, shape)


@jax.custom_jvp
def product(x: Float[Array, "*batch inputs"], weight: Float[Array, "inputs outputs"]) -> Float[Array, "*batch outputs"]:
    """x W, with a gradient in W that a CPU computes twice as fast."""
    return x @ weight


@partial(product.defjvp, symbolic_zeros=True)
def _product_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    """The derivative dx W + x dW, written such that its transpose multiplies row-major matrices only.

    The gradient xᵀg reads x by columns if left to the compiler. Here the narrower of x and g is transposed first, and
    barriers keep the compiler from folding that transpose back into the product.
    """
    (x, weight), (dx, dweight) = primals, tangents
    dy = jnp.zeros((*x.shape[:-1], weight.shape[1]), x.dtype) if isinstance(dx, SymbolicZero) else dx @ weight
    if isinstance(dweight, SymbolicZero):
        return x @ weight, dy
    rows = x.reshape(-1, x.shape[-1])
    if weight.shape[0] <= weight.shape[1]:
        by_weight = jnp.einsum("ib,ij->bj", optimization_barrier(rows.T), dweight)
    else:
        by_weight = optimization_barrier(jnp.einsum("ji,bi->jb", optimization_barrier(dweight.T), rows)).T
    return x @ weight, dy + by_weight.reshape(dy.shape)


class Linear(Arrays):
    """x W + b, over the last axis."""

    weight: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"]

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        """The layer's output."""
        return product(x, self.weight) + lift(self.bias, x.ndim)


class MLP(Arrays):
    """Linear layers with an activation between them; works on any leading axes."""

    layers: tuple[Linear, ...]
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def __call__(self, x: Real[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        """The last layer's output; bytes are taken as numbers."""
        x = x.astype(self.layers[0].weight.dtype)
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)


def mlp(key: PRNGKey, widths: tuple[int, ...], *, hidden: Initialiser, head: Initialiser, activation=jnp.tanh) -> MLP:
    """An MLP of the given widths, input and output included; biases are zero."""
    keys = jax.random.split(key, len(widths) - 1)
    makers = [hidden] * (len(widths) - 2) + [head]
    shapes = pairwise(widths)
    layers = (Linear(make(k, shape), jnp.zeros(shape[1])) for k, shape, make in zip(keys, shapes, makers, strict=True))
    return MLP(tuple(layers), activation)


class Strided(Arrays):
    """A convolution that moves by `stride` cells, which divide its kernel's; for images that are large."""

    kernel: Float[Array, "h w I C"]
    bias: Float[Array, " C"]
    stride: int = eqx.field(static=True)

    def __call__(self, x: Float[Array, "*batch H W I"]) -> Float[Array, "*batch h w C"]:
        """The layer's output; as a product, since a CPU takes nine times as long for a convolution inside a loop."""
        size, blocks = self.kernel.shape[0], self.kernel.shape[0] // self.stride
        tiled = self.kernel.reshape(blocks, self.stride, blocks, self.stride, *self.kernel.shape[2:])
        matrix = tiled.swapaxes(1, 2).reshape(-1, self.kernel.shape[3])  # in the order of windows
        return product(windows(x, size, self.stride), matrix) + lift(self.bias, x.ndim)


class Torso(Arrays):
    """Features of an observation: convolutions first where it is an image, then dense layers, all activated."""

    conv: Linear | tuple[Strided, ...] | None
    """3 x 3 windows of all channels, as rows, to channels; strided convolutions where the image is large."""
    layers: tuple[Linear, ...]
    activation: Callable[[Array], Array] = eqx.field(static=True)
    scale: float = eqx.field(static=True, default=1.0)
    """What bytes are multiplied by; real numbers stay as they are."""

    def __call__(self, obs: Real[Array, "*obs"]) -> Float[Array, "*batch features"]:
        """The last layer's output."""
        x = obs if jnp.issubdtype(obs.dtype, jnp.floating) else obs.astype(jnp.float32) * self.scale
        if isinstance(self.conv, tuple):
            for strided in self.conv:
                x = self.activation(strided(x))
        elif self.conv is not None:
            x = self.activation(self.conv(windows(x)))
        x = x if self.conv is None else x.reshape(*x.shape[:-3], -1)
        for layer in self.layers:
            x = self.activation(layer(x))
        return x


def windows(image: Float[Array, "*batch H W C"], size: int = 3, stride: int = 1) -> Float[Array, "*batch h w inputs"]:
    """Every window as one row: a convolution is then a product, whose gradient a CPU computes fast.

    The stride divides the size: a row holds squares of stride x stride cells, one after the other.
    """
    *batch, height, width, channels = image.shape
    blocks, down, across = size // stride, (height - size) // stride + 1, (width - size) // stride + 1
    if stride > 1:
        rows, columns = down + blocks - 1, across + blocks - 1
        image = image[..., : rows * stride, : columns * stride, :]
        squares = image.reshape(*batch, rows, stride, columns, stride, channels).swapaxes(-4, -3)
        image = squares.reshape(*batch, rows, columns, stride * stride * channels)
    shifted = [image[..., i : i + down, j : j + across, :] for i in range(blocks) for j in range(blocks)]
    return jnp.concatenate(shifted, axis=-1)


LARGE = 36
"""Rows and columns from which an image is read by strided convolutions."""


class Window(NamedTuple):
    """A convolution of a large image; its channels are a multiple of those of a small image's."""

    size: int
    stride: int
    multiple: int


MNIH_2013 = (Window(8, 4, 1), Window(4, 2, 2))
"""With 16 channels the network of Mnih et al. 2013, and of A3C (2016)."""
MNIH_2015 = (Window(8, 4, 2), Window(4, 2, 4), Window(3, 1, 4))
"""With 16 channels that of Mnih et al. 2015, in Nature: 32, 64 and 64."""


def torso(
    key: PRNGKey,
    box: Box,
    widths: tuple[int, ...],
    *,
    channels: int,
    hidden: Initialiser,
    large: tuple[Window, ...] = MNIH_2013,
) -> tuple[Torso, int]:
    """Features for observations of a space, and how many there are: dense layers, after convolutions for images.

    Small images go through one convolution of 3 x 3, large ones through those of `large`. Bytes are scaled by the
    highest one.

    Raises:
        UserError: observations are neither vectors nor images.
    """
    conv_key, key = jax.random.split(key)
    shape = box.shape
    conv, inputs = None, shape[0] if shape else 0
    if len(shape) == 3 and min(shape[:2]) >= LARGE:
        conv, inputs = _strided(conv_key, shape, channels, hidden, large)
    elif len(shape) == 3 and min(shape[:2]) >= 3:
        conv = Linear(hidden(conv_key, (9 * shape[2], channels)), jnp.zeros(channels))
        inputs = (shape[0] - 2) * (shape[1] - 2) * channels
    elif len(shape) != 1:
        raise UserError(
            f"observations have the shape {shape}, expected vectors, or images of at least 3 x 3 with channels last. "
            "Wrap the environment (gymnasium.wrappers.FlattenObservation, say) and register it under an id of yours."
        )
    sizes = (inputs, *widths)
    keys = jax.random.split(key, max(len(widths), 1))
    layers = (Linear(hidden(k, pair), jnp.zeros(pair[1])) for k, pair in zip(keys, pairwise(sizes)))  # noqa: B905
    scale = 1 / box.high if box.dtype == "uint8" and isinstance(box.high, float) and 0 < box.high < jnp.inf else 1.0
    return Torso(conv, tuple(layers), jax.nn.relu, scale), sizes[-1]


def _strided(
    key: PRNGKey, shape: tuple[int, ...], channels: int, hidden: Initialiser, large: tuple[Window, ...]
) -> tuple[tuple[Strided, ...], int]:
    """The convolutions for a large image, and how many numbers come out."""
    found, (height, width, inputs) = [], shape
    for own, (size, stride, multiple) in zip(jax.random.split(key, len(large)), large, strict=True):
        outputs = multiple * channels
        found.append(Strided(hidden(own, (size, size, inputs, outputs)), jnp.zeros(outputs), stride))
        height, width, inputs = (height - size) // stride + 1, (width - size) // stride + 1, outputs
    return tuple(found), height * width * inputs


class Actor(Arrays):
    """A stochastic policy: an MLP to logits, or to the mean of a Gaussian whose log-std does not see the state."""

    net: MLP
    log_std: Float[Array, " A"] | None
    squash: Box | None = eqx.field(static=True)
    """The box into which tanh squashes actions; None leaves them Gaussian."""

    def __call__(self, obs: Real[Array, "*batch O"]) -> Distribution:
        """The distribution of actions at every observation."""
        output = self.net(obs)
        if self.log_std is None:
            return Categorical(output)
        if self.squash is None:
            return Normal(output, self.log_std)
        low, high = (jnp.broadcast_to(jnp.asarray(b, output.dtype), output.shape) for b in self.squash[1:3])
        return TanhNormal(output, self.log_std, (low + high) / 2, (high - low) / 2)


def actor(
    key: PRNGKey, space: Space, widths: tuple[int, ...], *, hidden: Initialiser, head: Initialiser, squash: bool = False
) -> Actor:
    """The policy network for a space; the Gaussian's log-std starts at 0.

    Raises:
        UserError: observations or actions are no vectors, or actions are to be squashed into a box without bounds.
    """
    if len(space.obs.shape) != 1:
        raise UserError(
            f"observations have the shape {space.obs.shape}, expected vectors, which is what these networks read. Wrap "
            "the environment (gymnasium.wrappers.FlattenObservation, say) and register it under an id of yours."
        )
    match space.action:
        case Discrete(num=num):
            return Actor(mlp(key, (*space.obs.shape, *widths, num), hidden=hidden, head=head), None, None)
        case Box(shape=shape) as box:
            if len(shape) != 1:
                raise UserError(
                    f"actions have the shape {shape}, expected vectors, which is what this policy draws. Wrap the "
                    "environment (gymnasium.wrappers.TransformAction, say) and register it under an id of yours."
                )
            if squash and not box.bounded:
                raise UserError(f"squash: the actions lie between {box.low} and {box.high}, expected finite bounds.")
            net = mlp(key, (*space.obs.shape, *widths, *shape), hidden=hidden, head=head)
            return Actor(net, jnp.zeros(shape), box if squash else None)
