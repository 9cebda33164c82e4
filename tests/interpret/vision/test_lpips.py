"""LPIPS against its equation written as loops, and its file format."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core.errors import UserError
from theodolite.interpret.vision import lpips, vgg
from theodolite.interpret.vision.network import build


def contents(stack, name="alexnet", drop=None):
    """The layout of the package's file, with weights drawn at random."""
    rng, shapes = np.random.default_rng(0), vgg.shapes(stack)
    body = {
        f"Conv_{i}": {
            "kernel": rng.normal(0, (2 / np.prod(shape[:3])) ** 0.5, shape).astype("f4"),
            "bias": rng.normal(0, 0.1, shape[-1]).astype("f4"),
        }
        for i, shape in enumerate(shapes.values())
    }
    found = {"Net_0": body}
    for i, tap in enumerate(vgg.LPIPS_TAPS[name]):
        width = shapes[tap.replace("relu", "conv")][-1]
        found[f"NetLinLayer_{i}"] = {"Conv_0": {"kernel": rng.uniform(0, 1, (1, 1, width, 1)).astype("f4")}}
    found.pop(drop, None)
    return pickle.dumps(found, 3).replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n")


@pytest.fixture(scope="module")
def network():
    params = lpips.convert("alexnet", vgg.ALEXNET, contents(vgg.ALEXNET), "f")
    params = jax.tree.map(jnp.asarray, params)
    return build("alexnet", params, lambda p, x: vgg.apply(vgg.ALEXNET, p, x), 64)


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(1)
    x = rng.uniform(size=(2, 64, 70, 3)).astype("f4")
    return jnp.asarray(x), jnp.asarray(np.clip(x + rng.normal(0, [[[[0.02]]], [[[0.2]]]], x.shape), 0, 1).astype("f4"))


def test_the_distance_is_equation_1(network, pair):
    found = jax.jit(lambda p, x, y: lpips.distance(network._replace(params=p), x, y))(network.params, *pair)
    features = [jax.jit(network.apply)(network.params, images) for images in pair]
    for b in range(2):
        total = 0.0
        for i, tap in enumerate(vgg.LPIPS_TAPS["alexnet"]):
            fx, fy = (np.asarray(f[tap][b], float) for f in features)
            weight = np.asarray(network.params[f"lpips{i}"]["kernel"], float).ravel()
            cells = [
                sum(weight * (fx[p] / (np.linalg.norm(fx[p]) + 1e-10) - fy[p] / (np.linalg.norm(fy[p]) + 1e-10)) ** 2)
                for p in np.ndindex(fx.shape[:2])
            ]
            total += np.mean(cells)
        assert found[b] == pytest.approx(total, rel=1e-4)
    assert found[0] < found[1], "the one with more noise is farther"


def test_equal_features_are_at_distance_0_with_a_finite_gradient(network):
    taps, width = vgg.LPIPS_TAPS["alexnet"], {f"lpips{i}": network.params[f"lpips{i}"] for i in range(5)}
    silent = {tap: jnp.zeros((1, 2, 2, width[f"lpips{i}"]["kernel"].shape[2])) for i, tap in enumerate(taps)}
    value, gradient = jax.value_and_grad(lambda f: lpips.compared(width, taps, f, silent).sum())(silent)
    assert value == 0 and all(np.isfinite(g).all() for g in gradient.values())


def test_a_network_without_heads_and_a_file_without_them_are_refused(network, pair):
    with pytest.raises(UserError, match="mine has no weights of LPIPS"):
        lpips.distance(network._replace(name="mine"), *pair)
    with pytest.raises(UserError, match="kernel of lpips3 has the shape"):
        lpips.convert("alexnet", vgg.ALEXNET, contents(vgg.ALEXNET, drop="NetLinLayer_3"), "f")
    with pytest.raises(UserError, match="kernel of conv1 has the shape"):
        lpips.convert("alexnet", vgg.ALEXNET, contents(vgg.ALEXNET, drop="Net_0"), "f")
