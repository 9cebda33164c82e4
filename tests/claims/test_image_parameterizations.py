"""Every arm of `image_parameterizations` on a network of a few weights: rows, pictures among them, the figure."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from theodolite.claims.an17 import image_parameterizations as item
from theodolite.claims.an17 import image_parameterizations_alpha as alpha
from theodolite.claims.an17 import image_parameterizations_classes as classes
from theodolite.claims.an17 import image_parameterizations_figure as drawing
from theodolite.claims.an17 import image_parameterizations_flat as flat
from theodolite.claims.an17 import image_parameterizations_runs as runs
from theodolite.claims.an17 import image_parameterizations_style as style
from theodolite.core.scores import Scores
from theodolite.interpret.vision import network, optimize, style_transfer
from theodolite.interpret.vision.optimize import Config

CHANNELS = 420
DEPTHS = {"relu1": 4, "fire2": 4, "fire4": 6, "fire5": 6, "fire6": CHANNELS, "fire7": CHANNELS, "fire8": CHANNELS}
SEEDS = (1000,)
RUN, DRAWN = optimize.many, np.random.default_rng(0)


def small(name):
    """Patches of 8 pixels through random weights, under the names of SqueezeNet's or EfficientNet-Lite0's layers."""
    blocks = {f"block{i}": 5 for i in (0, 2, 4, 7, 10)}
    layers = DEPTHS if name == "squeezenet" else blocks
    rng = np.random.default_rng(0)
    params = {k: {"kernel": rng.normal(size=(3 * 4, c)).astype(np.float32)} for k, c in layers.items()}

    def apply(params, x):
        b, h, w = x.shape[:3]
        patches = x.reshape(b, h // 8, 8, w // 8, 8, 3)
        seen = jnp.concatenate([patches.mean((2, 4)), patches[:, :, 0, :, 0] - patches[:, :, 4, :, 4],
                                patches[:, :, 7, :, 1] ** 2, patches.var((2, 4))], -1)  # fmt: skip
        return {k: jax.nn.relu(seen @ p["kernel"]) for k, p in params.items() if isinstance(p, dict)}

    return network.build(name, params, apply, 32)


def traced(c, score, made, fixed, each, rates, keys):
    """What `many` returns, with every type checked but no step taken: random parameters."""
    shapes, _ = jax.eval_shape(lambda f, e, r, k: RUN(c, score, made, f, e, r, k), fixed, each, rates, keys)
    params = jax.tree.map(lambda leaf: 0.01 * DRAWN.normal(size=leaf.shape).astype(np.float32), shapes)
    return params, DRAWN.random((len(keys), c.steps))


@pytest.fixture(scope="module")
def rows():
    """The rows of all arms of techniques 1 to 4, in a small world."""
    nets = {name: small(name) for name in ("squeezenet", "efficientnet_lite0")}
    rng = np.random.default_rng(0)
    photograph = rng.random((64, 64, 3)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        for module in (runs, flat, alpha, style):
            patch.setattr(module, "network", nets.__getitem__)
        for module in (alpha, style):
            patch.setattr(module.images, "read", lambda *_, **__: photograph)
            patch.setattr(module.images, "photos", lambda: ["chelsea"])
        patch.setattr(style, "scale_of", lambda *_: 1.0)
        patch.setattr(flat, "fit_cppn", lambda picture, steps: picture[None])
        patch.setitem(runs.SIZES, "smoke", {"pixels": 32, "steps": 2, "seeds": 1, "targets": 1})
        patch.setitem(style_transfer.LAYERS, "squeezenet", style_transfer.Layers(("relu1", "fire2"), ("fire4",), 1.0))
        patch.setattr(runs.optimize, "many", traced)
        patch.setattr(style, "many", traced)
        yield [
            *flat.interpolations("fire6", "smoke", SEEDS), *flat.cppns("fire7", "smoke", SEEDS),
            *alpha.transparency("neuron", "smoke", SEEDS), *alpha.transparency("channel", "smoke", SEEDS),
            *style.transfers("squeezenet", "smoke", SEEDS), *style.descents("smoke", SEEDS),
        ]  # fmt: skip


def test_every_claim_finds_its_scores(rows):
    scores = Scores(tuple(rows))
    for claim in item.CLAIMS[1:]:
        if claim.id in ("only-vgg-did-without", "checkerboards", "class-recognised") or claim in item.CLAIMS_3D:
            continue
        for arm in claim.arms:
            values = [v for case in scores.cases(claim.metric, claim.arms)
                      for v in scores.by_seed(claim.metric, arm, case).values()]  # fmt: skip
            assert values and np.isfinite(values).all(), f"{claim.id}: {arm}"


def test_independent_frames_and_pixels_are_their_own_measure(rows):
    shares = {r["arm"]: r["metrics"] for r in rows if "distance_share" in r["metrics"]}
    assert shares[flat.APART]["distance_share"] == shares[flat.APART]["objective_share"] == 1
    plain = next(r["metrics"] for r in rows if r["arm"] == style.PIXELS and r["case"] == "squeezenet")
    assert plain["reduction"] == plain["judged_share"] == 1


def test_a_preconditioned_descent_goes_at_the_rate_of_the_other_basis(rows):
    descent = {r["arm"]: r["metrics"] for r in rows if r["case"] == "descent"}
    assert descent[style.SGD_METRIC]["rate"] == descent[style.SGD_WAVES]["rate"]
    assert descent[style.SGD_WAVES]["closed"] == 1 and descent[style.SGD_WAVES]["difference"] == 0


def test_the_other_bases_redraw_a_fourier_picture(rows):
    kept = {r["arm"]: r["metrics"]["kept"] for r in rows if "kept" in r["metrics"]}
    assert np.isclose(kept["redrawn, fourier"], 1, atol=1e-3) and np.isclose(kept["redrawn, laplacian"], 1, atol=1e-3)


def test_the_best_rate_is_chosen_on_the_tuning_seed():
    made = flat.kinds.Parameterization(lambda key: jnp.zeros(()), lambda p: p[None], "point")

    def score(fixed, p, key, memory):
        return -jnp.square(p - 0.3 * fixed[1]), memory  # the top lies where the middle rate arrives

    found = runs.tuned(
        score, made, {}, lambda t, s: jnp.float32(1 + t), 2, (1, 2, 3, 4), Config(steps=10), (1e-4, 0.05, 3.0)
    )
    assert found.rate == 0.05 and found.values.shape == (2, 4, 10) and [len(p) for p in found.params] == [4, 4]


def test_a_network_that_looks_at_every_fourth_pixel_asks_for_a_checkerboard(monkeypatch):
    def every(step):
        return network.build("squeezenet", jnp.float32(2), lambda w, x: {"relu1": w * x[:, ::step, ::step]}, 32)

    photograph = np.random.default_rng(0).random((64, 64, 3)).astype(np.float32)
    monkeypatch.setattr(style.images, "read", lambda *_, **__: photograph)
    monkeypatch.setitem(runs.SIZES, "smoke", {"pixels": 32, "steps": 2, "seeds": 1, "targets": 1})
    monkeypatch.setitem(style_transfer.LAYERS, "squeezenet", style_transfer.Layers(("relu1",), ("relu1",), 1.0))
    for step, low, high in ((4, 30, np.inf), (1, 0.1, 3)):
        monkeypatch.setattr(style, "network", lambda name, step=step: every(step))
        (found,) = style.checkerboards("squeezenet", "smoke", (1_000,))
        assert found["arm"] == "squeezenet" and low < found["metrics"]["stride_excess"] < high


def test_a_class_that_is_a_colour_is_drawn_and_recognised(monkeypatch):
    names = tuple(classes.NAMES[:2])

    def colours(name):
        def apply(w, x):
            mean = w * x.mean((1, 2), keepdims=True)
            return {"logits": jnp.concatenate([mean[..., :2], mean.repeat(3, -1) + 0.01], -1)}

        return network.build(name, jnp.float32(30.0), apply, 32, (*names, *(f"other {i}" for i in range(9))))

    monkeypatch.setattr(classes, "network", colours)
    monkeypatch.setitem(runs.SIZES, "smoke", {"pixels": 32, "steps": 40, "seeds": 1, "targets": 1})
    rows = classes.classes("smoke", (1_000,))
    assert {(r["arm"], r["case"]) for r in rows} == {(arm, name) for arm in classes.ARMS for name in names}
    red = np.zeros((2, 32, 32, 3), np.float32)
    red[0, ..., 0], red[1, ..., 2] = 1, 1
    probability, known = classes.standing(red, 0)
    assert probability[0] > 5 * probability[1] and known[0] and not known[1]


def test_pictures_survive_among_scores():
    rng = np.random.default_rng(0)
    smooth = np.clip(ndimage.gaussian_filter(rng.random((40, 40, 4)), (4, 4, 0)) * 6 - 2.5, 0, 1).astype(np.float32)
    assert np.abs(runs.unpacked(runs.packed(smooth[..., :3])) - smooth[..., :3]).mean() < 0.06
    back = runs.unpacked(runs.packed(smooth))
    assert back.shape == (40, 40, 4) and np.abs(back[..., 3] - smooth[..., 3]).max() < 0.01


def test_the_toy_is_the_article_s():
    found = {r["arm"]: r["metrics"]["aligned"] for r in flat.toy(SEEDS)}
    assert found["c = 0"] < found["c = 1"] < found["c = 2"] and abs(found["c = 0"] - 0.5) < 0.02


def test_the_figure_and_the_animations_are_drawn(rows, tmp_path):
    scores = Scores(tuple(rows))
    figure = item.figure(scores)
    assert len(figure.subfigs) >= 9
    written = drawing.animations(scores, tmp_path)
    assert len(written) == 3 and all(p.stat().st_size < 100_000 for p in written)
