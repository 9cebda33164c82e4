"""The cells against slow definitions, the training step, and the configuration."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow_cells import run

from theodolite.core.errors import UserError
from theodolite.core.train import solve
from theodolite.interpret import memorization as rnn
from theodolite.interpret import memorization_control as control
from theodolite.interpret.memorization_cells import KINDS, over_time, recurrent, recurrent_parameters, step

TEXT, _ = control.corpus(3, 30, 8, 0.9, 200)
SMALL = rnn.Config(width=8, layers=1, batch_size=4, learning_rate=1e-2)


def shaken(key, layer):
    """The layer with every number drawn at random, biases included."""
    leaves, tree = jax.tree.flatten(layer)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(tree, [0.5 * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)])


def in_words(kind, layer, n):
    """The same weights as the slow definitions want them."""
    read, matrices = layer.read, [np.asarray(m) for m in layer.matrices]
    weight, bias = np.asarray(read.weight), np.asarray(read.bias)
    if kind == "rnn":
        return {"W": np.vstack([weight, matrices[0]]), "b": bias}
    if kind == "gru":
        return {"W": np.vstack([weight[:, : 2 * n], matrices[0]]), "b": bias[: 2 * n],
                "Wc": np.vstack([weight[:, 2 * n :], matrices[1]]), "bc": bias[2 * n :]}  # fmt: skip
    one = np.repeat([0, 0, 1, 0], n)  # ours starts the bias with TF1's addition
    inner = [(m, np.asarray(b) - one) for m, b in zip(matrices[1:], layer.inner, strict=True)]
    return {"levels": [(np.vstack([weight, matrices[0]]), bias - one), *inner]}


@pytest.mark.parametrize(("kind", "depth"), [("rnn", 1), ("gru", 1), ("lstm", 1), ("nlstm", 2), ("nlstm", 3)])
def test_a_cell_is_its_slow_definition(kind, depth):
    n = 3
    layer = shaken(jax.random.key(1), recurrent(jax.random.key(0), kind, n, depth, 1.0, 1.0))
    x = jax.random.normal(jax.random.key(2), (6, 2, n))
    found = np.asarray(jax.jit(lambda x: layer(x))(x))
    for b in range(2):
        np.testing.assert_allclose(found[:, b], run(kind, np.asarray(x[:, b]), n, in_words(kind, layer, n)), atol=2e-6)


@pytest.mark.parametrize("kind", ["gru", "nlstm"])
def test_the_gradient_after_the_scan_is_that_of_a_plain_loop(kind):
    layer = shaken(jax.random.key(1), recurrent(jax.random.key(0), kind, 3, 2 if kind == "nlstm" else 1, 1.0, 1.0))
    width = [m.shape[1] for m in layer.matrices]
    pre = tuple(jax.random.normal(jax.random.key(i), (5, 2, w)) for i, w in enumerate(width))
    weight = jax.random.normal(jax.random.key(9), (5, 2, 3))

    def fused(matrices, pre):
        return (over_time(kind, matrices, pre) * weight).sum()

    def plain(matrices, pre):
        state, total = (jnp.zeros((2, 3)),) * (1 + len(matrices) * (kind == "nlstm")), 0.0
        for t in range(5):
            state, out, _ = step(kind, matrices, state, tuple(p[t] for p in pre))
            total = total + (out * weight[t]).sum()
        return total

    sides = [jax.tree.leaves(jax.jit(jax.grad(f, (0, 1)))(layer.matrices, pre)) for f in (fused, plain)]
    for ours, theirs in zip(*sides, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_gates_begin_as_in_tf1():
    gru = recurrent(jax.random.key(0), "gru", 4, 1, -1.0, 1.0)
    assert gru.read.bias.tolist() == [-1.0] * 8 + [0.0] * 4
    nested = recurrent(jax.random.key(0), "nlstm", 4, 2, 1.0, 1.0)
    assert nested.read.bias.tolist() == nested.inner[0].tolist() == [0.0] * 8 + [1.0] * 4 + [0.0] * 4
    bound = (6 / (8 + 16)) ** 0.5  # Glorot's, of [x, h] to four gates
    assert 0.9 * bound < float(jnp.abs(nested.matrices[0]).max()) < bound


def test_cells_are_matched_in_their_numbers():
    for kind in KINDS:
        width, layers = rnn.matched(kind, 65_536)
        c = rnn.Config(kind=kind, width=width, layers=layers)
        found = jax.eval_shape(partial(rnn.init, c, space=rnn.space(TEXT)), jax.random.key(0))
        assert recurrent_parameters(found.net) == pytest.approx(65_536, rel=0.03), kind
    c = rnn.Config(kind="lstm", width=600)
    found = jax.eval_shape(partial(rnn.init, c, space=rnn.space(TEXT)), jax.random.key(0))
    assert recurrent_parameters(found.net) == 5_764_800  # the article's


def test_the_loss_counts_known_words_alone(key):
    net = jax.jit(rnn.init, static_argnames="space")(SMALL, key, space=rnn.space(TEXT)).net
    characters, words = jnp.asarray(TEXT.train.characters[:2]), np.array(TEXT.train.words[:2])
    words[0, :10] = [0, 1] * 5
    scores = np.asarray(jax.jit(rnn.logits)(net, characters), np.float64)
    total, right, count = 0.0, 0, 0
    for b in range(2):
        for t in range(words.shape[1]):
            if words[b, t] >= 2:
                row = scores[b, t]
                total += np.log(np.exp(row).sum()) - row[words[b, t]]
                right += row.argmax() == words[b, t]
                count += 1
    value, accuracy = jax.jit(rnn.loss)(net, characters, jnp.asarray(words))
    assert float(value) == pytest.approx(total / count, rel=1e-5) and float(accuracy) == pytest.approx(right / count)


def trained(c, updates=6, **options):
    data = rnn.data(TEXT)
    for chunk in solve(lambda c: rnn.solver(c, data), c, rnn.space(TEXT), updates=updates, every=3, **options):
        last = chunk
    return jax.tree.map(np.asarray, last.carry.agent), last.metrics


def test_training_lowers_the_loss_and_any_seed_repeats():
    state, metrics = trained(replace(SMALL, batch_size=16), 60, seeds=2)
    assert set(metrics) == set(rnn.METRICS)
    again, _ = trained(replace(SMALL, batch_size=16), 60, seeds=2)
    assert all(map(np.array_equal, jax.tree.leaves(state), jax.tree.leaves(again)))
    assert metrics["loss"].shape == (2, 3) and float(metrics["loss"].max()) < 2.0  # of ln 14 nats
    net = jax.tree.map(lambda x: jnp.asarray(x[0]), state.net)
    obs, s = jnp.asarray(TEXT.test.characters[:5], jnp.float32), rnn.State(net, ())
    word, log_prob = rnn.act(s, obs, jax.random.key(4))
    np.testing.assert_allclose(log_prob, rnn.log_prob(s, obs, word), rtol=1e-5)
    assert float(rnn.log_prob(s, obs, rnn.mode(s, obs)).min()) >= float(rnn.log_prob(s, obs, word).min())


FIELDS = {"kind": "rnn", "width": 6, "layers": 2, "depth": 3, "gate_bias": 0.0, "forget_bias": 0.0,
          "learning_rate": 0.1, "batch_size": 2}  # fmt: skip


@jax.jit
def played(c):
    """The state after a step."""
    return rnn.step(c, rnn.data(TEXT), rnn.init(c, jax.random.key(0), rnn.space(TEXT)), jax.random.key(1))[0]


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_matters(field):
    kind = {"depth": "nlstm", "forget_bias": "lstm"}.get(field, "gru")
    c = replace(SMALL, kind=kind)
    other = replace(c, **{field: FIELDS[field]})
    if field in ("kind", "width", "layers", "depth"):  # other shapes, for which nothing need be compiled
        shapes = [[x.shape for x in jax.tree.leaves(jax.eval_shape(played, x))] for x in (c, other)]
        assert shapes[0] != shapes[1]
        return
    pairs = zip(*(jax.tree.leaves(played(x)) for x in (c, other)), strict=True)
    assert any(not np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    ("field", "bad"), [("width", 0), ("layers", 0), ("depth", 1), ("learning_rate", 0.0),
                       ("batch_size", 0), ("gate_bias", float("nan"))],
)  # fmt: skip
def test_what_cannot_be_is_refused(field, bad):
    with pytest.raises(UserError, match=field):
        rnn.Config(**{field: bad})
    with pytest.raises(UserError, match="multiple of 4"):
        rnn.Config(kind="transformer", width=6)


def test_kinds_are_those_of_the_arms():
    assert set(KINDS) == {"rnn", "gru", "lstm", "nlstm", "transformer"}
