"""Errors that a user can act on: what was found, what was expected, what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Something that the user can mend: the command line prints the sentence alone and exits with code 2."""


class NotFinite(ArithmeticError):  # noqa: N818 (the name says what the number is)
    """A loss or a parameter became NaN or infinite; the message names the update, the seed and the last good state."""


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """A half sentence that proposes the known names closest to `name`, empty if none is close."""
    known = list(known)
    folded = {k.casefold(): k for k in known}
    close = get_close_matches(name.casefold(), folded, n=count, cutoff=0.6)
    names = [folded[c] for c in close]
    return f" Did you mean {' or '.join(names)}?" if names else ""


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
