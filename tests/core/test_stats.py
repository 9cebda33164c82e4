import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.stats import mannwhitneyu, trim_mean

from theodolite.core import stats

scores = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40).map(np.array)


@given(scores)
def test_iqm_is_the_mean_trimmed_by_a_quarter(x):
    assert stats.iqm(x) == pytest.approx(trim_mean(x, 0.25), rel=1e-9, abs=1e-9)


def test_iqm_works_along_the_last_axis():
    x = np.random.default_rng(0).normal(size=(5, 9))
    np.testing.assert_allclose(stats.iqm(x), [stats.iqm(row) for row in x])


@given(st.floats(-1e6, 1e6), st.integers(1, 30))
def test_the_mean_of_equal_scores_is_that_score_to_the_last_bit(value, count):
    assert stats.iqm(np.full(count, value)) == value == stats.mean(np.full(count, value))


@pytest.mark.parametrize(("seeds", "cases"), [(3, 1), (5, 1), (7, 1), (3, 2), (5, 4)])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(seeds, cases):
    generator, hits, repeats = np.random.default_rng(7), 0, 400
    for _ in range(repeats):
        strata = [generator.normal(size=seeds) for _ in range(cases)]
        low, high = stats.bootstrap(strata, "iqm", generator, draws=1_000).interval()
        hits += low <= 0 <= high
    assert 0.90 <= hits / repeats <= 0.99  # the plain percentile interval has 0.75 with 3 seeds, 0.88 with 5


def test_strata_are_resampled_apart():
    easy, hard = np.full(5, 10.0), np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    draws = stats.bootstrap([easy, hard], "mean", np.random.default_rng(0)).draws
    assert draws.min() >= 5.0
    assert draws.max() <= 7.0


@pytest.mark.parametrize("statistic", ["iqm", "mean"])
@pytest.mark.parametrize("sizes", [(7,), (3, 5, 5), (1, 4)])
def test_every_draw_is_the_statistic_of_the_scores_that_its_rows_of_the_table_take(statistic, sizes):
    generator, draws = np.random.default_rng(3), 200
    strata = [generator.normal(size=n).round(1) for n in sizes]  # rounded: ties
    found = stats.bootstrap(strata, statistic, np.random.default_rng(5), draws).draws
    starts = np.random.default_rng(5).choice(draws, len(sizes), replace=False)
    for d in range(draws):
        rows = [
            stats._counts(n, draws)[(start + d) % draws].astype(int) for n, start in zip(sizes, starts, strict=True)
        ]
        taken = np.concatenate([np.repeat(x, row) for x, row in zip(strata, rows, strict=True)])
        assert found[d] == pytest.approx(float(stats.STATISTICS[statistic](taken)), abs=1e-12)


@pytest.mark.parametrize("size", [1, 2, 30])
def test_the_table_resamples_with_replacement(size):
    table = stats._counts(size, 20_000)
    assert (table.sum(1) == size).all() and table.min() >= 0
    assert table.mean(0) == pytest.approx(np.ones(size), abs=0.05)
    assert table.var(0) == pytest.approx(np.full(size, 1 - 1 / size), abs=0.06)  # multinomial
    if size > 1:
        assert np.cov(table[:, 0], table[:, 1])[0, 1] == pytest.approx(-1 / size, abs=0.03)


def test_no_two_strata_of_a_draw_share_their_picks():
    """The variance of a mean of equal strata falls with their number; with shared picks it would not fall at all."""
    x = np.random.default_rng(0).normal(size=12)
    one, nine = (stats.bootstrap([x] * k, "mean", np.random.default_rng(1)).draws.std() for k in (1, 9))
    assert nine == pytest.approx(one / 3, rel=0.05)


def test_draws_differ_without_pairs_and_agree_with_them():
    x = [np.arange(8.0), np.arange(5.0)]
    paired = stats.bootstrap_difference(x, x, "iqm", np.random.default_rng(0), paired=[True, True])
    loose = stats.bootstrap_difference(x, x, "iqm", np.random.default_rng(0), paired=[False, False])
    assert paired.interval() == (0.0, 0.0) and loose.interval()[0] < -1 < 1 < loose.interval()[1]


def test_small_samples_are_drawn_more_often_and_large_ones_never_too_seldom():
    least, most, together = stats.TO_DECIDE
    few, some, many = ([np.zeros(n)] for n in (10, 500, 10**6))
    assert [stats.affordable(stats.TO_DECIDE, x) for x in (few, some, many)] == [most, together // 500, least]
    assert stats.affordable(stats.TO_DECIDE, some, some) == together // 1_000


def test_pairing_removes_what_the_seeds_share():
    generator = np.random.default_rng(0)
    shared = generator.normal(size=10) * 10
    first, second = [shared + 1 + generator.normal(size=10) * 0.1], [shared]

    paired = stats.bootstrap_difference(first, second, "mean", generator, paired=[True]).interval()
    loose = stats.bootstrap_difference(first, second, "mean", generator, paired=[False]).interval()
    assert paired[1] - paired[0] < 0.3 < 5 < loose[1] - loose[0]


@pytest.mark.parametrize("strata", [[np.array([2.0])], [np.full(6, 2.0)], [np.full(3, 2.0), np.array([2.0])]])
def test_scores_that_do_not_vary_have_a_degenerate_interval(strata):
    assert stats.bootstrap(strata, "iqm", np.random.default_rng(0)).interval() == (2.0, 2.0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=3, max_size=12), st.floats(-2, 2), st.sampled_from([0.8, 0.95, 0.99]))
def test_the_p_value_says_whether_the_interval_leaves_the_edge(x, bar, confidence):
    found = stats.bootstrap([np.array(x)], "iqm", np.random.default_rng(1), draws=2_000)
    low, high = found.interval(confidence)
    p = found.p_value(bar, np.inf)
    if p < (1 - confidence) * 0.98:  # the quantile interpolates between draws, the p-value counts them
        assert low >= bar - 1e-2 or high < bar + 1e-2
    if low > bar + 1e-2 or high < bar - 1e-2:
        assert p <= (1 - confidence) * 1.02


@given(st.lists(scores, min_size=1, max_size=3), st.data())
def test_probability_of_improvement_is_the_mean_of_mann_whitneys_u(first, data):
    second = [data.draw(scores) for _ in first]
    u = [mannwhitneyu(x, y).statistic / (len(x) * len(y)) for x, y in zip(first, second, strict=True)]
    assert stats.probability_of_improvement(first, second) == pytest.approx(np.mean(u))


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=8))
def test_holm_levels_reject_what_adjusted_p_values_reject(p_values):
    order, adjusted, so_far = np.argsort(p_values, kind="stable"), np.zeros(len(p_values)), 0.0
    for rank, index in enumerate(order):
        so_far = max(so_far, (len(p_values) - rank) * p_values[index])
        adjusted[index] = so_far
    levels = stats.holm_levels(p_values, 0.05)
    for p, level, definition in zip(p_values, levels, adjusted, strict=True):
        if abs(definition - 0.05) > 1e-9:
            assert (p <= level) == (definition <= 0.05)


def test_holm_by_hand():
    assert stats.holm_levels([0.04, 0.001, 0.03], 0.05) == pytest.approx([0.025, 0.05 / 3, 0.025])


def test_seeds_to_decide_shrinks_the_interval_with_the_root_of_the_number():
    assert stats.seeds_to_decide(5, 1.0, (0.0, 2.0), (0.5, np.inf)) == 20  # width must halve
    assert stats.seeds_to_decide(5, 1.0, (0.0, 2.0), (1.0, np.inf)) is None  # on the edge: never
    assert stats.seeds_to_decide(5, 1.0, (0.0, 2.0), (0.05, np.inf)) == 6
