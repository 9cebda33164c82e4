"""What an image is to excite: functions of a network's activations that add, scale, multiply and print themselves.

    0.5 * channel("fire9", 12) - neuron("fire6", 3)      str(...) says it, calling it gives the number to maximise

A is a layer's activation [B, h, w, C]. The equations are those of Feature Visualization (Olah et al. 2017):

    channel    mean of A[..., c]                     direction   mean of A·v max(0.1, cos(A, v))^p
    neuron     A[:, y, x, c], the centre             diversity   - Σ_{a≠b} ⟨G_a, G_b⟩ / B, G = AᵀA / |AᵀA|
    layer      mean of A² (DeepDream)                alignment   - Σ_{d=1..4} Σ_i mean (A_i - A_{i+d})² / ratio^d
    logit      A[:, 0, 0, k] before the softmax      style       - mean |G(image) - G(style)|, G = AᵀA / (h w)
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from theodolite.core.arrays import Scalar, lift

Activations = dict[str, Float[Array, "B h w C"]]
Images = Float[Array, "B H W channels"]


@dataclass(frozen=True)
class Objective:
    """A number to maximise, of the activations of a batch of images and of the images themselves."""

    value: Callable[[Any, Any], Any]
    text: str
    reads: tuple[tuple[str, int | None], ...] = ()
    """The layers that it looks at, each with the highest channel or None."""

    def __call__(self, activations: Activations, images: Images) -> Scalar:
        """The number."""
        return self.value(activations, images)

    def __str__(self) -> str:
        return self.text

    def __add__(self, other: "Objective | float") -> "Objective":
        return _joined(self, other, lambda a, b: a + b, "+")

    def __radd__(self, other: float) -> "Objective":
        return self + other if other else self  # sum() begins with 0

    def __sub__(self, other: "Objective | float") -> "Objective":
        return _joined(self, other, lambda a, b: a - b, "-")

    def __rsub__(self, other: float) -> "Objective":
        return -self + other

    def __mul__(self, other: "Objective | float") -> "Objective":
        if isinstance(other, Objective):
            return _joined(self, other, lambda a, b: a * b, "*")
        return Objective(lambda a, x: other * self(a, x), f"{other:g} {_bracketed(self.text)}", self.reads)

    __rmul__ = __mul__

    def __neg__(self) -> "Objective":
        return Objective(lambda a, x: -self(a, x), f"-{_bracketed(self.text)}", self.reads)

    def on(self, *batch: int) -> "Objective":
        """The same of these images of the batch alone."""
        which = jnp.array(batch)

        def value(activations: Activations, images: Images) -> Scalar:
            return self({name: a[which] for name, a in activations.items()}, images[which])

        return Objective(value, f"{_bracketed(self.text)}[{', '.join(map(str, batch))}]", self.reads)


def _bracketed(text: str) -> str:
    return f"({text})" if " " in text and not (text.endswith(")") and text.count("(") == 1) else text


def _joined(one: Objective, other: Objective | float, how: Callable, sign: str) -> Objective:
    right = other if isinstance(other, Objective) else constant(other)
    texts = [one.text, right.text]
    if sign == "*":
        texts = [_bracketed(text) for text in texts]
    elif sign == "-":
        texts[1] = f"({right.text})" if " + " in right.text or " - " in right.text else right.text
    return Objective(lambda a, x: how(one(a, x), right(a, x)), f" {sign} ".join(texts), one.reads + right.reads)


def constant(number: float) -> Objective:
    """The same number whatever the image."""
    return Objective(lambda a, x: jnp.float32(number), f"{number:g}")


def total(parts: Iterable[Objective]) -> Objective:
    """The sum of some objectives, at least one."""
    return reduce(add, parts)


def channel(layer: str, index: int) -> Objective:
    """The mean of a channel over positions and images."""
    return Objective(lambda a, x: a[layer][..., index].mean(), f"channel({layer}, {index})", ((layer, index),))


def channels(layer: str, indices: tuple[int, ...]) -> Objective:
    """The sum over a batch of each image's own channel: as many pictures at once as there are images."""
    which = jnp.array(indices)

    def value(activations: Activations, images: Images) -> Scalar:
        return activations[layer].mean((1, 2))[jnp.arange(len(indices)), which].sum()

    shown = ", ".join(map(str, indices[:4])) + (", ..." if len(indices) > 4 else "")
    return Objective(value, f"channels({layer}, [{shown}])", ((layer, max(indices)),))


def neuron(layer: str, index: int, where: tuple[int, int] | None = None) -> Objective:
    """A channel at one position, row and column: the centre if left out, of even sizes the lower right of the four."""

    def value(activations: Activations, images: Images) -> Scalar:
        a = activations[layer]
        y, x = where or (a.shape[1] // 2, a.shape[2] // 2)
        return a[:, y, x, index].mean()

    place = f" at {where[0]}, {where[1]}" if where else ""
    return Objective(value, f"neuron({layer}, {index}{place})", ((layer, index),))


def layer(name: str) -> Objective:
    """DeepDream: the mean square of all that a layer sees."""
    return Objective(lambda a, x: (a[name] ** 2).mean(), f"layer({name})", ((name, None),))


def logit(index: int, name: str = "logits") -> Objective:
    """A class before the softmax, which would also reward the absence of the others."""
    return Objective(lambda a, x: a[name][..., index].mean(), f"logit({index})", ((name, index),))


def probability(index: int, name: str = "logits") -> Objective:
    """A class after the softmax."""

    def value(activations: Activations, images: Images) -> Scalar:
        scores = activations[name]
        p = jnp.exp(scores - scores.max(-1, keepdims=True))
        return (p[..., index] / p.sum(-1)).mean()

    return Objective(value, f"probability({index})", ((name, index),))


def direction(name: str, vector: Float[Array | np.ndarray, " C"], power: float = 0.0) -> Objective:
    """A direction in a layer's space; a positive power asks for the angle too, not for the length alone."""
    v = jnp.asarray(vector, jnp.float32)

    def value(activations: Activations, images: Images) -> Scalar:
        a = activations[name]
        along = a @ v
        cosine = along / ((jnp.linalg.norm(a, axis=-1) + 1e-4) * (jnp.linalg.norm(v) + 1e-4))
        return (along * jnp.maximum(cosine, 0.1) ** power).mean()

    return Objective(value, f"direction({name}, {len(v)} numbers)", ((name, len(v) - 1),))


def activation_difference(names: tuple[str, ...], one: int = 0, other: int = 1) -> Objective:
    """Minus the mean distance of two images of the batch in some layers: one that the network takes for the other."""

    def value(activations: Activations, images: Images) -> Scalar:
        return -sum(jnp.abs(activations[n][one] - activations[n][other]).mean() for n in names)

    return Objective(value, f"activation_difference({', '.join(names)})", tuple((n, None) for n in names))


content = activation_difference
"""Of style transfer: the picture is image 0, the photograph image 1 of the batch."""


def grams(a: Float[Array, "B h w C"]) -> Float[Array, "B C C"]:
    """The inner products of channels over positions, divided by their number."""
    flat = a.reshape(a.shape[0], -1, a.shape[-1])
    return jnp.einsum("bic,bid->bcd", flat, flat) / flat.shape[1]


def style(names: tuple[str, ...], one: int = 0, other: int = 2) -> Objective:
    """Minus the mean distance of the Gram matrices of two images of the batch, summed over layers."""

    def value(activations: Activations, images: Images) -> Scalar:
        pairs = [grams(activations[n][jnp.array([one, other])]) for n in names]
        return -sum(jnp.abs(g[0] - g[1]).mean() for g in pairs)

    return Objective(value, f"style({', '.join(names)})", tuple((n, None) for n in names))


def style_of(targets: dict[str, Float[Array, "C C"]]) -> Objective:
    """The same against Gram matrices that are known, for every image of the batch."""

    def value(activations: Activations, images: Images) -> Scalar:
        return -sum(jnp.abs(grams(activations[n]) - lift(g, 3)).mean() for n, g in targets.items())

    return Objective(value, f"style_of({', '.join(targets)})", tuple((n, None) for n in targets))


def diversity(name: str) -> Objective:
    """How little the images of a batch share textures: minus the sum over pairs of the cosine of Gram matrices."""

    def value(activations: Activations, images: Images) -> Scalar:
        flat = grams(activations[name]).reshape(images.shape[0], -1)
        unit = flat / (jnp.linalg.norm(flat, axis=1, keepdims=True) + 1e-12)
        return (images.shape[0] - jnp.square(unit.sum(0)).sum()) / images.shape[0]

    return Objective(value, f"diversity({name})", ((name, None),))


def alignment(name: str, ratio: float = 2.0) -> Objective:
    """How alike neighbouring images of a batch are in a layer, up to four apart."""

    def value(activations: Activations, images: Images) -> Scalar:
        a = activations[name]
        apart = range(1, min(5, a.shape[0]))
        return -sum(((a[d:] - a[:-d]) ** 2).mean((1, 2, 3)).sum() / ratio**d for d in apart)

    return Objective(value, f"alignment({name})", ((name, None),))


def interpolation(one: Objective, other: Objective, frames: int) -> Objective:
    """Frame n of a batch of N maximises (1 - n/(N-1)) of one objective and n/(N-1) of the other."""
    share = [n / max(frames - 1, 1) for n in range(frames)]
    whole = total((1 - t) * one.on(n) + t * other.on(n) for n, t in enumerate(share))
    return Objective(whole.value, f"interpolation({one}, {other}, {frames})", one.reads + other.reads)


def opacity() -> Objective:
    """The mean of the alpha channel, the fourth of the images."""
    return Objective(lambda a, x: x[..., 3].mean(), "opacity()")


def total_variation() -> Objective:
    """The mean absolute difference of neighbouring pixels; subtract it as a penalty."""

    def value(activations: Activations, images: Images) -> Scalar:
        x = images[..., :3]
        return jnp.abs(x[:, 1:] - x[:, :-1]).mean() + jnp.abs(x[:, :, 1:] - x[:, :, :-1]).mean()

    return Objective(value, "total_variation()")
