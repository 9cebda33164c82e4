"""A package with the interface of gymnax 1.0, written from its documents, for machines on which it is not installed.

Its environments have the habits that a door must mind: types that a step changes, Python numbers in states, mixed
types, a clock of their own, a step that starts the next episode itself.
"""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Box:
    def __init__(self, low, high, shape, dtype=jnp.float32):
        self.low, self.high, self.shape, self.dtype = low, high, shape, dtype


class Discrete:
    def __init__(self, n):
        self.n, self.shape, self.dtype = n, (), jnp.dtype(jnp.int32)


class Dict:
    def __init__(self, spaces):
        self.spaces = spaces


@partial(jax.tree_util.register_dataclass, data_fields=["place", "luck", "time"], meta_fields=[])
@dataclasses.dataclass(frozen=True)
class State:
    place: Any
    luck: Any
    time: Any


@dataclasses.dataclass(frozen=True)
class Params:
    size: float = 1.0
    slippery: bool = True
    max_steps_in_episode: int = 6


class Walk:
    """A walk on the numbers; it ends beyond the size, and slips by a little noise."""

    def __init__(self, start: float = 0.0):
        assert start < 9, "starts too far"
        self.begins_at = start

    default_params = Params()

    def step(self, key, state, action, params):
        step_key, reset_key = jax.random.split(key)
        last, after, reward, terminated, info = self.step_env(step_key, state, action, params)
        truncated = self.is_truncated(after, params)
        fresh = self.reset_env(reset_key, params)
        obs, state = jax.tree.map(lambda new, old: jnp.where(terminated | truncated, new, old), fresh, (last, after))
        return obs, state, reward, terminated, truncated, {**info, "final_observation": last}

    def reset(self, key, params):
        return self.reset_env(key, params)

    def reset_env(self, key, params):
        state = State(self.begins_at + 0.1 * jax.random.uniform(key), 0, 0)  # numbers, and weak types
        return self.show(state), state

    def step_env(self, key, state, action, params):
        luck = 0.2 * params.slippery * jax.random.normal(key)
        place = state.place + 0.5 * self.push(action) + luck
        after = State(place, state.luck + jnp.float32(luck), state.time + 1)
        return self.show(after), after, self.reward(after), jnp.abs(place) > params.size, {"discount": 1.0}

    def is_truncated(self, state, params):
        return state.time >= params.max_steps_in_episode

    def push(self, action):
        return action * jnp.float32(1) - 1  # an int times a float: not for strict programs

    def reward(self, state):
        return state.time

    def show(self, state):
        return jnp.array([state.place, state.luck])

    def observation_space(self, params):
        largest = float(jnp.finfo(jnp.float32).max)
        return Box(jnp.array([-9.0, -largest]), jnp.array([9.0, largest]), (2,))

    def action_space(self, params):
        return Discrete(3)


class Throttle(Walk):
    """Pushed by a number without axes."""

    def push(self, action):
        assert action.shape == ()
        return action

    def action_space(self, params):
        return Box(-2, 2, ())


class Board(Walk):
    """Shows an image of zeros and ones, as floats."""

    def show(self, state):
        return jnp.zeros((3, 4, 2)).at[0, 0, 0].set(state.time > 0)

    def observation_space(self, params):
        return Box(0, 1, (3, 4, 2))


class Flags(Board):
    def show(self, state):
        return super().show(state) > 0


class Matrix(Board):
    def show(self, state):
        return jnp.ones((3, 4), int) * state.time

    def observation_space(self, params):
        return Box(0, 99, (3, 4))


class Rooms(Board):
    def show(self, state):
        return jnp.asarray(state.time) % 4

    def observation_space(self, params):
        return Discrete(4)


class Named(Board):
    def show(self, state):
        return {"place": state.place}

    def observation_space(self, params):
        return Dict({"place": Box(0, 1, ())})


class Counts(Walk):
    def action_space(self, params):
        return Box(0, 5, (2,), jnp.int32)


class Doubled:
    """A wrapper in gymnax's way: everything else is what it wraps has, its raw step among it."""

    def __init__(self):
        self.env = Walk()

    def __getattr__(self, name):
        return getattr(self.env, name)

    def reset(self, key, params):
        obs, state = self.env.reset(key, params)
        return 2 * obs, state

    def step(self, key, state, action, params):
        obs, state, reward, terminated, truncated, info = self.env.step(key, state, action, params)
        return (
            2 * obs,
            state,
            reward,
            terminated,
            truncated,
            {**info, "final_observation": 2 * info["final_observation"]},
        )


class Old:
    """As gymnax had it before 1.0: five values, one end."""

    default_params = Params()

    def reset(self, key, params):
        return Walk().reset_env(key, params)

    def step(self, key, state, action, params):
        return Walk().step_env(key, state, action, params)

    reset_env, step_env, action_space = reset, step, Walk.action_space


class NoLimit(NamedTuple):
    size: float = 1e9
    slippery: bool = False


class Endless(Walk):
    """Parameters that are no dataclass and know no limit."""

    default_params = NoLimit()

    def is_truncated(self, state, params):
        return False


registered_envs = []
MAKERS = {}


def register(id, factory):
    MAKERS[id] = factory
    registered_envs.append(id)


def make(id, **options):
    env = MAKERS[id](**options)
    return env, env.default_params


for each in (Walk, Throttle, Flags, Matrix, Rooms, Named, Counts, Doubled, Old, Endless):
    register(f"{each.__name__}-v0", each)
register("Board-MinAtar", Board)
register("MNISTBandit-bsuite", Walk)
