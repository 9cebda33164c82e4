"""The verb ask: an answer, plain data, and what is said about bad questions."""

import json

import pytest


def test_an_answer_is_text_or_data(say):
    found = say("ask", "cliff", "why not right?", "--slip", 0.1)
    assert found.code == 0
    assert "fall into a trap" in found.out
    data = json.loads(say("ask", "cliff", "why not right?", "--slip", 0.1, "--json").out)
    assert data["return_foil"] < data["return_fact"]
    mild = json.loads(say("ask", "cliff", "why not right?", "--slip", 0.1, "--json", "--worth", "trap=-5").out)
    assert mild["return_foil"] > data["return_foil"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("clif", "why not up?"), "Did you mean cliff?"),
        (("cliff", "why not upp?"), "perhaps up"),
        (("cliff", "why not up?", "--worth", "gaol=3"), "Did you mean goal?"),
        (("cliff", "why not up?", "--worth", "goal=much"), "expected outcome=number"),
        (("cliff", "why not up?", "--start", "3", "0"), "free cell"),
        (("cliff",), "QUESTION is missing"),
    ],
)
def test_bad_usage_is_one_sentence(say, words, said):
    found = say("ask", *words)
    assert found.code == 2
    assert said in found.err
    assert found.out == ""
