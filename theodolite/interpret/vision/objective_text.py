"""Objectives as text, for the command line: what str(objective) is to people, this is to keyboards.

channel:fire9:12      neuron:fire9:12      neuron:fire9:12:3:4      layer:fire4      logit:tabby      logit:281
0.5*channel:fire9:12 - neuron:fire6:3 + 0.1*total_variation
"""

import re
from collections.abc import Callable

from theodolite.core.errors import UserError, nearest
from theodolite.interpret.vision import objectives
from theodolite.interpret.vision.network import Network
from theodolite.interpret.vision.objectives import Objective

FORMS = {
    "channel": "channel:LAYER:NUMBER",
    "neuron": "neuron:LAYER:NUMBER or neuron:LAYER:NUMBER:ROW:COLUMN",
    "layer": "layer:LAYER",
    "logit": "logit:CLASS",
    "probability": "probability:CLASS",
    "diversity": "diversity:LAYER",
    "total_variation": "total_variation",
}
TERM = re.compile(r"\s*(?:(?P<weight>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)\s*\*\s*)?(?P<kind>\w+)(?P<rest>:.*)?$")


def parse(text: str, network: Network, pictures: int = 1) -> Objective:
    """The objective that a text names, checked against a network and against how many pictures are made at once.

    Raises:
        UserError: what is wrong with the text: an unknown kind, layer or class with the nearest names, a channel out of
            range, a number that is none, the diversity of one picture.
    """
    pieces = re.split(r"\s([+-])\s", f" {text.strip()} ")
    first = pieces[0].strip()
    total = -_term(first[1:], network, pictures) if first.startswith("-") else _term(first, network, pictures)
    for sign, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        term = _term(piece, network, pictures)
        total = total + term if sign == "+" else total - term
    return total


def _term(text: str, network: Network, pictures: int) -> Objective:
    found = TERM.match(text.strip())
    if not found:
        raise UserError(f"objective {text.strip()!r} is not understood; expected {_forms()}.")
    kind, rest = found["kind"], [part.strip() for part in (found["rest"] or "").split(":")[1:]]
    if kind not in FORMS:
        raise UserError(
            f"objective {text.strip()!r} is of the kind {kind!r}.{nearest(kind, FORMS)} Expected {_forms()}."
        )
    makers: dict[str, Callable[[list[str], Network], Objective]] = {
        "channel": _channel, "neuron": _neuron, "layer": _layer, "diversity": _diversity,
        "logit": _logit, "probability": _probability, "total_variation": lambda *_: objectives.total_variation(),
    }  # fmt: skip
    counts = {"channel": (2,), "neuron": (2, 4), "total_variation": (0,)}.get(kind, (1,))
    if len(rest) not in counts:
        parts = f"{len(rest)} part{'' if len(rest) == 1 else 's'}"
        raise UserError(f"objective {text.strip()!r} has {parts} after {kind}; expected {FORMS[kind]}.")
    if kind == "diversity" and pictures < 2:
        raise UserError(
            f"objective {text.strip()!r} compares pictures with one another, and one is made here. On the command "
            "line, --pictures 4 makes four (without --gallery, --mesh and --to)."
        )
    made = makers[kind](rest, network)
    return float(found["weight"]) * made if found["weight"] else made


def _forms() -> str:
    return ", ".join(FORMS.values()) + "; terms add and subtract, as in 0.5*channel:A:1 - channel:B:2"


def _number(text: str, what: str) -> int:
    if not text.isdecimal():
        raise UserError(f"{what} {text!r}: expected a whole number from 0 on.")
    return int(text)


def _channel(rest: list[str], network: Network) -> Objective:
    return objectives.channel(rest[0], network.channel(rest[0], _number(rest[1], f"channel of {rest[0]}")))


def _neuron(rest: list[str], network: Network) -> Objective:
    where = tuple(_number(part, "position") for part in rest[2:])
    index = network.channel(rest[0], _number(rest[1], f"channel of {rest[0]}"))
    return objectives.neuron(rest[0], index, (where[0], where[1]) if where else None)


def _layer(rest: list[str], network: Network) -> Objective:
    return objectives.layer(network.layer(rest[0]))


def _diversity(rest: list[str], network: Network) -> Objective:
    return objectives.diversity(network.layer(rest[0]))


def _logit(rest: list[str], network: Network) -> Objective:
    return objectives.logit(network.class_number(rest[0]))


def _probability(rest: list[str], network: Network) -> Objective:
    return objectives.probability(network.class_number(rest[0]))
