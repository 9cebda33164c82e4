"""Our classic control against Gymnasium's originals: thousands of transitions from states over the whole space."""

from collections.abc import Callable
from typing import NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from theodolite.core.env import Env
from theodolite.envs import classic

COUNT = 3000
PI = np.pi


class Case(NamedTuple):
    """A task, its original, the box that states are drawn from, what a state shows, and how far an end is."""

    env: Env
    original: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    edges: tuple[tuple[float, ...], ...]
    margin: Callable[[np.ndarray], float]


def tip(state: np.ndarray) -> float:
    return abs(-np.cos(state[0]) - np.cos(state[0] + state[1]) - 1)


def from_goal(position: float) -> Callable[[np.ndarray], float]:
    return lambda state: abs(state[0] - position)


CASES = {
    "cartpole": Case(
        classic.cartpole(), "CartPole-v1", (-2.6, -3, -0.25, -3), (2.6, 3, 0.25, 3),
        ((2.4, 0, 0, 0), (-2.4, 0, 0, 0), (2.41, 0, 0, 0), (0, 0, 0.2094, 0), (0, 0, -0.21, 0), (0, 0, 0, 0)),
        lambda s: min(abs(abs(s[0]) - 2.4), abs(abs(s[2]) - 12 * PI / 180)),
    ),
    "acrobot": Case(
        classic.acrobot(), "Acrobot-v1", (-PI, -PI, -4 * PI, -9 * PI), (PI, PI, 4 * PI, 9 * PI),
        ((PI, 0, 0, 0), (-PI, PI, 0, 0), (0, 0, 4 * PI, -9 * PI), (3, 3, -4 * PI, 9 * PI), (0, 0, 0, 0)), tip,
    ),
    "mountain_car": Case(
        classic.mountain_car(), "MountainCar-v0", (-1.2, -0.07), (0.6, 0.07),
        ((-1.2, -0.07), (-1.2, 0), (-1.19, -0.05), (0.5, 0), (0.49, 0.07), (0.6, 0.07), (0.6, -0.07)), from_goal(0.5),
    ),
    "mountain_car_continuous": Case(
        classic.mountain_car_continuous(), "MountainCarContinuous-v0", (-1.2, -0.07), (0.6, 0.07),
        ((-1.2, -0.07), (-1.2, 0), (-1.19, -0.05), (0.45, 0), (0.44, 0.07), (0.6, 0.07)), from_goal(0.45),
    ),
    "pendulum": Case(
        classic.pendulum(), "Pendulum-v1", (-20, -8), (20, 8),
        ((0, 0), (PI - 1e-3, 8), (3 * PI + 1e-3, -8), (PI / 2, 8), (-PI / 2, -8)), lambda state: 1.0,
    ),
}  # fmt: skip


def transitions(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """States over the box and at its edges, in float32, and actions; continuous ones leave their box now and then."""
    draw = np.random.default_rng(0)
    states = draw.uniform(case.low, case.high, (COUNT, len(case.low)))
    states = np.concatenate([np.repeat(case.edges, 5, axis=0), states]).astype(np.float32)
    space = gymnasium.make(case.original).action_space
    if isinstance(space, gymnasium.spaces.Discrete):
        return states, np.concatenate([np.arange(5 * len(case.edges)) % space.n, draw.integers(space.n, size=COUNT)])
    return states, draw.uniform(1.5 * space.low, 1.5 * space.high, (len(states), 1)).astype(np.float32)


def original_steps(case: Case, states: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, ...]:
    env = gymnasium.make(case.original).unwrapped
    env.reset(seed=0)
    rows = []
    for state, action in zip(states, actions, strict=True):
        env.steps_beyond_terminated = None  # CartPole's memory of having ended
        env.state = state.astype(np.float64)
        obs, reward, terminated, _, _ = env.step(action)
        rows.append((np.array(env.state, np.float64), obs, reward, terminated))
    return tuple(map(np.array, zip(*rows, strict=True)))


@pytest.mark.parametrize("name", CASES)
def test_every_transition_is_the_original_one(name):
    case = CASES[name]
    states, actions = transitions(case)
    step = jax.jit(jax.vmap(case.env.step))
    state, out = step(jax.random.split(jax.random.key(0), len(states)), states, actions)
    their_state, obs, reward, terminated = original_steps(case, states, actions)
    # four Runge-Kutta stages at speeds up to 9π amplify rounding, as they would any small disturbance
    tolerance = 2e-3 if name == "acrobot" else 2e-6
    np.testing.assert_allclose(out.obs, obs, atol=tolerance, rtol=tolerance)
    assert np.quantile(np.abs(np.asarray(out.obs) - obs), 0.99) < 5e-5
    np.testing.assert_allclose(out.reward, reward, atol=2e-5, rtol=2e-6)
    clear = np.array([case.margin(s) > 2 * tolerance for s in their_state])
    assert clear.mean() > 0.98
    np.testing.assert_array_equal(np.asarray(out.terminated)[clear], terminated[clear])
    assert terminated.any() or name == "pendulum"
    assert not out.truncated.any()
    np.testing.assert_array_equal(out.last_obs, out.obs)
    if name == "acrobot":
        assert np.all(np.abs(state[:, :2]) <= PI + 1e-5)
    else:
        np.testing.assert_allclose(state, their_state, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("name", ["cartpole", "mountain_car", "pendulum"])
def test_whole_episodes_stay_together(name):
    case, length = CASES[name], 60
    env = gymnasium.make(case.original).unwrapped
    theirs = [env.reset(seed=3)[0]]
    start = jnp.asarray(env.state, jnp.float32)
    draw = np.random.default_rng(1)
    actions = [env.action_space.sample() if name == "pendulum" else draw.integers(2) for _ in range(length)]
    for action in actions:
        obs, _, terminated, _, _ = env.step(action)
        theirs.append(obs)
        if terminated:
            break
    state, ours = start, []
    step = jax.jit(case.env.step)
    for action in actions[: len(theirs) - 1]:
        state, out = step(jax.random.key(0), state, jnp.asarray(action))
        ours.append(out.obs)
    np.testing.assert_allclose(np.stack(ours), np.stack(theirs[1:]), atol=1e-4)


STARTS = {
    "cartpole": [(-0.05, 0.05)] * 4,
    "mountain_car": [(-0.6, -0.4), None],
    "mountain_car_continuous": [(-0.6, -0.4), None],
    "pendulum": [(-PI, PI), (-1, 1)],
}


@pytest.mark.parametrize("name", STARTS)
def test_episodes_start_from_the_original_distribution(name):
    states, _ = jax.vmap(CASES[name].env.reset)(jax.random.split(jax.random.key(0), 2000))
    for column, interval in zip(np.asarray(states).T, STARTS[name], strict=True):
        if interval is None:
            assert not column.any()
        else:
            low, high = interval
            assert stats.kstest(column, stats.uniform(low, high - low).cdf).pvalue > 1e-3


def test_acrobot_of_gym_v0_shows_the_angles_that_v1_shows_as_cosines_and_sines():
    states, actions = transitions(CASES["acrobot"])
    keys = jax.random.split(jax.random.key(0), len(states))
    raw = jax.vmap(classic.acrobot(angles=True).step)(keys, states, actions)[1].obs
    shown = jax.vmap(classic.acrobot().step)(keys, states, actions)[1].obs
    cos, sin = np.cos(raw[:, :2]), np.sin(raw[:, :2])
    expected = np.stack([cos[:, 0], sin[:, 0], cos[:, 1], sin[:, 1], raw[:, 2], raw[:, 3]], axis=1)
    np.testing.assert_allclose(shown, expected, atol=1e-5)
    starts, obs = classic.acrobot(angles=True).reset(jax.random.key(1))
    np.testing.assert_array_equal(starts, obs)
    assert np.all(np.abs(starts) <= 0.1)


def test_the_parameters_of_the_originals_are_there():
    fast = gymnasium.make("MountainCar-v0", goal_velocity=0.05).unwrapped
    moon = gymnasium.make("Pendulum-v1", g=1.6).unwrapped
    key = jax.random.key(0)
    for velocity in (0.03, 0.065):
        fast.state = (0.49, velocity)
        _, out = classic.mountain_car(goal_velocity=0.05).step(key, jnp.array([0.49, velocity]), jnp.int32(1))
        assert out.terminated == fast.step(1)[2]
    moon.state = np.array([1.0, 0.5])
    _, out = classic.pendulum(g=1.6).step(key, jnp.array([1.0, 0.5]), jnp.array([0.3]))
    np.testing.assert_allclose(out.obs, moon.step(np.array([0.3], np.float32))[0], rtol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_spaces_are_the_original_ones(name):
    case = CASES[name]
    original = gymnasium.make(case.original)
    np.testing.assert_allclose(case.env.space.obs.low, original.observation_space.low, rtol=1e-6)
    np.testing.assert_allclose(case.env.space.obs.high, original.observation_space.high, rtol=1e-6)
    assert case.env.space.obs.shape == original.observation_space.shape
    if isinstance(original.action_space, gymnasium.spaces.Discrete):
        assert case.env.space.action.num == original.action_space.n
    else:
        np.testing.assert_allclose(case.env.space.action.high, original.action_space.high)
        np.testing.assert_allclose(case.env.space.action.low, original.action_space.low)
