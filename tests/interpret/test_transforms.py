"""Transforms against SciPy's, their gradients against the transposed matrix, and what they keep."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from theodolite.interpret.vision import transforms


@pytest.fixture(scope="module")
def images():
    """Two smooth images with four channels."""
    rng = np.random.default_rng(0)
    return jnp.asarray(ndimage.gaussian_filter(rng.random((2, 20, 24, 4)), (0, 1, 1, 0)), jnp.float32)


def by_scipy(image, matrix, offset):
    """Bilinear samples at matrix·p + offset, zero outside."""
    apart = [
        ndimage.affine_transform(c, matrix, offset, order=1, mode="grid-constant") for c in np.moveaxis(image, -1, 0)
    ]
    return np.stack(apart, -1)


@pytest.mark.parametrize("degrees", [0.0, 7.0, -30.0, 90.0])
def test_rotation_is_scipy_s(images, degrees, key):
    out = jax.jit(transforms.rotate((degrees,)))(key, images)
    for image, turned in zip(np.asarray(images), np.asarray(out), strict=True):
        # scipy turns clockwise in (row, column) by a positive angle of this matrix: it is written out instead
        cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        matrix, middle = np.array([[cos, sin], [-sin, cos]]), (np.array(image.shape[:2]) - 1) / 2
        assert np.allclose(turned, 0.5 + by_scipy(image - 0.5, matrix, middle - matrix @ middle), atol=1e-4)


def test_a_positive_angle_turns_anticlockwise(key):
    right = jnp.full((1, 21, 21, 1), 0.5).at[0, 10, 18, 0].set(1.0)
    up = jax.jit(transforms.rotate((90.0,)))(key, right)
    assert np.unravel_index(np.argmax(up[0, ..., 0]), (21, 21)) == (2, 10)


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.3])
def test_scaling_is_scipy_s(images, factor, key):
    out = jax.jit(transforms.scale((factor,)))(key, images)
    for image, scaled in zip(np.asarray(images), np.asarray(out), strict=True):
        middle = (np.array(image.shape[:2]) - 1) / 2
        expected = 0.5 + by_scipy(image - 0.5, np.eye(2) / factor, middle - middle / factor)
        assert np.allclose(scaled, expected, atol=1e-4)


@pytest.mark.parametrize("make", [
    lambda: transforms.standard(), lambda: transforms.standard((0.5, 2.0), (40.0,)), lambda: transforms.rotate((33.0,)),
    lambda: transforms.standard(out=9), lambda: transforms.scale((0.7,)), lambda: transforms.jitter(3),
    lambda: transforms.crops(2, 0.2, 0.4, 7, noise=0.0),
])  # fmt: skip
def test_gradients_are_the_transposed_matrix(make, key):
    """A transform is affine in the image: its Jacobian from unit images, column by column, is the judge."""
    transform, image = make(), jnp.full((1, 9, 11, 1), 0.5)
    f = jax.jit(lambda x: transform(key, x).ravel())
    units = 0.5 + np.eye(99, dtype=np.float32).reshape(99, 1, 9, 11, 1)
    columns = np.stack([np.asarray(f(unit)) for unit in units]) - np.asarray(f(image))
    weight = jnp.asarray(np.random.default_rng(1).normal(size=columns.shape[1]), jnp.float32)
    gradient = jax.jit(jax.grad(lambda x: (transform(key, x).ravel() * weight).sum()))(image)
    assert np.allclose(gradient.ravel(), columns @ np.asarray(weight), atol=1e-4)


def test_shapes_do_not_depend_on_the_key_and_the_key_decides(images):
    draw = jax.jit(
        transforms.compose(transforms.pad(4), transforms.standard(), transforms.jitter(3), transforms.crop(16))
    )
    one, again, other = (draw(jax.random.key(k), images) for k in (0, 0, 1))
    assert one.shape == (2, 16, 16, 4)
    assert np.array_equal(one, again) and not np.allclose(one, other)
    same = draw(jax.random.key(0), jnp.stack([images[0], images[0]]))
    assert not np.allclose(same[0], same[1]), "images of a batch are changed each in its own way"


def test_channels_are_changed_alike(images):
    twice = jnp.concatenate([images, images], -1)
    out = jax.jit(transforms.standard())(jax.random.key(3), twice)
    assert np.array_equal(out[..., :4], out[..., 4:])


def test_crops_and_frames_are_pieces_of_the_image(images, key):
    padded = transforms.pad(2)(key, images)
    assert np.array_equal(padded[:, 2:-2, 2:-2], images) and (np.asarray(padded)[:, :2] == 0.5).all()
    assert np.array_equal(transforms.crop((10, 12))(key, images), images[:, 5:15, 6:18])
    piece = np.asarray(transforms.random_crop(5)(key, images)[1])
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(images[1]), (5, 5), (0, 1))
    assert (windows == np.moveaxis(piece, -1, 0)).all((2, 3, 4)).sum() == 1
    assert transforms.crops(3, 0.1, 0.2, 8)(key, images).shape == (6, 8, 8, 4)
