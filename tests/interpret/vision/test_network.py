"""Networks as functions: the table of layers, names and numbers that do not exist, and the user's own."""

import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core.errors import UserError
from theodolite.interpret.vision import layers
from theodolite.interpret.vision.network import checked, of_function, prepared, redirect


def mine(images):
    return {"stripes": images[:, ::2], "blue": images[..., 2:] * 2, "logits": images.mean((1, 2), keepdims=True)}


def test_a_function_of_the_users_is_a_network():
    network = of_function(mine, "mine", size=8)
    assert list(network.channels.items()) == [("stripes", 3), ("blue", 1), ("logits", 3)], "in order of depth"
    image = jnp.ones((2, 4, 6, 3)) * 0.25
    np.testing.assert_array_equal(network.apply(network.params, image)["blue"], np.full((2, 4, 6, 1), 0.5))
    assert redirect(network.params, 1.0) == () and network.size == 8 and network.classes == ()


def test_prepared_parameters_give_the_same_activations():
    rng = np.random.default_rng(0)
    layer = {"kernel": rng.normal(size=(3, 3, 16, 16)).astype("f4"), "bias": np.ones(16, "f4")}
    params = {"wide": layer, "thin": {**layer, "kernel": layer["kernel"][:, :, :3]}, "redirect": jnp.float32(1)}
    ready = prepared(params)
    assert ready["thin"] is params["thin"] and ready["redirect"] is params["redirect"]
    assert ready["wide"].keys() == {"kernel", "bias", "forward", "backward"}
    x = jnp.float32(rng.normal(size=(1, 16, 16, 16)))
    np.testing.assert_allclose(layers.convolve(x, ready["wide"]), layers.convolve(x, layer), atol=1e-3)
    assert prepared(()) == ()


def test_what_a_function_must_return_is_said():
    with pytest.raises(UserError, match=r"returns ArrayImpl|returns .*Tracer|expected a dict"):
        of_function(lambda images: images)
    with pytest.raises(UserError, match=r"layer 'mean' has the shape \(1, 3\) for one image, expected \[1, h, w, C\]"):
        of_function(lambda images: {"mean": images.mean((1, 2))})
    with pytest.raises(UserError, match="expected a dict"):
        of_function(lambda images: {})


def test_names_and_numbers_that_do_not_exist():
    network = of_function(mine, "mine", size=8)._replace(classes=("Tench", "goldfish", "great white shark"))
    assert network.layer("blue") == "blue" and network.channel("stripes", 2) == 2
    with pytest.raises(
        UserError, match=r"mine has no layer 'stripe'. Did you mean stripes.*It has stripes, blue, logits"
    ):
        network.layer("stripe")
    with pytest.raises(UserError, match="channel 3 of stripes: mine's stripes has the channels 0 to 2"):
        network.channel("stripes", 3)
    with pytest.raises(UserError, match="channel -1"):
        network.channel("stripes", -1)
    assert [network.class_number(name) for name in ("tench", "2", "Goldfish", "White")] == [0, 2, 1, 2]
    with pytest.raises(UserError, match=r"no class 'goldfisch'. Did you mean goldfish"):
        network.class_number("goldfisch")
    with pytest.raises(UserError, match=r"no class 'sark'. Did you mean great white shark"):
        network.class_number("sark")
    with pytest.raises(UserError, match="class 3: mine has the classes 0 to 2"):
        network.class_number("3")
    with pytest.raises(UserError, match="mine has no classifier"):
        network._replace(classes=()).class_number("tench")


def test_a_network_of_many_layers_does_not_list_them_all():
    network = of_function(lambda x: {f"layer{i}": x for i in range(100)}, size=2)
    with pytest.raises(
        UserError, match=r"Did you mean layer9.*It has 100 layers, from layer0, .*layer11 to layer94, .*layer99\.$"
    ):
        network.layer("layer9x")


def test_layers_of_the_wrong_shape_are_named():
    layer, shapes = {"kernel": np.zeros((3, 3, 2, 4)), "bias": np.zeros(4)}, {"conv1": (3, 3, 2, 4)}
    assert checked({"conv1": layer, "more": layer}, shapes, "f").keys() == {"conv1"}
    for wrong, says in (
        ({}, "no weights of the layer conv1"),
        ({"conv1": {**layer, "bias": np.zeros(5)}}, r"bias of conv1 has the shape \(5,\), expected \(4,\)"),
        ({"conv1": {**layer, "kernel": np.zeros((3, 3, 4, 2))}}, r"kernel of conv1 has the shape \(3, 3, 4, 2\)"),
        (
            {"conv1": {**layer, "bias": np.array([0, np.nan, np.inf, 1])}},
            r"4 numbers in the bias of conv1, 2 are not fin",
        ),
        ({"conv1": {"bias": np.zeros(4)}}, r"kernel of conv1 has the shape \(\)"),
    ):
        with pytest.raises(UserError, match=says):
            checked(wrong, shapes, "f")
