"""Three levels of quantilizers: the joint law against loops, its bounds, and the toy against sampled actions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core.errors import UserError
from theodolite.foundations import quantilizers_recursive as recursive
from theodolite.foundations.quantilizers import quantile_law

SHAPE = (3, 4, 5)


def instance(seed: int):
    rng = np.random.default_rng(seed)
    bases = (rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(4), 3), rng.dirichlet(np.ones(5)))
    feedback = (rng.integers(0, 2, 3).astype(float), rng.normal(size=(3, 4)))
    fractions = tuple(rng.uniform(0.1, 1, 3))
    return *jax.tree.map(jnp.asarray, (bases, feedback, rng.normal(size=SHAPE))), fractions


def test_the_joint_law_is_three_draws_and_keeps_its_bounds():
    with jax.enable_x64(True):
        quantile, joint = jax.jit(quantile_law), jax.jit(recursive.recursive_law)
        for seed in range(10):
            bases, feedback, utility, (q3, q2, q1) = instance(seed)
            law = np.asarray(joint(bases, feedback, utility, (q3, q2, q1)))
            slow = np.zeros(SHAPE)
            for g, chance in enumerate(quantile(bases[0], feedback[0], q3)):
                for u, then in enumerate(quantile(bases[1][g], feedback[1][g], q2)):
                    slow[g, u] = chance * then * quantile(bases[2], utility[g, u], q1)
            np.testing.assert_allclose(law, slow, atol=1e-14)
            assert law.sum() == pytest.approx(1)
            trusted = np.asarray(bases[0])[:, None, None] * np.asarray(bases[1])[:, :, None] * np.asarray(bases[2])
            assert np.all(law <= trusted / (q1 * q2 * q3) * (1 + 1e-12))  # proposition B
            assert np.all(law.sum((0, 1)) <= np.asarray(bases[2]) / q1 * (1 + 1e-12))  # proposition A


def test_bits_are_shared():
    for levels in (1, 2, 3):
        fractions = recursive.split(6.0, levels)
        assert np.prod(fractions) == pytest.approx(2**-6)
        assert sum(q < 1 for q in fractions) == levels


@pytest.mark.parametrize("q1", [0.5, 0.05, 0.002, 0.0005])
def test_the_value_of_the_best_actions_is_that_of_sampled_ones(q1):
    rng = np.random.default_rng(0)
    score = rng.normal(size=400_000)
    exploits = np.arange(len(score)) < 400  # a thousandth
    order = np.lexsort((-score, ~exploits))[: int(q1 * len(score))]
    value = np.where(exploits, 0, score)[order].mean()
    found, taken = recursive.level_one(q1, 1e-3)
    assert float(found) == pytest.approx(value, abs=0.05)
    assert float(taken) == pytest.approx(exploits[order].mean(), abs=1e-9)


@pytest.fixture(scope="module")
def mean_value():
    keys = jax.random.split(jax.random.key(1), 200)
    values = jax.jit(jax.vmap(lambda *given: recursive.aligned(*given).value, (0, None, None)))

    def value(fractions, **settings):
        return float(values(keys, recursive.Toy(generators=4, utilities=32, **settings), fractions).mean())

    return value


def test_good_feedback_helps_and_noise_does_not(mean_value):
    nothing = mean_value((1.0, 1.0, 0.25))
    wise = mean_value((0.25, 1.0, 0.25), generator_noise=0.0)
    assert wise > 2 * nothing > 0
    assert mean_value((0.25, 1.0, 0.25), generator_noise=1e3) == pytest.approx(nothing, abs=0.15)
    assert mean_value((0.25, 1.0, 0.25), generator_noise=0.0, flattery=1e3) == pytest.approx(nothing, abs=0.15)
    assert mean_value((1.0, 0.1, 0.25), utility_noise=0.0) > mean_value((1.0, 0.1, 0.25), utility_noise=1e3) + 0.3
    assert mean_value((0.25, 1.0, 0.25), generator_noise=4.0, tasks=1) < mean_value(
        (0.25, 1.0, 0.25), generator_noise=4.0, tasks=64
    )


def test_every_setting_is_checked():
    for wrong in ({"dim": 0}, {"spread": 0.0}, {"exploits": 2.0}, {"utility_noise": -1.0}, {"tasks": 0}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            recursive.Toy(**wrong)
