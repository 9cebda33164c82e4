"""Style transfer: a picture with the content of one photograph and the textures of another (Gatys et al. 2015).

    maximise  - w Σ_content mean |A(x) - A(content)|  -  Σ_style mean |G(x) - G(style)|        G = AᵀA / (h w)

The distances are absolute values, which are steadier than squares on networks other than VGG. Picture, photograph and a
fresh random part of the style go through the same draw of the transforms at every step.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from theodolite.core.arrays import PRNGKey, Scalar
from theodolite.core.errors import UserError
from theodolite.interpret.vision import objectives
from theodolite.interpret.vision.network import Network
from theodolite.interpret.vision.optimize import Config, Score, ascend, beside
from theodolite.interpret.vision.parameterizations import Parameterization, fourier
from theodolite.interpret.vision.transforms import Transform, random_crop

TRIAL = Config(learning_rate=0.05, steps=64, every=32)
"""The steps after which content and style are weighed against each other."""


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


def _references(key: PRNGKey, content: Float[Array, "H W 3"], style: Float[Array, "h w 3"]) -> Float[Array, "2 H W 3"]:
    return jnp.concatenate([content[None], random_crop((content.shape[0], content.shape[1]))(key, style[None])])


def score(
    network: Network, parameterization: Parameterization, transform: Transform, where: Layers | None = None
) -> Score:
    """Of (the network's parameters, (content, style, weight of the content)): these may differ from run to run."""
    layers = where or layers_of(network)
    alike, drawn_alike = objectives.content(layers.content), objectives.style(layers.style)

    def whole(fixed: PyTree, params: PyTree, key: PRNGKey, memory: PyTree) -> tuple[Scalar, PyTree]:
        weights, (content, style, weight) = fixed
        k_transform, k_style = jax.random.split(key)
        others = _references(k_style, content, style)
        seen = beside(network, weights, parameterization.apply(params), others, transform, k_transform)
        return weight * alike(*seen) + drawn_alike(*seen), memory

    return whole


def balance(score_: Score, fixed: PyTree, params: PyTree, key: PRNGKey) -> Float[Array, ""]:
    """The weight at which content and style pull equally at these parameters: the ratio of their gradients' norms."""
    weights, (content, style, _) = fixed

    def pull(weight: Scalar) -> PyTree:
        return jax.grad(lambda p: score_((weights, (content, style, weight)), p, key, ())[0])(params)

    textures, both = pull(jnp.float32(0)), pull(jnp.float32(1))
    only = jax.tree.map(jnp.subtract, both, textures)
    return _norm(textures) / jnp.maximum(_norm(only), 1e-12)


def _norm(tree: PyTree) -> Float[Array, ""]:
    return jnp.sqrt(sum(jnp.square(leaf).sum() for leaf in jax.tree.leaves(tree)))


def prepared(
    network: Network,
    content: Float[np.ndarray, "H W 3"],
    style: Float[np.ndarray, "h w 3"],
    transform: Transform,
    share: float = 1.0,
    seed: int = 0,
) -> tuple[PRNGKey, PyTree]:
    """The key and the fixed part of an ascent, in which content weighs `share` of what makes it pull like the style.

    Both pulls are those after a short trial in the decorrelated Fourier basis, whatever the basis of the ascent: at the
    start there are no textures yet, and a content that balances their absence is lost later.
    """
    key, made = jax.random.key(seed), fourier(content.shape[:2])
    drawn_alike, weigh = score(network, made, transform), jax.jit(balance, static_argnums=0)
    photographs = jnp.asarray(content), jnp.asarray(style)
    start = made.init(jax.random.split(key)[0])
    first = weigh(drawn_alike, (network.params, (*photographs, jnp.float32(1))), start, key)
    fixed = network.params, (*photographs, first)
    *_, last = ascend(TRIAL, drawn_alike, made, fixed, key)
    return key, (network.params, (*photographs, share * weigh(drawn_alike, fixed, last.params, key)))
