"""Ascent: what a step is, that chunks add up, that bases and metrics are the same, and what is said of bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core.errors import NotFinite, UserError
from theodolite.interpret.vision import network, objectives, optimize, parameterizations, transforms
from theodolite.interpret.vision.optimize import Config

SIZE = 12
KERNEL = np.random.default_rng(0).normal(size=(3, 3, 3, 4)).astype(np.float32)


def features(x):
    return {"conv": jax.lax.conv_general_dilated(x, KERNEL, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))}


NET = network.of_function(features, "toy", SIZE)
GOAL = objectives.channel("conv", 1)


def run(parameterization, transform=None, config=None, **options):
    changed = transforms.none() if transform is None else transform
    return list(optimize.optimise(NET, GOAL, parameterization, changed, config or Config(steps=6), **options))


@pytest.fixture(scope="module")
def fourier():
    return parameterizations.fourier(SIZE)


def test_a_plain_step_goes_along_the_gradient():
    pixels, rate = parameterizations.pixels(SIZE), 3.0
    one = run(pixels, config=Config(steps=1, learning_rate=rate, optimiser="sgd"))[-1]
    start = pixels.init(jax.random.split(jax.random.key(0))[0])
    gradient = np.zeros_like(start)
    value = lambda p: float(np.asarray(features(jax.nn.sigmoid(p))["conv"][..., 1].mean()))  # noqa: E731
    for at in [(0, 0, 0, 0), (0, 5, 7, 1), (0, 11, 11, 2)]:
        nudge = np.zeros_like(start)
        nudge[at] = 0.5
        gradient[at] = value(start + nudge) - value(start - nudge)
        assert np.isclose(one.params[at] - start[at], rate * gradient[at], rtol=0.05, atol=1e-5)


def test_chunks_add_up_and_the_objective_rises(fourier):
    whole = run(fourier, transforms.standard(), Config(steps=6, every=6))
    parts = run(fourier, transforms.standard(), Config(steps=6, every=4))
    assert [c.step for c in parts] == [4, 6] and [c.step for c in whole] == [6]
    assert np.allclose(whole[-1].images, parts[-1].images, atol=1e-5)
    assert np.allclose(whole[-1].objective, np.concatenate([c.objective for c in parts]), atol=1e-5)
    assert run(fourier, config=Config(steps=30, every=30))[-1].objective[-1] > whole[-1].objective[0]


def test_plain_descent_in_a_basis_is_preconditioned_descent_in_pixels(fourier):
    config = Config(steps=6, every=6, learning_rate=5.0, optimiser="sgd")
    waves = run(fourier, transforms.standard(), config)[-1].images
    metric = run(parameterizations.preconditioned(SIZE), transforms.standard(), config)[-1].images
    still = run(fourier, transforms.standard(), Config(steps=1, learning_rate=1e-6))[-1].images
    assert np.abs(waves - still).max() > 0.05 and np.allclose(waves, metric, atol=2e-4)


def test_many_runs_are_each_by_itself(fourier):
    def score(fixed, params, key, memory):
        drawn = fourier.apply(params)
        return GOAL(NET.apply(fixed[0], drawn), drawn) * fixed[1], memory

    rates, keys = jnp.array([0.01, 0.1, 0.1]), jax.random.split(jax.random.key(3), 3)
    each = jnp.array([1.0, 1.0, -1.0])
    _, values = optimize.many(Config(steps=6), score, fourier, NET.params, each, rates, keys)
    for i in range(3):
        config = Config(steps=6, every=6, learning_rate=float(rates[i]))
        alone = list(optimize.ascend(config, score, fourier, (NET.params, each[i]), keys[i]))[-1]
        assert np.allclose(values[i], alone.objective, atol=1e-5)


def test_references_see_the_same_draw_and_no_gradient(fourier):
    """Where the reference is the picture's own start, an objective of distances is 0 at first under any transform."""
    start = np.asarray(fourier.apply(fourier.init(jax.random.split(jax.random.key(0))[0])))
    alike = objectives.activation_difference(("conv",))
    score = optimize.score_of(NET, alike, fourier, transforms.standard(), lambda key: jnp.asarray(start))
    params = fourier.init(jax.random.split(jax.random.key(0))[0])
    assert np.isclose(jax.jit(lambda p: score((), p, jax.random.key(5), ())[0])(params), 0, atol=1e-5)


def test_what_cannot_be_is_refused(fourier):
    with pytest.raises(UserError, match=r"no layer .cone.\. Did you mean conv"):
        optimize.optimise(NET, objectives.channel("cone", 1), fourier)
    with pytest.raises(UserError, match="channel 4 of conv"):
        optimize.optimise(NET, objectives.channels("conv", (0, 4)), fourier)
    with pytest.raises(UserError, match="learning_rate = -1"):
        Config(learning_rate=-1.0)
    broken = objectives.Objective(lambda a, x: jnp.float32(jnp.nan) * x.mean(), "nothing")
    with pytest.raises(NotFinite, match="step 1: the objective is not finite"):
        list(optimize.optimise(NET, broken, fourier, transforms.none(), Config(steps=6)))
