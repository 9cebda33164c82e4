"""What every visualisation needs of a network: its parameters, and a function from images to named activations.

A network of the user's own is any function of an image batch that returns a dict of activations:

    network = of_function(lambda images: {"features": my_model(images)}, size=64)
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from theodolite.core.arrays import Scalar
from theodolite.core.convolution import factors
from theodolite.core.errors import UserError, nearest

Activations = dict[str, Float[Array, "..."]]
"""Layer -> [B, h, w, C], in order of depth."""
Layer = dict[str, Array | np.ndarray]
"""A kernel [h, w, inputs, outputs] and a bias [outputs]."""
Shapes = dict[str, tuple[int, int, int, int]]
"""Layer -> the shape of its kernel."""
Params = dict[str, Any]
"""Layer -> its kernel and bias; with `redirect`, one more entry that is a number."""


class Network(NamedTuple):
    """A network as plain functions and arrays."""

    name: str
    params: Any
    """A pytree of arrays only."""
    apply: Callable[[Any, Float[Array, "B H W 3"]], Activations]
    """Images in sRGB between 0 and 1 to every named layer. Preprocessing is inside; jit drops what is unused."""
    channels: dict[str, int]
    """Layer -> number of its channels, in order of depth."""
    size: int
    """The side of the images that the network was trained on."""
    classes: tuple[str, ...]
    """Names of the entries of the layer `logits`, of shape [B, 1, 1, classes]; empty without a classifier."""

    def layer(self, name: str) -> str:
        """The name itself.

        Raises:
            UserError: the network has no such layer; the message lists the nearest ones.
        """
        if name not in self.channels:
            known = f"It has {', '.join(self.channels)}." if len(self.channels) <= 40 else _shortened(self.channels)
            raise UserError(f"{self.name} has no layer {name!r}.{nearest(name, self.channels)} {known}")
        return name

    def channel(self, layer: str, number: int) -> int:
        """The number itself.

        Raises:
            UserError: the network has no such layer, or the layer no such channel.
        """
        count = self.channels[self.layer(layer)]
        if not 0 <= number < count:
            raise UserError(f"channel {number} of {layer}: {self.name}'s {layer} has the channels 0 to {count - 1}.")
        return number

    def class_number(self, name: str) -> int:
        """The class of a name, of a word that only its name has, or of a number written out.

        Raises:
            UserError: the network has no classifier, or no such class; the message lists the nearest names.
        """
        if not self.classes:
            raise UserError(f"{self.name} has no classifier, so class {name!r} cannot be asked for. Choose a channel.")
        if name.isdecimal():
            if int(name) < len(self.classes):
                return int(name)
            raise UserError(f"class {name}: {self.name} has the classes 0 to {len(self.classes) - 1}.")
        folded = [known.casefold() for known in self.classes]
        if name.casefold() in folded:
            return folded.index(name.casefold())
        having = [i for i, known in enumerate(folded) if name.casefold() in known.split()]
        if len(having) == 1:
            return having[0]
        raise UserError(f"{self.name} has no class {name!r}.{nearest(name, self.classes)} A class's number works too.")


def _shortened(channels: dict[str, int]) -> str:
    names = list(channels)
    return f"It has {len(names)} layers, from {', '.join(names[:12])} to {', '.join(names[-6:])}."


def build(name: str, params: Any, apply: Callable, size: int, classes: tuple[str, ...] = ()) -> Network:
    """A network whose table of channels is found by tracing; nothing is computed.

    Raises:
        UserError: `apply` does not return a dict of activations of the shape [B, h, w, C].
    """
    order: list[str] = []  # depth is the order in which `apply` names its layers; a traced dict comes back sorted

    def noted(params: Any, images: Array) -> Activations:
        layers = apply(params, images)
        if not isinstance(layers, dict) or not layers:
            raise UserError(
                f"{name} returns {type(layers).__name__}, expected a dict of layer names and activations, such as "
                "{'features': array of shape [B, h, w, C]}."
            )
        order.extend(layers)
        return layers

    layers = jax.eval_shape(noted, params, jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32))
    channels = {layer: _channels(name, layer, layers[layer]) for layer in order}
    return Network(name, params, apply, channels, size, classes)


def _channels(name: str, layer: str, value: Any) -> int:
    if getattr(value, "ndim", None) != 4 or value.shape[0] != 1:
        raise UserError(
            f"{name}: layer {layer!r} has the shape {getattr(value, 'shape', type(value).__name__)} for one image, "
            "expected [1, h, w, C]. Give a vector two axes of length 1: y[:, None, None, :]."
        )
    return value.shape[-1]


def of_function(f: Callable[[Array], Activations], name: str = "network", size: int = 224) -> Network:
    """A network of the user's own: `f` takes images [B, H, W, 3] in sRGB between 0 and 1 and names what it returns.

    Raises:
        UserError: `f` does not return a dict of activations of the shape [B, h, w, C].
    """
    return build(name, (), lambda params, images: f(images), size)


def checked(params: Params, shapes: Shapes, where: str) -> Params:
    """The layers of a network that `shapes` names, in its order; `where` names the file in errors.

    Raises:
        UserError: a layer is missing, or a kernel or a bias has another shape, or numbers that are not finite.
    """
    for layer, shape in shapes.items():
        if layer not in params:
            raise UserError(f"{where} has no weights of the layer {layer}. Is it the file of another network?")
        for part, expected in (("kernel", shape), ("bias", shape[-1:])):
            found = np.shape(params[layer].get(part, 0))
            if found != expected:
                raise UserError(
                    f"{where}: the {part} of {layer} has the shape {found}, expected {expected}. Is it the file of "
                    "another network, or of one that was changed?"
                )
    whole = {
        layer: {part: np.asarray(params[layer][part], np.float32) for part in ("kernel", "bias")} for layer in shapes
    }
    for layer, parts in whole.items():
        for part, array in parts.items():
            if bad := array.size - int(np.isfinite(array).sum()):
                raise UserError(
                    f"{where}: of {array.size:,} numbers in the {part} of {layer}, {bad:,} are not finite. The file is "
                    "damaged, or its training diverged: get it again."
                )
    return whole


def redirect(params: Any, sign: Scalar) -> Any:
    """Parameters with which a ReLU that would block the whole gradient of an image lets pass what wakes it up.

    `sign` is 1 where the differentiated number is to rise, -1 where it is to fall, 0 for the true gradient; it may be
    traced, so that the first steps of an optimisation redirect and the later ones do not. Outputs never change.
    A network of the user's own has its own gradient: its parameters are returned as they are.
    """
    return {**params, "redirect": jnp.asarray(sign, jnp.float32)} if isinstance(params, dict) else params


def prepared(params: Any) -> Any:
    """Parameters with what convolutions compute of their kernels alone, which then no step of many computes again.

    No gradient flows into the kernels any more. Parameters of the user's own kind are returned as they are.
    """
    return {name: _with_factors(layer) for name, layer in params.items()} if isinstance(params, dict) else params


def _with_factors(layer: Any) -> Any:
    if not isinstance(layer, dict) or getattr(layer.get("kernel"), "ndim", 0) != 4:
        return layer
    found = factors(jnp.asarray(layer["kernel"]))
    return layer if found is None else {**layer, **found._asdict()}
