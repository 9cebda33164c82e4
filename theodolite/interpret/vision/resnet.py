"""ResNet: blocks whose output is their input plus what two or three convolutions make of it.

Reads torchvision's layout of every depth, wide and grouped ones too (ResNeXt). Batch normalisation is folded into the
convolutions. Layers: conv1 (before the ReLU), relu1, pool1, then conv2_1 to conv5_N, the outputs of the blocks as the
paper's table counts them, `_pre_relu` the same before the nonlinearity, class_map (the classifier at every position)
and logits. As in torchvision, a block of three convolutions halves the map in its second.
"""

from collections.abc import Iterator
from itertools import count

from jaxtyping import Array, Float

from theodolite.core.arrays import Scalar
from theodolite.core.claim import Paper
from theodolite.interpret.vision.layers import convolve, dense, max_pool, mean_pool, relu, standardised
from theodolite.interpret.vision.network import Activations, Params, Shapes, checked
from theodolite.interpret.vision.torch_layout import StateDict

PAPER = Paper("Deep Residual Learning for Image Recognition", "He et al.", 2015, arxiv="1512.03385")
SIZE = 224
STAGES = 2, 3, 4, 5


def numbered(params: Params, stage: int) -> Iterator[str]:
    """The blocks of a stage that there are."""
    for i in count(1):
        if f"conv{stage}_{i}/1" not in params:
            return
        yield f"conv{stage}_{i}"


def apply(params: Params, images: Float[Array, "B H W 3"]) -> Activations:
    """Every layer."""
    sign, out = params.get("redirect"), {}
    out["conv1"] = convolve(standardised(images), params["conv1"], 2)
    out["relu1"] = relu(out["conv1"], sign)
    out["pool1"] = x = max_pool(out["relu1"], 3, 2, padding=1)
    for stage in STAGES:
        for name in numbered(params, stage):
            stride = 2 if stage > 2 and name.endswith("_1") else 1
            out[f"{name}_pre_relu"] = y = block(params, name, x, stride, sign)
            out[name] = x = relu(y, sign)
    out["class_map"] = dense(x, params["logits"])
    out["logits"] = dense(mean_pool(x), params["logits"])
    return out


def block(
    params: Params, name: str, x: Float[Array, "B H W I"], stride: int, sign: Scalar | None
) -> Float[Array, "B h w O"]:
    """One residual block up to its last nonlinearity."""
    if f"{name}/3" in params:
        y = relu(dense(x, params[f"{name}/1"]), sign)
        y = relu(convolve(y, params[f"{name}/2"], stride), sign)
        y = dense(y, params[f"{name}/3"])
    else:
        y = relu(convolve(x, params[f"{name}/1"], stride), sign)
        y = convolve(y, params[f"{name}/2"])
    return y + (convolve(x, params[f"{name}/skip"], stride, 0) if f"{name}/skip" in params else x)


def convert(state: StateDict) -> Params:
    """The parameters in a state dict of torchvision's layout.

    Raises:
        UserError: arrays are missing or do not fit together.
    """
    params, shapes, channels = {"conv1": state.convolution("conv1", "bn1")}, {"conv1": (7, 7, 3, 64)}, 64
    deep = "layer1.0.conv3.weight" in state.arrays
    for stage in STAGES:
        for i in count():
            theirs, ours = f"layer{stage - 1}.{i}", f"conv{stage}_{i + 1}"
            if f"{theirs}.conv1.weight" not in state.arrays:
                break
            for n in (1, 2, 3) if deep else (1, 2):
                params[f"{ours}/{n}"] = state.convolution(f"{theirs}.conv{n}", f"{theirs}.bn{n}")
            if f"{theirs}.downsample.0.weight" in state.arrays:
                params[f"{ours}/skip"] = state.convolution(f"{theirs}.downsample.0", f"{theirs}.downsample.1")
            outputs = 2 ** (stage + 4) * (4 if deep else 1)
            shapes |= block_shapes(params, ours, channels, outputs)
            channels = outputs
    params["logits"] = state.dense("fc")
    return checked(params, shapes | {"logits": (1, 1, channels, params["logits"]["bias"].size)}, state.where)


def block_shapes(params: Params, name: str, inputs: int, outputs: int) -> Shapes:
    """The kernels that a block must have; widths inside and groups are the file's own."""
    skip = {f"{name}/skip": (1, 1, inputs, outputs)} if f"{name}/skip" in params or inputs != outputs else {}
    if f"{name}/3" not in params:
        return {f"{name}/1": (3, 3, inputs, outputs), f"{name}/2": (3, 3, outputs, outputs)} | skip
    inside, grouped = params[f"{name}/1"]["bias"].size, params[f"{name}/2"]["kernel"].shape[2]
    grouped = grouped if grouped and inside % grouped == 0 else inside
    kernels = (1, 1, inputs, inside), (3, 3, grouped, inside), (1, 1, inside, outputs)
    return {f"{name}/{n}": kernel for n, kernel in enumerate(kernels, 1)} | skip
