"""Numbers that say of a picture what a reader would see: noise, smoothness, textures.

high_frequency_share    power above 0.25 cycles per pixel of the Hann-windowed grey picture, over all its power
spectral_slope          exponent p of the power spectrum, f^p, by least squares: about -2 to -3 for photographs
stride_excess           power at multiples of 1/2 and 1/4 cycles per pixel over that beside them: 1 without a pattern
"""

from itertools import pairwise

import numpy as np
from jaxtyping import Float

GREY = np.array([0.299, 0.587, 0.114])


def power(image: Float[np.ndarray, "H W 3"]) -> tuple[Float[np.ndarray, "H half"], Float[np.ndarray, "H half"]]:
    """Frequencies in cycles per pixel and the power at each, without the mean."""
    h, w = image.shape[:2]
    grey = np.asarray(image, float) @ GREY
    window = np.hanning(h)[:, None] * np.hanning(w)[None]
    f = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)[None])
    twice = np.where((np.arange(w // 2 + 1) == 0) | ((w % 2 == 0) & (np.arange(w // 2 + 1) == w // 2)), 1.0, 2.0)
    found = np.abs(np.fft.rfft2((grey - grey.mean()) * window)) ** 2 * twice[None]
    found[0, 0] = 0
    return f, found


def high_frequency_share(image: Float[np.ndarray, "H W 3"]) -> float:
    """Of a photograph 0.01 to 0.05, of noise 0.8."""
    f, found = power(image)
    return float(found[f > 0.25].sum() / max(found.sum(), 1e-30))


def spectral_slope(image: Float[np.ndarray, "H W 3"]) -> float:
    """Over frequencies from four waves per picture to a quarter cycle per pixel, in ten bands; 0 if it is all grey."""
    f, found = power(image)
    edges = np.geomspace(4 / min(image.shape[:2]), 0.25, 11)
    bands = [(f >= a) & (f < b) for a, b in pairwise(edges)]
    middles = [np.sqrt(a * b) for a, b in pairwise(edges)]
    level = [(f0, found[band].mean() + 1e-12) for f0, band in zip(middles, bands, strict=True) if band.any()]
    x, y = np.log(np.array(level)).T
    return float(np.polyfit(x, y, 1)[0])


def stride_excess(gradient: Float[np.ndarray, "H W 3"], stride: int = 4) -> float:
    """How far the frequencies of a step of `stride` pixels, and of its divisors, stand out: a geometric mean.

    Each is compared with the frequencies two and three bins away, which lie on no such multiple if a side has eight
    strides or more.
    """
    found = (np.abs(np.fft.fft2(np.asarray(gradient, float), axes=(0, 1))) ** 2).sum(-1) + 1e-30
    h, w = found.shape
    away = [(y, x) for y in range(-3, 4) for x in range(-3, 4) if max(abs(y), abs(x)) > 1]
    logs = []
    for i, j in np.ndindex(stride, stride):
        if i or j:
            at = i * h // stride, j * w // stride
            beside = np.mean([found[(at[0] + y) % h, (at[1] + x) % w] for y, x in away])
            logs.append(np.log(found[at] / beside))
    return float(np.exp(np.mean(logs)))
