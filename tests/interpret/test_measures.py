"""Measures of pictures on pictures whose answer is known."""

import numpy as np

from theodolite.interpret.vision import measures


def wave(cycles_per_pixel, size=64):
    x = np.arange(size)
    return np.repeat((0.5 + 0.4 * np.cos(2 * np.pi * cycles_per_pixel * x))[None, :, None], size, 0).repeat(3, 2)


def test_waves_are_low_or_high():
    assert measures.high_frequency_share(wave(0.1)) < 1e-3
    assert measures.high_frequency_share(wave(0.4)) > 0.999
    half = measures.high_frequency_share((wave(0.1) + wave(0.4)) / 2)
    assert np.isclose(half, 0.5, atol=0.01)


def test_white_noise_has_the_share_of_the_area_and_no_slope():
    noise = np.random.default_rng(0).random((128, 128, 3))
    assert np.isclose(measures.high_frequency_share(noise), 1 - np.pi / 16, atol=0.02)
    assert abs(measures.spectral_slope(noise)) < 0.2


def test_the_slope_of_a_power_law_is_its_exponent():
    rng, n = np.random.default_rng(0), 256
    f = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)[None])
    f[0, 0] = 1
    plane = np.fft.irfft2((rng.normal(size=f.shape) + 1j * rng.normal(size=f.shape)) / f**1.0, s=(n, n))
    assert np.isclose(measures.spectral_slope(plane[..., None].repeat(3, 2)), -2, atol=0.25)


def test_a_pattern_of_every_second_or_fourth_pixel_stands_out_of_noise():
    noise = np.random.default_rng(0).normal(size=(96, 96, 3))
    assert np.isclose(measures.stride_excess(noise), 1, atol=0.6)
    for step in (2, 4):
        board = np.zeros_like(noise)
        board[::step, ::step] = 1
        assert measures.stride_excess(noise + 3 * board) > {2: 1.5, 4: 10}[step]
    shifted = np.roll(noise + 3 * board, (1, 2), (0, 1))
    assert np.isclose(measures.stride_excess(shifted), measures.stride_excess(noise + 3 * board))


def test_a_slope_is_no_pattern():
    rng, n = np.random.default_rng(1), 96
    f = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)[None])
    f[0, 0] = 1
    planes = [np.fft.irfft2((rng.normal(size=f.shape) + 1j * rng.normal(size=f.shape)) / f, s=(n, n)) for _ in range(3)]
    assert measures.stride_excess(np.stack(planes, -1)) < 1.6
