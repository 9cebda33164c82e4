"""Tables of a TOML file as dataclasses; whatever is wrong is one sentence that names file, field and expectation."""

import datetime
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from theodolite.core.errors import UserError, nearest

T = TypeVar("T")
WORDS = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    datetime.date: "a date such as 2018-07-30",
}


def read_toml(path: Path) -> dict[str, Any]:
    """The table in a TOML file.

    Raises:
        UserError: the file is absent, is not UTF-8, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}).") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not TOML: {error}.") from error


def build(cls: type[T], table: Any, where: str, **extra: Any) -> T:
    """The dataclass that a table describes; `extra` are fields that the table does not hold.

    Raises:
        UserError: a field is missing, unknown or of another type; the sentence says which, and what is expected.
    """
    if not isinstance(table, dict):
        raise UserError(f"{where} is {_kind(table)}; a table is expected.")
    hints, described = get_type_hints(cls), cast(Any, cls)
    known = [f for f in fields(described) if f.name not in extra]
    for name in table:
        if name not in {f.name for f in known}:
            names = [f.name for f in known]
            raise UserError(
                f"{where}: field {name!r} is unknown.{nearest(name, names)} The fields are {', '.join(names)}."
            )
    values = dict(extra)
    for f in known:
        if f.name in table:
            values[f.name] = _value(hints[f.name], table[f.name], f"{where}: {f.name}")
        elif f.default is MISSING and f.default_factory is MISSING:
            raise UserError(f"{where}: field {f.name!r} is missing; {_expected(hints[f.name])} is expected.")
    return cls(**values)


def _value(kind: Any, found: Any, where: str) -> Any:
    """A field's value of the type that is asked for."""
    if get_origin(kind) is UnionType:
        kind = next(k for k in get_args(kind) if k is not type(None))
    if get_origin(kind) is tuple:
        if not isinstance(found, list):
            raise UserError(f"{where} is {_kind(found)}; {_expected(kind)} is expected.")
        return tuple(_value(get_args(kind)[0], one, f"{where}[{i}]") for i, one in enumerate(found, 1))
    if is_dataclass(kind):
        return build(kind, found, where)
    if type(found) is not kind:  # True is no whole number here
        raise UserError(f"{where} is {_kind(found)}; {_expected(kind)} is expected.")
    if isinstance(found, str):
        _check_text(found, where)
        return found.strip("\n")
    return found


def _check_text(text: str, where: str) -> None:
    odd = sorted({c for c in text if ord(c) < 32 and c not in "\n\t"} | {c for c in text if 0x7F <= ord(c) < 0xA0})
    if odd:
        raise UserError(f"{where} holds the control character U+{ord(odd[0]):04X}; plain text is expected.")


def _expected(kind: Any) -> str:
    if get_origin(kind) is UnionType:
        kind = get_args(kind)[0]
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        return "a list of tables" if is_dataclass(inner) else "a list of strings"
    return WORDS.get(kind, "a table")


def _kind(found: Any) -> str:
    if isinstance(found, Mapping):
        return "a table"
    if isinstance(found, list):
        return "a list"
    return WORDS.get(type(found), type(found).__name__).removesuffix(" such as 2018-07-30") + f" ({str(found)[:40]!r})"
