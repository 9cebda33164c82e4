"""GoogLeNet with weights drawn at random, in torchvision's layout, against modules in plain NumPy."""

import jax
import numpy as np
import slow

from theodolite.interpret.vision import googlenet
from theodolite.interpret.vision.torch_layout import StateDict

MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""Widths of the branches, from the paper's table."""


def state():
    rng, found, channels = np.random.default_rng(0), {}, 192

    def add(name, outputs, inputs, size):
        slow.random_conv(rng, found, f"{name}.conv", outputs, inputs, size)
        slow.random_norm(rng, found, f"{name}.bn", outputs)

    for name, *sizes in (("conv1", 64, 3, 7), ("conv2", 64, 64, 1), ("conv3", 192, 64, 3)):
        add(name, *sizes)
    for module, (one, three_reduce, three, five_reduce, five, pool) in MODULES.items():
        name = f"inception{module}"
        add(f"{name}.branch1", one, channels, 1)
        add(f"{name}.branch2.0", three_reduce, channels, 1)
        add(f"{name}.branch2.1", three, three_reduce, 3)
        add(f"{name}.branch3.0", five_reduce, channels, 1)
        add(f"{name}.branch3.1", five, five_reduce, 3)
        add(f"{name}.branch4.1", pool, channels, 1)
        channels = one + three + five + pool
    found["fc.weight"], found["fc.bias"] = rng.normal(0, 0.03, (10, channels)).astype("f4"), np.zeros(10, "f4")
    return found


def expected(s, image):
    def step(x, name, **options):
        return slow.relu(slow.norm(slow.conv(x, s[f"{name}.conv.weight"], **options), s, f"{name}.bn", 1e-3))

    x = slow.pool(step(image * 2 - 1, "conv1", stride=2, pad=3), 3, 2, ceil=True)
    x = slow.pool(step(step(x, "conv2"), "conv3", pad=1), 3, 2, ceil=True)
    out = {}
    for module in MODULES:
        name = f"inception{module}"
        wide = [
            step(x, f"{name}.branch1"),
            step(step(x, f"{name}.branch2.0"), f"{name}.branch2.1", pad=1),
            step(step(x, f"{name}.branch3.0"), f"{name}.branch3.1", pad=1),
            step(slow.pool(x, 3, 1, pad=1), f"{name}.branch4.1"),
        ]
        out[name] = x = np.concatenate(wide, -1)
        if module in ("3b", "4e"):
            x = slow.pool(x, 3 if module == "3b" else 2, 2, ceil=True)
    out["logits"] = (s["fc.weight"] @ x.mean((0, 1)) + s["fc.bias"])[None, None]
    return out


def test_every_module_is_that_of_plain_loops():
    arrays = state()
    params = googlenet.convert(StateDict(arrays, "file"))
    image = np.random.default_rng(1).uniform(size=(60, 52, 3)).astype("f4")
    layers = expected(arrays, image)
    found = jax.jit(lambda p, x: {k: v for k, v in googlenet.apply(p, x).items() if k in layers})(params, image[None])
    for layer, value in layers.items():
        slow.close(found[layer][0], value)
