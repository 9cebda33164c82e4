"""Search: the right item among the first three for nine questions in ten, snippets that hold the words."""

import pytest
from questions import QUESTIONS

from theodolite.edition.search import Index, stem


@pytest.fixture(scope="module")
def index(editions):
    return Index(editions)


def test_nine_questions_in_ten_find_their_item_among_the_first_three(index):
    assert len(QUESTIONS) == 40
    missed = [q for q, name in QUESTIONS if name not in [r.item.name for r in index.search(q, limit=3)]]
    assert len(missed) <= 4, missed


def test_results_are_ranked_with_snippets_of_the_words(index):
    found = index.search("quantilizers")
    assert found[0].item.name == "quantilizers" and "uantili" in found[0].snippet
    assert [r.score for r in found] == sorted((r.score for r in found), reverse=True)
    assert all(r.score >= 0.2 * found[0].score for r in found)
    assert len(index.search("learning", limit=2)) == 2


def test_words_that_nobody_wrote_find_nothing(index):
    assert index.search("xylophone") == []
    assert index.search("") == [] and index.search("the of and") == []


@pytest.mark.parametrize(
    "forms",
    [
        ("quantilizer", "quantilizers", "quantilise", "quantilization"),
        ("option", "options"),
        ("imitate", "imitation", "imitates", "imitating"),
        ("penalise", "penalising", "penalize"),
        ("policy", "policies"),
    ],
)
def test_forms_of_a_word_have_one_stem(forms):
    assert len({stem(form) for form in forms}) == 1


def test_author_names_are_found(index):
    assert {r.item.name for r in index.search("Demski")} == {"quantilizers", "speed_prior"}
