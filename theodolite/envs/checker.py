"""One checker for every environment: does it keep the contract that agents and drivers rely on?

`check` plays random actions (some of them outside bounded boxes) and raises a UserError that names the first breach.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from theodolite.core.env import Box, Discrete, Env, JaxEnvs, Step, auto_reset, clip_actions
from theodolite.core.errors import UserError
from theodolite.core.host import HostEnv

Player = Callable[[np.ndarray, int], tuple[np.ndarray, Step]]


def check(envs: JaxEnvs | HostEnv | Env, steps: int = 200, seed: int = 0) -> None:
    """Verify shapes, dtypes, bounds, finiteness, the flags, `last_obs`, and that the same seed gives the same stream.

    A bare `Env` is checked in four copies, with clipped actions and automatic resets, as `make` would prepare it.

    Raises:
        UserError: the environment, the field, what was found and what the contract says.
    """
    if isinstance(envs, Env):
        action = envs.space.action
        env = clip_actions(envs) if isinstance(action, Box) and action.bounded else envs
        envs = JaxEnvs("your environment", auto_reset(env), 4)
    if isinstance(envs, JaxEnvs):
        _check_structure(envs)
    play = _jax_player(envs) if isinstance(envs, JaxEnvs) else partial(_play_host, envs)
    action = _random_actions(envs.space.action, (steps, envs.num_envs), np.random.default_rng(seed))
    first, out = play(action, seed)
    _check_stream(envs, first, out)
    again = play(action, seed)
    same = jax.tree.map(lambda a, b: np.array_equal(a, b, equal_nan=True), (first, out), again)
    for name, equal in zip(("the first observation", *Step._fields), jax.tree.leaves(same), strict=True):
        _demand(equal, envs.id, f"{name} differs between two runs of one seed and the same actions; draw from it alone")


def _jax_player(envs: JaxEnvs) -> Player:
    """A function of actions [T, E, ...] and a seed to the first observations and every step's outcome, [T, E, ...]."""

    def one(state: Any, row: tuple) -> tuple[Any, Step]:
        action, key = row
        return jax.vmap(envs.env.step)(jax.random.split(key, envs.num_envs), state, action)

    @jax.jit
    def play(action: jax.Array, seed: jax.Array):
        reset_key, step_key = jax.random.split(jax.random.key(seed))
        state, obs = jax.vmap(envs.env.reset)(jax.random.split(reset_key, envs.num_envs))
        return obs, jax.lax.scan(one, state, (action, jax.random.split(step_key, len(action))))[1]

    return lambda action, seed: jax.tree.map(np.asarray, play(jnp.asarray(action), jnp.uint32(seed)))


def _play_host(envs: HostEnv, action: np.ndarray, seed: int) -> tuple[np.ndarray, Step]:
    first = envs.reset(seed)
    kept = first.copy()
    rows = [envs.step(a) for a in action]
    _demand(
        np.array_equal(first, kept), envs.id, "step overwrites arrays that were handed out before; return fresh ones"
    )
    for name, column in zip(Step._fields, zip(*rows, strict=True), strict=True):
        shapes = {np.shape(value) for value in column}
        _demand(len(shapes) == 1, envs.id, f"{name} changes its shape from step to step: {sorted(shapes)}")
    columns: Any = map(np.stack, zip(*rows, strict=True))
    return first, Step(*columns)


def _random_actions(space: Discrete | Box, lead: tuple[int, int], draw: np.random.Generator) -> np.ndarray:
    if isinstance(space, Discrete):
        return draw.integers(space.num, size=lead, dtype=np.int32)
    shape = (*lead, *space.shape)
    low, high = np.broadcast_to(space.low, space.shape), np.broadcast_to(space.high, space.shape)
    bounded = np.isfinite(low) & np.isfinite(high)
    middle, half = np.where(bounded, (low + high) / 2, 0), np.where(bounded, (high - low) / 2, 1)
    return (middle + half * draw.uniform(-1.2, 1.2, shape)).astype(np.float32)


def _check_structure(envs: JaxEnvs) -> None:
    """The state of a JAX environment must keep its shapes and dtypes, or no scan can carry it."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    state, _ = jax.eval_shape(envs.env.reset, key)
    action = jnp.asarray(_random_actions(envs.space.action, (1, 1), np.random.default_rng(0))[0, 0])
    after, out = jax.eval_shape(envs.env.step, key, state, action)
    _demand(isinstance(out, Step), envs.id, f"step returns a {type(out).__name__} beside the state; a Step is expected")
    before, now = _leaves(state), _leaves(after)
    _demand(before == now, envs.id, f"the state is {before} after reset but {now} after a step; it must keep its form")


def _check_stream(envs: JaxEnvs | HostEnv, first: np.ndarray, out: Any) -> None:
    space, lead = envs.space.obs, (*out.reward.shape[:1], envs.num_envs)
    _check_field(envs.id, "the first observation", first, (envs.num_envs, *space.shape), space.dtype)
    for name in ("obs", "last_obs"):
        _check_field(envs.id, name, getattr(out, name), (*lead, *space.shape), space.dtype)
    _check_field(envs.id, "reward", out.reward, lead, "float32")
    _check_field(envs.id, "terminated", out.terminated, lead, "bool")
    _check_field(envs.id, "truncated", out.truncated, lead, "bool")
    _demand(envs.space.num_envs == envs.num_envs, envs.id, "space.num_envs differs from num_envs")
    if isinstance(
        envs, JaxEnvs
    ):  # many a host environment states bounds that it does not keep; nothing of ours reads them
        _check_bounds(envs.id, space, {"the first observation": first, "obs": out.obs, "last_obs": out.last_obs})
    both = "an episode terminated and was truncated in one step; termination wins, truncated must be False then"
    _demand(not np.any(out.terminated & out.truncated), envs.id, both)
    goes_on = ~(out.terminated | out.truncated)
    moved = "obs differs from last_obs although the episode goes on; only a reset may part them"
    _demand(np.array_equal(out.obs[goes_on], out.last_obs[goes_on]), envs.id, moved)


def _check_bounds(id: str, space: Box, values: dict[str, np.ndarray]) -> None:
    low, high = np.broadcast_to(space.low, space.shape), np.broadcast_to(space.high, space.shape)
    for name, value in values.items():
        slack = 1e-4 * (1 + np.abs(value))
        inside = (value >= low - slack) & (value <= high + slack)
        _demand(bool(inside.all()), id, f"{name} leaves the bounds of the observation space; widen them or clip it")


def _check_field(id: str, name: str, value: np.ndarray, shape: tuple[int, ...], dtype: str) -> None:
    found, expected = f"{value.dtype}{list(value.shape)}", f"{dtype}{list(shape)}"
    _demand(found == expected, id, f"{name} is {found} over time and copies, where {expected} is expected")
    _demand(bool(np.isfinite(value).all()), id, f"{name} is not finite")


def _leaves(state: Any) -> dict[str, str]:
    paths = jax.tree.leaves_with_path(state)
    return {f"state{jax.tree_util.keystr(path)}": f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in paths}


def _demand(holds: bool, id: str, breach: str) -> None:
    if not holds:
        raise UserError(f"environment {id!r} breaks the contract: {breach}.")
