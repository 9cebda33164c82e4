"""Plans against every plan there is, laws against simulation, and CVaR against its definition."""

from itertools import product

import numpy as np
import pytest

from theodolite.core.errors import UserError
from theodolite.safety import tail_risk as tail

WORLDS = [
    tail.Gamble(horizon, p, outcome, safe=safe)
    for horizon, p, outcome, safe in [(1, 0.05, -30, 0.8), (5, 0.02, -3, 0.9), (7, 0.2, -1, 0.5), (6, 0.1, 20, 0.9)]
]


def tail_mean(g, plan, alpha):
    """CVaR: the mean of the worst share α of returns."""
    values, chances = (x[np.argsort(tail.law(g, plan)[0])] for x in tail.law(g, plan))
    return values @ np.clip(alpha - (np.cumsum(chances) - chances), 0, chances) / alpha


PLANS = {g: [np.array(p) for p in product([False, True], repeat=g.horizon)] for g in WORLDS}


@pytest.mark.parametrize("g", WORLDS, ids=str)
def test_the_law_is_that_of_playing(g):
    rng, plan = np.random.default_rng(0), np.arange(g.horizon) % 3 != 1
    total, alive = np.zeros(100_000), np.ones(100_000, bool)
    for gambles in plan:
        failed = gambles & (rng.random(100_000) < g.p)
        total += alive * np.where(failed, g.outcome, g.gain if gambles else g.safe)
        alive &= ~failed
    assert tail.expected(g, plan) == pytest.approx(total.mean(), abs=4 * total.std() / 100_000**0.5)
    for alpha in (0.03, 0.3, 1.0):
        worst = np.sort(total)[: int(alpha * 100_000)]
        assert tail_mean(g, plan, alpha) == pytest.approx(worst.mean(), abs=0.02 * (1 + total.std() / alpha**0.5))
    assert tail.law(g, plan)[1].sum() == pytest.approx(1)


@pytest.mark.parametrize("g", WORLDS, ids=str)
def test_plans_are_the_best_of_all_plans(g):
    means = [tail.expected(g, plan) for plan in PLANS[g]]
    assert tail.expected(g, tail.controllable(g, 0.0)) == pytest.approx(max(means))
    for alpha in (0.02, 0.1, 0.4, 1.0):
        best = max(tail_mean(g, plan, alpha) for plan in PLANS[g])
        found = tail_mean(g, tail.tail_averse(g, alpha), alpha)
        assert found == pytest.approx(best, abs=1e-9)
    assert tail.expected(g, tail.tail_averse(g, 1.0)) == pytest.approx(max(means), abs=1e-9)


@pytest.mark.parametrize("coarse", [2, 7, 201])
def test_values_passed_over_hold_no_better_plan(coarse):
    """Against every possible return as η, in worlds of 40 steps."""
    rng = np.random.default_rng(0)
    for outcome in (-1.0, -20.0, 5.0):
        g = tail.Gamble(40, float(10 ** rng.uniform(-3, -1)), outcome, safe=float(rng.uniform(0.5, 0.95)))
        eta = tail._possible(g)
        best = (eta - tail._shortfall(g, eta)[0] / 0.05).max()
        assert tail_mean(g, tail.tail_averse(g, 0.05, coarse), 0.05) == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("psi", [0.0, 0.01, 0.1, 1.0])
@pytest.mark.parametrize("g", WORLDS, ids=str)
def test_controllability_is_the_best_reply_to_its_own_charges(g, psi):
    """Value of a plan under the charges, step by step; no change of one step improves on the plan."""

    def charged(plan):
        value = 0.0
        for gambles in plan[::-1]:
            outcomes = np.array([g.outcome, g.gain + value])
            chances = np.array([g.p, 1 - g.p])
            mean = chances @ outcomes
            value = mean - psi * (chances @ (outcomes - mean) ** 2) if gambles else g.safe + value
        return value

    plan = tail.controllable(g, psi)
    for t in range(g.horizon):
        other = plan.copy()
        other[t] ^= True
        assert charged(plan) >= charged(other) - 1e-9


def test_aversion_and_its_limits():
    disaster = tail.Gamble(1, 0.01, -1_000.0)
    assert not tail.controllable(disaster, 0.0).any() and tail.controllable(disaster.seen(1.0), 0.0).all()
    windfall = tail.Gamble(1, 0.01, 1_000.0)
    assert tail.controllable(windfall, 0.0).all() and not tail.controllable(windfall, 0.1).any()
    assert tail.regret(windfall, tail.controllable(windfall, 0.1)) == pytest.approx(1)
    assert tail.regret(windfall, tail.controllable(windfall, 0.0)) == 0
    with pytest.raises(UserError, match="alpha = 0"):
        tail.tail_averse(windfall, 0.0)
