"""Rules against slow searches, expectations against simulated programmes, and the posterior against a grid."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import special

from theodolite.core.errors import UserError
from theodolite.foundations import fundamental_uncertainty as fu


@pytest.fixture
def drawn():
    c = fu.Uncertainty(cost=10.0, noise=1.0, confidence=1.5, shared=0.5, waiting=0.02)
    return c, *fu.draw(np.random.default_rng(0), c, 400)


def test_programmes_need_their_number_of_assumptions(drawn):
    c, true, seen = drawn
    assert np.all(np.isfinite(true).sum(-1) == np.arange(7))
    assert np.all(np.isfinite(seen) == np.isfinite(true))
    finite = np.isfinite(seen)
    error = (seen[finite] - c.confidence * true[finite]).std()
    assert error == pytest.approx(c.noise, rel=0.1)


def test_expectations_are_those_of_simulated_programmes(drawn):
    c, true, seen = drawn
    rng = np.random.default_rng(1)
    for rule in ("greatest estimate", "margin"):
        chosen = fu.choose(c, seen, rule)
        gained, ended = np.zeros(60), np.zeros(60)
        for i in range(60):
            for b, programme in enumerate(chosen):
                if programme == fu.NOTHING:
                    bad = rng.random() < c.waiting
                    gained[i] -= c.cost * bad
                else:
                    odds = true[b, programme, :programme]
                    bad = not (np.all(rng.random(programme) < special.expit(odds))
                               and rng.random() < fu.engineering()[programme])  # fmt: skip
                    gained[i] += -c.cost if bad else 1
                ended[i] += bad
        payoff, disasters, _ = fu.outcome(c, true, chosen)
        assert payoff == pytest.approx(gained.mean() / 400, abs=4 * gained.std() / 400 / 60**0.5 + 1e-9)
        assert disasters == pytest.approx(ended.mean() / 400, abs=4 * ended.std() / 400 / 60**0.5 + 1e-9)


def test_rules_do_what_they_say(drawn):
    c, _, seen = drawn
    works = fu.success(seen)
    worth = works * 11 - 10 + 0.2
    for b in range(100):
        good = np.flatnonzero(worth[b] > 0)
        assert fu.choose(c, seen, "fewest assumptions")[b] == (good[0] if len(good) else fu.NOTHING)
        assert fu.choose(c, seen, "greatest estimate")[b] == (worth[b].argmax() if len(good) else fu.NOTHING)
        careful = 1 - works[b].max() <= (1 + 0.2) / 11 / 2
        assert fu.choose(c, seen, "margin")[b] == (works[b].argmax() if careful else fu.NOTHING)
    regrets = fu.worst_regret(c, seen)
    for b in range(20):
        slow = np.zeros(8)
        for shift in np.linspace(-1, 1, 9):
            gains = [*(fu.success(seen[b] + shift) * 11 - 10), -0.2]
            slow = np.maximum(slow, max(gains) - np.array(gains))
        np.testing.assert_allclose(regrets[b], slow, atol=1e-9)
        least = int(np.argmin(slow[::-1]))  # deploying nothing wins ties
        assert fu.choose(c, seen, "minimax regret")[b] == (fu.NOTHING if least == 0 else slow[:-1].argmin())
    endures = fu.robustness(c, seen)
    for b, i in [(0, 3), (1, 6), (2, 1)]:
        if 0 < endures[b, i] < 19:
            assert fu.payoff(c, fu.success(seen - endures[b, i]))[b, i] == pytest.approx(-0.2, abs=1e-6)


def test_the_posterior_is_that_of_a_grid():
    c = fu.Uncertainty(noise=1.2, confidence=1.5)
    grid = np.linspace(-10, 20, 20_001)
    for seen in (-2.0, 3.0, 9.0):
        density = np.exp(-((grid - 4) ** 2) / 2 / 1.5**2 - (seen - 1.5 * grid) ** 2 / 2 / 1.2**2)
        holds = float(density @ special.expit(grid) / density.sum())
        odds = np.full((1, 7, 6), np.inf)
        odds[0, 1, 0] = seen
        assert fu.posterior_success(c, odds)[0, 1] == pytest.approx(fu.engineering()[1] * holds, abs=1e-5)


def test_without_error_the_greatest_estimate_is_the_best_rule_and_bayes_agrees():
    c = fu.Uncertainty(noise=0.0)
    true, seen = fu.draw(np.random.default_rng(0), c, 2_000)
    results = {rule: fu.outcome(c, true, fu.choose(c, seen, rule))[0] for rule in fu.RULES}
    assert max(results.values()) == pytest.approx(results["greatest estimate"])
    assert results["Bayesian"] == pytest.approx(results["greatest estimate"], abs=1e-6)


def test_caution_breaks_even_where_both_pay_alike_and_never_without_error():
    c = fu.Uncertainty(noise=2.0)
    true, seen = fu.draw(np.random.default_rng(3), c, 1_000)

    def gain(cost, rule):
        at = replace(c, cost=cost)
        return fu.outcome(at, true, fu.choose(at, seen, rule))[0] - fu.outcome(
            at, true, fu.choose(at, seen, "greatest estimate"))[0]  # fmt: skip

    for rule in ("fewest assumptions", "margin"):
        cost = fu.break_even(3, c, rule, num=1_000)
        assert 1 < cost < 100
        assert gain(cost * 1.01, rule) > 0
        assert all(gain(lower, rule) <= 1e-12 for lower in np.geomspace(1, cost * 0.99, 8))
        assert fu.break_even(3, replace(c, waiting=0.02), rule, num=1_000) > cost  # waiting has a price
        assert fu.break_even(3, replace(c, noise=0.0), rule, num=1_000) == np.inf


def test_bayes_is_best_when_it_knows_how_one_errs():
    c = fu.Uncertainty(noise=2.0, confidence=1.5)
    true, seen = fu.draw(np.random.default_rng(0), c, 4_000)
    results = {rule: fu.outcome(c, true, fu.choose(c, seen, rule))[0] for rule in fu.RULES}
    assert max(results, key=results.get) == "Bayesian"
    for wrong in ({"cost": -1.0}, {"shared": 2.0}, {"assumptions": 3}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            replace(c, **wrong)
