"""VGG and AlexNet with weights drawn at random, written and read in torchvision's layout, against plain NumPy."""

import jax
import numpy as np
import pytest
import slow

from theodolite.interpret.vision import models, vgg

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
VGG11 = ((1, 0, 3, 64), (2, 4, 64, 128), (3, 8, 128, 256), (3, 11, 256, 256), (4, 15, 256, 512), (4, 18, 512, 512))
VGG11 = (*VGG11, (5, 22, 512, 512), (5, 25, 512, 512))
"""Group, number in torchvision's list (batch normalisation after each), inputs, outputs."""


def dense(rng, state, number, outputs, inputs):
    state[f"classifier.{number}.weight"] = rng.normal(0, inputs**-0.5, (outputs, inputs)).astype("f4")
    state[f"classifier.{number}.bias"] = rng.normal(0, 0.1, outputs).astype("f4")


def apply_dense(state, x):
    x, out = x.transpose(2, 0, 1).ravel(), []
    for number in sorted({int(name.split(".")[1]) for name in state if name.startswith("classifier")}):
        x = state[f"classifier.{number}.weight"] @ x + state[f"classifier.{number}.bias"]
        out.append(x)
        x = slow.relu(x)
    return out


@pytest.fixture(scope="module")
def vgg11(tmp_path_factory):
    rng, state = np.random.default_rng(0), {}
    for _, number, inputs, outputs in VGG11:
        slow.random_conv(rng, state, f"features.{number}", outputs, inputs, 3, bias=True)
        slow.random_norm(rng, state, f"features.{number + 1}", outputs)
    for number, outputs, inputs in ((0, 20, 512 * 49), (3, 20, 20), (6, 12, 20)):
        dense(rng, state, number, outputs, inputs)
    path = tmp_path_factory.mktemp("vgg") / "vgg11_bn.npz"
    np.savez(path, **state)
    return state, models.load(path)


def test_vgg_with_batch_normalisation_and_classifier(vgg11):
    state, network = vgg11
    image = np.random.default_rng(1).uniform(size=(32, 32, 3)).astype("f4")
    found = jax.jit(network.apply)(network.params, image[None])
    x, group, expected = (image - MEAN) / STD, 1, {}
    for of, number, _, _ in [*VGG11, (6, 0, 0, 0)]:
        if of > group:
            x, group = slow.pool(x, 2, 2), of
            expected[f"pool{of - 1}"] = x
        if of < 6:
            x = slow.conv(x, state[f"features.{number}.weight"], state[f"features.{number}.bias"], pad=1)
            x = slow.norm(x, state, f"features.{number + 1}", 1e-5)
            expected[f"conv{of}"] = x  # the last of the group stays
            x = slow.relu(x)
    for name in ("pool1", "conv3_2", "pool4", "conv5_2"):
        slow.close(found[name][0], expected[name[:5]])
    fc6, _, logits = apply_dense(state, np.broadcast_to(x, (7, 7, 512)))  # one position, averaged to 7 x 7
    slow.close(found["fc6"][0, 0, 0], fc6)
    slow.close(found["logits"][0, 0, 0], logits)
    assert network.classes == tuple(map(str, range(12)))


def test_alexnet_without_classifier(tmp_path):
    rng, state = np.random.default_rng(0), {}
    sizes = ((0, 64, 3, 11), (3, 192, 64, 5), (6, 384, 192, 3), (8, 256, 384, 3), (10, 256, 256, 3))
    for number, outputs, inputs, size in sizes:
        slow.random_conv(rng, state, f"features.{number}", outputs, inputs, size, bias=True)
    np.savez(tmp_path / "alexnet.npz", **state)
    network = models.load(tmp_path / "alexnet.npz")
    image = rng.uniform(size=(79, 70, 3)).astype("f4")
    found = jax.jit(network.apply)(network.params, image[None])
    x = (image - MEAN) / STD
    for i, (number, *_, size) in enumerate(sizes, 1):
        pad, stride = {11: (2, 4), 5: (2, 1), 3: (1, 1)}[size]
        x = slow.relu(slow.conv(x, state[f"features.{number}.weight"], state[f"features.{number}.bias"], stride, pad))
        slow.close(found[f"relu{i}"][0], x)
        x = slow.pool(x, 3, 2) if i in (1, 2, 5) else x
    slow.close(found["pool5"][0], x)
    assert network.classes == () and "logits" not in network.channels


@pytest.mark.parametrize(
    ("number", "names"), [(10, "1_1 1_2 2_1 2_2 3_1"), (16, "1_1 1_2 2_1 2_2 3_1 3_2 3_3 3_4 4_1")]
)
def test_the_depths_are_those_of_the_paper(number, names):
    stack = vgg.vgg(vgg.DEPTHS[number])
    assert len(stack) == number and [conv.name for conv in stack][: len(names.split())] == names.split()
    assert [conv.outputs for conv in stack if conv.pool] == [64, 128, 256, 512, 512]
