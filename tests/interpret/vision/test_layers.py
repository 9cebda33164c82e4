"""Pools against loops, and the redirected gradient against its definition, image by image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import slow

from theodolite.interpret.vision import layers

POOLS = [(2, 2, 0, False), (3, 2, 0, False), (3, 2, 1, False), (3, 2, 0, True), (3, 1, 1, False), (2, 2, 0, True)]


@pytest.mark.parametrize("size", [(8, 8), (9, 7), (6, 11)])
@pytest.mark.parametrize(("window", "stride", "pad", "ceil"), POOLS)
def test_pools_and_their_gradients_are_those_of_loops(size, window, stride, pad, ceil):
    x = np.random.default_rng(0).permutation(np.prod(size) * 2).reshape(*size, 2).astype("f4")  # no two are equal
    found, back = jax.vjp(lambda x: layers.max_pool(x, window, stride, pad, not ceil), jnp.asarray(x)[None])
    expected = slow.pool(x, window, stride, pad, ceil)
    np.testing.assert_array_equal(found[0], expected)
    weight = np.random.default_rng(1).normal(size=expected.shape).astype("f4")
    gradient = np.zeros_like(x)
    for place in np.ndindex(expected.shape):
        gradient[x == expected[place]] += weight[place]
    np.testing.assert_allclose(back(jnp.asarray(weight)[None])[0][0], gradient, rtol=1e-5)


@pytest.mark.parametrize("cells", [1, 3, 7])
@pytest.mark.parametrize("size", [(7, 7), (5, 9), (2, 16)])
def test_means_over_cells_are_those_of_loops(size, cells):
    x = np.random.default_rng(0).normal(size=(*size, 3)).astype("f4")
    edges = [[(int(np.floor(i * n / cells)), int(np.ceil((i + 1) * n / cells))) for i in range(cells)] for n in size]
    expected = np.array([[x[a:b, c:d].mean((0, 1)) for c, d in edges[1]] for a, b in edges[0]])
    np.testing.assert_allclose(layers.mean_pool(jnp.asarray(x)[None], cells)[0], expected, atol=1e-6)


def gradient(x, g, sign, ceiling):
    return np.asarray(jax.vjp(lambda x: layers.relu(x, sign, ceiling), jnp.asarray(x))[1](jnp.asarray(g))[0])


@pytest.mark.parametrize("ceiling", [None, 6.0])
def test_without_a_blocked_image_the_gradient_is_the_true_one(ceiling):
    rng = np.random.default_rng(0)
    x, g = rng.normal(0, 6, (2, 3, 3, 2)).astype("f4"), rng.normal(size=(2, 3, 3, 2)).astype("f4")
    top = np.inf if ceiling is None else ceiling
    true = np.where((x > 0) & (x < top), g, 0)
    for sign in (None, 0.0, 1.0, -1.0):
        signed = sign if sign is None else jnp.float32(sign)
        np.testing.assert_array_equal(layers.relu(jnp.asarray(x), signed, ceiling), np.clip(x, 0, top))
        np.testing.assert_array_equal(gradient(x, g, signed, ceiling), true)


def test_a_silent_image_is_woken_and_only_it():
    x = np.array([-1.0, -2, 3, -4, -1, -2, -3, -4], "f4").reshape(2, 2, 2, 1)  # the second image is silent
    g = np.array([1.0, -1, 1, -1, 1, -1, 1, -1], "f4").reshape(2, 2, 2, 1)
    true = np.where(x > 0, g, 0)
    np.testing.assert_array_equal(gradient(x, g, jnp.float32(0), None), true)
    np.testing.assert_array_equal(gradient(x, g, jnp.float32(1), None), np.stack([true[0], np.maximum(g[1], 0)]))
    np.testing.assert_array_equal(gradient(x, g, jnp.float32(-1), None), np.stack([true[0], np.minimum(g[1], 0)]))


def test_a_saturated_relu6_is_led_back():
    x, g = np.array([7.0, 8, -1, -2], "f4").reshape(1, 2, 2, 1), np.array([1.0, -1, 1, -1], "f4").reshape(1, 2, 2, 1)
    np.testing.assert_array_equal(gradient(x, g, jnp.float32(1), 6.0).ravel(), [0, -1, 1, 0])
    np.testing.assert_array_equal(gradient(x, g, jnp.float32(-1), 6.0).ravel(), [1, 0, 0, -1])


def test_an_open_position_without_a_gradient_does_not_hide_a_block():
    x, g = np.array([5.0, -1], "f4").reshape(1, 1, 2, 1), np.array([0.0, 2], "f4").reshape(1, 1, 2, 1)
    np.testing.assert_array_equal(gradient(x, g, jnp.float32(1), None).ravel(), [0, 2])
