"""EfficientNet-Lite0: inverted residuals without squeeze-and-excitation, ReLU6 in place of swish.

A block widens the channels six times, convolves each by itself, and projects back without a nonlinearity; where shape
and stride allow, its input is added. Batch normalisation is folded into the convolutions, and padding is TensorFlow's,
which is not symmetric at stride 2. Layers: stem, block0 to block15 (linear outputs), `block1_expand` and
`block1_depthwise` (after ReLU6), head, class_map (the classifier at every position of the head) and logits;
`_pre_relu` is the same before the nonlinearity, the better target where a ReLU6 saturates.
"""

from typing import NamedTuple

from jaxtyping import Array, Float

from theodolite.core.claim import Paper
from theodolite.interpret.vision.layers import convolve, dense, mean_pool, relu
from theodolite.interpret.vision.network import Activations, Layer, Params, Shapes, checked
from theodolite.interpret.vision.pickles import read_torch
from theodolite.interpret.vision.torch_layout import StateDict

PAPER = Paper(
    "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", "Tan, Le", 2019, arxiv="1905.11946"
)
SIZE = 224
STAGES = ((1, 3, 1, 16, 1), (2, 3, 2, 24, 6), (2, 5, 2, 40, 6), (3, 3, 2, 80, 6), (3, 5, 1, 112, 6), (4, 5, 2, 192, 6))
STAGES = (*STAGES, (1, 3, 1, 320, 6))
"""Blocks of a stage, kernel, stride of the first block, channels out, expansion."""
EPSILON = 1e-3
"""Of batch normalisation."""


class Block(NamedTuple):
    """One inverted residual."""

    kernel: int
    stride: int
    inputs: int
    outputs: int
    expansion: int


def blocks() -> list[Block]:
    """All of them, in order."""
    found, channels = [], 32
    for repeats, kernel, stride, outputs, expansion in STAGES:
        for i in range(repeats):
            found.append(Block(kernel, stride if i == 0 else 1, channels, outputs, expansion))
            channels = outputs
    return found


def shapes() -> Shapes:
    """The kernel of every layer."""
    found: Shapes = {"stem": (3, 3, 3, 32)}
    for i, b in enumerate(blocks()):
        wide = b.inputs * b.expansion
        if b.expansion > 1:
            found[f"block{i}/expand"] = (1, 1, b.inputs, wide)
        found[f"block{i}/depthwise"] = (b.kernel, b.kernel, 1, wide)
        found[f"block{i}/project"] = (1, 1, wide, b.outputs)
    return found | {"head": (1, 1, 320, 1280), "classifier": (1, 1, 1280, 1000)}


def apply(params: Params, images: Float[Array, "B H W 3"]) -> Activations:
    """Every layer."""
    sign, out = params.get("redirect"), {}

    def active(name: str, x: Array) -> Array:
        out[f"{name}_pre_relu"], out[name] = x, relu(x, sign, 6.0)
        return out[name]

    x = (images * 255 - 127) / 128
    x = active("stem", convolve(x, params["stem"], 2, "SAME"))
    for i, b in enumerate(blocks()):
        y = active(f"block{i}_expand", dense(x, params[f"block{i}/expand"])) if b.expansion > 1 else x
        y = active(f"block{i}_depthwise", convolve(y, params[f"block{i}/depthwise"], b.stride, "SAME"))
        y = dense(y, params[f"block{i}/project"])
        out[f"block{i}"] = x = x + y if b.stride == 1 and b.inputs == b.outputs else y
    x = active("head", dense(x, params["head"]))
    out["class_map"] = dense(x, params["classifier"])
    out["logits"] = dense(mean_pool(x), params["classifier"])
    return out


def convert(content: bytes, where: str) -> Params:
    """The parameters in the package's file.

    Raises:
        UserError: the file is damaged, or its arrays are not those of this network.
    """
    state = StateDict(read_torch(content, where), where)

    def folded(conv: str, norm: str) -> Layer:
        return state.convolution(conv, norm, EPSILON)

    found = {"stem": folded("_conv_stem", "_bn0"), "head": folded("_conv_head", "_bn1")}
    for i, b in enumerate(blocks()):
        names = (("expand", "_bn0"), ("depthwise", "_bn1"), ("project", "_bn2"))
        for name, norm in names if b.expansion > 1 else names[1:]:
            found[f"block{i}/{name}"] = folded(f"_blocks.{i}._{name}_conv", f"_blocks.{i}.{norm}")
    found["classifier"] = state.dense("_fc")
    return checked(found, shapes(), where)
