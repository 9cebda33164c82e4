"""Parameterisations against slow transforms, closed forms, and a task that a CPPN must learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from theodolite.core import optim
from theodolite.interpret.vision import parameterizations as params


@pytest.mark.parametrize(("h", "w"), [(6, 8), (5, 7)])
def test_the_spectrum_is_a_sum_of_waves(h, w, key):
    """The inverse transform as a loop over frequencies, each wave with its mirror image."""
    canvas = params.spectrum((h, w), 1, 1, decay=1.5)
    z = canvas.init(key)
    (real, imag), expected = np.asarray(z)[:, 0, 0].astype(float), np.zeros((h, w))
    y, x = np.mgrid[:h, :w]
    for i in range(h):
        for j in range(w // 2 + 1):
            fy, fx = (i if i <= (h - 1) // 2 else i - h) / h, j / w
            scale = np.sqrt(h * w) / max(np.hypot(fy, fx), 1 / max(h, w)) ** 1.5
            twice = 1 if j == 0 or (w % 2 == 0 and j == w // 2) else 2
            wave = (real[i, j] + 1j * imag[i, j]) * np.exp(2j * np.pi * (y * fy + x * fx))
            expected += twice * scale * wave.real / (h * w) / 4
    assert np.allclose(canvas.apply(z)[0, ..., 0], expected, atol=1e-6)


def test_the_spectrum_s_power_falls_as_asked(key):
    canvas = params.spectrum(64, 16, 1, decay=1.0)
    power = np.abs(np.fft.fft2(np.asarray(canvas.apply(canvas.init(key)))[..., 0])) ** 2
    f = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64)[None])
    low, high = power[:, (f > 0.04) & (f < 0.06)].mean(), power[:, (f > 0.4) & (f < 0.45)].mean()
    assert np.isclose(low / high, (0.425 / 0.05) ** 2, rtol=0.25)


def test_colours_may_be_mixed_before_the_waves_are_summed():
    plain = params.spectrum((12, 10), 2)
    z = 9 * plain.init(jax.random.key(0))
    expected = jax.nn.sigmoid(params.colour(plain.apply(z)))
    np.testing.assert_allclose(params.fourier((12, 10), 2).apply(z), expected, atol=1e-5)
    assert str(params.fourier(8)) == "fourier, decay 1" and "plain colours" in str(params.fourier(8, decorrelate=False))


def test_colours_are_those_of_lucid():
    """The normalised matrix as the sheet of the article prints it, and grey as the widest direction."""
    printed = [[0.5628, 0.1948, 0.0433], [0.5845, 0, -0.1082], [0.5845, -0.1948, 0.0649]]
    assert np.allclose(params.DECORRELATE, printed, atol=1e-4)
    coloured = params.colour(jnp.eye(3))
    assert np.allclose(coloured, np.array(printed).T, atol=1e-4)
    widths = np.linalg.norm(params.DECORRELATE, axis=0)
    assert widths[0] > 3 * widths[1] and np.ptp(params.DECORRELATE[:, 0]) < 0.03


def test_the_pyramid_is_a_sum_of_stretched_grids(key):
    canvas = params.pyramid(16, 1, 3, levels=3)
    grids = canvas.init(key)
    assert [g.shape for g in grids] == [(1, 16, 16, 3), (1, 8, 8, 3), (1, 4, 4, 3)]
    expected = sum(jax.image.resize(g, (1, 16, 16, 3), "linear") for g in grids)
    assert np.allclose(canvas.apply(grids), expected, atol=1e-6)


def test_grids_stretch_along_the_batch_from_end_to_end(key):
    canvas = params.grid((2, 2, 2, 3), (6, 8, 8, 3))
    ends = canvas.init(key)
    frames = np.asarray(canvas.apply(ends))
    wide = np.stack([ndimage.zoom(np.asarray(e), (4, 4, 1), order=1, mode="nearest", grid_mode=True) for e in ends])
    for n, frame in enumerate(frames):
        assert np.allclose(frame, (1 - n / 5) * wide[0] + n / 5 * wide[1], atol=1e-6)


def test_shared_frames_move_together(key):
    together, apart = params.shared(16, 6), params.fourier(16, 6)
    theta = together.init(key)
    moved = jax.tree.map(jnp.zeros_like, theta)
    moved = (theta[0], *(g + 1 for g in theta[1:]))
    change = np.asarray(together.apply(moved)) - np.asarray(together.apply(theta))
    assert (change > 0.1).mean() > 0.5 and np.ptp(change, 0).max() < 0.1
    assert together.apply(theta).shape == apart.apply(apart.init(key)).shape == (6, 16, 16, 3)


def test_rgba_is_an_image_and_a_veil(key):
    p = params.rgba(16)
    theta = p.init(key)
    image = np.asarray(p.apply(theta))
    assert image.shape == (1, 16, 16, 4) and (image > 0).all() and (image < 1).all()
    more = np.asarray(p.apply((theta[0], theta[1].at[0, ..., 0, 0].add(10.0))))
    assert np.array_equal(more[..., :3], image[..., :3]) and (more[..., 3] > image[..., 3]).all()


def test_maco_keeps_the_magnitudes(key):
    photos = np.random.default_rng(0).random((3, 32, 32, 3)).cumsum(1)
    magnitude = params.magnitudes(photos / photos.max(), 32)
    p = params.maco(magnitude, 32)
    image = np.asarray(p.apply(p.init(key)), float)[0]
    canvas = np.log(image / (1 - image)) @ np.linalg.inv(params.DECORRELATE).T
    found = np.abs(np.fft.rfft2(np.moveaxis(canvas, -1, 0)))
    inner = (slice(None), slice(1, 16), slice(1, 16))  # at the edges of the half plane a real image has real parts only
    ratio = found[inner] / magnitude[inner]
    assert np.allclose(ratio, np.median(ratio), rtol=2e-2)


def test_the_cppn_has_the_article_s_weights_and_begins_grey(key):
    p = params.cppn(16)
    theta = p.init(key)
    assert sum(leaf.size for leaf in jax.tree.leaves(theta)) == 8451
    assert np.allclose(p.apply(theta), 0.5)
    assert np.allclose(params.coordinates(64).reshape(-1, 2).var(0), 1, atol=0.05)


def test_the_cppn_draws_at_any_size(key):
    small, large = (params.cppn(n, head=1.0) for n in (17, 65))
    theta = small.init(key)
    assert np.allclose(large.apply(theta)[:, ::4, ::4], small.apply(theta), atol=1e-4)


def test_activations_of_the_cppn_are_standardised():
    z = np.random.default_rng(0).normal(size=(200_000, 1)).astype(np.float32)
    for activation in (params.unbiased_composite, params.normalised_relu):
        out = np.asarray(activation(jnp.asarray(z)))
        assert np.allclose(out.mean(0), 0, atol=0.02) and np.allclose(out.std(0), 1, atol=0.05), activation.__name__


def test_the_cppn_learns_exclusive_or(key):
    p = params.cppn(2, width=24, depth=8)
    target = jnp.array([[0.0, 1.0], [1.0, 0.0]])[None, :, :, None] * jnp.ones((1, 1, 1, 3))
    adam = optim.adam(0.01)

    def step(carry, _):
        theta, opt = carry
        loss, gradient = jax.value_and_grad(lambda t: ((p.apply(t) - target) ** 2).mean())(theta)
        return optim.apply(adam, gradient, opt, theta), loss

    theta = p.init(key)
    _, losses = jax.jit(lambda c: jax.lax.scan(step, c, length=60))((theta, adam.init(theta)))
    assert np.isclose(losses[0], 0.25) and losses[-1] < 0.01


@pytest.mark.parametrize(("c", "share"), [(0.0, 0.502), (1.0, 0.657), (2.0, 0.763)])
def test_a_shared_part_widens_the_aligned_basin(c, share):
    """The article's toy: L(x) + L(y), L(z) = (z² - 1)², x = a + c s, y = b + c s, gradient flow from random starts."""
    x, y = np.random.default_rng(0).normal(0, 0.5, (2, 10_000))
    for _ in range(3_000):
        dx, dy = 4 * x * (x**2 - 1), 4 * y * (y**2 - 1)
        x, y = x - 0.002 * ((1 + c**2) * dx + c**2 * dy), y - 0.002 * ((1 + c**2) * dy + c**2 * dx)
    assert np.isclose((np.sign(x) == np.sign(y)).mean(), share, atol=0.02)
