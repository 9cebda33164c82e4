"""Layers out of a state dict: the folded batch normalisation against the two operations, and what does not fit."""

import numpy as np
import pytest
import slow

from theodolite.core.errors import UserError
from theodolite.interpret.vision.torch_layout import StateDict


@pytest.fixture
def state():
    rng, arrays = np.random.default_rng(0), {}
    slow.random_conv(rng, arrays, "conv", 5, 3, 3, bias=True)
    slow.random_norm(rng, arrays, "bn", 5)
    arrays["fc.weight"], arrays["fc.bias"] = rng.normal(size=(4, 12)).astype("f4"), rng.normal(size=4).astype("f4")
    return StateDict(arrays, "file")


def test_a_folded_normalisation_is_the_two_operations(state):
    x, layer = np.random.default_rng(1).normal(size=(6, 6, 3)), state.convolution("conv", "bn", 1e-3)
    found = slow.conv(x, layer["kernel"].transpose(3, 2, 0, 1), layer["bias"])
    two = slow.norm(slow.conv(x, state.arrays["conv.weight"], state.arrays["conv.bias"]), state.arrays, "bn", 1e-3)
    slow.close(found, two, 1e-6)
    np.testing.assert_array_equal(state.convolution("conv")["bias"], state.arrays["conv.bias"])


def test_a_dense_layer_over_a_map_is_one_over_pytorchs_flattened_vector(state):
    x, layer = np.random.default_rng(1).normal(size=(2, 2, 3)), state.dense("fc", side=2)
    flat = x.transpose(2, 0, 1).ravel()
    found = np.einsum("hwi,hwio->o", x, layer["kernel"]) + layer["bias"]
    slow.close(found, state.arrays["fc.weight"] @ flat + state.arrays["fc.bias"], 1e-6)


def test_what_is_absent_or_of_another_shape_is_named(state):
    with pytest.raises(UserError, match=r"no array 'conf.weight'. Did you mean conv.weight"):
        state.convolution("conf")
    with pytest.raises(UserError, match=r"fc.weight has the shape \(4, 12\), expected \(any, any, any, any\)"):
        state.convolution("fc")
    state.arrays["bn.running_var"] = np.ones(6, "f4")
    with pytest.raises(UserError, match=r"bn.running_var has the shape \(6,\), expected \(5\)"):
        state.convolution("conv", "bn")
    with pytest.raises(UserError, match="reads 12 numbers, expected a multiple of 7x7"):
        state.dense("fc", side=7)
