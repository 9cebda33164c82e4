"""What both sides of the SqueezeNet benchmark share; NumPy only, since it also runs inside the peers' environments."""

import numpy as np

SIZE, LAYER, CHANNEL, STEPS, RATE, SD = 224, "fire9", 13, 32, 0.05, 0.01
"""Pixels, what is excited, steps of a segment, Adam's step size, deviation of the first coefficients."""
SHAPE = (2, 1, 3, SIZE, SIZE // 2 + 1)
"""Real and imaginary parts, picture, colour, rows and columns of the half spectrum."""
JITTERS = (8, 4)


def scale() -> np.ndarray:
    """What a coefficient is multiplied by: √(HW) / f / 4, at f = 0 that of the longest wave."""
    f = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None])
    return (SIZE / np.maximum(f, 1 / SIZE) / 4).astype(np.float32)
