"""Fitted policies do what is demanded, in a small world whose best policy is plain."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core.env import Box, Discrete, Env, Space, Step, time_limit
from theodolite.interpret import fitted_foil

SEEN, MIDDLE = 8, 3


def line() -> Env:
    """Steps of one to the left or the right on a line of 8 places, seen as a number; each costs 1; ends at the left."""

    def reset(key):
        return jnp.int32(MIDDLE), jnp.asarray([MIDDLE], jnp.float32)

    def step(key, state, action):
        state = jnp.clip(state + 2 * action - 1, 0, SEEN - 1).astype(jnp.int32)
        obs = state.astype(jnp.float32)[None]
        return state, Step(obs, jnp.float32(-1.0), state == 0, jnp.bool_(False), obs)

    return time_limit(Env(reset, step, Space(Box((1,), 0.0, SEEN - 1.0), Discrete(2))), 40)


@pytest.fixture
def small(monkeypatch):
    for name, value in (("ROUNDS", 3), ("EPISODES", 32), ("STEPS", 40), ("SWEEPS", 300), ("TAU", 0.05)):
        monkeypatch.setattr(fitted_foil, name, value)


@pytest.mark.parametrize("reach", [True, False])
def test_a_demand_is_met_and_what_is_forbidden_is_not(small, reach):
    env, table = line(), jnp.asarray([0, 1], jnp.int32)
    target = lambda obs: (obs[:, 0] >= SEEN - 1) if reach else (obs[:, 0] <= 0)  # noqa: E731
    own = lambda obs: jnp.zeros(len(obs), jnp.int32)  # noqa: E731
    act = fitted_foil.fit(env, own, table, target, jax.random.key(0), reach=reach)
    found = np.asarray(act(jnp.arange(SEEN, dtype=jnp.float32)[:, None]))
    if reach:  # to the far end, although the near one ends what costs
        np.testing.assert_array_equal(found[1 : SEEN - 1], 1)
    else:  # whatever else it does, it does not go in
        assert found[1] == 1


def test_the_closest_named_action_is_found():
    table = jnp.asarray([[0.0, 1.0], [1.0, 0.0]])
    np.testing.assert_array_equal(fitted_foil.closest(table, jnp.asarray([[0.9, 0.2], [0.1, 0.6]])), [1, 0])
    np.testing.assert_array_equal(fitted_foil.closest(jnp.asarray([0, 1, 2]), jnp.asarray([2, 0])), [2, 0])
