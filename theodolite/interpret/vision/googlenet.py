"""GoogLeNet (InceptionV1): modules of four branches side by side, the network of lucid's pictures.

Reads torchvision's layout, where the branch called 5x5 has kernels of 3x3. Layers: conv1, conv2_reduce, conv2 and
pool1, pool2, pool3, pool4; inception3a to inception5b (lucid's mixed3a to mixed5b), with `_pre_relu` before the
nonlinearity, and of every branch `inception3a_1x1_pre_relu`, `_3x3_reduce_`, `_3x3_`, `_5x5_reduce_`, `_5x5_` and
`_pool_reduce_`; class_map (the classifier at every position) and logits. Batch normalisation is folded in.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from theodolite.core.arrays import Scalar
from theodolite.core.claim import Paper
from theodolite.interpret.vision.layers import convolve, dense, max_pool, mean_pool, relu
from theodolite.interpret.vision.network import Activations, Params, Shapes, checked
from theodolite.interpret.vision.torch_layout import StateDict

PAPER = Paper("Going Deeper with Convolutions", "Szegedy et al.", 2014, arxiv="1409.4842")
SIZE = 224
MODULES = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
POOLS = {"3b": (3, "pool3"), "4e": (2, "pool4")}
"""Module -> window and name of the pool of stride 2 after it."""
BRANCHES = {
    "1x1": "branch1",
    "3x3_reduce": "branch2.0",
    "3x3": "branch2.1",
    "5x5_reduce": "branch3.0",
    "5x5": "branch3.1",
    "pool_reduce": "branch4.1",
}
"""Our name of a branch's convolution -> torchvision's."""
STEM = {"conv1": "conv1", "conv2_reduce": "conv2", "conv2": "conv3"}
EPSILON = 1e-3


def apply(params: Params, images: Float[Array, "B H W 3"]) -> Activations:
    """Every layer."""
    sign, out = params.get("redirect"), {}

    def active(name: str, x: Array, stride: int = 1) -> Array:
        out[f"{name}_pre_relu"] = convolve(x, params[name], stride)
        out[name] = relu(out[f"{name}_pre_relu"], sign)
        return out[name]

    x = active("conv1", images * 2 - 1, 2)
    out["pool1"] = x = max_pool(x, 3, 2, whole=False)
    x = active("conv2", active("conv2_reduce", x))
    out["pool2"] = x = max_pool(x, 3, 2, whole=False)
    for module in MODULES:
        x = inception(params, f"inception{module}", x, sign, out)
        if module in POOLS:
            window, name = POOLS[module]
            out[name] = x = max_pool(x, window, 2, whole=False)
    out["class_map"] = dense(x, params["logits"])
    out["logits"] = dense(mean_pool(x), params["logits"])
    return out


def inception(
    params: Params, name: str, x: Float[Array, "B h w I"], sign: Scalar | None, out: Activations
) -> Float[Array, "B h w O"]:
    """The four branches of a module; every convolution is noted in `out`."""

    def branch(kind: str, x: Array) -> Array:
        out[f"{name}_{kind}_pre_relu"] = convolve(x, params[f"{name}/{kind}"])
        return out[f"{name}_{kind}_pre_relu"]

    wide = [
        branch("1x1", x),
        branch("3x3", relu(branch("3x3_reduce", x), sign)),
        branch("5x5", relu(branch("5x5_reduce", x), sign)),
        branch("pool_reduce", max_pool(x, 3, 1, padding=1)),
    ]
    out[f"{name}_pre_relu"] = jnp.concatenate(wide, axis=-1)
    out[name] = relu(out[f"{name}_pre_relu"], sign)
    return out[name]


def convert(state: StateDict) -> Params:
    """The parameters in a state dict of torchvision's layout.

    Raises:
        UserError: arrays are missing or do not fit together.
    """
    params = {ours: state.convolution(f"{theirs}.conv", f"{theirs}.bn", EPSILON) for ours, theirs in STEM.items()}
    shapes: Shapes = {"conv1": (7, 7, 3, 64), "conv2_reduce": (1, 1, 64, 64), "conv2": (3, 3, 64, 192)}
    channels = 192
    for module in MODULES:
        name, width = f"inception{module}", {}
        for ours, theirs in BRANCHES.items():
            layer = state.convolution(f"{name}.{theirs}.conv", f"{name}.{theirs}.bn", EPSILON)
            params[f"{name}/{ours}"], width[ours] = layer, layer["bias"].size
            inputs = width[f"{ours}_reduce"] if f"{ours}_reduce" in BRANCHES else channels
            side = layer["kernel"].shape[0] if ours == "5x5" else int(ours[0]) if ours == "3x3" else 1
            shapes[f"{name}/{ours}"] = (side, side, inputs, width[ours])
        channels = sum(size for kind, size in width.items() if kind in ("1x1", "3x3", "5x5", "pool_reduce"))
    params["logits"] = state.dense("fc")
    return checked(params, shapes | {"logits": (1, 1, channels, params["logits"]["bias"].size)}, state.where)
