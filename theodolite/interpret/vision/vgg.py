"""VGG and AlexNet: plain stacks of convolutions, ReLUs and pools, with or without their three dense layers.

Layers of VGG: conv1_1 to conv5_3 (before the ReLU), relu1_1 to relu5_3, pool1 to pool5; of AlexNet: conv1 to conv5,
relu1 to relu5, pool1, pool2, pool5. Where the file has the classifier: fc6, relu6, fc7, relu7, logits, of one position.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from jaxtyping import Array, Float

from theodolite.core.claim import Paper
from theodolite.interpret.vision.layers import convolve, max_pool, mean_pool, relu, standardised
from theodolite.interpret.vision.network import Activations, Params, Shapes

PAPER = Paper(
    "Very Deep Convolutional Networks for Large-Scale Image Recognition",
    "Simonyan, Zisserman",
    2014,
    arxiv="1409.1556",
)
SIZE = 224
DEPTHS = {8: (1, 1, 2, 2, 2), 10: (2, 2, 2, 2, 2), 13: (2, 2, 3, 3, 3), 16: (2, 2, 4, 4, 4)}
"""Number of convolutions -> how many stand in each group: VGG11, 13, 16 and 19."""


class Conv(NamedTuple):
    """One convolution of a stack."""

    name: str
    kernel: int
    outputs: int
    stride: int
    padding: int
    pool: int
    """The window of the pool of stride 2 that follows, 0 for none."""


def vgg(groups: tuple[int, ...] = DEPTHS[13]) -> list[Conv]:
    """The convolutions of a VGG; the default is VGG16's."""
    return [
        Conv(f"{group}_{i + 1}", 3, min(64 * 2 ** (group - 1), 512), 1, 1, 2 if i + 1 == count else 0)
        for group, count in enumerate(groups, 1)
        for i in range(count)
    ]


ALEXNET = [
    Conv("1", 11, 64, 4, 2, 3),
    Conv("2", 5, 192, 1, 2, 3),
    Conv("3", 3, 384, 1, 1, 0),
    Conv("4", 3, 256, 1, 1, 0),
    Conv("5", 3, 256, 1, 1, 3),
]
"""AlexNet as torchvision has it: of one stream, without local normalisation."""
LPIPS_TAPS = {
    "vgg16": ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"),
    "alexnet": ("relu1", "relu2", "relu3", "relu4", "relu5"),
}
"""Network -> the layers that LPIPS compares."""


def shapes(stack: list[Conv]) -> Shapes:
    """The kernel of every convolution."""
    widths = [3, *(conv.outputs for conv in stack)]
    pairs = zip(stack, pairwise(widths), strict=True)
    return {f"conv{conv.name}": (conv.kernel, conv.kernel, i, o) for conv, (i, o) in pairs}


def apply(stack: list[Conv], params: Params, images: Float[Array, "B H W 3"]) -> Activations:
    """Every layer."""
    return dict(layers(stack, params, images))


def layers(stack: list[Conv], params: Params, images: Float[Array, "B H W 3"]) -> Iterator[tuple[str, Array]]:
    """The layers one after the other."""
    sign, x = params.get("redirect"), standardised(images)
    for conv in stack:
        yield f"conv{conv.name}", (x := convolve(x, params[f"conv{conv.name}"], conv.stride, conv.padding))
        yield f"relu{conv.name}", (x := relu(x, sign))
        if conv.pool:
            yield f"pool{conv.name[0]}", (x := max_pool(x, conv.pool, 2))
    if "logits" not in params:
        return
    x = mean_pool(x, params["fc6"]["kernel"].shape[0])
    for number in (6, 7):
        yield f"fc{number}", (x := convolve(x, params[f"fc{number}"], padding="VALID"))
        yield f"relu{number}", (x := relu(x, sign))
    yield "logits", convolve(x, params["logits"], padding="VALID")
