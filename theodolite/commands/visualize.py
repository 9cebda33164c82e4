"""theodolite visualize: a picture of what a channel, a neuron, a layer or a class wants to see, or of a whole layer."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple

from theodolite.commands.parsing import parse
from theodolite.commands.watching import Seen, last, nothing_yet, shown

Kind = Literal["fourier", "pixels", "laplacian", "cppn", "maco", "rgba"]


@dataclass(frozen=True)
class Flags:
    """Optimise images so that a part of a network is excited."""

    objective: str | None = None
    """What is to be excited, such as channel:fire9:12, neuron:fire9:12, layer:fire4, logit:tabby, or a sum."""
    gallery: str | None = None
    """A layer: all its channels on one contact sheet, instead of an objective."""
    to: str | None = None
    """Another objective: frames from the one to the other, aligned, as an animation and a strip."""
    frames: int = 6
    """With --to: how many frames there are."""
    pictures: int = 1
    """With --objective: how many pictures at once, on one sheet, as diversity:LAYER wants them."""
    mesh: str | None = None
    """Paint this instead of a flat picture: sphere, torus, knot, blob, teapot, or an OBJ, PLY or GLB file."""
    model: str = "squeezenet"
    """squeezenet, efficientnet_lite0, vgg16, alexnet, or the path of a .safetensors or .npz file."""
    weights: str | None = None
    """Where the weights of a named network are, if not in an installed package."""
    parameterization: Kind = "fourier"
    """How the image is made of parameters."""
    size: int | None = None
    """Side of the picture in pixels; 224 if left out, 128 in a gallery and with --to."""
    steps: int | None = None
    """Steps of ascent; 512 if left out, 128 in a gallery, 256 with --to."""
    learning_rate: float | None = None
    """Step size of Adam; 0.05 if left out, 0.002 for a cppn."""
    transforms: bool = True
    """Shift, scale and turn the picture a little at every step; a cppn is smooth without, and flat with them."""
    channels: tuple[int, ...] = ()
    """Of a gallery: these channels only."""
    batch: int = 16
    """Of a gallery: pictures that are optimised at once."""
    seed: int = 0
    """Where all randomness comes from."""
    out: str = "pictures"
    """Folder for what is written."""


FLAT = 0.02
"""Standard deviation of a picture that shows nothing."""


def main(argv: list[str]) -> int:
    """Make the picture, or the gallery."""
    flags = parse(Flags, argv, "visualize")
    from theodolite.core.errors import UserError

    if (flags.objective is None) == (flags.gallery is None):
        raise UserError("say either --objective, such as channel:fire9:12, or --gallery and a layer.")
    _check(flags)
    from theodolite.core import compile_cache, devices
    from theodolite.interpret.vision import models

    compile_cache.enable()
    if flags.gallery:
        devices.one_per_core()
    network = models.load(flags.model, flags.weights)
    if flags.mesh:
        return import_module("theodolite.commands.meshes").visualize(flags, network, flags.mesh)
    if flags.to:
        return import_module("theodolite.commands.interpolating").visualize(flags, network, flags.to)
    return _gallery(flags, network) if flags.gallery else _picture(flags, network)


def _check(flags: Flags) -> None:
    from theodolite.core.errors import UserError

    for name, least in (("size", 32), ("steps", 1), ("batch", 1), ("frames", 2), ("pictures", 1)):
        value = getattr(flags, name)
        if value is not None and value < least:
            raise UserError(f"--{name} {value}: expected at least {least}.")
    if flags.parameterization == "rgba" and flags.gallery:
        raise UserError("--parameterization rgba makes single pictures: leave --gallery out.")
    if flags.channels and not flags.gallery:
        raise UserError("--channels chooses from a gallery: add --gallery and a layer, or say --objective alone.")
    if flags.to and (flags.gallery or flags.mesh or flags.pictures > 1 or flags.parameterization != "fourier"):
        raise UserError("--to makes frames with a part in common, in the Fourier basis: leave --gallery, --mesh, "
                        "--pictures and --parameterization out.")  # fmt: skip
    if flags.pictures > 1 and (flags.gallery or flags.mesh or flags.parameterization == "rgba"):
        raise UserError("--pictures makes several flat, opaque pictures of one objective: leave --gallery, --mesh and "
                        "rgba out.")  # fmt: skip


def parameterization(kind: Kind, size: int) -> Any:
    """The parameterisation of that name.

    Raises:
        UserError: maco, whose magnitudes are those of photographs, finds no photographs installed.
    """
    from theodolite.interpret.vision import parameterizations

    if kind == "maco":
        return parameterizations.maco(parameterizations.magnitudes(_photographs(size), size), size)
    if kind == "cppn":  # of those that the claims compare, the one that rarely ends in a single colour
        return parameterizations.cppn(size, activation=parameterizations.normalised_relu)
    makers = {"fourier": parameterizations.fourier, "pixels": parameterizations.pixels,
              "laplacian": parameterizations.laplacian, "rgba": parameterizations.rgba}  # fmt: skip
    return makers[kind](size)


def _changes(flags: Flags) -> Any:
    from theodolite.interpret.vision import transforms

    return transforms.standard() if flags.transforms and flags.parameterization != "cppn" else transforms.none()


def _photographs(size: int) -> Any:
    import numpy as np

    from theodolite.interpret.vision import images

    names = [name for name in images.photos() if name not in images.GREY]
    return np.stack([images.square(images.read(name, as_rgb=True), size) for name in names])


def _config(flags: Flags, steps: int) -> Any:
    from theodolite.interpret.vision.optimize import Config

    rate = flags.learning_rate or (0.002 if flags.parameterization == "cppn" else 0.05)
    return Config(learning_rate=rate, steps=steps, every=min(32, steps))


def _picture(flags: Flags, network: Any) -> int:
    from theodolite.interpret.vision import gallery, images, objective_text, objectives, optimize
    from theodolite.interpret.vision.transforms import compose
    from theodolite.interpret.vision.transparency import displayed, on_background

    objective = objective_text.parse(flags.objective or "", network, flags.pictures)
    size, steps = flags.size or 224, flags.steps or 512
    made = parameterization(flags.parameterization, size)
    changed = _changes(flags)
    transparent = flags.parameterization == "rgba"
    if transparent:
        objective = objective * (1 - objectives.opacity())
        changed = compose(on_background(), changed)
    made = gallery.copies(made, flags.pictures) if flags.pictures > 1 else made
    chunks = optimize.optimise(network, objective, made, changed, _config(flags, steps), flags.seed)
    ended = last(f"{objective} of {network.name}", chunks, steps)
    found = [displayed(i) if transparent else i for i in ended.chunk.images]
    path = Path(flags.out) / f"{file_name(flags.objective or '')}.png"
    images.save(path, found[0] if len(found) == 1 else images.sheet(found))
    reached = f"{ended.chunk.objective[-1]:.4g} after {ended.chunk.step} steps"
    print(f"{path} shows {objective} of {network.name}: {reached}.")
    if float(ended.chunk.images[0].std()) < FLAT:
        print("It is nearly of one colour: another --seed or a lower --learning-rate may help.")
    return ended.code


def file_name(text: str) -> str:
    """An objective as the name of a file, without an ending."""
    return "".join(c if c.isalnum() or c in "._" else "-" for c in text)[:80]


def _gallery(flags: Flags, network: Any) -> int:
    from theodolite.core import files
    from theodolite.interpret.vision import gallery, images

    layer = network.layer(flags.gallery)
    which = [network.channel(layer, c) for c in flags.channels] or list(range(network.channels[layer]))
    size, steps = flags.size or 128, flags.steps or 128
    batch = min(flags.batch, len(which))
    made = parameterization(flags.parameterization, size)
    changed = _changes(flags)
    found = [images.read(name, as_rgb=True) for name in images.photos() if name not in images.GREY]
    crops = gallery.best_crops(network, layer, found)
    chunks = gallery.optimise_channels(network, layer, which, made, _config(flags, steps), changed, flags.seed, batch)
    watched = shown(f"{layer} of {network.name}", chunks, steps * -(-len(which) // batch))
    drawn = _drawn(watched, steps, Path(flags.out), layer)
    entries = [gallery.Entry(channel, picture, crops[channel]) for channel, picture in drawn.chunk.images]
    about = (
        f"Each picture was optimised for {drawn.chunk.step} steps ({made}, {size} pixels) to excite one channel. "
        f"Beside it, where {len(found)} photographs excite the channel the most."
    )
    sheet = images.sheet([e.picture for e in entries], None, [str(e.channel) for e in entries])
    images.save(Path(flags.out) / f"{layer}.png", sheet)
    page = Path(flags.out) / f"{layer}.html"
    files.write_text(page, gallery.page(network, layer, entries, about))
    print(f"{page} shows {len(entries)} channels of {layer}; the same as {layer}.png and a PNG each.")
    return drawn.code


class Drawn(NamedTuple):
    """What a gallery holds so far."""

    step: int
    images: list[tuple[int, Any]]
    """Channels and their pictures."""


def _drawn(watched: Iterable[Any], steps: int, out: Path, layer: str) -> Seen:
    """The pictures of all whole batches, each written at once; when interrupted in the first, that as far as it came.

    Raises:
        KeyboardInterrupt: interrupted before there was any picture.
    """
    whole: list[tuple[int, Any]] = []
    part, interrupted = Drawn(0, []), False
    try:
        for own, chunk in watched:
            part = Drawn(chunk.step, list(zip(own, chunk.images, strict=False)))
            if chunk.step == steps:
                _save_each(part, out, layer)
                whole += part.images
    except KeyboardInterrupt:
        interrupted = True
        if not part.images:
            raise nothing_yet() from None
    if interrupted and not whole:
        _save_each(part, out, layer)
    return Seen(Drawn(steps, whole) if whole else part, interrupted)


def _save_each(part: Drawn, out: Path, layer: str) -> None:
    from theodolite.interpret.vision import images

    for channel, picture in part.images:
        images.save(out / f"{layer}-{channel}.png", picture)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
