"""The packaged EfficientNet-Lite0 against layers in plain NumPy, whose batch normalisation is not folded."""

import jax
import pytest
import slow

from theodolite.interpret.vision import weights
from theodolite.interpret.vision.pickles import read_torch

LAYERS = (
    "stem",
    "block0",
    "block1_expand_pre_relu",
    "block3_depthwise",
    "block4",
    "block15",
    "head",
    "class_map",
    "logits",
)
REPEATS = (1, 3, 1, 1), (2, 3, 2, 6), (2, 5, 2, 6), (3, 3, 2, 6), (3, 5, 1, 6), (4, 5, 2, 6), (1, 3, 1, 6)


@pytest.fixture(scope="module")
def state(efficientnet):
    content, where = weights.find("efficientnet_lite0")
    return read_torch(content, where)


@pytest.fixture(scope="module")
def both(efficientnet, state, photo):
    image = photo("coffee", 61)  # odd, so that padding is of both kinds
    found = jax.jit(lambda p, x: {k: v for k, v in efficientnet.apply(p, x).items() if k in LAYERS})
    return found(efficientnet.params, image[None]), expected(state, image)


def expected(state, image):
    def step(x, name, norm, kernel, stride=1, groups=1):
        y = slow.conv(x, state[f"{name}.weight"], 0.0, stride, slow.same(x, kernel, stride), groups)
        return slow.norm(y, state, norm, 1e-3)

    out = {"stem": slow.relu(step((image * 255 - 127) / 128, "_conv_stem", "_bn0", 3, 2), 6)}
    x, i = out["stem"], 0
    for repeats, kernel, stride, expansion in REPEATS:
        for k in range(repeats):
            y, name = x, f"_blocks.{i}"
            if expansion > 1:
                out[f"block{i}_expand_pre_relu"] = y = step(y, f"{name}._expand_conv", f"{name}._bn0", 1)
                y = slow.relu(y, 6)
            y = step(y, f"{name}._depthwise_conv", f"{name}._bn1", kernel, 1 if k else stride, y.shape[-1])
            out[f"block{i}_depthwise"] = y = slow.relu(y, 6)
            y = step(y, f"{name}._project_conv", f"{name}._bn2", 1)
            out[f"block{i}"] = x = x + y if k else y
            i += 1
    out["head"] = slow.relu(step(x, "_conv_head", "_bn1", 1), 6)
    out["class_map"] = out["head"] @ state["_fc.weight"].T.astype(float) + state["_fc.bias"]
    out["logits"] = out["class_map"].mean((0, 1))[None, None]
    return out


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_is_that_of_plain_loops(both, layer):
    found, expected = both
    slow.close(found[layer][0], expected[layer], 1e-4)


def test_the_blocks_are_named_in_order(efficientnet):
    assert [efficientnet.channels[f"block{i}"] for i in (0, 2, 4, 7, 10, 14, 15)] == [16, 24, 40, 80, 112, 192, 320]
    assert list(efficientnet.channels)[-1] == "logits" and efficientnet.channels["head"] == 1280
