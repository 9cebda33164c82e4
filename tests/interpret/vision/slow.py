"""Layers of image networks in plain NumPy, one image [H, W, C] at a time, kernels as PyTorch keeps them."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def conv(x, weight, bias=0.0, stride=1, pad=0, groups=1):
    """`pad` is a number, or ((top, bottom), (left, right))."""
    pads = ((pad, pad), (pad, pad)) if isinstance(pad, int) else pad
    x = np.pad(x.astype(float), (*pads, (0, 0)))
    outputs, inputs, *window = weight.shape
    seen = sliding_window_view(x, window, (0, 1))[::stride, ::stride]  # Y, X, I, h, w
    per = outputs // groups
    parts = [
        np.einsum(
            "yxihw,oihw->yxo", seen[:, :, g * inputs : (g + 1) * inputs], weight[g * per : (g + 1) * per], optimize=True
        )
        for g in range(groups)
    ]
    return np.concatenate(parts, -1) + bias


def same(x, kernel, stride):
    """TensorFlow's padding: the output has ceil(n / stride) positions, the odd pixel is below and right."""
    short = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[:2]]
    return tuple((n // 2, n - n // 2) for n in short)


def relu(x, ceiling=np.inf):
    return np.minimum(np.maximum(x, 0), ceiling)


def pool(x, window, stride, pad=0, ceil=False):
    """The maximum over windows; with `ceil`, windows that begin inside but reach over the border count."""
    spare = stride - 1 if ceil else 0
    rows, columns = (range(0, (n + 2 * pad - window + spare) // stride * stride + 1, stride) for n in x.shape[:2])
    x = np.pad(x, ((pad, pad + window), (pad, pad + window), (0, 0)), constant_values=-np.inf)
    return np.array([[x[i : i + window, j : j + window].max((0, 1)) for j in columns] for i in rows])


def norm(x, state, name, epsilon):
    weight, bias, mean, variance = (
        state[f"{name}.{part}"].astype(float) for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(variance + epsilon) * weight + bias


def random_conv(rng, state, name, outputs, inputs, size, bias=False):
    """A convolution whose outputs are of the size of its inputs."""
    state[f"{name}.weight"] = rng.normal(0, (2 / inputs / size**2) ** 0.5, (outputs, inputs, size, size)).astype("f4")
    if bias:
        state[f"{name}.bias"] = rng.normal(0, 0.1, outputs).astype("f4")


def random_norm(rng, state, name, width):
    state[f"{name}.weight"], state[f"{name}.bias"] = (
        rng.uniform(0.5, 1.5, width).astype("f4"),
        rng.normal(0, 0.1, width),
    )
    state[f"{name}.running_mean"] = rng.normal(0, 0.1, width).astype("f4")
    state[f"{name}.running_var"] = rng.uniform(0.5, 1.5, width).astype("f4")
    state[f"{name}.num_batches_tracked"] = np.array(7)


def close(found, expected, tolerance=2e-5):
    """Equal up to a share of the largest value."""
    found = np.asarray(found)
    assert found.shape == expected.shape, (found.shape, expected.shape)
    np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max(), rtol=0)
