"""Convolutions against SciPy's, channel by channel, and their gradients against that definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate2d

from theodolite.core import convolution
from theodolite.core.convolution import conv2d

CASES = [
    # height, width, inputs, outputs, kernel, stride, padding, groups
    (7, 9, 3, 4, 3, 1, 1, 1),
    (8, 6, 2, 5, 3, 2, 1, 1),
    (9, 9, 3, 4, 3, 2, "VALID", 1),
    (8, 9, 3, 4, 3, 2, "SAME", 1),
    (11, 13, 3, 4, 5, 4, 2, 1),
    (5, 6, 4, 3, 1, 1, 0, 1),
    (7, 7, 4, 2, 1, 2, 0, 1),
    (8, 8, 4, 4, 3, 2, "SAME", 4),
    (7, 8, 6, 6, 5, 1, 2, 6),
    (9, 6, 3, 3, 5, 2, "SAME", 3),
    (8, 7, 3, 3, 4, 3, "VALID", 3),
    (7, 8, 4, 6, 3, 1, 1, 2),
    (6, 6, 2, 3, 4, 1, "SAME", 1),
    (4, 4, 2, 3, 4, 1, 0, 1),
    (16, 15, 4, 8, 8, 4, "VALID", 1),
    (19, 18, 32, 33, 3, 1, 1, 1),  # by Winograd's filtering, with a rest on both sides
]


def pads(n, kernel, stride, padding):
    if padding == "SAME":
        short = max((-(-n // stride) - 1) * stride + kernel - n, 0)
        return short // 2, short - short // 2
    return (0, 0) if padding == "VALID" else (padding, padding)


def slow(x, kernel, stride, padding, groups):
    size, _, inputs, outputs = kernel.shape
    x = np.pad(x, ((0, 0), *(pads(n, size, stride, padding) for n in x.shape[1:3]), (0, 0)))
    planes = []
    for o in range(outputs):
        first = o // (outputs // groups) * inputs
        planes.append(
            [sum(correlate2d(image[..., first + i], kernel[..., i, o], "valid") for i in range(inputs)) for image in x]
        )
    return np.moveaxis(np.array(planes), 0, -1)[:, ::stride, ::stride]


@pytest.fixture(params=CASES, ids=str)
def case(request):
    height, width, inputs, outputs, size, stride, padding, groups = request.param
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, height, width, inputs)), rng.normal(size=(size, size, inputs // groups, outputs))
    return x, kernel, stride, padding, groups


def test_the_convolution_is_scipys(case):
    x, kernel, *rest = case
    found = jax.jit(lambda x, k: conv2d(x, k, stride=rest[0], padding=rest[1], groups=rest[2]))(
        *map(jnp.float32, (x, kernel))
    )
    expected = slow(x, kernel, *rest)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_both_gradients_are_the_transposes(case):
    """<g, conv(dx, k)> = <x̄, dx> and <g, conv(x, dk)> = <k̄, dk>, for the whole basis through random directions."""
    x, kernel, stride, padding, groups = case
    rng = np.random.default_rng(1)

    def f(x, kernel):
        return conv2d(x, kernel, stride=stride, padding=padding, groups=groups)

    g = rng.normal(size=slow(x, kernel, stride, padding, groups).shape)
    back = jax.jit(lambda x, kernel, g: jax.vjp(f, x, kernel)[1](g))
    by_x, by_kernel = (np.asarray(b, float) for b in back(*map(jnp.float32, (x, kernel, g))))
    for _ in range(2):
        dx, dk = rng.normal(size=x.shape), rng.normal(size=kernel.shape)
        for found, expected in (
            ((by_x * dx).sum(), g * slow(dx, kernel, stride, padding, groups)),
            ((by_kernel * dk).sum(), g * slow(x, dk, stride, padding, groups)),
        ):
            assert found == pytest.approx(expected.sum(), abs=1e-5 * np.linalg.norm(expected) * expected.size**0.25)


def test_a_kernel_whose_factors_are_known_does_the_same_and_stays():
    rng = np.random.default_rng(0)
    x, kernel, g = (jnp.float32(rng.normal(size=s)) for s in ((2, 14, 15, 16), (3, 3, 16, 20), (2, 14, 15, 20)))
    known = convolution.factors(kernel)
    assert known is not None and known.backward.shape == (36, 20, 16)
    found, back = jax.vjp(lambda x, k, f: conv2d(x, k, padding=1, factors=f), x, kernel, known)
    expected, by_x = jax.vjp(lambda x: convolution.plain(x, kernel), x)
    by_image, by_kernel, by_factors = back(g)
    np.testing.assert_allclose(found, expected, atol=2e-4)
    np.testing.assert_allclose(by_image, by_x(g)[0], atol=2e-4)
    assert not by_kernel.any() and not any(f.any() for f in by_factors), "a constant"
    for other in ((3, 3, 8, 20), (1, 1, 32, 32), (5, 5, 32, 32)):
        assert convolution.factors(jnp.zeros(other)) is None


def test_filtering_is_chosen_where_it_pays():
    def products(*shapes):
        shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
        return "conv_general_dilated" not in str(jax.make_jaxpr(lambda x, k: conv2d(x, k, padding=1))(*shapes))

    assert products((1, 56, 56, 64), (3, 3, 64, 64)) and products((1, 13, 13, 16), (3, 3, 16, 64))
    assert not products((1, 56, 56, 3), (3, 3, 3, 64)), "too few channels"
    assert not products((1, 12, 12, 64), (3, 3, 64, 64)), "too few positions"
