"""The packaged SqueezeNet against layers in plain NumPy, on a small crop of a photograph."""

import jax
import numpy as np
import pytest
import slow

LAYERS = "conv1", "fire2", "fire5_squeeze", "fire5_pre_relu", "fire9", "conv10", "logits"


@pytest.fixture(scope="module")
def both(squeezenet, photo):
    image = photo("chelsea", 60)
    found = jax.jit(lambda p, x: {k: v for k, v in squeezenet.apply(p, x).items() if k in LAYERS})
    return found(squeezenet.params, image[None]), expected(squeezenet.params, image)


def expected(params, image):
    def conv(name, x, **options):
        return slow.conv(x, kernels[name].transpose(3, 2, 0, 1), biases[name], **options)

    kernels, biases = ({k: np.asarray(v[part]) for k, v in params.items()} for part in ("kernel", "bias"))
    out = {}
    bgr = np.stack([image[..., 2], image[..., 1], image[..., 0]], -1) * 255 - [103.939, 116.779, 123.68]
    out["conv1"] = conv("conv1", bgr, stride=2)
    x = slow.relu(out["conv1"])
    for n in range(2, 10):
        if n in (2, 4, 6):
            x = slow.pool(x, 3, 2)
        out[f"fire{n}_squeeze"] = s = slow.relu(conv(f"fire{n}/squeeze", x))
        out[f"fire{n}_pre_relu"] = y = np.concatenate(
            [conv(f"fire{n}/expand1x1", s), conv(f"fire{n}/expand3x3", s, pad=1)], -1
        )
        out[f"fire{n}"] = x = slow.relu(y)
    out["conv10"] = conv("conv10", x)
    out["logits"] = out["conv10"].mean((0, 1))[None, None]
    return out


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_is_that_of_plain_loops(both, layer):
    found, expected = both
    slow.close(found[layer][0], expected[layer])


def test_layers_are_named_as_in_the_paper(squeezenet):
    assert [squeezenet.channels[f"fire{n}"] for n in range(2, 10)] == [128, 128, 256, 256, 384, 384, 512, 512]
    names = list(squeezenet.channels)
    assert names[:2] == ["conv1", "relu1"] and names[-2:] == ["conv10", "logits"], "in order of depth"
    assert squeezenet.size == 227 and len(squeezenet.classes) == squeezenet.channels["logits"] == 1000
