"""gymnax's environments as ours: pure, unbatched, jitted with the agent as a whole.

gymnax 1.0 tells the two ends of an episode apart, and its `step` starts the next episode itself. Here its raw step is
taken, which does not, so that our own reset follows it and `last_obs` is what the step led to; with the same keys the
stream is that of gymnax's `step`. Environments that have no raw step (gymnax's own wrappers) are stepped whole, and
show what they led to as `info["final_observation"]`. gymnax's limit, `max_steps_in_episode`, truncates.

Observations become float32, matrices vectors, and numbers of a `Discrete` space one-hot vectors. The images of MinAtar
hold zeros and ones and become bytes, as those of our own games. An action of MinAtar is one of the game's minimal set
(`use_minimal_action_set=false` takes all six), and is played as chosen: `sticky=0.1` plays the last one again with that
probability, as Young and Tian 2019 do. Any other option is a parameter of the environment (`gravity=9.8`) or an
argument of its class.

gymnax does not declare that it needs the package six. Its own arithmetic mixes types, which a program that forbids
that (`jax_numpy_dtype_promotion`) allows for the time of its calls.
"""

import dataclasses
import importlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from theodolite.core.arrays import PRNGKey
from theodolite.core.env import Action, Box, Discrete, Env, EnvState, Obs, Space, Step, time_limit
from theodolite.core.errors import UserError, nearest
from theodolite.envs import host_spaces

try:
    gymnax: Any = importlib.import_module("gymnax")  # not among what types are checked with
except ModuleNotFoundError as error:
    if error.name == "gymnax":
        raise
    raise UserError(
        f"gymnax is installed, but not {error.name!r}, which it needs and does not declare: pip install {error.name}."
    ) from error

BINARY = "-MinAtar"
"""How the ids end whose float images hold zeros and ones alone."""
DOWNLOADS = frozenset({"MNISTBandit-bsuite"})
"""Ids that fetch data when they are made, which nothing of ours does."""
UNBOUNDED = frozenset({"GaussianBandit-misc", "MemoryChain-bsuite"})
"""Ids whose observations leave the bounds that gymnax states for them."""
LIMIT = "max_steps_in_episode"
MEND = (
    "Wrap it: in a module m of yours, write a class whose reset and step pass to gymnax's and flatten what it shows, "
    "gymnax.register('Mine-v0', YourClass), then ask for 'gymnax/m:Mine-v0'."
)


class Moved(NamedTuple):
    """What gymnax says of a step, in our order; `obs` is of the next episode where its own reset has run."""

    state: Any
    obs: Any
    reward: Any
    terminated: Any
    truncated: Any
    last_obs: Any


class Bare(NamedTuple):
    """An environment of gymnax with its parameters bound, in its own types."""

    reset: Callable[[PRNGKey], tuple[Any, Any]]
    step: Callable[[PRNGKey, Any, Action], Moved]


def known_ids() -> list[str]:
    """The ids that are registered with gymnax at this moment, but for those that download when they are made."""
    return sorted(set(gymnax.registered_envs) - DOWNLOADS)


def env(id: str, name: str, max_episode_steps: int | None = None, sticky: float = 0.0, **options: Any) -> Env:
    """The environment that gymnax knows as `name`, without automatic reset or clipping of actions.

    Raises:
        UserError: a gymnax before 1.0, an unknown option or one of the wrong kind, spaces that no agent can use.
    """
    with _its_own_types():
        made, params = _made(id, name, options)
    has_limit = dataclasses.is_dataclass(params) and hasattr(params, LIMIT)
    if max_episode_steps is not None and has_limit:
        params = dataclasses.replace(params, **{LIMIT: max_episode_steps})
    found = _ours(id, name, made, params)
    if sticky:
        found = sticky_actions(id, found, sticky)
    return found if max_episode_steps is None or has_limit else time_limit(found, max_episode_steps)


def sticky_actions(id: str, env: Env, probability: float) -> Env:
    """Play the last action again with a probability; the first step of an episode remembers action 0.

    Raises:
        UserError: the probability is none, or actions are no choice.
    """
    if not isinstance(probability, int | float) or not 0 <= probability <= 1:
        raise UserError(f"sticky = {probability!r}: must be in [0, 1]. It is the probability of the last action again.")
    if not isinstance(env.space.action, Discrete):
        raise UserError(f"sticky = {probability}: environment {id!r} has actions that are no choice; leave it out.")

    def reset(key: PRNGKey):
        state, obs = env.reset(key)
        return (state, jnp.int32(0)), obs

    def step(key: PRNGKey, state: EnvState, action: Action):
        inner, last = state
        step_key, again_key = jax.random.split(key)
        played = jnp.where(jax.random.bernoulli(again_key, probability), last, action.astype(jnp.int32))
        inner, out = env.step(step_key, inner, played)
        return (inner, played), out

    return env._replace(reset=reset, step=step)


def _made(id: str, name: str, options: dict[str, Any]) -> tuple[Any, Any]:
    """gymnax's environment, and its parameters with those of the options that are among them."""
    made, params = gymnax.make(name)
    fields = {f.name for f in dataclasses.fields(params)} if dataclasses.is_dataclass(params) else set()
    arguments = {option: value for option, value in options.items() if option not in fields}
    if arguments:
        known = inspect.signature(type(made)).parameters
        for option in known.keys() & arguments.keys():
            if isinstance(known[option].default, bool) and not isinstance(arguments[option], bool):
                raise UserError(f"{option} = {arguments[option]!r}: environment {id!r} expects true or false.")
        try:
            made, params = gymnax.make(name, **arguments)
        except (TypeError, ValueError, AssertionError) as error:
            for option in arguments:
                if option not in known:
                    listed = ", ".join(["max_episode_steps", "sticky", *known, *sorted(fields - {LIMIT})])
                    raise UserError(
                        f"environment {id!r} has no option {option!r}.{nearest(option, [*known, *fields])} "
                        f"Its options: {listed}."
                    ) from error
            given = ", ".join(f"{option}={value!r}" for option, value in arguments.items())
            raise UserError(f"gymnax cannot make {name!r} with {given}: {error}") from error
    changed = {option: value for option, value in options.items() if option in fields}
    for option, value in changed.items():
        default = getattr(params, option)
        if isinstance(default, int | float) and not isinstance(value, int | float):
            raise UserError(f"{option} = {value!r}: environment {id!r} expects a number, {default!r} by default.")
    if changed.get(LIMIT, 1) < 1:
        raise UserError(f"{LIMIT} = {changed[LIMIT]}: must be >= 1. Episodes are cut at this length.")
    return made, dataclasses.replace(params, **changed) if changed else params


def _ours(id: str, name: str, made: Any, params: Any) -> Env:
    """Our contract around gymnax's functions: one form of the state, our types, our spaces."""
    bare = _raw(made, params) if _has_raw_step(made) else _whole(id, made, params)
    with _its_own_types():
        action_space, write = _actions(id, made.action_space(params))
        key, action = jax.random.key(0), write(_none(action_space))
        shown, first = jax.eval_shape(bare.reset, key)
        form = jax.eval_shape(bare.step, key, first, action).state
        obs_space, read = _observations(id, name, made.observation_space(params), shown)

    def reset(key: PRNGKey):
        with _its_own_types():
            obs, state = bare.reset(key)
        return _as(form, state), read(obs)

    def step(key: PRNGKey, state: EnvState, action: Action):
        with _its_own_types():
            out = bare.step(key, state, write(action))
        terminated, truncated = (jnp.asarray(end, bool).reshape(()) for end in (out.terminated, out.truncated))
        reward = jnp.asarray(out.reward, jnp.float32).reshape(())
        return _as(form, out.state), Step(
            read(out.obs), reward, terminated, truncated & ~terminated, read(out.last_obs)
        )

    return Env(reset, step, Space(obs_space, action_space))


def _has_raw_step(made: Any) -> bool:
    """Whether its own class has one; a wrapper's attribute would be that of what it wraps, without the wrapper."""
    return all(hasattr(type(made), name) for name in ("reset_env", "step_env", "is_truncated"))


def _raw(made: Any, params: Any) -> Bare:
    def step(key: PRNGKey, state: EnvState, action: Action) -> Moved:
        obs, state, reward, terminated, _ = made.step_env(key, state, action, params)
        return Moved(state, obs, reward, terminated, made.is_truncated(state, params), obs)

    return Bare(lambda key: made.reset_env(key, params), step)


def _whole(id: str, made: Any, params: Any) -> Bare:
    def step(key: PRNGKey, state: EnvState, action: Action) -> Moved:
        found = made.step(key, state, action, params)
        if len(found) != 6:
            raise UserError(
                f"environment {id!r}: a step of this gymnax returns {len(found)} values, where the 6 of gymnax 1.0 are "
                "expected; before it the two ends of an episode were one. pip install -U 'gymnax>=1.0'."
            )
        obs, state, reward, terminated, truncated, info = found
        return Moved(state, obs, reward, terminated, truncated, info["final_observation"])

    return Bare(lambda key: made.reset(key, params), step)


def _observations(id: str, name: str, space: Any, shown: Any) -> tuple[Box, Callable[[Any], Obs]]:
    """Our space of what is shown, and the map into it; the array itself decides, as some spaces name another type."""
    if hasattr(space, "n"):
        return Box((int(space.n),), 0.0, 1.0), lambda obs: jax.nn.one_hot(obs, int(space.n), dtype=jnp.float32)
    if not _is_box(space) or not isinstance(shown, jax.ShapeDtypeStruct):
        raise UserError(
            f"environment {id!r} has observations of type {type(space).__name__}: a Box or a Discrete space is "
            f"expected. {MEND}"
        )
    few = shown.dtype in (jnp.bool_, jnp.uint8) or name.endswith(BINARY)
    shape = shown.shape if len(shown.shape) in (1, 3) else (int(np.prod(shown.shape)),)
    box = _box(space, shape, "uint8" if few else "float32")
    if name in UNBOUNDED:
        box = box._replace(low=-float("inf"), high=float("inf"))
    return box, lambda obs: jnp.asarray(obs).astype(box.dtype).reshape(shape)


def _actions(id: str, space: Any) -> tuple[Discrete | Box, Callable[[Action], Action]]:
    """Our space of actions, and the map of one of ours to gymnax's."""
    if hasattr(space, "n"):
        return Discrete(int(space.n)), lambda action: action.astype(space.dtype)
    if not _is_box(space) or not jnp.issubdtype(space.dtype, jnp.floating):
        raise UserError(
            f"environment {id!r} takes actions of type {type(space).__name__}: one Discrete choice or a Box of real "
            f"numbers is expected. {MEND}"
        )
    box = _box(space, tuple(space.shape) or (1,), "float32")
    return box, lambda action: action.astype(space.dtype).reshape(space.shape)


def _is_box(space: Any) -> bool:
    return all(hasattr(space, name) for name in ("low", "high", "shape"))


def _box(space: Any, shape: tuple[int, ...], dtype: str) -> Box:
    """Bounds of a gymnax box for arrays of a shape; it writes the largest float where it means that there is none."""
    largest = float(np.finfo(np.float32).max)
    low, high = (
        np.broadcast_to(np.asarray(b, np.float32), tuple(space.shape)).ravel() for b in (space.low, space.high)
    )
    low, high = np.where(low <= -largest, -np.inf, low), np.where(high >= largest, np.inf, high)
    if len(shape) == 1:
        return Box(shape, host_spaces.bounds(low, np.min), host_spaces.bounds(high, np.max), dtype)
    return Box(shape, float(low.min()), float(high.max()), dtype)


def _none(space: Discrete | Box) -> Action:
    return jnp.int32(0) if isinstance(space, Discrete) else jnp.zeros(space.shape)


def _as(form: Any, state: Any) -> EnvState:
    """The state in the types of one that was stepped: another, or a weak one after a reset, would compile anew."""
    return jax.tree.map(_typed, state, form)


def _typed(x: Any, like: jax.ShapeDtypeStruct) -> Array:
    return x if jnp.issubdtype(like.dtype, jax.dtypes.prng_key) else jnp.asarray(x, like.dtype).reshape(like.shape)


@contextmanager
def _its_own_types() -> Iterator[None]:
    """JAX's usual promotion of types and ranks, whatever the program around asks for."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
