"""Errors that a user can act on: what was found, what was expected, what to do."""

from collections.abc import Iterable
from difflib import SequenceMatcher
from functools import partial


class UserError(Exception):
    """Something that the user can mend: the command line prints the sentence alone and exits with code 2."""


class NotFinite(ArithmeticError):  # noqa: N818 (the name says what the number is)
    """A loss or a parameter became NaN or infinite; the message names the update, the seed and the last good state."""


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """A half sentence that proposes the known names closest to `name`, empty if none is close.

    A name of several words is as close as the closest of them, and a little less.
    """
    likeness = {
        k: max(_likeness(name, k), 0.95 * max(map(partial(_likeness, name), k.split()), default=0)) for k in known
    }
    close = sorted((k for k, x in likeness.items() if x >= 0.6), key=lambda k: -likeness[k])[:count]
    return f" Did you mean {' or '.join(close)}?" if close else ""


def _likeness(name: str, known: str) -> float:
    return SequenceMatcher(None, known.casefold(), name.casefold()).ratio()


def unknown(kind: str, name: str, known: Iterable[str], how_to_list: str = "") -> UserError:
    """The error for a name that nothing answers to, with the nearest known names."""
    return UserError(f"{kind} {name!r} is unknown.{nearest(name, known)}{' ' + how_to_list if how_to_list else ''}")


def installs(extra: str) -> str:
    """The command that brings an extra; Theodolite is installed from its folder."""
    return f"pip install -e '.[{extra}]'"


def needs_extra(package: str, extra: str, what: str) -> UserError:
    """The error for a door whose package is not installed; `extra` is the name of our extra that brings it."""
    return UserError(
        f"{what} needs the package {package!r}, which is not installed. In Theodolite's folder: {installs(extra)}."
    )
