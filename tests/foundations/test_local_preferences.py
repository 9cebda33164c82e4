"""Choosers against enumeration of every world, and the filters against a slow Bayesian grid."""

import numpy as np
import pytest
from scipy import special

from theodolite.core.errors import UserError
from theodolite.foundations import local_preferences as local


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_the_local_gap_is_the_difference_of_both_expected_utilities(rng):
    for bits in (5, 9, 12):
        w = local.world(rng, bits)
        first, second = local.enumerated(w)
        assert local.local_gap(w) == pytest.approx(first - second, abs=1e-9)
        assert w.decided.sum() == 3
        assert local.local_evaluations(w) <= 16 * bits


def test_utility_is_a_sum_over_factors(rng):
    w = local.world(rng, 6)
    bits = rng.integers(0, 2, (10, 6))
    slow = [sum(t[4 * b[i] + 2 * b[j] + b[k]] for (i, j, k), t in zip(w.scopes, w.tables, strict=True)) for b in bits]
    np.testing.assert_allclose(local.utility(w, bits), slow)
    assert all(len(set(scope)) == 3 for scope in local.world(rng, 100, proposals=1).scopes)


@pytest.mark.parametrize("common", [False, True])
def test_sampled_differences_have_the_enumerated_mean_and_variance(rng, common):
    w = local.world(rng, 6)
    bits = (np.arange(64)[:, None] >> np.arange(6)) & 1
    values = local.utility(w, bits)
    mean = variance = 0.0
    chances = [np.where(bits, p, 1 - p).prod(-1) for p in (w.first, w.second)]
    for i in range(64):
        for j in range(64):
            if common:  # the second world keeps the undecided bits of the first
                if (bits[i] != bits[j])[~w.decided].any():
                    continue
                p = chances[0][i] * np.where(bits[j], w.second, 1 - w.second)[w.decided].prod()
            else:
                p = chances[0][i] * chances[1][j]
            mean += p * (values[i] - values[j])
            variance += p * (values[i] - values[j]) ** 2
    variance -= mean**2
    found = local.sampled_differences(w, rng, 40_000, common=common)
    assert found.mean() == pytest.approx(mean, abs=5 * np.sqrt(variance / 40_000))
    assert found.var() == pytest.approx(variance, rel=0.05)
    assert mean == pytest.approx(local.local_gap(w), abs=1e-9)


def test_as_many_worlds_as_are_said_to_be_needed_give_that_accuracy(rng):
    w = local.world(rng, 12)
    for common in (False, True):
        num = int(local.worlds_needed(w, rng, common=common, num=20_000) / 2)
        sums = local.sampled_differences(w, rng, num * 1_000, common=common).reshape(1_000, num).sum(1)
        assert np.mean(np.sign(sums) == np.sign(local.local_gap(w))) == pytest.approx(0.95, abs=0.025)


def test_exact_comparisons_elicit_and_noisy_ones_do_not(rng):
    elicited, direct = local.elicited_choices(rng, 1.0, 100.0, 0.0, 1_000)
    assert elicited.all()
    assert direct.all()
    elicited, direct = local.elicited_choices(rng, 1.0, 100.0, 1.0, 4_000)
    assert direct.mean() == pytest.approx(special.ndtr(1), abs=0.03)
    assert elicited.mean() < direct.mean()


def test_the_filter_is_close_to_bayes_on_a_grid():
    rng = np.random.default_rng(1)
    options, taken = local.drifting_choices(rng, 0.3, num=60, size=1)
    grid = np.linspace(-6, 6, 801)
    belief = np.exp(-(grid**2) / 2)
    moved = np.exp(-((grid[:, None] - grid) ** 2) / 2 / 0.03**2)
    moved /= moved.sum(0)
    slow = []
    for x, y in zip(options[:, 0], taken, strict=True):
        belief = moved @ (belief / belief.sum())
        chance = special.expit(grid * x) if y else special.expit(-grid * x)
        slow.append(np.log(belief @ chance / belief.sum()))
        belief = belief * chance
    found = local.log_likelihoods(options, taken, 0.3)
    assert np.mean(found) == pytest.approx(np.mean(slow), abs=0.02)
    assert np.corrcoef(found, slow)[0, 1] > 0.98


def test_what_cannot_be_done_is_refused(rng):
    with pytest.raises(UserError, match="at least 3"):
        local.world(rng, 2)
    with pytest.raises(UserError, match="local_gap"):
        local.enumerated(local.world(rng, 30, proposals=2))
    assert local.unfactored_advantage(rng, 10) < 2
