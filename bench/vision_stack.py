"""What both sides of the image benchmark compute: a VGG-like stack of six convolutions, and the weights they share.

One step is the gradient by an image of 224x224 pixels of the mean of a channel of the last layer, and a step along it.
"""

import numpy as np

SIZE, CHANNEL, STEPS, RATE = 224, 7, 4, 1e-3
WIDTHS = ((3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256))
POOLED = (1, 3)
"""Convolutions that a 2x2 pool follows."""


def weights() -> list[np.ndarray]:
    """Kernels [3, 3, inputs, outputs], by He's rule."""
    rng = np.random.default_rng(0)
    return [rng.normal(0, (2 / 9 / i) ** 0.5, (3, 3, i, o)).astype(np.float32) for i, o in WIDTHS]


def image() -> np.ndarray:
    """Where the ascent starts, [1, H, W, 3]."""
    return np.random.default_rng(1).normal(size=(1, SIZE, SIZE, 3)).astype(np.float32)
