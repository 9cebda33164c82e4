"""Which methods `theodolite diagnose` covers and what its files are called; needs no JAX."""

from collections.abc import Iterable

from theodolite.commands.methods import METHODS
from theodolite.core.errors import UserError

CHOICES, BOXES = ("dqn", "iqn", "preq_dqn"), ("td3", "sac", "preqn")
"""Modules of control that learn a Q function from replay: of actions that are choices, and of those in a box."""
TRAINING, FINISHED = "diagnosis", "look"
"""Names of the files of looks while a run trains, and of one at a finished run; neither overwrites the other."""


def covered(modules: Iterable[str] = (*CHOICES, *BOXES)) -> tuple[str, ...]:
    """The methods of these modules."""
    return tuple(
        name for module in modules for name, m in METHODS.items() if m.module == f"theodolite.control.{module}"
    )


def check(method: str) -> None:
    """Refuse a method that is not diagnosed.

    Raises:
        UserError: it learns no Q function from replay.
    """
    if method not in covered():
        raise UserError(
            f"{method} is not diagnosed: expected one of {', '.join(covered())}, which learn a Q function from replay. "
            "Their values are compared with what they are learned from, and other methods have none."
        )


def name_of(found: dict) -> str:
    """What the files of a diagnosis are called, without .json, .svg and .png."""
    return TRAINING if found["while_training"] else FINISHED
