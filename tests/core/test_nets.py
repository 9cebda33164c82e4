"""Networks against NumPy, their initial weights, and the policies that spaces ask for."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core import nets
from theodolite.core.dists import Categorical, Normal, TanhNormal
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.errors import UserError


def make(key, widths=(3, 8, 5, 2)):
    net = nets.mlp(key, widths, hidden=nets.orthogonal(1.5), head=nets.glorot(1.0))
    return jax.tree.map(lambda x: x + 0.1, net)  # biases that matter


def test_an_mlp_is_its_matrices(key):
    net, x = make(key), np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    expected = x
    for number, layer in enumerate(net.layers):
        expected = expected @ np.asarray(layer.weight) + np.asarray(layer.bias)
        expected = np.tanh(expected) if number < 2 else expected
    np.testing.assert_allclose(net(jnp.asarray(x)), expected, rtol=1e-5)


def test_leading_axes_are_a_batch(key):
    net, x = make(key), jax.random.normal(key, (2, 4, 3))
    rows = jnp.stack([jnp.stack([net(x[i, j]) for j in range(4)]) for i in range(2)])
    np.testing.assert_allclose(net(x), rows, rtol=1e-5)


def relu(x):
    return jnp.maximum(x, 0)


def test_the_activation_is_the_one_given(key):
    net = nets.mlp(key, (3, 4, 2), hidden=nets.orthogonal(1), head=nets.orthogonal(1), activation=relu)
    x = jax.random.normal(key, (5, 3))
    first, second = (np.asarray(layer.weight) for layer in net.layers)
    hidden = np.maximum(np.asarray(x) @ first, 0)
    np.testing.assert_allclose(net(x), hidden @ second, rtol=1e-5, atol=1e-6)


def test_a_net_without_hidden_layers_is_linear(key):
    assert len(make(key, (3, 2)).layers) == 1


@pytest.mark.parametrize("shape", [(6, 6), (6, 3), (3, 6)])
def test_orthogonal_weights(shape, key):
    w = np.float64(nets.orthogonal(1.7)(key, shape))
    product = w @ w.T if shape[0] < shape[1] else w.T @ w
    np.testing.assert_allclose(product, 1.7**2 * np.eye(min(shape)), atol=1e-5)


def test_glorot_weights_are_uniform_within_their_bound(key):
    w, bound = np.asarray(nets.glorot(2.0)(key, (200, 100))), 2 * np.sqrt(6 / 300)
    assert 0.99 * bound < np.abs(w).max() <= bound
    np.testing.assert_allclose(w.std(), bound / np.sqrt(3), rtol=0.02)
    np.testing.assert_array_equal(nets.glorot(0.0)(key, (4, 3)), 0)


def test_layers_start_apart_with_zero_biases(key):
    net = nets.mlp(key, (4, 4, 4, 4), hidden=nets.orthogonal(1), head=nets.orthogonal(1))
    first, second, third = (np.asarray(layer.weight) for layer in net.layers)
    assert not np.allclose(first, second) and not np.allclose(second, third)
    for layer in net.layers:
        np.testing.assert_array_equal(layer.bias, 0)


ACTORS = [
    (Discrete(5), False, Categorical, ()),
    (Discrete(5), True, Categorical, ()),
    (Box((2,), -1.0, 1.0), False, Normal, (2,)),
    (Box((2,), -1.0, 1.0), True, TanhNormal, (2,)),
]


@pytest.mark.parametrize(("action", "squash", "kind", "shape"), ACTORS)
def test_the_policy_that_a_space_asks_for(action, squash, kind, shape, key):
    space = Space(Box((3,)), action)
    actor = nets.actor(key, space, (8,), hidden=nets.orthogonal(1), head=nets.orthogonal(1), squash=squash)
    policy = actor(jnp.ones((4, 7, 3)))
    assert type(policy) is kind
    drawn = policy.sample(key)
    assert drawn.shape == (4, 7, *shape)
    assert policy.log_prob(drawn).shape == policy.entropy().shape == (4, 7)
    if shape:
        np.testing.assert_array_equal(policy.log_std, 0)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(actor))


def test_squashed_actions_fill_their_box_and_keep_their_probability(key):
    low, high = np.array([-2.0, 0.0]), np.array([2.0, 10.0])
    space = Space(Box((3,)), Box((2,), tuple(low.tolist()), tuple(high.tolist())))
    actor = nets.actor(key, space, (8,), hidden=nets.orthogonal(1), head=nets.orthogonal(1), squash=True)
    obs = jax.random.normal(key, (5_000, 3))
    policy = actor(obs)
    drawn = np.asarray(policy.sample(key))
    assert (drawn >= low).all() and (drawn <= high).all()
    assert (drawn.min(0) < low + 0.1 * (high - low)).all() and (drawn.max(0) > high - 0.1 * (high - low)).all()
    unit = (drawn - low) / (high - low) * 2 - 1
    plain = TanhNormal(policy.mean, jnp.broadcast_to(policy.log_std, policy.mean.shape))
    expected = plain.log_prob(jnp.asarray(unit, jnp.float32)) - np.log((high - low) / 2).sum()
    np.testing.assert_allclose(policy.log_prob(jnp.asarray(drawn)), expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(policy.entropy(), plain.entropy() + np.log((high - low) / 2).sum(), rtol=1e-4)


def test_squashing_into_an_endless_box_is_refused(key):
    space = Space(Box((3,)), Box((2,)))
    with pytest.raises(UserError, match="finite bounds"):
        nets.actor(key, space, (8,), hidden=nets.orthogonal(1), head=nets.orthogonal(1), squash=True)


def test_bytes_are_taken_as_numbers(key):
    net = nets.mlp(key, (3, 4, 2), hidden=nets.orthogonal(1), head=nets.orthogonal(1))
    bytes_ = jnp.array([[0, 7, 255], [1, 2, 3]], jnp.uint8)
    np.testing.assert_array_equal(net(bytes_), net(bytes_.astype(jnp.float32)))


def plain(x, weight):
    return x @ weight


@pytest.mark.parametrize("shape", [(6, 3, 5), (2, 3, 5, 3), (5, 2), (4, 4, 4)], ids=str)
def test_the_product_has_the_derivatives_of_a_product(key, shape):
    *batch, inputs, outputs = shape
    keys = jax.random.split(key, 5)
    x, weight = jax.random.normal(keys[0], (*batch, inputs)), jax.random.normal(keys[1], (inputs, outputs))
    dx, dweight = jax.random.normal(keys[2], x.shape), jax.random.normal(keys[3], weight.shape)
    g = jax.random.normal(keys[4], (*batch, outputs))

    def quantities(f):
        y, dy = jax.jvp(f, (x, weight), (dx, dweight))
        in_x, in_weight = jax.jvp(lambda x: f(x, weight), (x,), (dx,))[1], jax.linearize(partial(f, x), weight)[1]
        penalty = jax.grad(lambda w: (jax.grad(lambda x: (f(x, w) ** 3).sum())(x) ** 2).sum())  # a gradient's gradient
        several = jax.vmap(lambda w: jax.grad(lambda w: (g * f(x, w)).sum())(w))(jnp.stack([weight, dweight]))
        return y, dy, in_x, in_weight(dweight), jax.vjp(f, x, weight)[1](g), penalty(weight), several

    for ours, expected in zip(*map(jax.tree.leaves, (quantities(nets.product), quantities(plain))), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=2e-4, atol=1e-4)


def test_the_gradient_of_a_wide_layer_reads_no_columns():
    def gradient(x, weight):
        return jax.grad(lambda w: (nets.product(x, w) ** 2).sum())(weight)

    program = jax.jit(gradient).lower(jnp.zeros((256, 32)), jnp.zeros((32, 32))).compile().as_text()
    products = [line for line in program.splitlines() if " dot(" in line]
    assert products
    assert not [line for line in products if "lhs_contracting_dims={0}" in line]


def test_features_of_an_image_are_those_of_a_convolution_by_loops(key):
    net, count = nets.torso(key, Box((5, 4, 2)), (7,), channels=3, hidden=nets.glorot(1.0))
    image = np.random.default_rng(0).integers(0, 2, (6, 5, 4, 2)).astype(np.uint8)
    weight = np.asarray(net.conv.weight).reshape(3, 3, 2, 3)
    slow = np.zeros((6, 3, 2, 3))
    for i in range(3):
        for j in range(2):
            slow[:, i, j] = np.einsum("bhwc,hwco->bo", image[:, i : i + 3, j : j + 3], weight)
    dense = net.layers[0]
    expected = np.maximum(np.maximum(slow, 0).reshape(6, -1) @ np.asarray(dense.weight), 0)
    np.testing.assert_allclose(net(jnp.asarray(image)), expected, rtol=1e-4, atol=1e-5)
    assert count == 7 and net(jnp.asarray(image).reshape(2, 3, 5, 4, 2)).shape == (2, 3, 7)


@pytest.mark.parametrize(
    ("large", "shapes"),
    [
        (nets.MNIH_2013, [(8, 4, 3), (4, 2, 6)]),
        (nets.MNIH_2015, [(8, 4, 6), (4, 2, 12), (3, 1, 12)]),
    ],
)
def test_features_of_a_large_image_are_those_of_strided_convolutions_by_loops(key, large, shapes):
    box = Box((40, 44, 2), 0.0, 255.0, "uint8")
    net, count = nets.torso(key, box, (), channels=3, hidden=nets.glorot(1.0), large=large)
    image = np.random.default_rng(0).integers(0, 256, (2, 40, 44, 2)).astype(np.uint8)
    x = image / 255
    for layer, (size, stride, channels) in zip(net.conv, shapes, strict=True):
        kernel, (rows, columns) = np.asarray(layer.kernel), ((n - size) // stride + 1 for n in x.shape[1:3])
        assert kernel.shape == (size, size, x.shape[-1], channels)
        slow = np.zeros((2, rows, columns, channels))
        for i in range(rows):
            for j in range(columns):
                window = x[:, i * stride : i * stride + size, j * stride : j * stride + size]
                slow[:, i, j] = np.einsum("bhwc,hwco->bo", window, kernel)
        x = np.maximum(slow, 0)
    found = net(jnp.asarray(image))
    np.testing.assert_allclose(found, x.reshape(2, -1), rtol=1e-4, atol=1e-5)
    assert count == found.shape[1] == rows * columns * channels
    np.testing.assert_allclose(net(jnp.asarray(image / 255, jnp.float32)), found, rtol=1e-4, atol=1e-5)


def test_the_networks_for_atari_are_those_of_the_papers(key):
    frames = Box((84, 84, 4), 0.0, 255.0, "uint8")
    counted = {}
    for large, width in ((nets.MNIH_2013, 256), (nets.MNIH_2015, 512)):
        make = partial(nets.torso, box=frames, widths=(width,), channels=16, hidden=nets.glorot(1.0), large=large)
        counted[large] = sum(x.size for x in jax.tree.leaves(jax.eval_shape(lambda key, make=make: make(key)[0], key)))
    # each layer's weights and biases; 9 x 9 places are left of 84 x 84 by two convolutions, 7 x 7 by three
    two = (8 * 8 * 4 * 16 + 16) + (4 * 4 * 16 * 32 + 32) + (9 * 9 * 32 * 256 + 256)
    three = (8 * 8 * 4 * 32 + 32) + (4 * 4 * 32 * 64 + 64) + (3 * 3 * 64 * 64 + 64) + (7 * 7 * 64 * 512 + 512)
    assert counted == {nets.MNIH_2013: two, nets.MNIH_2015: three}


def test_bytes_are_scaled_by_their_highest():
    for high, scale in ((255.0, 1 / 255), (1.0, 1.0)):
        net, _ = nets.torso(jax.random.key(0), Box((5,), 0.0, high, "uint8"), (), channels=1, hidden=nets.glorot(1.0))
        np.testing.assert_allclose(net(jnp.arange(5, dtype=jnp.uint8)), np.arange(5) * scale, rtol=1e-6)


def test_sines_and_cosines_are_those_of_numpy_to_rounding(key):
    far = jnp.concatenate(
        [jnp.linspace(-30.0, 30.0, 20_001), jax.random.uniform(key, (5_000,), minval=-1e4, maxval=1e4)]
    )
    exact = np.asarray(far, np.float64)
    for ours, theirs in ((nets.sine, np.sin), (nets.cosine, np.cos)):
        np.testing.assert_allclose(ours(far), theirs(exact), atol=2e-7)
    np.testing.assert_allclose(jax.vmap(jax.grad(nets.sine))(far), np.cos(exact), atol=2e-7)
    np.testing.assert_allclose(jax.vmap(jax.grad(jax.grad(nets.sine)))(far), -np.sin(exact), atol=2e-7)
    with jax.enable_x64(True):
        np.testing.assert_allclose(nets.sine(jnp.asarray(exact)), np.sin(exact), atol=1e-15)
    assert nets.ACTIVATIONS["sin"] is nets.sine
