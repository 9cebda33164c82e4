"""Environments by id: ours where we have the id (jitted as a whole), else EnvPool's, else Gymnasium's.

    make("CartPole-v1", num_envs=64)      ours
    make("Hopper-v5", num_envs=64)        EnvPool's
    make("my_module:Maze-v0")             a user's own: the module is imported, and registers the id with Gymnasium
    make("gymnasium/CartPole-v1")         one of the three by force: theodolite/ envpool/ gymnasium/
    make("gymnax/CartPole-v1")            gymnax's, jitted like ours; only by force

None of these packages is imported before an id asks for it, or one that nothing of ours answers to.
"""

import importlib
import inspect
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

from theodolite.core.env import Box, Env, JaxEnvs, auto_reset, clip_actions, time_limit
from theodolite.core.errors import UserError, installs, nearest, needs_extra, unknown
from theodolite.core.host import HostEnv
from theodolite.envs import classic, maze, minatar, probes, swimmer, world_env, worlds


class Task(NamedTuple):
    """An id's task, and the limit of its episodes if they have one."""

    make: Callable[..., Env]
    limit: int | None


TASKS = {
    "CartPole-v0": Task(classic.cartpole, 200),
    "CartPole-v1": Task(classic.cartpole, 500),
    "Acrobot-v0": Task(partial(classic.acrobot, angles=True), 200),
    "Acrobot-v1": Task(classic.acrobot, 500),
    "MountainCar-v0": Task(classic.mountain_car, 200),
    "MountainCarContinuous-v0": Task(classic.mountain_car_continuous, 999),
    "Pendulum-v0": Task(classic.pendulum, 200),
    "Pendulum-v1": Task(classic.pendulum, 200),
    "PointMaze-WayLeft-v0": Task(partial(maze.point_maze, way="left"), 100),
    "PointMaze-WayRight-v0": Task(partial(maze.point_maze, way="right"), 100),
    "PointMaze-WayLeft-v1": Task(partial(maze.point_maze, way="left", velocity=True), 100),
    "PointMaze-WayRight-v1": Task(partial(maze.point_maze, way="right", velocity=True), 100),
    "LinkSwimmer-v0": Task(swimmer.swimmer, 100),
    "LinkSwimmer-SwappedDrag-v0": Task(partial(swimmer.swimmer, tangential=2.0, normal=1.0), 100),
    **{id: Task(world_env.maker(id), limit) for id, limit in worlds.LIMITS.items()},
    **{f"MinAtar/{name}-v1": Task(partial(minatar.env, name), limit) for name, limit in minatar.LIMITS.items()},
    "Probe-ConstantValue-v0": Task(probes.constant_value, None),
    "Probe-ValueFromObservation-v0": Task(probes.value_from_observation, None),
    "Probe-Discounting-v0": Task(probes.discounting, None),
    "Probe-ChoiceOfAction-v0": Task(probes.choice_of_action, None),
    "Probe-ActionGivenObservation-v0": Task(probes.action_given_observation, None),
}


def make(id: str, num_envs: int = 1, **options: Any) -> JaxEnvs | HostEnv:
    """`num_envs` copies of the environment that `id` names.

    `max_episode_steps` replaces the id's own limit everywhere; further options go to the environment (`num_threads` to
    EnvPool, `vectorization` to Gymnasium's). The result's `id` is the one given: it makes the same environment again.

    Raises:
        UserError: an id or an option that nothing knows, a missing package, spaces that no agent of ours can use.
    """
    if num_envs < 1:
        raise UserError(f"num_envs = {num_envs}: must be >= 1. It is the number of copies that are stepped together.")
    engine, _, name = id.partition("/")
    if name and engine in _ENGINES:
        return _ENGINES[engine](id, name, num_envs, options)
    if id in TASKS:
        return _own(id, id, num_envs, options)
    if ":" not in id and id in _ids("envpool_adapter"):
        return _envpool(id, id, num_envs, options)
    if ":" in id or id in _ids("gymnasium_adapter"):
        return _gymnasium(id, id, num_envs, options)
    raise unknown("environment", id, known_ids(), _more())


def base(id: str, **options: Any) -> Env:
    """One of our tasks, without time limit, automatic reset or clipping of actions."""
    if id not in TASKS:
        raise unknown("environment", id, TASKS, f"Our own: {', '.join(TASKS)}.")
    task = TASKS[id]
    known = inspect.signature(task.make).parameters
    for option in options:
        if option not in known:
            listed = ", ".join(["max_episode_steps", *known])
            raise UserError(
                f"environment {id!r} has no option {option!r}.{nearest(option, known)} Its options: {listed}."
            )
    return task.make(**options)


def known_ids() -> list[str]:
    """Every id that `make` answers to now: ours first, then EnvPool's, Gymnasium's and gymnax's, where installed."""
    by_force = (f"gymnax/{id}" for id in _ids("gymnax_adapter"))
    return list(dict.fromkeys([*TASKS, *_ids("envpool_adapter"), *_ids("gymnasium_adapter"), *by_force]))


def _own(id: str, name: str, num_envs: int, options: dict[str, Any]) -> JaxEnvs:
    limit = _limit(options, TASKS[name].limit if name in TASKS else None)
    env = base(name, **options)
    return _ready(id, env if limit is None else time_limit(env, limit), num_envs)


def _limit(options: dict[str, Any], default: int | None) -> int | None:
    """The limit of episodes, taken out of the options."""
    limit = options.pop("max_episode_steps", default)
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise UserError(f"max_episode_steps = {limit}: must be a whole number >= 1. Episodes are cut at this length.")
    return limit


def _ready(id: str, env: Env, num_envs: int) -> JaxEnvs:
    action = env.space.action
    if isinstance(action, Box) and action.bounded:
        env = clip_actions(env)
    return JaxEnvs(id, auto_reset(env), num_envs)


def _envpool(id: str, name: str, num_envs: int, options: dict[str, Any]) -> HostEnv:
    adapter = _adapter("envpool_adapter")
    if adapter is None:
        raise needs_extra("envpool", "mujoco", f"environment {id!r}")
    if name not in adapter.known_ids():
        raise unknown("EnvPool environment", name, adapter.known_ids(), "envpool.list_all_envs() lists all of them.")
    return adapter.EnvPoolEnvs(id, num_envs, **options)


def _gymnasium(id: str, name: str, num_envs: int, options: dict[str, Any]) -> HostEnv:
    adapter = _adapter("gymnasium_adapter")
    if adapter is None:
        raise needs_extra("gymnasium", "host", f"environment {id!r}")
    module, registered = _imported(id, name)
    if registered not in adapter.known_ids():
        where = f" after importing {module!r}" if module else ""
        how = f"Nothing{where} has registered it by gymnasium.register; gymnasium.pprint_registry() lists all of them."
        raise unknown("Gymnasium environment", registered, adapter.known_ids(), how)
    return adapter.GymnasiumEnvs(id, num_envs, **options)


def _gymnax(id: str, name: str, num_envs: int, options: dict[str, Any]) -> JaxEnvs:
    adapter = _adapter("gymnax_adapter")
    if adapter is None:
        raise needs_extra("gymnax", "gymnax", f"environment {id!r}")
    module, registered = _imported(id, name)
    if registered in adapter.DOWNLOADS:
        raise UserError(
            f"environment {id!r} downloads data when it is made, which nothing here does. If you want that, register "
            "it in a module m of yours by gymnax.register('Mine-v0', ...) and ask for 'gymnax/m:Mine-v0'."
        )
    if registered not in adapter.known_ids():
        where = f" after importing {module!r}" if module else ""
        how = f"Nothing{where} has registered it by gymnax.register; gymnax.registered_envs lists all of them."
        raise unknown("gymnax environment", registered, adapter.known_ids(), how)
    env = adapter.env(id, registered, max_episode_steps=_limit(options, None), **options)
    return _ready(id, env, num_envs)


_ENGINES = {"theodolite": _own, "envpool": _envpool, "gymnasium": _gymnasium, "gymnax": _gymnax}


def _adapter(name: str) -> ModuleType | None:
    """The module of an adapter, or nothing if its package is not installed."""
    try:
        return importlib.import_module(f"theodolite.envs.{name}")
    except ModuleNotFoundError as error:
        if error.name in ("envpool", "gymnasium", "gymnax"):
            return None
        raise


def _ids(adapter: str) -> list[str]:
    try:
        module = _adapter(adapter)
    except (UserError, ImportError, AttributeError):  # a broken package: an id that asks for it is told so
        return []
    return module.known_ids() if module else []


def _imported(id: str, name: str) -> tuple[str, str]:
    """The module of an id such as my_module:Maze-v0, imported now, empty if there is none; and the rest of the id."""
    module, _, registered = name.rpartition(":")
    if module:
        _import(module, id)
    return module, registered


def _import(module: str, id: str) -> None:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the user's module was found; something that it imports was not
        raise UserError(
            f"environment {id!r}: the module {module!r} was not found. Install it, or put the folder of its file on "
            "PYTHONPATH."
        ) from error


def _more() -> str:
    missing = [name for name in ("envpool", "gymnasium") if _adapter(f"{name}_adapter") is None]
    if missing:
        return f"{' and '.join(missing)}, not installed, may know it: {installs('mujoco')}."
    jitted = "" if _ids("gymnax_adapter") else f"gymnax may know it as gymnax/ID: {installs('gymnax')}. "
    listed = "theodolite.envs.registry.known_ids() lists all"
    return f"{jitted}{listed}; a module of your own is named as in 'my_module:MyEnv-v0'."
