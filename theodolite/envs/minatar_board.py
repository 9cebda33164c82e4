"""What MinAtar's games share: the board, the actions, and what a game is."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from theodolite.core.env import EnvState

SIZE = 10
STAY, LEFT, UP, RIGHT, DOWN, FIRE = range(6)
"""The full set of actions."""
Number = Int[Array, ""]
Draws = Float[Array, " n"]
Moved = tuple[EnvState, Float[Array, ""], Bool[Array, ""]]
"""State, reward, whether the game is over."""


class Game(NamedTuple):
    """The rules of a game; `draws` says how many uniform numbers its start and its steps use."""

    channels: int
    actions: tuple[int, ...]
    draws: int
    begin: Callable[[Draws], EnvState]
    move: Callable[[EnvState, Number, Draws, bool], Moved]
    show: Callable[[EnvState], Bool[Array, "10 10 C"]]


def cell(y: Number, x: Number) -> Bool[Array, "10 10"]:
    """A board with one thing on it; nothing where the place is off the board."""
    line = jnp.arange(SIZE)
    return (line == y)[:, None] & (line == x)[None]


def in_rows(which: Bool[Array, "8"], x: Int[Array, "8"]) -> Bool[Array, "10 10"]:
    """A board with one thing in each of the rows 1 to 8, those that `which` says."""
    line = jnp.arange(SIZE)
    return jnp.pad(which[:, None] & (x[:, None] == line[None]), ((1, 1), (0, 0)))


def across(action: Number, x: Number) -> Number:
    """A column after a move to the left or to the right, within the board."""
    return jnp.clip(x + jnp.where(action == RIGHT, 1, 0) - jnp.where(action == LEFT, 1, 0), 0, SIZE - 1)
