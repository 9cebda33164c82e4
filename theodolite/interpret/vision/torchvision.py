"""Networks in torchvision's layout from a file of the user's: VGG, AlexNet, ResNet and GoogLeNet.

    python -c "import torchvision, safetensors.torch as s;
               s.save_file(torchvision.models.resnet50(weights='DEFAULT').state_dict(), 'resnet50.safetensors')"

writes such a file where PyTorch is installed; `numpy.savez` of the same arrays will do as well.
"""

import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from theodolite.core.errors import UserError
from theodolite.interpret.vision import googlenet, resnet, safetensors, vgg
from theodolite.interpret.vision.network import Params, checked
from theodolite.interpret.vision.torch_layout import StateDict


class Found(NamedTuple):
    """A network that a file holds."""

    params: Params
    apply: Callable
    size: int


def read(path: Path) -> Found:
    """The network in a .safetensors or .npz file.

    Raises:
        UserError: the file is missing, damaged, of another ending, or holds no network that is known here.
    """
    state = StateDict(_arrays(path), str(path))
    has = state.arrays.__contains__
    if has("layer1.0.conv1.weight"):
        return Found(resnet.convert(state), resnet.apply, resnet.SIZE)
    if has("inception3a.branch1.conv.weight"):
        return Found(googlenet.convert(state), googlenet.apply, googlenet.SIZE)
    if has("features.0.weight"):
        return plain(state)
    some = ", ".join(list(state.arrays)[:4]) or "none"
    raise UserError(
        f"{path} holds no network that is known here: its arrays are {some}…, expected torchvision's names of a VGG, "
        "AlexNet (features.0.weight), ResNet (layer1.0.conv1.weight) or GoogLeNet (inception3a.branch1.conv.weight). "
        "Any other network works as a function: network.of_function."
    )


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise UserError(f"there is no file {path}.")
    if path.suffix == ".safetensors":
        return safetensors.read(path)
    if path.suffix != ".npz":
        raise UserError(
            f"{path}: weights are read from .safetensors and .npz files, not from {path.suffix or 'others'}."
        )
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise UserError(f"{path} is no whole .npz file of arrays ({error}). Nothing in it was executed.") from error


def plain(state: StateDict) -> Found:
    """A VGG or AlexNet, with or without batch normalisation and classifier."""
    numbers = sorted(int(name.split(".")[1]) for name in state.arrays if _is_kernel(state, name))
    if state.arrays["features.0.weight"].shape[-1] == 11:
        stack, side = vgg.ALEXNET, 6
    elif len(numbers) in vgg.DEPTHS:
        stack, side = vgg.vgg(vgg.DEPTHS[len(numbers)]), 7
    else:
        raise UserError(f"{state.where} has {len(numbers)} convolutions, expected 8, 10, 13 or 16, as VGGs have.")
    params, shapes = {}, vgg.shapes(stack)
    for conv, number in zip(stack, numbers, strict=True):
        norm = f"features.{number + 1}" if f"features.{number + 1}.running_mean" in state.arrays else None
        params[f"conv{conv.name}"] = state.convolution(f"features.{number}", norm)
    dense = sorted((n for n in state.arrays if n.startswith("classifier.") and n.endswith(".weight")), key=_number)
    if len(dense) == 3:
        sides = zip(("fc6", "fc7", "logits"), dense, (side, 1, 1), strict=True)
        params |= {ours: state.dense(theirs.removesuffix(".weight"), side) for ours, theirs, side in sides}
        widths = [stack[-1].outputs, *(params[layer]["bias"].size for layer in ("fc6", "fc7", "logits"))]
        shapes |= {
            "fc6": (side, side, *widths[:2]),
            "fc7": (1, 1, *widths[1:3]),
            "logits": (1, 1, *widths[2:]),
        }
    return Found(checked(params, shapes, state.where), partial(vgg.apply, stack), vgg.SIZE)


def _number(name: str) -> int:
    return int(name.split(".")[1])


def _is_kernel(state: StateDict, name: str) -> bool:
    return name.startswith("features.") and name.endswith(".weight") and state.arrays[name].ndim == 4
