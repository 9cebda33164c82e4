"""What can be said about environments that are not finite: names for their actions, situations and outcomes.

A thing is a measure of the observation: at most 0 in it, at most 1 near it. An outcome is a condition on the
observation that a step led to and on how the episode ended; a step is the first outcome whose condition holds, or
`otherwise`, so that every reward belongs to one outcome.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Measure = Callable[[Float[Array, "B O"]], Float[Array, " B"]]
Event = Callable[[Float[Array, "B O"], Bool[Array, " B"], Bool[Array, " B"]], Bool[Array, " B"]]
"""Of the observation after a step, and whether it terminated or was truncated."""


class Spoken(NamedTuple):
    """The words for an environment, and what they mean."""

    actions: dict[str, Any]
    """Name to action."""
    things: dict[str, Measure]
    outcomes: dict[str, Event]
    otherwise: str
    """The outcome of all other steps."""


def coordinate(index: int, inside: float, near: float) -> Measure:
    """How far a coordinate is from lying beyond `inside`, in units of the way from there to `near`."""
    return lambda obs: (inside - obs[:, index]) / (inside - near)


def between(index: int, middle: float, inside: float, near: float) -> Measure:
    """The same for lying within `inside` of `middle`."""
    return lambda obs: (jnp.abs(obs[:, index] - middle) - inside) / (near - inside)


def to_point(point: tuple[float, float], inside: float, near: float) -> Measure:
    """The same for a point of the first two coordinates."""
    return lambda obs: (jnp.linalg.norm(obs[:, :2] - jnp.asarray([point]), axis=1) - inside) / (near - inside)


def _fell(side: int) -> Event:
    return lambda obs, terminated, _: terminated & (side * obs[:, 2] > 12 * math.pi / 180)


def _at_target(obs: Float[Array, "B O"], terminated: Bool[Array, " B"], truncated: Bool[Array, " B"]) -> Array:
    return to_point((0.3, 0.5), 0.05, 0.15)(obs) <= 0


def _height(inside: float, near: float) -> Measure:
    """Of the tip of Acrobot's second link over the axis, from sines and cosines."""
    return lambda o: (inside + o[:, 0] + o[:, 0] * o[:, 2] - o[:, 1] * o[:, 3]) / (inside - near)


def _terminated(obs: Array, terminated: Array, truncated: Array) -> Array:
    return terminated


def _truncated(obs: Array, terminated: Array, truncated: Array) -> Array:
    return truncated


CARTPOLE = Spoken(
    {"left": 0, "right": 1},
    {"left-end": coordinate(0, -1.8, -1.2), "right-end": coordinate(0, 1.8, 1.2), "middle": between(0, 0.0, 0.2, 0.5),
     "left-lean": coordinate(2, -0.08, -0.03), "right-lean": coordinate(2, 0.08, 0.03)},
    {"let the pole fall left": _fell(-1), "let the pole fall right": _fell(1), "leave the track": _terminated,
     "balance to the end": _truncated},
    "balance a step",
)  # fmt: skip
MOUNTAIN_CAR = Spoken(
    {"left": 0, "coast": 1, "right": 2},
    {"left-slope": coordinate(0, -0.9, -0.7), "valley": between(0, -0.52, 0.15, 0.3),
     "right-slope": coordinate(0, 0.0, -0.2)},
    {"reach the flag": _terminated, "run out of time": _truncated}, "drive a step",
)  # fmt: skip
ACROBOT = Spoken(
    {"left": 0, "wait": 1, "right": 2}, {"hanging": _height(-1.5, -1.0), "halfway": _height(0.0, -0.5)},
    {"swing up": _terminated, "run out of time": _truncated}, "swing a step",
)  # fmt: skip
POINT_MAZE = Spoken(
    {"up": (0.0, 1.0), "right": (1.0, 0.0), "down": (0.0, -1.0), "left": (-1.0, 0.0)},
    {"target": to_point((0.3, 0.5), 0.05, 0.15), "barrier": between(1, 0.3, 0.06, 0.12),
     "left-side": coordinate(0, 0.1, 0.2), "right-side": coordinate(0, 0.4, 0.3)},
    {"be at the target": _at_target}, "be on the way",
)  # fmt: skip
SPOKEN = {
    "CartPole-v0": CARTPOLE, "CartPole-v1": CARTPOLE, "MountainCar-v0": MOUNTAIN_CAR, "Acrobot-v1": ACROBOT,
    **{f"PointMaze-Way{way}-v{v}": POINT_MAZE for way in ("Left", "Right") for v in (0, 1)},
}  # fmt: skip
"""By the ids of our environments."""
