"""Convolutions of images, [B, H, W, C], with kernels [h, w, inputs, outputs]."""

from typing import Literal

import jax
from jaxtyping import Array, Float

Padding = Literal["SAME", "VALID"] | int


def conv2d(
    x: Float[Array, "B H W I"],
    kernel: Float[Array, "h w i O"],
    *,
    stride: int = 1,
    padding: Padding = 0,
    groups: int = 1,
) -> Float[Array, "B Y X O"]:
    """The cross-correlation that networks call a convolution; `SAME` pads as TensorFlow does, a number on all sides."""
    pads = ((padding, padding), (padding, padding)) if isinstance(padding, int) else padding
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups
    )
