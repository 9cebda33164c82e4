"""SqueezeNet 1.1: convolutions of one pixel squeeze the channels before a third of the kernels see their neighbours.

A fire module is a squeeze to s channels and two expansions side by side, of 1x1 and of 3x3, ReLUs between. This port
reads blue, green, red from 0 to 255 minus a mean, and pools without padding. Layers: conv1, fire2 to fire9, conv10 as
the paper names them, `_pre_relu` the same before the nonlinearity (conv1 and conv10 are before it, relu1 is after),
and `fire2_squeeze` the squeezed map. conv10 is a map of the classes; the logits are its mean, before the last ReLU.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from theodolite.core.arrays import lift
from theodolite.core.claim import Paper
from theodolite.interpret.vision.layers import convolve, max_pool, mean_pool, relu
from theodolite.interpret.vision.network import Activations, Params, Shapes, checked
from theodolite.interpret.vision.pickles import read_numpy

PAPER = Paper(
    "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size",
    "Iandola et al.",
    2016,
    arxiv="1602.07360",
)
SIZE = 227
MEAN_BGR = np.array([103.939, 116.779, 123.68], np.float32)
FIRES = {2: (16, 64), 3: (16, 64), 4: (32, 128), 5: (32, 128), 6: (48, 192), 7: (48, 192), 8: (64, 256), 9: (64, 256)}
"""Fire -> channels after the squeeze and of each expansion."""
POOLS = 2, 4, 6
"""Fires in front of which the map is halved."""


def shapes() -> Shapes:
    """The kernel of every layer."""
    found: Shapes
    found, channels = {"conv1": (3, 3, 3, 64)}, 64
    for n, (squeeze, expand) in FIRES.items():
        found[f"fire{n}/squeeze"] = (1, 1, channels, squeeze)
        found[f"fire{n}/expand1x1"] = (1, 1, squeeze, expand)
        found[f"fire{n}/expand3x3"] = (3, 3, squeeze, expand)
        channels = 2 * expand
    return found | {"conv10": (1, 1, channels, 1000)}


def apply(params: Params, images: Float[Array, "B H W 3"]) -> Activations:
    """Every layer."""
    sign = params.get("redirect")
    x = images[..., ::-1] * 255 - lift(jnp.asarray(MEAN_BGR), 4)
    out = {"conv1": convolve(x, params["conv1"], stride=2, padding="VALID")}
    out["relu1"] = x = relu(out["conv1"], sign)
    for n in FIRES:
        x = max_pool(x, 3, 2) if n in POOLS else x
        out[f"fire{n}_squeeze"] = squeezed = relu(convolve(x, params[f"fire{n}/squeeze"]), sign)
        out[f"fire{n}_pre_relu"] = wide = expand(params, n, squeezed)
        out[f"fire{n}"] = x = relu(wide, sign)
    out["conv10"] = convolve(x, params["conv10"])
    out["logits"] = mean_pool(out["conv10"])
    return out


def expand(params: Params, n: int, x: Float[Array, "B h w S"]) -> Float[Array, "B h w C"]:
    """The two expansions of a fire module, side by side."""
    return jnp.concatenate([convolve(x, params[f"fire{n}/expand{k}"]) for k in ("1x1", "3x3")], axis=-1)


def convert(content: bytes, where: str) -> Params:
    """The parameters in the package's file.

    Raises:
        UserError: the file is damaged, or its arrays are not those of this network.
    """
    found = read_numpy(content, where)
    named = {name.replace("squeeze1x1", "squeeze"): arrays for name, arrays in found.items()}
    return checked({name: dict(zip(("kernel", "bias"), a, strict=True)) for name, a in named.items()}, shapes(), where)
