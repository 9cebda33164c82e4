"""Style transfer: a picture with the content of one photograph and the textures of another (Gatys et al. 2015).

    maximise  - w Σ_content mean |A(x) - A(content)|  -  Σ_style mean |G(x) - G(style)|        G = AᵀA / (h w)

The distances are absolute values, which are steadier than squares on networks other than VGG. Picture, photograph and a
fresh random part of the style go through the same draw of the transforms at every step.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from theodolite.core.arrays import PRNGKey, Scalar
from theodolite.core.errors import UserError
from theodolite.interpret.vision import objectives
from theodolite.interpret.vision.network import Network
from theodolite.interpret.vision.objectives import Objective
from theodolite.interpret.vision.optimize import References, Score
from theodolite.interpret.vision.parameterizations import Parameterization
from theodolite.interpret.vision.transforms import Transform, random_crop


class Layers(NamedTuple):
    """Where a network's style and content are read, and what the content weighs."""

    style: tuple[str, ...]
    content: tuple[str, ...]
    weight: float


LAYERS = {
    "squeezenet": Layers(("relu1", "fire2", "fire4", "fire6", "fire8"), ("fire4",), 1.0),
    "efficientnet_lite0": Layers(("block0", "block2", "block4", "block7", "block10"), ("block4",), 1.0),
    "alexnet": Layers(("relu1", "relu2", "relu3", "relu4"), ("relu3",), 1.0),
    "vgg16": Layers(("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"), ("relu4_1",), 1.0),
}


def layers_of(network: Network) -> Layers:
    """The layers for a network that is known.

    Raises:
        UserError: no layers are known for it.
    """
    if network.name not in LAYERS:
        raise UserError(f"no style layers are known for {network.name}, expected one of {', '.join(LAYERS)}.")
    return LAYERS[network.name]


def objective(where: Layers, weight: float | None = None) -> Objective:
    """Of the picture, the photograph and the style, in this order in the batch."""
    share = where.weight if weight is None else weight
    return share * objectives.content(where.content) + objectives.style(where.style)


def references(content: Float[Array, "H W 3"], style: Float[Array, "h w 3"]) -> References:
    """The photograph, and a fresh part of the style of its size."""
    part = random_crop((content.shape[0], content.shape[1]))
    return lambda key: jnp.concatenate([content[None], part(key, style[None])])


def balanced_score(
    network: Network, where: Layers, parameterization: Parameterization, transform: Transform
) -> tuple[Score, Score]:
    """Content and style apart, as scores of ((parameters,), (content, style)): their gradients set the weight."""
    parts = objectives.content(where.content), objectives.style(where.style)
    return tuple(_score(network, part, parameterization, transform) for part in parts)  # type: ignore[return-value]


def score(network: Network, where: Layers, parameterization: Parameterization, transform: Transform) -> Score:
    """The whole objective as a score of (parameters, (content, style, weight)): pictures differ from run to run."""
    content, style = balanced_score(network, where, parameterization, transform)

    def whole(fixed: PyTree, params: PyTree, key: PRNGKey, memory: PyTree) -> tuple[Scalar, PyTree]:
        raise NotImplementedError

    return whole
