"""The pretrained networks as a user meets them: by name, on photographs, with the classes' names."""

import jax
import numpy as np
import pytest

from theodolite.core.errors import UserError
from theodolite.interpret.vision import models, network

SHOWN = {
    "chelsea": {"squeezenet": range(281, 286), "efficientnet": range(281, 286)},  # a cat
    "coffee": {"squeezenet": [967], "efficientnet": [967]},  # espresso
    "motorcycle": {"squeezenet": [670], "efficientnet": [665]},  # motor scooter, moped
}


@pytest.mark.parametrize("name", ["squeezenet", "efficientnet"])
def test_photographs_are_named(name, request, photo):
    net = request.getfixturevalue(name)
    pictures = np.stack([photo(shown, net.size) for shown in SHOWN])
    apply = jax.jit(lambda params, x: net.apply(params, x)["logits"][:, 0, 0])
    top = np.asarray(apply(net.params, pictures)).argmax(-1)
    assert all(number in SHOWN[shown][name] for number, shown in zip(top, SHOWN, strict=True)), top
    assert net.classes[967] == "espresso" and net.class_number("espresso") == 967


def test_parameters_are_arrays_and_a_redirection_is_one_more(squeezenet):
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(squeezenet.params))
    assert network.redirect(squeezenet.params, 1.0).keys() - squeezenet.params.keys() == {"redirect"}
    assert "redirect" not in squeezenet.params


def test_an_unknown_network_is_named_with_the_nearest():
    with pytest.raises(UserError, match=r"network 'squeezenet1' is unknown. Did you mean squeezenet"):
        models.load("squeezenet1")


def test_classes_without_a_name_are_numbers():
    assert models.class_names(3) == ("0", "1", "2")
