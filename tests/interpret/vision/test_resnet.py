"""ResNets with weights drawn at random, in torchvision's layout, against blocks in plain NumPy."""

import jax
import numpy as np
import pytest
import slow

from theodolite.core.errors import UserError
from theodolite.interpret.vision import resnet
from theodolite.interpret.vision.torch_layout import StateDict

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def state(deep, stages):
    """A state dict of blocks of two or of three convolutions, the latter grouped in the middle."""
    rng, found, channels = np.random.default_rng(0), {}, 64

    def add(name, norm, outputs, inputs, size):
        slow.random_conv(rng, found, name, outputs, inputs, size)
        slow.random_norm(rng, found, norm, outputs)

    add("conv1", "bn1", 64, 3, 7)
    for stage, blocks in enumerate(stages, 1):
        width = 32 * 2**stage
        for i in range(blocks):
            name, outputs = f"layer{stage}.{i}", width * (4 if deep else 1)
            kernels = ((width, channels, 1), (width, width // 2, 3), (outputs, width, 1)) if deep else (
                (width, channels, 3),
                (width, width, 3),
            )  # fmt: skip
            for n, (out, inputs, size) in enumerate(kernels, 1):
                add(f"{name}.conv{n}", f"{name}.bn{n}", out, inputs, size)
            if i == 0 and (stage > 1 or deep):
                add(f"{name}.downsample.0", f"{name}.downsample.1", outputs, channels, 1)
            channels = outputs
    found["fc.weight"], found["fc.bias"] = rng.normal(0, 0.05, (10, channels)).astype("f4"), np.zeros(10, "f4")
    return found


def expected(s, image, deep, stages):
    def step(x, name, norm, **options):
        return slow.norm(slow.conv(x, s[f"{name}.weight"], **options), s, norm, 1e-5)

    x = slow.pool(slow.relu(step((image - MEAN) / STD, "conv1", "bn1", stride=2, pad=3)), 3, 2, pad=1)
    out = {"pool1": x}
    for stage, blocks in enumerate(stages, 1):
        for i in range(blocks):
            name, stride = f"layer{stage}.{i}", 2 if stage > 1 and i == 0 else 1
            if deep:
                y = slow.relu(step(x, f"{name}.conv1", f"{name}.bn1"))
                y = slow.relu(step(y, f"{name}.conv2", f"{name}.bn2", stride=stride, pad=1, groups=2))
                y = step(y, f"{name}.conv3", f"{name}.bn3")
            else:
                y = slow.relu(step(x, f"{name}.conv1", f"{name}.bn1", stride=stride, pad=1))
                y = step(y, f"{name}.conv2", f"{name}.bn2", pad=1)
            if f"{name}.downsample.0.weight" in s:
                x = step(x, f"{name}.downsample.0", f"{name}.downsample.1", stride=stride)
            out[f"conv{stage + 1}_{i + 1}"] = x = slow.relu(x + y)
    out["logits"] = (s["fc.weight"] @ x.mean((0, 1)) + s["fc.bias"])[None, None]
    return out


@pytest.mark.parametrize(("deep", "stages"), [(False, (2, 1, 1, 1)), (True, (1, 1, 1, 1))])
def test_every_block_is_that_of_plain_loops(deep, stages):
    arrays = state(deep, stages)
    params = resnet.convert(StateDict(arrays, "file"))
    image = np.random.default_rng(1).uniform(size=(40, 33, 3)).astype("f4")
    found = jax.jit(resnet.apply)(params, image[None])
    for layer, value in expected(arrays, image, deep, stages).items():
        slow.close(found[layer][0], value)


def test_a_block_that_does_not_fit_is_named():
    arrays = state(False, (1, 1, 1, 1))
    arrays["layer3.0.conv1.weight"] = arrays["layer3.0.conv1.weight"][:, :100]
    with pytest.raises(
        UserError, match=r"kernel of conv4_1/1 has the shape \(3, 3, 100, 256\), expected \(3, 3, 128, 256\)"
    ):
        resnet.convert(StateDict(arrays, "file"))
    arrays = state(False, (1, 1, 1, 1))
    del arrays["layer3.0.downsample.0.weight"]
    with pytest.raises(UserError, match="no weights of the layer conv4_1/skip"):
        resnet.convert(StateDict(arrays, "file"))
