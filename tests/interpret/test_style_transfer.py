"""Style transfer: the score is its formula, and the weight makes both pull alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core.errors import UserError
from theodolite.interpret.vision import network, parameterizations, style_transfer, transforms
from theodolite.interpret.vision.style_transfer import Layers

KERNEL = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
NET = network.of_function(lambda x: {"a": x[..., :3] @ KERNEL, "b": jnp.abs(x[..., :3] @ KERNEL)}, "toy", 8)
WHERE = Layers(("a", "b"), ("b",), 1.0)


def test_the_score_is_its_formula_and_the_weight_balances(key):
    rng = np.random.default_rng(0)
    content, style = (jnp.asarray(rng.random((8, 8, 3)), jnp.float32) for _ in range(2))  # of one size: one part
    made = parameterizations.pixels(8)
    score, params = style_transfer.score(NET, made, transforms.none(), WHERE), made.init(key)
    f = jax.jit(lambda w, p: score(((), (content, style, w)), p, key, ())[0])
    x = np.asarray(made.apply(params))[0]
    far = np.abs(np.abs(x @ KERNEL) - np.abs(np.asarray(content) @ KERNEL)).mean()
    grams = [[np.einsum("hwc,hwd->cd", y, y) / 64 for y in (g(x @ KERNEL), g(np.asarray(style) @ KERNEL))]
             for g in (lambda y: y, np.abs)]  # fmt: skip
    textures = sum(np.abs(one - other).mean() for one, other in grams)
    for weight in (0.0, 2.0):
        assert np.isclose(f(jnp.float32(weight), params), -weight * far - textures, rtol=1e-4)
    balanced = style_transfer.balance(score, ((), (content, style, jnp.float32(1))), params, key)
    pull = jax.jit(jax.grad(f, argnums=1))
    without = pull(jnp.float32(0), params)
    both = pull(balanced, params)
    assert np.isclose(np.linalg.norm(both - without), np.linalg.norm(without), rtol=1e-3)


def test_networks_without_known_layers_are_refused():
    with pytest.raises(UserError, match="no style layers are known for toy"):
        style_transfer.layers_of(NET)
