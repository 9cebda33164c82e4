"""Sentences that a user can act on."""

import pytest

from theodolite.core.errors import UserError, nearest, needs_extra, unknown

KNOWN = ["CartPole-v1", "CartPole-v0", "Acrobot-v1", "Pendulum-v1"]


@pytest.mark.parametrize(
    ("typed", "first"), [("cartpole-v1", "CartPole-v1"), ("Acrobt-v1", "Acrobot-v1"), ("pendulum", "Pendulum-v1")]
)
def test_the_nearest_name_comes_first_whatever_its_case(typed, first):
    assert nearest(typed, KNOWN).startswith(f" Did you mean {first}")


def test_a_word_of_a_longer_name_counts():
    assert nearest("taby", ["tray", "abaya", "tabby cat", "tub"]).startswith(" Did you mean tabby cat or ")
    assert nearest("tabby", ["tabby cat", "Tabby"]).startswith(" Did you mean Tabby or tabby cat")


def test_nothing_near_is_not_mentioned():
    assert nearest("Hopper", KNOWN) == ""
    assert nearest("x", []) == ""


def test_names_may_come_from_a_generator():
    assert "CartPole-v1" in str(unknown("environment", "CartPol-v1", (name for name in KNOWN)))


def test_the_number_of_proposals_is_bounded():
    assert nearest("CartPole-v2", KNOWN, count=1).count("CartPole") == 1
    assert nearest("CartPole-v2", KNOWN).count(" or ") == 1


def test_an_unknown_name_is_said_with_what_to_do():
    error = unknown("environment", "cartpole-v1", KNOWN, "known_ids() lists all.")
    assert isinstance(error, UserError)
    text = "environment 'cartpole-v1' is unknown. Did you mean CartPole-v1 or CartPole-v0? known_ids() lists all."
    assert str(error) == text
    assert str(unknown("method", "zzz", KNOWN)) == "method 'zzz' is unknown."


def test_a_missing_package_is_said_with_the_command_that_brings_it():
    text = str(needs_extra("envpool", "mujoco", "environment 'Hopper-v5'"))
    assert text.startswith("environment 'Hopper-v5' needs the package 'envpool'")
    assert "pip install -e '.[mujoco]'" in text
