"""What makes demonstrations usable: every number finite, every shape and action in the space, every episode whole.

Each check names the episode, the step and the column, counted from 0, so that the row can be found in the user's file.
"""

from typing import Any

import numpy as np
from jaxtyping import Shaped

from theodolite.core.env import Box, Discrete, Space
from theodolite.core.errors import UserError

Values = Shaped[np.ndarray, "..."]
ROUNDING = 1e-5
"""Relative slack of bounds: actions cross them by rounding when a file stores them in another precision."""


def as_array(x: Any, what: str, episode: int) -> Values:
    """`x` as an array of real numbers.

    Raises:
        UserError: `x` is ragged, or holds text, objects, dictionaries or complex numbers.
    """
    try:
        array = np.asarray(x)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"episode {episode}: {what} do not form an array ({error}). Give one array per episode, whose rows all "
            "have the same shape."
        ) from error
    if array.dtype.kind not in "biuf":
        hint = " Flatten dictionary observations into one vector first." if array.dtype.kind == "O" else ""
        raise UserError(
            f"episode {episode}: {what} have the dtype {array.dtype}, which cannot be cast to numbers; expected "
            f"integers or floats.{hint}"
        )
    return array


def cast(x: Values, dtype: str, what: str, episode: int) -> Values:
    """`x` in another dtype, refused where an integer dtype would lose something."""
    if np.dtype(dtype).kind in "iu":
        limits = np.iinfo(dtype)
        with np.errstate(invalid="ignore"):
            kept = (x == np.floor(x)) & (x >= limits.min) & (x <= limits.max)
        if not kept.all():
            raise UserError(
                f"{place(episode, first(~kept))}: {what} {x[~kept].flat[0]} is no {np.dtype(dtype)}. Expected whole "
                f"numbers from {limits.min} to {limits.max}; convert the array, or correct the space."
            )
    with np.errstate(over="ignore"):
        return x.astype(dtype)


def first(wrong: Values) -> tuple[int, ...]:
    """The index of the first true entry."""
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(wrong)), wrong.shape))


def place(episode: int, index: tuple[int, ...]) -> str:
    """An index into an episode's array, in words."""
    step, *column = index
    columns = f", column {', '.join(map(str, column))}" if column else ""
    return f"episode {episode}, step {step}{columns}"


def check_finite(x: Values, what: str, episode: int) -> None:
    """Refuse NaN and infinity.

    Raises:
        UserError: where the first one stands, and how many there are.
    """
    wrong = ~np.isfinite(x)
    if wrong.any():
        index = first(wrong)
        raise UserError(
            f"{place(episode, index)}: the {what} is {x[index]}; {int(wrong.sum())} of the episode's {x.size} "
            "numbers are not finite. Remove or mend such episodes; `theodolite demos info` lists all of them."
        )


def check_shape(x: Values, shape: tuple[int, ...], what: str, episode: int) -> None:
    """Refuse rows whose shape is not the space's."""
    if x.shape[1:] == shape:
        return
    hint = ""
    if x.shape[1:] == (1, *shape):
        hint = " There is one axis too many: index it with [:, 0]."
    elif x.ndim and (1, *x.shape[1:]) == shape:
        hint = " An axis is missing: index with [:, None]."
    raise UserError(
        f"episode {episode}: {what} have the shape {x.shape}, expected {('T', *shape)} with T steps as the first "
        f"axis.{hint or ' Check that the demonstrations belong to this environment.'}"
    )


def outside(actions: Values, space: Discrete | Box) -> Values:
    """True where an entry lies outside the space, rounding apart."""
    if isinstance(space, Discrete):
        return (actions < 0) | (actions >= space.num)
    low, high = np.asarray(space.low), np.asarray(space.high)
    below = actions < np.where(np.isfinite(low), low - ROUNDING * np.maximum(np.abs(low), 1), low)
    return below | (actions > np.where(np.isfinite(high), high + ROUNDING * np.maximum(np.abs(high), 1), high))


def check_actions(actions: Values, space: Discrete | Box, episode: int) -> None:
    """Refuse actions outside the space.

    Raises:
        UserError: where the first one stands, its value and the bound it crosses.
    """
    wrong = outside(actions, space)
    if not wrong.any():
        return
    index = first(wrong)
    if isinstance(space, Discrete):
        raise UserError(
            f"{place(episode, index)}: the action is {actions[index]}, expected an integer from 0 to "
            f"{space.num - 1}. Check that the demonstrations belong to this environment, or renumber the actions "
            "from 0."
        )
    low, high = (np.broadcast_to(np.asarray(b), actions.shape)[index] for b in (space.low, space.high))
    raise UserError(
        f"{place(episode, index)}: the action is {actions[index]:g}, outside [{low:g}, {high:g}]. If the environment "
        "clipped its actions when this was recorded, clip them here too (clip_actions=True)."
    )


def check_lengths(obs: Values, actions: Values, rewards: Values, episode: int) -> None:
    """Refuse empty episodes, and observations that are not one more than the actions."""
    for x, what in ((obs, "observations"), (actions, "actions"), (rewards, "rewards")):
        if x.ndim == 0:
            raise UserError(f"episode {episode}: {what} are a single number, expected an array with one row per step.")
    steps = len(actions)
    if steps == 0:
        raise UserError(f"episode {episode} is empty: it has no action. Remove it.")
    if len(obs) != steps + 1:
        hint = ""
        if len(obs) == steps:
            hint = (
                " The observation after the last action is missing: append it, or, if it is lost, drop the last "
                "action and reward."
            )
        raise UserError(
            f"episode {episode}: {len(obs)} observations for {steps} actions, expected {steps + 1}, one before each "
            f"action and one after the last.{hint}"
        )
    if rewards.shape != (steps,):
        raise UserError(
            f"episode {episode}: rewards have the shape {rewards.shape}, expected ({steps},), one per action."
        )


def ending(flag: Any, steps: int, what: str, episode: int) -> bool:
    """Whether the episode ended so, from one flag or from one flag per step.

    Raises:
        UserError: the episode goes on after it ended, or the number of flags is not the number of steps.
    """
    flags = as_array(flag, f"{what} flags", episode).astype(bool)
    if flags.ndim == 0:
        return bool(flags)
    if flags.shape != (steps,):
        raise UserError(
            f"episode {episode}: {what} has the shape {flags.shape}, expected one flag, or {steps}, one per action."
        )
    if flags[:-1].any():
        raise UserError(
            f"episode {episode} goes on after it was {what} at step {first(flags)[0]}: expected the flag at the last "
            f"step ({steps - 1}) only. Split it into one episode per end."
        )
    return bool(flags[-1])


def infer_space(obs: Values, actions: list[Values]) -> Space:
    """The space that data of these shapes and dtypes suggest: no bounds, as many discrete actions as were taken."""
    wide = str(obs.dtype) if obs.dtype in (np.uint8, np.float32, np.float64) else "float32"
    box = Box(obs.shape[1:], dtype=wide)
    kinds, ndim = {a.dtype.kind for a in actions}, actions[0].ndim
    if kinds <= set("biu"):
        if ndim != 1:
            raise UserError(
                f"episode 0: actions are integers of the shape {actions[0].shape}. Discrete actions have the shape "
                "(T,); continuous ones are floats of the shape (T, A). Convert them, or name the space."
            )
        return Space(box, Discrete(int(max(a.max() for a in actions)) + 1))
    if ndim < 2:
        raise UserError(
            f"episode 0: actions are floats of the shape {actions[0].shape}, expected (T, A) for continuous actions "
            "(index with [:, None]) or integers for discrete ones."
        )
    return Space(box, Box(actions[0].shape[1:]))


def check_match(own: Space, env: Space, name: str, inferred: bool, who: str = "demonstrations") -> None:
    """Refuse demonstrations whose space is not the environment's; bounds are not compared, the actions themselves are.

    Raises:
        UserError: what the demonstrations (or `who` else) have, and what the environment has.
    """
    if own.obs.shape != env.obs.shape:
        raise UserError(
            f"{who} have observations of the shape {own.obs.shape}, {name} has {env.obs.shape}: they come "
            "from another environment or another version of it."
        )
    kinds = np.dtype(own.obs.dtype).kind, np.dtype(env.obs.dtype).kind
    if kinds[0] != kinds[1]:
        raise UserError(
            f"{who} have {own.obs.dtype} observations, {name} has {env.obs.dtype} ones: convert them as the "
            "environment does (images are often divided by 255)."
        )
    match own.action, env.action:
        case Discrete(num=a), Discrete(num=b) if a == b or (inferred and a < b):
            return
        case Box(shape=a), Box(shape=b) if a == b:
            return
    raise UserError(
        f"{who} have {describe(own.action)}, {name} has {describe(env.action)}: they come from another "
        "environment or another version of it."
    )


def describe(space: Discrete | Box) -> str:
    """A space in a few words."""
    if isinstance(space, Discrete):
        return f"{space.num} discrete actions"
    low, high = np.min(space.low), np.max(space.high)
    return f"continuous values of the shape {space.shape} in [{low:g}, {high:g}]"
