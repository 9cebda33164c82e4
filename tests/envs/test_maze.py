"""The point maze against its recurrence in double precision and the returns measured in MuJoCo."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core.errors import UserError
from theodolite.envs import maze
from theodolite.envs.registry import base


def play(way, actions, **options):
    """Positions [T+1, 2] and rewards [T] of one episode from rest."""
    env = maze.point_maze(way, velocity=True, **options)
    start = jnp.array([*maze.START, 0.0, 0.0])

    def one(state, action):
        state, out = env.step(jax.random.key(0), state, action)
        return state, (state[:2], out.reward)

    _, (places, paid) = jax.jit(lambda a: jax.lax.scan(one, start, a))(jnp.asarray(actions, jnp.float32))
    return np.concatenate([start[None, :2], places]), np.asarray(paid)


def test_it_moves_by_the_recurrence_off_the_walls():
    rng = np.random.default_rng(0)
    actions = rng.uniform(-0.3, 0.3, (20, 2))
    places, paid = play("left", actions)
    x, v = np.array(maze.START), np.zeros(2)
    for t, u in enumerate(actions):
        expected = -np.hypot(*(x - maze.TARGET)) - 0.001 * (u**2).sum()
        np.testing.assert_allclose(paid[t], expected, atol=1e-6)
        for _ in range(5):
            v = (0.113097 * v + 0.01 * u) / (0.113097 + 0.01)
            x = x + 0.01 * v
        np.testing.assert_allclose(places[t + 1], x, atol=1e-5)


def test_standing_still_costs_the_distance():
    _, paid = play("left", np.zeros((100, 2)))
    assert paid.sum() == pytest.approx(-50, abs=1e-3)


def test_pushing_at_the_wall_costs_what_it_does_in_mujoco():
    places, paid = play("left", np.tile([0.0, 1.0], (100, 1)))
    assert places[-1] == pytest.approx([0.3, 0.3 - 0.049], abs=1e-5)
    assert paid.sum() == pytest.approx(-26.5, abs=0.5)  # its contact is soft, ours a projection


def steer(way, waypoints):
    """Full force towards one waypoint after the other, and towards the last with a spring."""
    env = maze.point_maze(way, velocity=True)
    points = jnp.array(waypoints)

    def one(carry, _):
        state, at = carry
        goal = points[at]
        away = goal - state[:2]
        push = jnp.clip(away * 20 - state[2:] * 2, -1, 1)
        state, out = env.step(jax.random.key(0), state, push)
        near = jnp.linalg.norm(goal - state[:2]) < 0.06
        return (state, jnp.minimum(at + near.astype(jnp.int32), len(points) - 1)), (state[:2], out.reward)

    start = jnp.array([*maze.START, 0.0, 0.0]), jnp.int32(0)
    _, (places, paid) = jax.jit(lambda: jax.lax.scan(one, start, None, length=100))()
    return np.asarray(places), float(paid.sum())


def test_the_way_round_is_on_the_side_that_its_name_says_and_the_other_route_is_a_dead_end():
    routes = {"left": [(0.13, 0.3), (0.3, 0.5)], "right": [(0.47, 0.3), (0.3, 0.5)]}
    for way, route in routes.items():
        places, total = steer(way, route)
        assert np.hypot(*(places[-1] - maze.TARGET)) < 0.02
        assert total == pytest.approx(-4.87, abs=0.5)  # what a script reached in MuJoCo
        other, lost = steer("right" if way == "left" else "left", route)
        assert other[:, 1].max() < 0.3 and lost < -22


def test_nothing_passes_a_wall():
    rng = np.random.default_rng(1)
    for way, (a, b) in maze.BARRIERS.items():
        actions = np.sign(rng.normal(size=(400, 2))).cumsum(0).clip(-1, 1)
        places, _ = play(way, actions)
        assert (places > maze.LOW + 0.0489).all() and (places < maze.HIGH - 0.0489).all()
        nearest = np.clip(places[:, 0], a, b)
        assert np.hypot(places[:, 0] - nearest, places[:, 1] - 0.3).min() > 0.0488


def test_observations_and_options():
    assert base("PointMaze-WayLeft-v0").space.obs.shape == (2,)
    assert base("PointMaze-WayRight-v0", velocity=True).space.obs.shape == (4,)
    np.testing.assert_allclose(maze.distance_to_target(jnp.array([[0.3, 0.0], [0.0, 0.1]])), [0.5, 0.5], atol=1e-6)
    with pytest.raises(UserError, match="way = 'up': must be left or right"):
        maze.point_maze("up")
