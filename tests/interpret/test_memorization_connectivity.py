"""Connectivity against finite differences, its axioms, and the measures taken from it against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.interpret import memorization as rnn
from theodolite.interpret import memorization_connectivity as seen
from theodolite.interpret import memorization_control as control

LENGTH = 24
TEXT, MARKED = control.corpus(5, LENGTH, 5, 1.0, 160)
ROW = jnp.asarray(TEXT.test.characters[0])
AT, WORDS = jnp.array([4, 11, 20]), jnp.array([3, 5, 8])


@pytest.fixture(scope="module", params=["nlstm", "transformer"])
def net(request):
    c = rnn.Config(kind=request.param, width=8, layers=1)
    return rnn.init(c, jax.random.key(1), rnn.space(TEXT)).net


@pytest.fixture(scope="module")
def maps(net):
    return np.asarray(jax.jit(seen.every_map)(net, ROW, AT, WORDS))


def test_the_future_is_exactly_zero(maps):
    for m in range(len(seen.MAPS)):
        for k, u in enumerate(AT.tolist()):
            assert (maps[m, k, u + 1 :] == 0).all() and (maps[m, k, : u + 1] >= 0).all() and maps[m, k, u] > 0


READ = jax.jit(lambda net, x: net(x))


def test_gradients_are_finite_differences(net):
    step, places = 1e-6, [(0, 1), (10, 7), (11, 3)]
    with jax.enable_x64(True):
        double = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), net)
        x, word = jnp.asarray(np.eye(28)[np.asarray(ROW)]), WORDS[1]
        kinds, at = jnp.arange(3), jnp.full(3, 11)
        found = jax.jit(seen.gradients)(double, x, at, jnp.full(3, word), kinds)
        rows = READ(double, jnp.stack([x.at[place].add(h) for place in places for h in (step, -step)]))[:, 11]
        for i, kind in enumerate(seen.SCORES):
            ends = [float(seen.score(row, word, kind)) for row in rows]
            for (t, c), up, down in zip(places, ends[::2], ends[1::2], strict=True):
                assert float(found[i, t, c]) == pytest.approx((up - down) / (2 * step), rel=1e-4, abs=1e-8)


def test_all_maps_in_one_are_the_single_ones(net, maps):
    norm = np.sqrt((np.asarray(jax.jit(seen.gradients)(net, jax.nn.one_hot(ROW, 28), AT, WORDS)) ** 2).sum(-1))
    np.testing.assert_allclose(maps[0], norm, rtol=1e-4, atol=1e-6)
    square = jax.jit(seen.connectivity, static_argnames="method")(net, ROW, AT, WORDS, method="square")
    np.testing.assert_allclose(square, maps[0] ** 2, rtol=1e-4, atol=1e-7)


def test_integrated_gradients_add_up_and_occlusion_is_what_it_says(net, maps):
    x = jax.nn.one_hot(ROW, 28)
    without = [jax.nn.one_hot(ROW.at[t].set(0), 28) for t in (2, 9)]
    scores, nothing, *others = np.asarray(READ(net, jnp.stack([x, 0 * x, *without])))
    whole = np.asarray(jax.jit(seen.integrated)(net, ROW, AT, WORDS)).sum(-1)
    np.testing.assert_allclose(whole, [scores[u, w] - nothing[u, w] for u, w in zip(AT, WORDS, strict=True)], atol=1e-2)
    assert seen.MAPS[5] == ("occlusion", "logit")
    for t, other in zip((2, 9), others, strict=True):
        np.testing.assert_allclose(maps[5, 1, t], abs(scores[11, 5] - other[11, 5]), atol=1e-5)


def test_reach_is_a_double_loop():
    strength = np.random.default_rng(0).random((3, LENGTH)).astype(np.float32) * (
        np.arange(LENGTH) <= np.array(AT)[:, None]
    )
    read = jnp.array([2, 0, 3])
    found = seen.reach(jnp.asarray(strength), AT, read)
    for k in range(3):
        total = lag = share = entropy = 0.0
        for t in range(int(AT[k]) + 1):
            total += strength[k, t]
        for t in range(int(AT[k]) + 1):
            p = strength[k, t] / total
            lag += p * (int(AT[k]) - t)
            share += p * (t < int(AT[k]) - int(read[k]))
            entropy -= p * np.log(p) if p else 0.0
        assert float(found.lag[k]) == pytest.approx(lag, rel=1e-5)
        assert float(found.share[k]) == pytest.approx(share, rel=1e-5)
        assert float(found.spread[k]) == pytest.approx(np.exp(entropy), rel=1e-5)


def test_letters_and_deletions():
    text = np.array([[1, 3, 4, 1, 5, 1, 6, 7, 8, 0]], np.int32)
    assert seen.letters_read(text).tolist() == [[0, 1, 2, 0, 1, 0, 1, 2, 3, -1]]
    assert seen.words_before(text[0], 7) == [slice(0, 3), slice(3, 5)]
    strength = np.zeros(10, np.float32)
    strength[4] = 1
    most, random = seen.deletions(text[0], strength, 7, 1, np.random.default_rng(0))
    assert most.tolist() == [1, 3, 4, 0, 0, 1, 6, 7, 8, 0] and (random == 0).sum() in (3, 4)
    assert seen.deletions(text[0], strength, 7, 2, np.random.default_rng(0)) is None


def test_the_control_text_is_what_it_claims():
    assert control.bayes_accuracy(0.9, 0) == pytest.approx(0.9 + 0.1 / 4)
    assert control.bayes_accuracy(0.0, 1) == pytest.approx(0.5) and control.bayes_accuracy(0.3, 2) == 1.0
    marked = control.marked(1, 4_000, 30, 8, 0.6)
    answers = marked.sequences.words[np.arange(4_000), marked.asked] - 2 - len(control.KEYS)
    assert (answers == marked.which).mean() == pytest.approx(control.bayes_accuracy(0.6, 0), abs=0.03)
    first = np.array([a[0] for a in control.ANSWERS])[answers]
    best = {}
    for key, letter, answer in zip(marked.which, first, answers, strict=True):
        best.setdefault((key, letter), []).append(answer)
    right = sum(max(np.bincount(rows)) for rows in best.values())
    assert right / 4_000 == pytest.approx(control.bayes_accuracy(0.6, 1), abs=0.03)
    for row, key, asked in zip(marked.sequences.characters[:50], marked.key, marked.asked, strict=False):
        text = "".join(" abcdefghijklmnopqrstuvwxyz"[c - 1] for c in row if c)
        at = int(np.flatnonzero(key)[0])
        assert text[at : at + 3].strip() in control.KEYS and text[asked - 3 : asked] == " zz" and asked == at + 14
