"""Objectives against slow definitions; their algebra, their text, and what is said of texts that are none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core.errors import UserError
from theodolite.interpret.vision import network, objective_text, objectives

NET = network.of_function(
    lambda x: {"fire2": x[..., :3] @ jnp.ones((3, 5)), "fire9": jnp.zeros((x.shape[0], 2, 2, 7))}, "toy", 8
)


@pytest.fixture(scope="module")
def seen():
    """Activations of four images in one layer, and the images with alpha."""
    rng = np.random.default_rng(0)
    a, x = rng.normal(size=(4, 4, 6, 5)), rng.random((4, 8, 12, 4))
    return {"fire2": jnp.asarray(a, jnp.float32)}, jnp.asarray(x, jnp.float32)


def gram(a):
    """A double loop over channels."""
    c = a.shape[-1]
    return np.array([[sum((a[..., i] * a[..., j]).ravel()) for j in range(c)] for i in range(c)]) / a[..., 0].size


def test_values_are_their_definitions(seen):
    activations, images = seen
    a, x = np.asarray(activations["fire2"], float), np.asarray(images, float)
    v = np.arange(5.0)
    cos = a @ v / ((np.linalg.norm(a, axis=-1) + 1e-4) * (np.linalg.norm(v) + 1e-4))
    logits = {"logits": activations["fire2"][:, :1, :1]}
    soft = np.exp(a[:, 0, 0]) / np.exp(a[:, 0, 0]).sum(1, keepdims=True)
    expected = [
        (objectives.channel("fire2", 3), a[..., 3].mean()),
        (objectives.channels("fire2", (3, 1, 0, 4)), sum(a[b, ..., c].mean() for b, c in enumerate((3, 1, 0, 4)))),
        (objectives.neuron("fire2", 1), a[:, 2, 3, 1].mean()),
        (objectives.neuron("fire2", 1, (0, 5)), a[:, 0, 5, 1].mean()),
        (objectives.layer("fire2"), (a**2).mean()),
        (objectives.direction("fire2", v), (a @ v).mean()),
        (objectives.direction("fire2", v, 2.0), (a @ v * np.maximum(cos, 0.1) ** 2).mean()),
        (objectives.activation_difference(("fire2",)), -np.abs(a[0] - a[1]).mean()),
        (objectives.style(("fire2",)), -np.abs(gram(a[0]) - gram(a[2])).mean()),
        (objectives.style_of({"fire2": jnp.eye(5)}), -np.mean([np.abs(gram(b) - np.eye(5)).mean() for b in a])),
        (objectives.opacity(), x[..., 3].mean()),
        (objectives.total_variation(), np.abs(np.diff(x[..., :3], axis=1)).mean()
                                       + np.abs(np.diff(x[..., :3], axis=2)).mean()),
    ]  # fmt: skip
    for objective, value in expected:
        assert np.isclose(jax.jit(objective.value)(activations, images), value, rtol=1e-4, atol=1e-6), str(objective)
    assert np.isclose(objectives.logit(2)(logits, images), a[:, 0, 0, 2].mean(), rtol=1e-5)
    assert np.isclose(objectives.probability(2)(logits, images), soft[:, 2].mean(), rtol=1e-5)


def test_diversity_and_alignment_are_sums_over_pairs(seen):
    activations, images = seen
    a = np.asarray(activations["fire2"], float)
    units = [gram(b) / np.linalg.norm(gram(b)) for b in a]
    pairs = sum((units[i] * units[j]).sum() for i in range(4) for j in range(4) if i != j) / 4
    assert np.isclose(jax.jit(objectives.diversity("fire2").value)(activations, images), -pairs, rtol=1e-4)
    apart = sum(((a[i] - a[i + d]) ** 2).mean() / 5**d for d in (1, 2, 3) for i in range(4 - d))
    assert np.isclose(jax.jit(objectives.alignment("fire2", 5.0).value)(activations, images), -apart, rtol=1e-4)


def test_objectives_are_an_algebra(seen):
    activations, images = seen
    one, other = objectives.channel("fire2", 0), objectives.channel("fire2", 1)
    x, y = (float(o(activations, images)) for o in (one, other))
    cases = [(one + other, x + y), (one - 2 * other, x - 2 * y), (-one, -x), (one * other, x * y), (1 - one, 1 - x),
             (one * (1 - other), x * (1 - y)), (sum([one, other]), x + y),
             (0.5 * (one + other), (x + y) / 2)]  # fmt: skip
    for objective, value in cases:
        assert np.isclose(objective(activations, images), value, rtol=1e-5, atol=1e-7), str(objective)
    third = np.asarray(activations["fire2"])[3, ..., 0].mean()
    assert np.isclose(one.on(3)(activations, images), third, rtol=1e-5)
    frames = jax.jit(objectives.interpolation(one, other, 4).value)(activations, images)
    a = np.asarray(activations["fire2"]).mean((1, 2))
    assert np.isclose(frames, sum((1 - n / 3) * a[n, 0] + n / 3 * a[n, 1] for n in range(4)), rtol=1e-5)


def test_objectives_print_themselves():
    one, other = objectives.channel("a", 1), objectives.neuron("b", 2)
    assert str(0.2 * one + other) == "0.2 channel(a, 1) + neuron(b, 2)"
    assert str(one - (one + other)) == "channel(a, 1) - (channel(a, 1) + neuron(b, 2))"
    assert str(-(one + other)) == "-(channel(a, 1) + neuron(b, 2))"
    assert str(one * (1 - objectives.opacity())) == "channel(a, 1) * (-opacity() + 1)"
    assert str(one.on(0, 2)) == "channel(a, 1)[0, 2]"
    assert (one + other).reads == (("a", 1), ("b", 2))


def test_text_becomes_the_objective(seen):
    activations, images = seen
    made = objective_text.parse("0.5*channel:fire2:3 - neuron:fire2:1:0:5 + layer:fire2", NET)
    assert str(made) == "0.5 channel(fire2, 3) - neuron(fire2, 1 at 0, 5) + layer(fire2)"
    a = np.asarray(activations["fire2"])
    assert np.isclose(made(activations, images), 0.5 * a[..., 3].mean() - a[:, 0, 5, 1].mean() + (a**2).mean())
    assert str(objective_text.parse("-channel:fire2:3", NET)) == "-channel(fire2, 3)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("chanel:fire2:1", "kind 'chanel'. Did you mean channel"),
        ("channel:fire22:1", "no layer 'fire22'. Did you mean fire2"),
        ("channel:fire2:5", "channel 5 of fire2: toy's fire2 has the channels 0 to 4"),
        ("channel:fire2:x", "channel of fire2 'x': expected a whole number"),
        ("channel:fire2", "has 1 part after channel; expected channel:LAYER:NUMBER"),
        ("channel:fire2:1 + ", "objective '' is not understood"),
        ("neuron:fire2:1:2", "expected neuron:LAYER:NUMBER or"),
        ("logit:cat", "toy has no classifier"),
        ("", "is not understood; expected channel:LAYER:NUMBER"),
        ("__import__('os')", "is not understood"),
    ],
)
def test_texts_that_name_nothing_are_refused(text, said):
    with pytest.raises(UserError) as raised:
        objective_text.parse(text, NET)
    assert said in str(raised.value)


def test_gradients_are_those_of_finite_differences(seen):
    activations, images = seen
    whole = objectives.direction("fire2", jnp.arange(5.0), 1.0) + objectives.diversity("fire2")
    f = jax.jit(lambda a: whole({"fire2": a}, images))
    a, step = activations["fire2"], np.random.default_rng(1).normal(size=(4, 4, 6, 5)).astype(np.float32)
    slope = (f(a + 1e-2 * step) - f(a - 1e-2 * step)) / 2e-2
    assert np.isclose((jax.grad(f)(a) * step).sum(), slope, rtol=2e-2)
