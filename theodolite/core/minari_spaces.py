"""Spaces as Minari writes them: JSON strings such as {"type": "Discrete", "dtype": "int64", "start": 0, "n": 2}."""

import json
from typing import Any

import numpy as np
from jaxtyping import Shaped

from theodolite.core.env import Box, Discrete
from theodolite.core.errors import UserError


def to_json(space: Box | Discrete) -> str:
    """A space as a string that `minari.serialization.deserialize_space` understands."""
    if isinstance(space, Discrete):
        return json.dumps({"type": "Discrete", "dtype": "int64", "start": 0, "n": space.num})
    bounds = {name: _spread(bound, space).tolist() for name, bound in (("low", space.low), ("high", space.high))}
    return json.dumps({"type": "Box", "dtype": space.dtype, "shape": list(space.shape), **bounds})


def _spread(bound: tuple[float, ...] | float, space: Box) -> Shaped[np.ndarray, "..."]:
    """A bound for every entry, in the space's dtype; integers have no infinity, so they get their own limits."""
    x = np.broadcast_to(np.asarray(bound, np.float64), space.shape)
    if np.dtype(space.dtype).kind in "iu":
        limits = np.iinfo(space.dtype)
        return np.array([int(min(max(b, limits.min), limits.max)) for b in x.flat], space.dtype).reshape(space.shape)
    return x.astype(space.dtype)


def read_obs(text: Any, where: str) -> Box:
    """The observation space of a data set.

    Raises:
        UserError: it is not a box.
    """
    space = _parse(text, "observation", where)
    if isinstance(space, Discrete):
        raise UserError(
            f"{where}: observations are integers from 0 to {space.num - 1}, expected arrays. Record with one-hot "
            "observations (gymnasium.wrappers.FlattenObservation)."
        )
    return space


def read_action(text: Any, where: str) -> Box | Discrete:
    """The action space of a data set.

    Raises:
        UserError: it is neither a box nor integers that start from 0.
    """
    return _parse(text, "action", where)


def _parse(text: Any, what: str, where: str) -> Box | Discrete:
    try:
        fields = json.loads(text) if isinstance(text, str) else text
        kind = fields["type"]
        if kind == "Discrete" and fields.get("start", 0) == 0:
            return Discrete(int(fields["n"]))
        if kind == "Box":
            shape = tuple(int(n) for n in fields["shape"])
            low, high = (_bound(fields[name], shape, pick) for name, pick in (("low", np.min), ("high", np.max)))
            return Box(shape, low, high, str(np.dtype(fields["dtype"])))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{where}: the {what} space is not in Minari's form ({error!r}); expected a JSON string such as "
            f"{to_json(Discrete(2))}. Copy or record the data set again."
        ) from error
    if kind == "Discrete":
        raise UserError(
            f"{where}: actions are counted from {fields['start']}, expected from 0. Record with actions shifted to 0."
        )
    hint = "Flatten it (gymnasium.wrappers.FlattenObservation) and record again." if what == "observation" else ""
    raise UserError(f"{where}: the {what} space is a {kind}, expected Box or Discrete. {hint}".rstrip())


def _bound(nested: Any, shape: tuple[int, ...], loosest: Any) -> tuple[float, ...] | float:
    """One number if all entries agree, else one per entry of the last axis: the loosest along the others."""
    x = np.broadcast_to(np.asarray(nested, np.float64), shape)
    if x.size == 0 or (x == x.flat[0]).all():
        return float(x.flat[0]) if x.size else 0.0
    return tuple(loosest(x.reshape(-1, shape[-1]), axis=0).tolist())


def is_image(text: Any, where: str) -> bool:
    """True for the spaces that Minari may store as JPEG: bytes from 0 to 255, at least 32 by 32."""
    space = _parse(text, "stored", where)
    if not isinstance(space, Box) or space.dtype != "uint8" or len(space.shape) not in (2, 3):
        return False
    return min(space.shape[:2]) >= 32 and (space.low, space.high) == (0.0, 255.0)
