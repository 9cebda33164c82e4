"""Pictures with an alpha channel: what a network does not need becomes transparent, if opacity costs.

network sees ( background (1 - α) + colour α )^(1/2.2)        backgrounds are drawn anew at every step

made, seen_through = parameterizations.rgba(224), transparency.on_background()
goal = objectives.channel("fire6", 12) * (1 - objectives.opacity())
*_, last = optimise(network, goal, made, transforms.compose(seen_through, transforms.standard()))
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from theodolite.core.arrays import PRNGKey
from theodolite.interpret.vision.parameterizations import Parameterization, spectrum, to_rgb
from theodolite.interpret.vision.transforms import Transform

GAMMA = 2.2
Painted = Float[Array | np.ndarray, "*batch H W 4"]
Behind = Float[Array | np.ndarray, "*others H W 3"]


def random_background(size: int | tuple[int, int], batch: int = 1) -> Parameterization:
    """Smooth noise: a spectrum of sd 0.2 that decays with the power 1.5, in natural colours."""
    return to_rgb(spectrum(size, batch, 3, decay=1.5, sd=0.2))


def composite(rgba: Painted, background: Behind) -> Float[Array, "..."]:
    """What the network sees of a picture in front of a background, both in linear light."""
    alpha = rgba[..., 3:]
    light = jnp.asarray(background) * (1 - alpha) + rgba[..., :3] * alpha
    return jnp.maximum(light, 1e-4) ** (1 / GAMMA)


def on_background() -> Transform:
    """Each picture before a random background of its own; alpha stays behind the colours as a fourth channel."""

    def apply(key: PRNGKey, images: Float[Array, "B H W 4"]) -> Float[Array, "B H W 4"]:
        behind = random_background((images.shape[1], images.shape[2]), images.shape[0])
        seen = composite(images, behind.apply(behind.init(key)))
        return jnp.concatenate([seen, images[..., 3:]], -1)

    return apply


def displayed(rgba: Painted) -> np.ndarray:
    """A picture in linear light as a file wants it: in sRGB, with its alpha."""
    rgba = np.asarray(jax.device_get(rgba))
    return np.concatenate([rgba[..., :3] ** (1 / GAMMA), rgba[..., 3:]], -1)
