"""The probes against exhaustive play: the values and best policies that their docstrings state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core.env import auto_reset
from theodolite.envs import probes

DISCOUNT = 0.9
EVERY = {
    "constant": probes.constant_value,
    "observed": probes.value_from_observation,
    "discounting": probes.discounting,
    "choice": probes.choice_of_action,
    "given": probes.action_given_observation,
}


def episode(env, key, policy) -> tuple[list[float], float]:
    """What was seen and the discounted return of one episode."""
    state, obs = env.reset(key)
    seen, total, weight = [float(obs[0])], 0.0, 1.0
    for _ in range(10):
        state, out = env.step(key, state, jnp.asarray(policy(float(obs[0]))))
        total, weight, obs = total + weight * float(out.reward), weight * DISCOUNT, out.obs
        assert not out.truncated
        if out.terminated:
            return seen, total
        seen.append(float(obs[0]))
    raise AssertionError("the episode never ended")


def values(env, policy) -> dict[float, float]:
    """The value of each first observation (the probes are deterministic given it)."""
    found = {}
    for key in jax.random.split(jax.random.key(0), 12):
        seen, total = episode(env, key, policy)
        assert found.setdefault(seen[0], total) == total
    return found


@pytest.mark.parametrize("continuous", [False, True])
@pytest.mark.parametrize("blind", [0, 1])
def test_values_that_no_action_changes(continuous, blind):
    action = [2.0 * blind - 1] if continuous else blind
    assert values(probes.constant_value(continuous), lambda obs: action) == {0.0: 1.0}
    assert values(probes.value_from_observation(continuous), lambda obs: action) == {1.0: 1.0, -1.0: -1.0}
    assert values(probes.discounting(continuous), lambda obs: action) == {0.0: pytest.approx(DISCOUNT)}


def test_discounting_shows_the_second_step_apart_from_the_first():
    seen, _ = episode(probes.discounting(), jax.random.key(0), lambda obs: 0)
    assert seen == [0.0, 1.0]


def test_choices():
    assert values(probes.choice_of_action(), lambda obs: 1) == {0.0: 1.0}
    assert values(probes.choice_of_action(), lambda obs: 0) == {0.0: -1.0}
    given = probes.action_given_observation()
    assert values(given, lambda obs: int(obs > 0)) == {1.0: 1.0, -1.0: 1.0}
    for blind in (0, 1):
        assert sum(values(given, lambda obs, a=blind: a).values()) == 0


@pytest.mark.parametrize("action", [-1.0, 0.0, 0.5, 0.8])
def test_continuous_choices(action):
    worth = values(probes.choice_of_action(continuous=True), lambda obs: [action])
    assert worth == {0.0: pytest.approx(1 - (action - 0.5) ** 2)}
    given = values(probes.action_given_observation(continuous=True), lambda obs: [action])
    assert given == {s: pytest.approx(1 - (action - s / 2) ** 2) for s in (1.0, -1.0)}


def test_both_observations_come_with_equal_chance():
    obs = jax.vmap(probes.action_given_observation().reset)(jax.random.split(jax.random.key(0), 4000))[1]
    assert set(np.unique(obs)) == {-1.0, 1.0}
    assert abs(float(obs.mean())) < 0.06


@pytest.mark.parametrize("name", EVERY)
def test_episodes_go_on_under_auto_reset(name):
    env = auto_reset(EVERY[name]())
    state, _ = env.reset(jax.random.key(0))
    ends = []
    for key in jax.random.split(jax.random.key(1), 6):
        state, out = env.step(key, state, jnp.int32(0))
        ends.append(bool(out.terminated))
    assert ends == ([False, True] * 3 if name == "discounting" else [True] * 6)
