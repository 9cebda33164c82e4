"""The speed prior's formulas against simulation, enumeration of phases, and GUESS by a chi-square test."""

import numpy as np
import pytest
from scipy import stats

from theodolite.core.errors import UserError
from theodolite.foundations import speed_prior as sp


def test_the_halving_argument_and_what_a_code_for_k_does_to_it():
    flat = sp.weights(sp.steps(5, 16, "whole search"), "free")
    np.testing.assert_allclose(flat / flat.sum(), 1 / 17)
    coded = sp.weights(sp.steps(5, 16, "whole search"), "Elias gamma")
    by_length = 1 / 2 + 2 / 8 + 4 / 32 + 8 / 128 + 2 / 512  # 2^j values of k have codes of 2 j + 1 bits
    assert coded[0] / coded.sum() == pytest.approx(1 / 2 / by_length)
    assert coded[8:].sum() / coded.sum() == pytest.approx((7 / 128 + 2 / 512) / by_length)
    complexity = sp.weights(sp.steps(5, 16, "whole search"), "free", 0.0)
    assert complexity[0] / complexity.sum() == pytest.approx(0.5, abs=0.01)


def test_steps_until_found_count_candidates():
    for key in (0, 5, 11):
        for k, found in enumerate(sp.steps(key, 4, "until found")):
            prefix = key >> (4 - k)
            candidates = [c for c in range(16) if c >> (4 - k) == prefix]
            assert candidates.index(key) + 1 == found


def test_self_delimiting_codes_satisfy_krafts_inequality():
    k = np.arange(2_000)
    assert np.sum(2.0 ** -sp.elias_gamma(k)) <= 1
    assert np.sum(2.0 ** -sp.OVERHEADS["flag per bit"](k)) <= 1 + 1e-12  # 2^k programs, each of k + k + 1 bits
    assert np.sum(2.0 ** -sp.OVERHEADS["free"](k)) > 1  # hence no prefix-free machine can have it


def test_loopholes_are_found_as_often_as_the_formula_says():
    rng = np.random.default_rng(0)
    exact = sp.p_wrong(8, 0.01)
    for known in (0, 3, 8):
        wrong = 0
        for _ in range(4_000):
            key = int(rng.integers(256))
            wrong += sp.found(rng, key, 8, known, 0.01) != key
        assert wrong / 4_000 == pytest.approx(exact[known], abs=0.03)
    assert np.all(np.diff(exact) <= 0)
    assert not sp.p_wrong(8, 0.0).any()


def test_no_program_is_a_prefix_of_another_and_each_runs():
    found = list(sp.programs(10))
    assert len(found) == len(set(found)) == sum(3**i for i in range(5))
    assert not any(a != b and b[: len(a)] == a for a in found for b in found)
    assert sp.execute((0, 1, 0, 0, 1, 0, 1, 1)) == ("1010", 4 + 4)
    for wrong in ((), (0, 1), (1, 1, 0, 0), (0, 1, 1), (1, 1, 1, 1)):
        with pytest.raises(UserError, match="halting"):
            sp.execute(wrong)


def test_the_sum_over_phases_is_the_slow_one():
    slow: dict[str, float] = {}
    for phase in range(1, 40):
        for program in sp.programs(12):
            written, time = sp.execute(program)
            if len(program) <= phase and time <= 2.0 ** (phase - len(program)):
                slow[written] = slow.get(written, 0) + 2.0**-phase * 2.0 ** -len(program)
    found = sp.speed_prior(12)
    assert found.keys() == slow.keys()
    assert all(found[x] == pytest.approx(slow[x], rel=1e-6) for x in found)


def test_guess_draws_from_the_speed_prior():
    rng, exact, num = np.random.default_rng(0), sp.speed_prior(16), 60_000
    counts: dict[str, int] = {}
    for _ in range(num):
        written = sp.guess(rng)
        if written is not None and len(written) <= 6:
            counts[written] = counts.get(written, 0) + 1
    likely = [x for x in exact if len(x) <= 6 and num * exact[x] >= 5]
    observed = [counts.get(x, 0) for x in likely]
    expected = [num * exact[x] for x in likely]
    rest = num - sum(observed), num - sum(expected)
    assert len(likely) >= 4
    assert stats.chisquare([*observed, rest[0]], [*expected, rest[1]]).pvalue > 1e-3


def test_insight_wins_as_problems_grow_unless_time_is_free():
    for alpha in (0.5, 1.0, 1.2):
        shares = [sp.structure_share(n, alpha) for n in (8, 16, 32, 64, 128)]
        assert np.all(np.diff(shares) > 0)
        assert shares[-1] > 0.99
    assert sp.structure_share(256, 0.0) < 1e-3
