"""Textures through views: measures against their definitions, the memory of Gram matrices, and ascents that ascend."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.interpret.vision import objectives, optimize, parameterizations, rasterise, shapes, texture
from theodolite.interpret.vision.network import of_function

SIZE, TEXELS = 24, 32


def features(images):
    """Two layers that a picture excites by its redness and by its vertical edges."""
    red = images[..., :1] - images[..., 2:3]
    edge = images[:, :, 1:] - images[:, :, :-1]
    return {"colour": jnp.maximum(jnp.concatenate([red, images], -1), 0), "edges": edge**2}


@pytest.fixture(scope="module")
def network():
    return of_function(features, size=SIZE)


@pytest.fixture(scope="module")
def blob():
    return shapes.blob(8)


@pytest.fixture(scope="module")
def seen(blob):
    return rasterise.views(blob, 6, SIZE, jax.random.key(0))


def test_through_is_a_transform_that_shows_one_of_the_views(blob, seen):
    paint = jax.random.uniform(jax.random.key(1), (1, TEXELS, TEXELS, 3))
    shown = texture.through(seen, batch=2)(jax.random.key(2), paint)
    every = rasterise.render(paint[0], jnp.asarray(seen.uv), jnp.asarray(seen.mask))
    for frame in shown:
        assert np.abs(np.asarray(every) - np.asarray(frame)).max((1, 2, 3)).min() == 0


def test_ascent_through_views_paints_all_sides_red(network, blob, seen):
    other = rasterise.views(blob, 8, SIZE, jax.random.key(9))
    goal = objectives.channel("colour", 0)
    config = optimize.Config(steps=30, every=30, learning_rate=0.1)
    drawn = texture.solid_pyramid(blob, TEXELS, (2, 4))
    *_, last = optimize.optimise(network, goal, drawn, texture.through(seen), config)
    before = texture.over_views(network, goal, np.full((TEXELS, TEXELS, 3), 0.5, np.float32), other)
    assert texture.over_views(network, goal, last.images[0], other) > before + 0.1 * other.mask.mean()


def test_the_mean_over_views_is_the_mean(network, seen):
    paint = np.random.default_rng(0).random((TEXELS, TEXELS, 3)).astype(np.float32)
    frames = rasterise.render(jnp.asarray(paint), jnp.asarray(seen.uv), jnp.asarray(seen.mask))
    red = np.maximum(np.asarray(frames)[..., 0] - np.asarray(frames)[..., 2], 0).mean()
    assert texture.over_views(network, objectives.channel("colour", 0), paint, seen) == pytest.approx(red, rel=1e-5)
    found = texture.grams_over_views(network, ("colour",), paint, seen)["colour"]
    flat = np.asarray(features(frames)["colour"]).reshape(len(frames), -1, 4)
    np.testing.assert_allclose(found, np.einsum("nic,nid->ncd", flat, flat) / flat.shape[1], rtol=1e-4, atol=1e-6)


def test_solid_textures_have_no_seams_and_painted_ones_do(blob):
    ramp = np.broadcast_to(np.linspace(0, 1, 64)[:, None, None], (64, 64, 3)).astype(np.float32)
    assert texture.seam_ratio(blob, ramp, 0.02) > 5
    points, _ = rasterise.baked(blob, 256)
    smooth = (0.5 + 0.5 * np.sin(5 * points)).astype(np.float32)
    assert texture.seam_ratio(blob, smooth, 0.06) == pytest.approx(1, abs=0.2)
    drawn = texture.solid(blob, 64, head=1.0)
    cppn = np.asarray(drawn.apply(drawn.init(jax.random.key(0))))[0]
    assert texture.seam_ratio(blob, cppn, 0.06) < 1.3


def test_grids_in_space_interpolate_linear_functions_exactly():
    points = np.random.default_rng(0).uniform(-1, 1, (50, 3))
    corners, weights = texture._trilinear(points, 5)
    nodes = np.stack(np.meshgrid(*[np.linspace(-1, 1, 5)] * 3, indexing="ij"), -1).reshape(-1, 3)
    found = np.einsum("pkc,pk->pc", nodes[np.asarray(corners)], np.asarray(weights))
    np.testing.assert_allclose(found, points, atol=1e-3)


def test_the_memory_is_the_corrected_average_with_the_gradient_of_the_present():
    series, decay = np.random.default_rng(0).random((5, 3, 3)).astype(np.float32), 0.8
    memory = texture.begin(texture.Style({"a": jnp.zeros((3, 3))}, "a"))
    for t in range(5):
        effective, memory = texture.remember(memory, {"a": jnp.asarray(series[t])}, decay)
        weights = decay ** np.arange(t, -1, -1)
        np.testing.assert_allclose(effective["a"], np.tensordot(weights, series[: t + 1], 1) / weights.sum(), rtol=1e-4)
    gradient = jax.grad(lambda g: (texture.remember(memory, {"a": g}, decay)[0]["a"] * 3).sum())(jnp.ones((3, 3)))
    np.testing.assert_array_equal(gradient, 3)
    without, _ = texture.remember(memory, {"a": jnp.asarray(series[0])}, 0.0)
    np.testing.assert_allclose(without["a"], series[0], rtol=1e-6)


def test_style_ascent_lowers_its_loss_and_its_measures_are_their_definitions(network, blob, seen):
    red = np.zeros((16, 16, 3), np.float32)
    red[..., 0] = 1
    style = texture.Style(texture.style_targets(network, jnp.asarray(red), ("colour",)), "edges", 0.1, 0.9)
    original, drawn = texture.clay(blob, TEXELS), parameterizations.fourier(TEXELS)
    score = texture.style_score(network, style, drawn, original, seen)
    config = optimize.Config(steps=40, every=40, learning_rate=0.1)
    chunks = optimize.ascend(config, score, drawn, network.params, jax.random.key(0), texture.begin(style))
    *_, last = chunks
    assert last.objective[-5:].mean() > last.objective[:5].mean() + 0.02
    found = texture.grams_over_views(network, ("colour",), last.images[0], seen)
    goal = np.asarray(style.targets["colour"])
    pooled = np.abs(np.mean(found["colour"], 0) - goal).mean() / np.abs(goal).mean()
    assert texture.pooled_style(found, style.targets) == pytest.approx(pooled, rel=1e-5)
    variance = sum(np.square(g - found["colour"].mean(0)).sum() for g in found["colour"]) / len(found["colour"])
    assert texture.between_views(found, style.targets) == pytest.approx(variance / (goal**2).sum(), rel=1e-4)


def test_neighbouring_views_of_one_texture_agree(blob):
    one, other = rasterise.turntable(18)[:2]
    match = texture.matches(blob, one, other, 64)
    assert len(match.pixels) > 800
    paint = jnp.asarray(texture.clay(blob, 128))
    both = rasterise.look(blob, [one, other], 64)
    frames = np.asarray(rasterise.render(paint, jnp.asarray(both.uv), jnp.asarray(both.mask)))
    assert texture.disagreement(match, *frames) < 0.02
    assert texture.disagreement(match, frames[0], 1 - frames[1]) > 0.1
    same = texture.matches(blob, one, one, 64)
    np.testing.assert_allclose(same.at, same.pixels, atol=0.02)
