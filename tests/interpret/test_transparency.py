"""Transparency: light adds up, and what costs nothing to hide is hidden."""

import jax
import jax.numpy as jnp
import numpy as np

from theodolite.interpret.vision import network, objectives, optimize, parameterizations, transforms, transparency


def test_light_adds_up():
    rgba, behind = np.array([[[[0.2, 0.4, 0.6, 0.25]]]], np.float32), np.full((1, 1, 1, 3), 0.8, np.float32)
    expected = (0.75 * 0.8 + 0.25 * rgba[..., :3]) ** (1 / 2.2)
    assert np.allclose(transparency.composite(rgba, behind), expected, atol=1e-6)
    opaque = np.concatenate([rgba[..., :3], np.ones((1, 1, 1, 1), np.float32)], -1)
    assert np.allclose(transparency.composite(opaque, behind), transparency.displayed(opaque)[..., :3], atol=1e-6)


def test_backgrounds_show_through_and_differ(key):
    clear = jnp.zeros((2, 16, 16, 4))
    seen = np.asarray(jax.jit(transparency.on_background())(key, clear))
    assert (seen[..., 3] == 0).all() and seen[0, ..., :3].std() > 0.01 and not np.allclose(seen[0], seen[1])


def test_what_a_network_does_not_look_at_becomes_transparent():
    """It sees the left half alone, and likes red there."""
    net = network.of_function(lambda x: {"left": (x[..., :1] - 0.5 * x[..., 1:2])[:, :, :6]}, "toy", 12)
    goal = objectives.channel("left", 0) * (1 - objectives.opacity())
    through = transforms.compose(transparency.on_background())
    config = optimize.Config(steps=60, every=60, learning_rate=0.1)
    *_, last = optimize.optimise(net, goal, parameterizations.rgba(12), through, config)
    alpha = last.images[0, ..., 3]
    assert alpha[:, 8:].mean() < 0.25 and alpha[:, :4].mean() > alpha[:, 8:].mean() + 0.1
