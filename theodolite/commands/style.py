"""theodolite style --content A --style B: a picture with the forms of one photograph and the textures of another."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from theodolite.commands import meshes
from theodolite.commands.parsing import parse
from theodolite.commands.watching import last


@dataclass(frozen=True)
class Flags:
    """Transfer the style of one image to the content of another."""

    style: str
    """A photograph with the style: a file, or the name of one that comes in a package, such as chelsea."""
    content: str | None = None
    """The same for the content."""
    mesh: str | None = None
    """Paint this instead of a photograph: sphere, torus, knot, blob, teapot, or an OBJ, PLY or GLB file."""
    model: str = "squeezenet"
    """squeezenet, efficientnet_lite0, alexnet or vgg16."""
    weights: str | None = None
    """Where its weights are, if not in an installed package."""
    size: int = 224
    """Longer side of the picture in pixels."""
    steps: int = 512
    """Steps of descent."""
    learning_rate: float = 0.05
    """Step size of Adam."""
    content_weight: float = 1.0
    """Weight of the content; at 1 both pull equally after a short trial."""
    pixels: bool = False
    """Descend in plain pixels, to see what the Fourier basis is good for."""
    seed: int = 0
    """Where all randomness comes from."""
    out: str = "styled.png"
    """The file to write."""


def main(argv: list[str]) -> int:
    """Make the picture."""
    flags = parse(Flags, argv, "style")
    from theodolite.core import compile_cache
    from theodolite.core.errors import UserError

    if flags.size < 32 or flags.steps < 1:
        raise UserError(f"--size {flags.size} and --steps {flags.steps}: expected at least 32 pixels and 1 step.")
    from theodolite.interpret.vision import images, models, optimize, parameterizations, style_transfer, transforms

    if (flags.content is None) == (flags.mesh is None):
        raise UserError("say either --content and a photograph, or --mesh and a shape or a file.")
    style = in_three_colours(flags.style)
    if flags.mesh:
        compile_cache.enable()
        return meshes.style(flags, models.load(flags.model, flags.weights), style, flags.mesh)
    content = in_three_colours(flags.content or "")
    compile_cache.enable()
    network = models.load(flags.model, flags.weights)
    style_transfer.layers_of(network)
    photograph = _fitted(content, flags.size)
    texture = _covering(style, photograph.shape[:2])
    basis = parameterizations.pixels if flags.pixels else parameterizations.fourier
    made = basis(photograph.shape[:2])
    changed = transforms.standard()
    score = style_transfer.score(network, made, changed)
    key, fixed = style_transfer.prepared(network, photograph, texture, changed, flags.content_weight, flags.seed)
    config = optimize.Config(learning_rate=flags.learning_rate, steps=flags.steps, every=min(32, flags.steps))
    chunks = optimize.ascend(config, score, made, fixed, key)
    ended = last(f"{flags.style} on {flags.content}", chunks, flags.steps)
    images.save(Path(flags.out), ended.chunk.images[0])
    print(f"{flags.out} has the content of {flags.content} in the style of {flags.style}, by {network.name}.")
    return ended.code


def in_three_colours(name: str) -> Any:
    """The photograph in three colours of 8 bits; what was converted is said."""
    from theodolite.interpret.vision import images

    return images.read(name, as_rgb=True, told=lambda said: print(said, file=sys.stderr))


def _fitted(image: Any, longer: int) -> Any:
    from theodolite.interpret.vision import images

    scale = longer / max(image.shape[:2])
    return images.resized(image, (max(32, round(image.shape[0] * scale)), max(32, round(image.shape[1] * scale))))


def _covering(image: Any, shape: tuple[int, int]) -> Any:
    """The style, half as large again as the picture, so that parts of that size can be drawn from it."""
    from theodolite.interpret.vision import images

    scale = 1.5 * max(shape[0] / image.shape[0], shape[1] / image.shape[1])
    return images.resized(image, (round(image.shape[0] * scale), round(image.shape[1] * scale)))
