"""Gymnasium's spaces as ours, with the maps of observations out of them and of actions into them.

Observations become float32 (uint8 images stay bytes, with channels last: a first axis at most a quarter of the others
is one of channels or frames; a `Discrete` one becomes a one-hot vector); actions are
clipped to their box and cast to the type that the environment wants. Everything else is refused with a sentence that
says what to wrap.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from theodolite.core.env import Box, Discrete
from theodolite.core.errors import UserError


class Reader(NamedTuple):
    """Our space of an observation, and the map of a batch of them into it; `read` always returns fresh memory."""

    space: Box
    read: Callable[[np.ndarray], np.ndarray]


class Writer(NamedTuple):
    """Our space of an action, and the map of a batch of ours to what the environment takes."""

    space: Discrete | Box
    write: Callable[[np.ndarray], np.ndarray]


def observations(id: str, space: spaces.Space, mend: str) -> Reader:
    """How the observations of `space` reach an agent; `mend` says what the user can do about one that cannot.

    Raises:
        UserError: dictionaries, tuples and other composites.
    """
    match space:
        case spaces.Box(dtype=np.uint8, shape=shape) if len(shape) == 3 and 4 * shape[0] <= min(shape[1:]):
            box = _box(space, "uint8")
            return Reader(box._replace(shape=(*shape[1:], shape[0])), _channels_last)
        case spaces.Box(dtype=np.uint8):
            return Reader(_box(space, "uint8"), lambda obs: np.array(obs, np.uint8))
        case spaces.Box():
            return Reader(_box(space, "float32"), lambda obs: np.array(obs, np.float32))
        case spaces.Discrete(n=num, start=start):
            one_hot = np.eye(num, dtype=np.float32)
            return Reader(Box((int(num),), 0.0, 1.0), lambda obs: one_hot[np.asarray(obs) - start])
    raise UserError(
        f"environment {id!r} has observations of type {type(space).__name__} ({_brief(space)}): a Box or a Discrete "
        f"space is expected. {mend}"
    )


def _channels_last(obs: np.ndarray) -> np.ndarray:
    return np.array(np.moveaxis(obs, 1, -1), np.uint8, order="C")


def actions(id: str, space: spaces.Space, mend: str) -> Writer:
    """How an agent's actions reach the environment; `mend` says what the user can do about a space that does not fit.

    Raises:
        UserError: composites, and boxes of integers.
    """
    match space:
        case spaces.Discrete(n=num, start=start):
            kind = space.dtype
            return Writer(Discrete(int(num)), lambda action: np.asarray(action).astype(kind) + kind.type(start))
        case spaces.Box(low=low, high=high, dtype=kind) if np.issubdtype(kind, np.floating):
            return Writer(_box(space, "float32"), lambda action: np.clip(np.asarray(action).astype(kind), low, high))
    raise UserError(
        f"environment {id!r} takes actions of type {type(space).__name__} ({_brief(space)}): one Discrete choice or a "
        f"Box of real numbers is expected. {mend}"
    )


def seeds(seed: int, num_envs: int) -> list[int]:
    """One seed for every copy: streams of neighbouring `seed`s share none, as seed + 0, seed + 1, … would."""
    return [int(word >> 1) for word in np.random.SeedSequence(seed).generate_state(num_envs)]  # 31 bits fit an int32


def _brief(space: Any) -> str:
    text = " ".join(str(space).split())
    return text if len(text) <= 120 else text[:117] + "..."


def _box(space: spaces.Box, dtype: str) -> Box:
    with np.errstate(over="ignore"):  # bounds beyond float32 are infinite in it
        low, high = space.low.astype(np.float32), space.high.astype(np.float32)
    return Box(space.shape, bounds(low, np.min), bounds(high, np.max), dtype)


def bounds(bound: np.ndarray, outermost: Callable) -> float | tuple[float, ...]:
    """One bound for every entry, or a number where all are alike or no vector is bounded."""
    if bound.ndim == 1 and bound.size and np.any(bound != bound[0]):
        return tuple(map(float, bound))
    return float(outermost(bound))  # images are uniform; of other arrays the outer bounds are kept
