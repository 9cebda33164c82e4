"""Choosers against enumeration of every world, and the filters against a slow Bayesian grid."""

import numpy as np
import pytest
from scipy import special, stats

from theodolite.core.errors import UserError
from theodolite.foundations import local_preferences as local


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_the_local_gap_is_the_difference_of_both_expected_utilities(rng):
    for bits in (5, 9, 12):
        w = local.world(rng, bits)
        worlds = (np.arange(2**bits)[:, None] >> np.arange(bits)) & 1
        first, second = (local.utility(w, worlds) @ np.where(worlds, p, 1 - p).prod(-1) for p in (w.first, w.second))
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


def chances(w, probabilities, bits, carry):
    """Probability of each world, bit by bit along the chain."""
    found = np.ones(len(bits))
    for i in range(bits.shape[1]):
        own = np.where(bits[:, i], probabilities[i], 1 - probabilities[i])
        copied = carry * (bits[:, i] == bits[:, i - 1]) + (1 - carry) * own
        found *= own if i == 0 or w.decided[i] else copied
    return found


@pytest.mark.parametrize("carry", [0.0, 0.3, 0.9, 1.0])
def test_gaps_where_effects_carry_on_are_those_of_all_worlds(rng, carry):
    bits = (np.arange(2**8)[:, None] >> np.arange(8)) & 1
    for _ in range(5):
        w = local.world(rng, 8, proposals=1)
        each = [chances(w, p, bits, carry) for p in (w.first, w.second)]
        for factors in (None, w.touched, ~w.touched):
            values = local.utility(w, bits, factors)
            assert local.gap(w, carry, factors) == pytest.approx((each[0] - each[1]) @ values, abs=1e-9)
        if carry == 0:
            assert local.gap(w) == pytest.approx(local.local_gap(w), abs=1e-9)
            assert local.gap(w, factors=~w.touched) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("common", [False, True])
def test_worlds_are_drawn_from_their_chains_and_common_ones_share_what_is_not_reached(rng, common):
    w = local.world(rng, 5, decided=1)
    first, second = local.carried_worlds(w, rng, 40_000, 0.6, common=common)
    bits = (np.arange(32)[:, None] >> np.arange(5)) & 1
    for drawn, p in ((first, w.first), (second, w.second)):
        counted = np.bincount(drawn @ (1 << np.arange(5)), minlength=32)
        assert stats.chisquare(counted, 40_000 * chances(w, p, bits, 0.6)).pvalue > 1e-3
    before = slice(0, int(np.flatnonzero(w.decided)[0]))
    assert np.array_equal(first[:, before], second[:, before]) == (common or before.stop == 0)
    assert local.sampled_gap(w, rng, 40_000, 0.6, common=common) == pytest.approx(local.gap(w, 0.6), abs=0.05)


def test_regret_is_the_loss_in_coins():
    gaps = np.array([1.0, -3.0, 2.0])
    assert local.regret(gaps, gaps) == 0
    assert local.regret(gaps, np.zeros(3)) == 1
    assert local.regret(gaps, np.array([1.0, 1.0, 0.0])) == pytest.approx((3 + 1) / 3)


def test_an_elicitation_that_ends_in_a_tie_is_a_toss(rng):
    elicited, _ = local.elicited_choices(rng, 1.0, 30.0, 1.0, 20_000)
    ties = elicited == 0.5
    assert 0.02 < ties.mean() < 0.12
    assert set(np.unique(elicited)) == {0.0, 0.5, 1.0}


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
    assert local.unfactored_advantage(rng, 10) < 2
