"""Numbers that say of a picture what a reader would see: noise, smoothness, textures.

high_frequency_share    power above 0.25 cycles per pixel of the Hann-windowed grey picture, over all its power
spectral_slope          exponent p of the power spectrum, f^p, by least squares: about -2 to -3 for photographs
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
