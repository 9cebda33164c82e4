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


def test_expected_payoffs_are_those_of_all_encounters():
    rng, w = np.random.default_rng(0), np.array([0.0, 0.3])
    p, q = rng.integers(0, ug.LEVELS, (2, 2, 20))
    proposer, responder = ug.payoffs(ug.counts(p), ug.counts(q), w)
    for point in range(2):
        for i in range(20):
            offer, threshold = p[point, i] / 1_000, q[point, i] / 1_000
            gains = np.zeros(2)
            for j in range(20):
                theirs, asked = p[point, j] / 1_000, q[point, j] / 1_000
                blind = (1 - offer) * (offer >= asked), theirs * (theirs >= threshold)
                seen = (1 - asked) * (offer >= asked), threshold * (theirs >= threshold)
                gains += (1 - w[point]) * np.array(blind) + w[point] * np.array(seen)
            assert proposer[point, p[point, i]] == pytest.approx(gains[0] / 20)
            assert responder[point, q[point, i]] == pytest.approx(gains[1] / 20)


def test_every_norm_is_an_equilibrium_and_the_higher_one_under_a_half_risk_dominates():
    def payoff(mine, shares):
        table = ug.counts(np.repeat(np.array(list(shares)), [int(10 * v) for v in shares.values()])[None])
        proposer, responder = ug.payoffs(table, table, np.zeros(1))
        return proposer[0, mine] + responder[0, mine]

    for norm in (100, 500, 900):
        alone = {norm: 1.0}
        assert all(payoff(norm, alone) > payoff(other, alone) for other in (0, norm - 1, norm + 1, 1_000))
    assert payoff(400, {300: 0.5, 400: 0.5}) > payoff(300, {300: 0.5, 400: 0.5})
    assert payoff(700, {700: 0.5, 800: 0.5}) > payoff(800, {700: 0.5, 800: 0.5})


def test_parents_are_drawn_by_fitness_within_their_population():
    rng, fitness = np.random.default_rng(0), np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])
    found = np.zeros(6)
    for _ in range(2_000):
        found += np.bincount(ug.parents(rng, fitness).ravel(), minlength=6)
    assert stats.chisquare(found[:3], 6_000 * fitness[0] / 6).pvalue > 1e-3
    assert found[3] == found[5] == 0


def test_mutation_is_local_unbiased_and_reflected():
    rng, c = np.random.default_rng(0), ug.Population(mutation=0.5, step=20)
    moved = ug.mutated(rng, c, np.full((1, 40_000), 500)) - 500
    assert np.abs(moved).max() == 20
    assert np.mean(moved != 0) == pytest.approx(0.5 * 40 / 41, abs=0.02)
    assert abs(moved.mean()) < 0.3
    assert ug.mutated(rng, c, np.full((1, 1_000), 0)).min() == 0
    assert ug.mutated(rng, c, np.full((1, 1_000), 1_000)).max() == 1_000


def test_evolution_sinks_without_reputation_and_follows_it_with():
    c = ug.Population(size=100, generations=1_500)
    offers, _ = ug.evolve(np.random.default_rng(0), c, np.array([0.0, 0.0, 0.9, 0.9]), np.full(4, 10.0))
    assert np.all(offers[:2] < 0.3)
    assert np.all(offers[2:] > 0.5)


def test_norms_settle_under_a_half_and_rise_to_it_from_below():
    c = ug.Population(size=200, generations=200)
    found, same = ug.evolve(np.random.default_rng(0), c, np.zeros(6), np.full(6, 5.0), play="norm")
    np.testing.assert_array_equal(found, same)
    assert 0.3 < found.mean() < 0.5
    low = ug.Population(size=200, generations=200, initial=0.05)
    risen = ug.evolve(np.random.default_rng(0), low, np.zeros(4), np.full(4, 5.0), play="norm")[0]
    assert np.all((risen > 0.2) & (risen < 0.5))


def test_who_mirrors_earns_the_same_at_every_level():
    """Two who accept all and offer what they were last offered, over many rounds with alternating roles."""
    rng = np.random.default_rng(0)
    for levels in rng.random((5, 2)):
        earned, rounds = np.zeros(2), 40
        for begins in (0, 1):
            offer = levels[begins]
            for turn in range(rounds):
                proposer = (begins + turn) % 2
                earned[proposer] += 1 - offer
                earned[1 - proposer] += offer
        found = ug.mirrored(levels, levels[::-1])
        np.testing.assert_allclose(earned / rounds, found)  # two matches, a pair of rounds being the unit
        np.testing.assert_allclose(found, 1.0)


def test_without_rejection_nothing_lifts_an_offer():
    low = ug.Population(size=200, generations=200, initial=0.05)
    plays = {play: ug.evolve(np.random.default_rng(0), low, np.zeros(4), np.full(4, 5.0), play=play)
             for play in ("norm", "accept all", "mirror")}  # fmt: skip
    assert np.all(plays["norm"][0] > 0.2)
    assert np.all(plays["accept all"][0] < 0.05)
    assert np.all(plays["mirror"][0] < 0.2)
    assert np.all(plays["mirror"][1] == 0)
    wide = ug.Population(size=200, generations=200)
    sinks, stays = (ug.evolve(np.random.default_rng(0), wide, np.zeros(60), np.full(60, 5.0), play=play)[0].mean()
                    for play in ("accept all", "mirror"))  # fmt: skip
    assert sinks < 0.15
    assert stays == pytest.approx(0.5, abs=0.1)  # on average: each population drifts somewhere


def test_a_myopic_responder_takes_anything_and_an_exact_learner_finds_it():
    c = ug.Learners(discount=0.0, rounds=6_000)
    found = ug.learn(np.random.default_rng(0), c, 16)
    assert found.offer.mean() < 0.25
    np.testing.assert_allclose(found.proposer + found.responder, found.accepted, atol=1e-9)
    again = ug.learn(np.random.default_rng(0), c, 16)
    np.testing.assert_array_equal(found.offer, again.offer)


def test_bad_settings_are_refused():
    for wrong in ({"size": 1}, {"generations": 0}, {"mutation": 2.0}, {"step": 0}, {"initial": -1.0}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            ug.Population(**wrong)
    for wrong in ({"offers": 1}, {"discount": 2.0}, {"rounds": 0}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            ug.Learners(**wrong)
    with pytest.raises(UserError, match="at least one"):
        ug.learn(np.random.default_rng(0), ug.Learners(), 0)
