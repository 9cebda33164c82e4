"""Convolutions against SciPy's, channel by channel, and their gradients against that definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate2d

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
    (7, 8, 4, 6, 3, 1, 1, 2),
    (6, 6, 2, 3, 4, 1, "SAME", 1),
    (4, 4, 2, 3, 4, 1, 0, 1),
    (16, 15, 4, 8, 8, 4, "VALID", 1),
    (12, 12, 40, 48, 3, 1, 1, 1),
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
    found = conv2d(jnp.float32(x), jnp.float32(kernel), stride=rest[0], padding=rest[1], groups=rest[2])
    np.testing.assert_allclose(found, slow(x, kernel, *rest), atol=1e-4)


def test_both_gradients_are_the_transposes(case):
    """<g, conv(dx, k)> = <x̄, dx> and <g, conv(x, dk)> = <k̄, dk>, for the whole basis through random directions."""
    x, kernel, stride, padding, groups = case
    rng = np.random.default_rng(1)

    def f(x, kernel):
        return conv2d(x, kernel, stride=stride, padding=padding, groups=groups)

    value, back = jax.vjp(f, jnp.float32(x), jnp.float32(kernel))
    g = rng.normal(size=value.shape)
    by_x, by_kernel = (np.asarray(b, float) for b in back(jnp.float32(g)))
    for _ in range(4):
        dx, dk = rng.normal(size=x.shape), rng.normal(size=kernel.shape)
        assert (by_x * dx).sum() == pytest.approx((g * slow(dx, kernel, stride, padding, groups)).sum(), abs=2e-3)
        assert (by_kernel * dk).sum() == pytest.approx((g * slow(x, dk, stride, padding, groups)).sum(), abs=2e-3)
