"""Deciders against the folklore of decision theory, against simulation, and against the genie's closed form."""

import numpy as np
import pytest

from theodolite.core.errors import UserError
from theodolite.foundations import evil_genie as eg

FOLKLORE = [
    (eg.newcomb(), "boxes", "two boxes", "one box", "one box"),
    (eg.transparent_newcomb(), "full", "two boxes", "two boxes", "one box"),
    (eg.counterfactual_mugging(), "asked", "refuse", "refuse", "pay"),
    (eg.hitchhiker(), "town", "refuse", "refuse", "pay"),
    (eg.copy_dilemma(), "dilemma", "defect", "cooperate", "cooperate"),
]


@pytest.mark.parametrize(("problem", "where", "causal", "evidential", "policy"), FOLKLORE)
def test_the_table_of_the_folklore(problem, where, causal, evidential, policy):
    found = [eg.decide(problem, kind)[where] for kind in ("causal", "evidential", "policy")]
    assert found == [causal, evidential, policy]


@pytest.mark.parametrize("problem", [p for p, *_ in FOLKLORE] + [eg.genie(3, 0.4, 0.8)])
def test_the_value_of_a_policy_is_what_playing_it_gives(problem):
    rng = np.random.default_rng(0)
    for chosen in range(2):
        policy = {o: acts[min(chosen, len(acts) - 1)] for o, acts in problem.acts.items()}
        total, options = [], problem.acts[problem.predicted]
        for _ in range(4_000):
            coin = int(rng.random() < problem.coin)
            right = rng.random() < problem.accuracy
            foretold = (
                policy[problem.predicted] if right else next(a for a in options if a != policy[problem.predicted])
            )
            total.append(problem.payoff(coin, foretold, policy[problem.seen(coin, foretold)]))
        error = np.std(total) / 4_000**0.5
        assert abs(eg.value(problem, policy) - np.mean(total)) < 5 * error + 1e-9


def test_the_wish_turns_where_the_closed_form_says():
    for clones in (1, 2, 5):
        for accuracy in (0.6, 0.9, 1.0):
            turn = eg.threshold(clones, accuracy)
            for care in np.linspace(0.01, 1, 12):
                wish = eg.decide(eg.genie(clones, care, accuracy), "policy")["wish"]
                assert wish == ("good" if care > turn else "perfect")
                assert wish == eg.decide(eg.genie(clones, care, accuracy), "evidential")["wish"]
                assert eg.decide(eg.genie(clones, care, accuracy), "causal")["wish"] == "perfect"
    assert eg.threshold(3, 0.5) == np.inf  # a coin's prediction cannot be influenced


def test_an_average_life_is_spoiled_by_one_clone():
    assert eg.decide(eg.genie(1, 1.0, average=True), "policy")["wish"] == "good"
    assert eg.realised(1, 1.0, "perfect") == 0
    assert eg.realised(0, 1.0, "perfect") == 10
    assert eg.realised(4, 1.0, "good") == 7


def test_impossible_situations_and_bad_problems():
    assert eg.situated(eg.transparent_newcomb(1.0), "full", "two boxes", evidential=True) == -np.inf
    with pytest.raises(UserError, match="decider"):
        eg.decide(eg.newcomb(), "casual")
    with pytest.raises(UserError, match="probabilities"):
        eg.decide(eg.newcomb(1.5), "causal")
    with pytest.raises(UserError, match="clones"):
        eg.genie(-1, 0.5)
