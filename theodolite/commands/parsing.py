"""Flags from dataclasses, by tyro; whatever is wrong with a command line becomes one sentence and exit code 2."""

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, fields, make_dataclass
from types import NoneType
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import tyro

from theodolite.core.errors import UserError, nearest
from theodolite.core.fields import field_docs

T = TypeVar("T")
BOX = re.compile(r"^[│╭╰]?\s?(.*?)\s*[│╮╯]?$")


class Flag(NamedTuple):
    """One flag that a verb accepts: the name of its field, its spelling, type, default (MISSING: required) and help."""

    field: str
    spelling: str
    kind: Any
    default: Any
    help: str


def flags_of(cls: type, default: Any = None, prefix: str = "", hidden: Iterable[str] = ()) -> list[Flag]:
    """A flag for every field of a dataclass, spelt `--prefix` and the field's name; help is the field's docstring."""
    kinds, docs = get_type_hints(cls, include_extras=True), field_docs(cls)
    found = []
    for f in fields(cls):
        if f.name in hidden:
            continue
        value = getattr(default, f.name) if default is not None else f.default
        found.append(Flag(f.name, prefix + f.name.replace("_", "-"), kinds[f.name], value, docs.get(f.name, "")))
    return found


def parse(cls: type[T], argv: list[str], command: str) -> T:
    """An instance of a dataclass from a command line.

    Raises:
        UserError: what is wrong with the command line.
        SystemExit: --help was asked for, and printed.
    """
    values = parse_flags(flags_of(cls), argv, command, (cls.__doc__ or "").strip())
    return cls(**values)


def parse_flags(flags: list[Flag], argv: list[str], command: str, about: str) -> dict[str, Any]:
    """The values of flags, by field."""
    _check_names(flags, argv, command)
    _check_switches(flags, argv)
    rows = []
    for flag in flags:
        kind = Annotated[flag.kind, tyro.conf.arg(name=flag.spelling, help=flag.help, metavar=_metavar(flag))]
        rows.append((flag.field, kind) if flag.default is MISSING else (flag.field, kind, flag.default))
    rows.sort(key=len)  # dataclasses want required fields first
    collected = make_dataclass("Flags", rows)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed = tyro.cli(collected, args=argv, prog=f"theodolite {command}", description=about)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UserError(f"{_sentence(said.getvalue())} See theodolite {command} --help.") from None
    return {f.name: getattr(parsed, f.name) for f in fields(parsed)}


def _metavar(flag: Flag) -> str | None:
    """A positional's name; for what may be left out, its type alone; None for what tyro says well by itself."""
    kind = get_args(flag.kind)[0] if get_origin(flag.kind) is Annotated else flag.kind
    if kind is not flag.kind:
        return flag.field.upper()
    plain = [k for k in get_args(kind) if k is not NoneType]
    return plain[0].__name__.upper() if NoneType in get_args(kind) and len(plain) == 1 else None


def _check_names(flags: list[Flag], argv: list[str], command: str) -> None:
    """Refuse unknown flags before tyro does: with the nearest known one."""
    known = {"--help", *(f"--{flag.spelling}" for flag in flags)}
    known |= {_negated(flag.spelling) for flag in flags if flag.kind is bool}
    for word in argv:
        name = word.split("=")[0].replace("_", "-")
        if re.match(r"--[^\W\d]", word) and name not in known:
            raise UserError(
                f"theodolite {command} has no flag {word.split('=')[0]}.{nearest(name, known - {'--help'})} "
                f"theodolite {command} --help lists all."
            )


def _check_switches(flags: list[Flag], argv: list[str]) -> None:
    """Refuse a value after a flag that is there or not."""
    switches = {f"--{flag.spelling}": _negated(flag.spelling) for flag in flags if flag.kind is bool}
    for word, following in zip(argv, [*argv, ""][1:], strict=True):
        name, equals, value = word.partition("=")
        off, said = switches.get(name.replace("_", "-")), value if equals else following
        if off and said.casefold() in ("true", "false", "yes", "no", "on", "off"):
            raise UserError(f"{name} {said}: {name} takes no value. Write {name} to turn it on, {off} to turn it off.")


def _negated(spelling: str) -> str:
    parent, dot, name = spelling.rpartition(".")
    return f"--{parent}{dot}no-{name}"


def _sentence(said: str) -> str:
    """The first paragraph of tyro's box."""
    lines = [BOX.sub(r"\1", line) for line in said.splitlines()]
    kept: list[str] = []
    for line in lines:
        text = line.strip()
        if text.startswith("───") and kept:
            break
        if text and "──" not in text:
            kept.append(text)
    sentence = " ".join(kept) or "the command line could not be understood"
    if sentence.startswith("Missing from") and len(kept) > 1:
        sentence = f"{kept[1]} is missing"
    if "valid parse for arguments" in sentence:
        sentence = f"{sentence.rstrip('.')}. Several values stand apart by spaces"
    return sentence if sentence.endswith(".") else f"{sentence}."


@contextlib.contextmanager
def stdout_kept_clean(wanted: bool = True) -> Iterator[None]:
    """Send what is printed inside, also by C++ engines, to standard error: output is then one JSON object alone."""
    if not wanted:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
