"""From parameters to images: the same objective, another way to draw (Mordvintsev et al. 2018).

A parameterisation is two functions: `init` draws parameters, `apply` makes images [B, H, W, C] in [0, 1] of them. Below
it stand canvases, whose numbers are any, and which add: an image is sigmoid(colour(canvas)).

    pixels      the canvas itself                              rgba    another canvas for alpha
    laplacian   sum of grids at 1/2^k, upsampled               maco    irfft2(r e^{iφ}), r that of photographs
    fourier     irfft2(z √(HW) / max(f, 1/max(H, W))^p) / 4    cppn    a small network from coordinates to colours
    shared      fourier per frame + grids that frames share

Colours: canvas·(M / c)ᵀ, where M Mᵀ is the covariance of colours in ImageNet and c the longest column of M.
"""

import operator
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from theodolite.core.arrays import PRNGKey, Scalar, lift

SD = 0.01
"""Of the initial parameters."""
COLOURS = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
"""Rows red, green, blue: a square root of the covariance of ImageNet's colours."""
DECORRELATE = (COLOURS / np.linalg.norm(COLOURS, axis=0).max()).astype(np.float32)
SHARED_GRIDS = ((1, 2), (1, 4), (1, 8), (2, 8), (1, 16), (2, 16))
"""Of aligned frames: how many along the batch, and by what height and width are divided."""


class Parameterization(NamedTuple):
    """How images are made of parameters."""

    init: Callable[[PRNGKey], PyTree]
    apply: Callable[[PyTree], Any]
    text: str

    def __str__(self) -> str:
        return self.text


class Canvas(NamedTuple):
    """How real numbers are laid out in the plane: a parameterisation that is not yet squashed into [0, 1]."""

    init: Callable[[PRNGKey], PyTree]
    apply: Callable[[PyTree], Any]
    text: str


Size = int | tuple[int, int]


def shape_of(size: Size) -> tuple[int, int]:
    """Height and width."""
    return (size, size) if isinstance(size, int) else size


def colour(canvas: Float[Array, "*axes 3"]) -> Float[Array, "*axes 3"]:
    """Three uncorrelated numbers as red, green and blue with the correlations of natural images."""
    return canvas @ jnp.asarray(DECORRELATE).T


def to_rgb(canvas: Canvas, decorrelate: bool = True) -> Parameterization:
    """Images of a canvas with three channels."""

    def apply(params: PyTree) -> Float[Array, "B H W 3"]:
        drawn = canvas.apply(params)
        return jax.nn.sigmoid(colour(drawn) if decorrelate else drawn)

    return Parameterization(canvas.init, apply, canvas.text + ("" if decorrelate else ", plain colours"))


def add(*canvases: Canvas) -> Canvas:
    """The sum of canvases, each with its own parameters."""

    def init(key: PRNGKey) -> PyTree:
        keys = jax.random.split(key, len(canvases))
        return tuple(c.init(k) for c, k in zip(canvases, keys, strict=True))

    def apply(params: PyTree) -> Float[Array, "B H W C"]:
        return reduce(operator.add, (c.apply(p) for c, p in zip(canvases, params, strict=True)))

    return Canvas(init, apply, " + ".join(c.text for c in canvases))


def grid(shape: tuple[int, int, int, int], like: tuple[int, int, int, int] | None = None) -> Canvas:
    """Free numbers on a grid [B, h, w, C], stretched bilinearly to the shape of another, along the batch too."""
    whole = like or shape

    def apply(params: Float[Array, "b h w C"]) -> Float[Array, "B H W C"]:
        stretched = params
        for axis, size in enumerate(whole[:3]):
            if stretched.shape[axis] != size:
                stretched = _stretch(stretched, axis, size)
        return stretched

    return Canvas(lambda key: SD * jax.random.normal(key, shape), apply, f"grid {shape[1]}x{shape[2]}")


def _stretch(x: Float[Array, "b h w C"], axis: int, size: int) -> Float[Array, "B H W C"]:
    """Linear interpolation along an axis: from end to end along the batch, between centres of cells in the plane."""
    old = x.shape[axis]
    at = np.linspace(0, old - 1, size) if axis == 0 else (np.arange(size) + 0.5) * old / size - 0.5
    weights = np.maximum(0, 1 - np.abs(np.clip(at, 0, old - 1)[:, None] - np.arange(old)[None])).astype(np.float32)
    return jnp.moveaxis(jnp.tensordot(jnp.asarray(weights), x, ((1,), (axis,))), 0, axis)


def pyramid(size: Size, batch: int = 1, channels: int = 3, levels: int = 4) -> Canvas:
    """A sum of grids, each half as fine as the one before."""
    h, w = shape_of(size)
    whole = (batch, h, w, channels)
    scales = [(batch, max(h >> k, 1), max(w >> k, 1), channels) for k in range(levels)]
    return add(*(grid(shape, whole) for shape in scales))._replace(text=f"laplacian, {levels} levels")


def frequencies(h: int, w: int) -> Float[np.ndarray, "h half"]:
    """Cycles per pixel of the entries of a real spectrum."""
    return np.hypot(np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)[None])


def scales(h: int, w: int, decay: float) -> Float[np.ndarray, "h half"]:
    """What a spectrum is multiplied by: √(HW) / f^decay, at f = 0 that of the longest wave that fits."""
    return np.sqrt(h * w) / np.maximum(frequencies(h, w), 1 / max(h, w)) ** decay


def spectrum(
    size: Size, batch: int = 1, channels: int = 3, decay: float = 1.0, sd: float = SD, coloured: bool = False
) -> Canvas:
    """Fourier coefficients, scaled such that waves of every length move alike.

    With `coloured`, `colour` is applied to the coefficients: the same picture, and faster than to its pixels.
    """
    h, w = shape_of(size)
    scale = (scales(h, w, decay) / 4).astype(np.float32)

    def init(key: PRNGKey) -> Float[Array, "2 B C h half"]:
        return sd * jax.random.normal(key, (2, batch, channels, h, w // 2 + 1))

    def apply(params: Float[Array, "2 B C h half"]) -> Float[Array, "B H W C"]:
        scaled = params * lift(jnp.asarray(scale), 5)
        if coloured:
            mixed = [sum(float(m) * scaled[:, :, j] for j, m in enumerate(row)) for row in DECORRELATE]
            scaled = jnp.stack(mixed, axis=2)
        plane = jnp.fft.irfft2(jax.lax.complex(scaled[0], scaled[1]), s=(h, w))
        return jnp.moveaxis(plane, 1, -1)

    return Canvas(init, apply, f"fourier, decay {decay:g}")


def pixels(size: Size, batch: int = 1, decorrelate: bool = False) -> Parameterization:
    """Every pixel by itself."""
    shape = (batch, *shape_of(size), 3)
    return to_rgb(grid(shape)._replace(text="pixels"), decorrelate)._replace(text="pixels" + ", colours" * decorrelate)


def preconditioned(size: Size, batch: int = 1, decay: float = 1.0) -> Parameterization:
    """Pixels that begin as the Fourier basis A does and whose gradient g becomes A Aᵀ g.

    The picture is A z there; a step of z along Aᵀ g moves it by A Aᵀ g. With plain gradient steps both are the same
    descent, with Adam, which divides coordinate by coordinate, they are not.
    """
    canvas = spectrum(size, batch, 3, decay)

    def basis(z: PyTree) -> Float[Array, "B H W 3"]:
        return colour(canvas.apply(z))

    like = jax.eval_shape(canvas.init, jax.random.key(0))

    @jax.custom_vjp
    def identity(x: Array) -> Array:
        return x

    def backward(_: None, g: Array) -> tuple[Array]:
        return (basis(jax.linear_transpose(basis, like)(g)[0]),)

    identity.defvjp(lambda x: (x, None), backward)
    return Parameterization(
        lambda key: basis(canvas.init(key)), lambda x: jax.nn.sigmoid(identity(x)), "pixels, gradient preconditioned"
    )


def laplacian(size: Size, batch: int = 1, levels: int = 4, decorrelate: bool = True) -> Parameterization:
    """Grids from fine to coarse."""
    return to_rgb(pyramid(size, batch, 3, levels), decorrelate)


def fourier(size: Size, batch: int = 1, decay: float = 1.0, decorrelate: bool = True) -> Parameterization:
    """The usual one of feature visualisation."""
    canvas = spectrum(size, batch, 3, decay, coloured=decorrelate)
    made = to_rgb(canvas, decorrelate=False)
    return made._replace(text=canvas.text) if decorrelate else made


def shared(size: Size, batch: int, grids: Sequence[tuple[int, int]] = SHARED_GRIDS) -> Parameterization:
    """Frames that are each a Fourier image of its own plus coarse grids that all of them, or its ends, share."""
    h, w = shape_of(size)
    coarse = [grid((n, max(h // by, 1), max(w // by, 1), 3), (batch, h, w, 3)) for n, by in grids]
    return to_rgb(add(spectrum(size, batch), *coarse))._replace(text="shared")


def rgba(size: Size, batch: int = 1, decay: float = 1.0) -> Parameterization:
    """Colours, and how opaque they are as a fourth channel."""
    inks, veil = fourier(size, batch, decay), spectrum(size, batch, 1, decay)

    def init(key: PRNGKey) -> PyTree:
        one, other = jax.random.split(key)
        return inks.init(one), veil.init(other)

    def apply(params: PyTree) -> Float[Array, "B H W 4"]:
        return jnp.concatenate([inks.apply(params[0]), jax.nn.sigmoid(veil.apply(params[1]))], -1)

    return Parameterization(init, apply, "rgba")


def magnitudes(photos: Float[np.ndarray, "N H W 3"], size: Size) -> Float[np.ndarray, "3 h half"]:
    """The mean Fourier magnitude of photographs in decorrelated colours, at another size."""
    h, w = shape_of(size)
    plain = np.asarray(jax.image.resize(jnp.asarray(photos, jnp.float32), (len(photos), h, w, 3), "linear"))
    apart = (plain - plain.mean((1, 2), keepdims=True)) @ np.linalg.inv(DECORRELATE).T
    return np.abs(np.fft.rfft2(np.moveaxis(apart, -1, 1))).mean(0).astype(np.float32)


def maco(
    magnitude: Float[np.ndarray, "3 h half"], width: int, batch: int = 1, contrast: float = 1.0
) -> Parameterization:
    """The magnitudes stay as given, the phases move (Fel et al. 2023): no frequency can be exaggerated."""
    height = magnitude.shape[1]

    def init(key: PRNGKey) -> Float[Array, "B 3 h half"]:
        return jax.random.normal(key, (batch, *magnitude.shape))

    def apply(phase: Float[Array, "B 3 h half"]) -> Float[Array, "B H W 3"]:
        phase = phase - phase.mean((1, 2, 3), keepdims=True)
        phase = phase / (phase.std((1, 2, 3), keepdims=True) + 1e-5)
        size = lift(jnp.asarray(magnitude), 4)
        waves = jax.lax.complex(size * jnp.cos(phase), size * jnp.sin(phase))
        canvas = jnp.moveaxis(jnp.fft.irfft2(waves, s=(height, width)), 1, -1)
        canvas = canvas - canvas.mean((1, 2, 3), keepdims=True)
        return jax.nn.sigmoid(contrast * colour(canvas / (canvas.std((1, 2, 3), keepdims=True) + 1e-5)))

    return Parameterization(init, apply, "maco")


def composite(z: Float[Array, "*axes n"]) -> Float[Array, "*axes m"]:
    """The activation of the article's CPPN: (a / 0.67, a² / 0.6) with a = arctan z; twice as wide."""
    a = jnp.arctan(z)
    return jnp.concatenate([a / 0.67, a * a / 0.6], -1)


def unbiased_composite(z: Float[Array, "*axes n"]) -> Float[Array, "*axes m"]:
    """The same with mean zero: (a / 0.67, (a² - 0.45) / 0.396)."""
    a = jnp.arctan(z)
    return jnp.concatenate([a / 0.67, (a * a - 0.45) / 0.396], -1)


def normalised_relu(z: Float[Array, "*axes n"]) -> Float[Array, "*axes m"]:
    """(max(z, 0) - 0.40) / 0.58, of mean 0 and sd 1 where z is a standard normal."""
    return (jnp.maximum(z, 0) - 0.40) / 0.58


def coordinates(size: Size) -> Float[np.ndarray, "H W 2"]:
    """x and y of every pixel, each of variance 1."""
    h, w = shape_of(size)
    reach = np.sqrt(3)
    y, x = np.meshgrid(np.linspace(-reach, reach, h), np.linspace(-reach, reach, w), indexing="ij")
    return np.stack([x, y], -1).astype(np.float32)


def cppn(
    size: Size,
    batch: int = 1,
    width: int = 24,
    depth: int = 8,
    activation: Callable[[Any], Any] = composite,
    head: Scalar = 0.0,
    inputs: Float[np.ndarray, "H W D"] | None = None,
) -> Parameterization:
    """A network from coordinates to colours, the same at any size: parameters of one size draw at another.

    The last layer starts at `head` times the usual scale: at 0 every picture begins as grey.
    """
    at = jnp.asarray(coordinates(size) if inputs is None else inputs)
    wider = activation(jnp.zeros(1)).shape[0]
    widths = [(at.shape[-1], width), *[(width * wider, width)] * (depth - 1), (width * wider, 3)]

    def init(key: PRNGKey) -> PyTree:
        keys = jax.random.split(key, len(widths))
        sds = [n**-0.5 for n, _ in widths[:-1]] + [head * widths[-1][0] ** -0.5]
        return [
            (sd * jax.random.normal(k, (batch, *shape)), jnp.zeros((batch, shape[1])))
            for k, shape, sd in zip(keys, widths, sds, strict=True)
        ]

    def one(params: PyTree) -> Float[Array, "H W 3"]:
        x = at
        for i, (weight, bias) in enumerate(params):
            x = x @ weight + lift(bias, 3)
            x = jax.nn.sigmoid(x) if i == len(widths) - 1 else activation(x)
        return x

    return Parameterization(init, jax.vmap(one), f"cppn {depth}x{width}")
