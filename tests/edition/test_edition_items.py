"""The data of the editions: complete, in order, and refused with one clear sentence where it is wrong."""

import re

import pytest

from theodolite.claims import registry
from theodolite.core.errors import UserError
from theodolite.edition import evidence, items

NEWSLETTER = {
    "an17": "image_parameterizations gail airl fundamental_uncertainty quantilizers local_preferences speed_prior "
    "ultimatum evil_genie interpretable_latent safe_option_critic contrastive qbf joint_search leo fli_grants",
    "an51": "preqn deep_coach language_to_goals language_shaping prolonets rnn_memorization exploration_navigation "
    "feedback_exploration distributional diagnosing simple_world_models tossingbot pearl batch_size",
}
"""Every item of the two issues, bare links included, in order."""


def test_both_issues_are_whole_and_in_order(editions):
    found = {e.name: [i.name for i in e.items if i.kind != "prerequisite"] for e in editions}
    assert found == {name: names.split() for name, names in NEWSLETTER.items()}
    assert [e.number for e in editions] == [17, 51]


def test_highlights_appear_again_in_their_own_section(editions):
    for edition in editions:
        for item in edition.items:
            assert sum(item.name in section.items for section in edition.sections) == 1 + item.highlight


def test_every_item_says_what_it_is(editions):
    for item in (item for edition in editions for item in edition.items):
        assert item.title and item.authors and 2000 < item.year < 2030 and item.category, item.path
        assert item.kind == "news" or item.questions, f"{item.path}: nothing asked"
        assert item.system or item.kind == "news", item.path
        for question in item.questions:
            assert question.test or question.reason or question.claim, f"{item.path}: {question.id} has no test"


def test_every_item_can_be_read_where_it_stands(editions):
    """The addresses of two are not known to us, and none is better than a guess."""
    without = {item.path for edition in editions for item in edition.items if not item.link}
    assert without == {"an17/evil_genie", "an17/fli_grants"}


def test_what_a_built_system_can_answer_is_answered(editions, systems):
    """A question of an item whose system is built has a claim or says why not; those that wait are few and known."""
    waiting = {
        f"{item.path}#{question.id}"
        for edition in editions
        for item in edition.items
        if evidence.systems_of(item, systems)
        for question in item.questions
        if not question.claim and not question.reason
    }
    assert waiting <= {
        "an17/quantilizers#meta-advice",
        "an17/local_preferences#bounded-optimiser",
        "an17/ultimatum#game-theory-suffices",
    }, waiting


def test_the_three_lengths_are_three(editions):
    for item in (item for edition in editions for item in edition.items if item.kind != "news"):
        assert len(re.findall(r"[.?](?:\s|$)", item.short)) <= 2, f"{item.path}: short has more than two sentences"
        assert len(item.medium.split()) >= 2 * len(item.short.split()), item.path
        assert len(item.full.split()) >= 1.5 * len(item.medium.split()), item.path


def test_every_system_of_the_registry_has_a_page_or_is_listed_as_a_stranger(editions):
    owned = {path for edition in editions for item in edition.items for path in item.systems}
    assert {"an17/gail"} <= {e.path for e in registry.ENTRIES} & owned


def test_items_are_found_by_name_path_and_system(editions):
    assert items.find("gail", editions) is items.find("an17/gail", editions)
    assert items.find("safe-option-critic", editions).name == "safe_option_critic"
    with pytest.raises(UserError, match=r"item 'preqm' is unknown\. Did you mean preqn"):
        items.find("preqm", editions)


def test_the_scaffold_is_valid_as_it_stands(example):
    edition = items.load(example)
    assert edition.number == 52 and edition.item("example").highlight
    assert [e.name for e in items.load_all([example])] == ["an17", "an51", "an52"]


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("example", "year = 2019", 'year = "2019"', r"example.toml: year is a string .*; a whole number is expected"),
        ("example", "year = 2019", "year = true", "year is true or false"),
        ("example", 'authors = "First', 'autors = "First', "field 'autors' is unknown. Did you mean authors"),
        ("example", 'title = "An example"', "", "field 'title' is missing; a string is expected"),
        ("example", 'kind = "summary"', 'kind = "sumary"', "kind is 'sumary'; one of summary, link, news"),
        ("example", 'kind = "doubt"', 'kind = "douth"', "does-it-scale: kind is 'douth'; one of conjecture"),
        ("example", "through pixels?", "through pixels.", "does-it-scale: ask is no question"),
        ("example", "highlight = true", "highlight = false", "highlight is false; edition.toml says true"),
        ("example", "https://example.org/paper", "javascript:alert(1)", "link 'javascript:alert.1.' is no address"),
        ("example", 'item = "an17/maxent_irl"', 'item = "an17/maxent"', "item 'an17/maxent' is in no edition"),
        ("example", "What the method does", "x\n\nWhat the method does", "medium has 3 paragraphs; two are expected"),
        ("example", "The method in one", "word " * 99 + "The method in one", "short has .* words"),
        ("example", "runs = []", 'runs = "an17/gail"', "runs is a string .*; a list of strings is expected"),
        ("example", "runs = []", "runs = [3]", r"runs\[1\] is a whole number"),
        ("example", "[[questions]]", "[questions]", "questions is a table; a list of tables is expected"),
        ("example", 'title = "An example"', 'title = "An\\u0007example"', "control character U\\+0007"),
        ("example", 'title = "An example"', 'title = "An', "is not TOML"),
        ("edition", 'items = ["example"]', 'items = ["exampel"]', "'exampel' has no file exampel.toml. Did you mean"),
        ("edition", 'items = ["example"]', 'items = ["../x"]', "item '../x' is no name"),
        ("edition", 'items = ["example"]', "items = []", "example.toml is in no section"),
        ("edition", "date = 2019-04-10", 'date = "2019"', "date is a string .*; a date such as 2018-07-30 is expected"),
        ("edition", "number = 52", "number = 5.2", "number is float"),
    ],
)
def test_what_is_wrong_is_named_with_file_field_and_expectation(example, file, old, new, said):
    path = example / f"{file}.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError, match=said) as raised:
        items.load_all([example])
    assert "\n" not in str(raised.value)


def test_bytes_that_are_no_text_and_folders_that_are_no_edition(example):
    (example / "example.toml").write_bytes(b'title = "\xff"')
    with pytest.raises(UserError, match="is not UTF-8 text"):
        items.load(example)
    with pytest.raises(UserError, match=r"holds no edition.toml"):
        items.load(example.parent)
