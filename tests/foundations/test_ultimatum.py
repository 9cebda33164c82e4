"""Meta-fair responders against searches, the mixture against its closed form, evolution and learning in the limit."""

import numpy as np
import pytest
from scipy import stats

from theodolite.core.errors import UserError
from theodolite.foundations import ultimatum as ug


def test_no_offer_below_the_fair_share_pays():
    for fair in np.linspace(0.05, 0.95, 19):
        assert ug.exploitation(fair, 0.01) == pytest.approx(-0.01 * (1 - fair), abs=1e-9)
    offers = np.linspace(0, 1, 1_001)
    payoff = ug.p_accept(offers, 0.6) * (1 - offers)
    assert offers[np.argmax(payoff)] == pytest.approx(0.6)
    assert payoff.max() == pytest.approx(0.4)


def test_two_who_each_want_sixty_lose_a_third_and_the_mixture_a_fifth():
    assert ug.alternating((0.6, 0.6), eps=0.0) == pytest.approx((1 / 3, 1 / 3))
    for first, second in [(0.6, 0.6), (0.7, 0.5), (0.9, 0.3)]:
        one, other, deals = ug.best_mixture((first, second), grid=1_001)
        assert (one, other) == pytest.approx((1 - second, 1 - first), abs=1e-6)
        assert deals == pytest.approx(2 - first - second, abs=1e-6)
    assert sum(ug.best_mixture((0.4, 0.4))[:2]) == pytest.approx(1)  # modest sides always deal


def test_norm_payoffs_are_those_of_two_rounds():
    def rounds(mine, theirs):
        return (1 - mine if mine >= theirs else 0) + (theirs if theirs >= mine else 0)

    grid = np.linspace(0, 1, 11)
    slow = np.array([[rounds(a, b) for b in grid] for a in grid])
    found = ug.norm_payoff(grid[:, None], grid[None])
    np.testing.assert_allclose(found, slow)
    assert np.all(np.argmax(found, axis=0) == np.arange(11))  # every norm is its own best answer
    low, high = 0.3, 0.4  # the higher of two norms under a half risk-dominates
    assert (
        ug.norm_payoff(np.array(high), np.array([low, high])).mean()
        > ug.norm_payoff(np.array(low), np.array([low, high])).mean()
    )


def test_children_are_drawn_by_fitness_within_their_population():
    rng, fitness = np.random.default_rng(0), np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])
    counts = np.zeros(6)
    for _ in range(2_000):
        counts += np.bincount(ug.children(rng, fitness).ravel(), minlength=6)
    assert stats.chisquare(counts[:3], 6_000 * fitness[0] / 6).pvalue > 1e-3
    assert counts[3] == counts[5] == 0


def test_mutation_is_reflected_and_local():
    assert ug.reflected(np.array([-0.2, 0.3, 1.2])) == pytest.approx([0.2, 0.3, 0.8])
    c = ug.Population(size=1_000, generations=40, selection=0.0)
    offers, thresholds = ug.evolve(np.random.default_rng(0), c, np.zeros(3), np.zeros(3))
    assert np.all(np.abs(offers - 0.5) < 0.15)  # without selection nothing but drift
    assert np.all(np.abs(thresholds - 0.5) < 0.15)


def test_evolution_sinks_without_reputation_and_follows_it_with():
    c = ug.Population(size=100, generations=3_000)
    informed = np.array([0.0, 0.0, 0.9, 0.9])
    offers, _ = ug.evolve(np.random.default_rng(0), c, informed, np.full(4, 10.0))
    assert np.all(offers[:2] < 0.3)
    assert np.all(offers[2:] > 0.5)


def test_norms_settle_under_a_half():
    found = ug.norms(np.random.default_rng(0), ug.Population(size=200, generations=300), 6)
    assert 0.3 < found.mean() < 0.5
    low = ug.norms(np.random.default_rng(0), ug.Population(size=200, generations=300, initial=0.05), 4)
    assert low.max() < 0.3


def test_a_myopic_responder_takes_anything_and_an_exact_learner_finds_it():
    c = ug.Learners(discount=0.0, rounds=20_000)
    found = ug.learn(np.random.default_rng(0), c, 8)
    assert found.offer.mean() < 0.25
    np.testing.assert_allclose(found.proposer + found.responder, found.accepted, atol=1e-9)
    again = ug.learn(np.random.default_rng(0), c, 8)
    np.testing.assert_array_equal(found.offer, again.offer)


def test_bad_settings_are_refused():
    for wrong in ({"size": 1}, {"generations": 0}, {"mutation": 2.0}, {"step": 0.0}, {"selection": -1.0}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            ug.Population(**wrong)
    for wrong in ({"offers": 1}, {"discount": 2.0}, {"rounds": 0}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            ug.Learners(**wrong)
    with pytest.raises(UserError, match="at least one"):
        ug.learn(np.random.default_rng(0), ug.Learners(), 0)
