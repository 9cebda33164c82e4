"""The rooms are those of the paper, and the environment moves and pays as the tables do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core.errors import UserError
from theodolite.envs import rooms


@pytest.fixture(scope="module")
def frozen():
    return rooms.rooms("frozen")


def slow_transition(drawing, slip):
    """Cell by cell and move by move, from the map alone."""
    free = [(r, c) for r, line in enumerate(drawing) for c, kind in enumerate(line) if kind != "w"]
    found = np.zeros((len(free), 4, len(free)))
    for s, (r, c) in enumerate(free):
        around = [(r + dr, c + dc) for dr, dc in ((-1, 0), (1, 0), (0, -1), (0, 1))]
        for a, to in enumerate(around):
            if drawing[r][c] == "g":
                found[s, a, s] = 1
                continue
            found[s, a, free.index(to) if to in free else s] += 1 - slip
            for other in [x for x in around if x in free]:
                found[s, a, free.index(other)] += slip / sum(x in free for x in around)
    return found


def test_the_frozen_rooms_are_the_paper_s(frozen):
    states = np.asarray(frozen.mdp.initial).size
    assert states == 104 and int(frozen.noisy.sum()) == 15
    assert np.flatnonzero(frozen.terminal).tolist() == [62] == np.flatnonzero(frozen.mean).tolist()
    assert tuple(np.asarray(frozen.cells)[62]) == (7, 9)
    np.testing.assert_allclose(frozen.mdp.initial, (np.arange(104) != 62) / 103, rtol=1e-6)
    assert np.all(np.asarray(frozen.cells)[np.asarray(frozen.noisy)][:, 0] <= 4)


@pytest.mark.parametrize("name", rooms.MAPS)
@pytest.mark.parametrize("slip", [0.0, 0.2])
def test_moves_are_those_of_a_slow_reading_of_the_map(name, slip):
    world = rooms.rooms(name, slip=slip)
    np.testing.assert_allclose(world.mdp.transition, slow_transition(rooms.MAPS[name], slip), atol=1e-6)


def test_successors_rebuild_the_transition(frozen):
    follows, parted = rooms.successors(frozen.mdp.transition)
    chance = np.diff(np.concatenate([np.zeros((104, 4, 1)), parted, np.ones((104, 4, 1))], -1))
    rebuilt = np.zeros((104, 4, 104))
    for s, a, k in np.ndindex(follows.shape):
        rebuilt[s, a, follows[s, a, k]] += chance[s, a, k]
    np.testing.assert_allclose(rebuilt, frozen.mdp.transition, atol=1e-6)


@pytest.mark.parametrize(("noise", "deviation"), [("normal", 15.0), ("uniform", 15 / 3**0.5)])
def test_the_environment_follows_the_tables(noise, deviation):
    world = rooms.rooms("frozen", noise=noise)
    env, count = rooms.env(world), 8_000
    keys = jax.random.split(jax.random.key(0), count)
    starts = np.asarray(jax.vmap(env.reset)(keys)[0])
    np.testing.assert_allclose(np.bincount(starts, minlength=104) / count, world.mdp.initial, atol=0.006)
    beside = int(np.flatnonzero((np.asarray(world.cells) == (3, 2)).all(1))[0])  # the west end of the noise is east
    after, out = jax.vmap(lambda key: env.step(key, jnp.int32(beside), jnp.int32(3)))(keys)
    expected = np.asarray(world.mdp.transition)[beside, 3]
    np.testing.assert_allclose(np.bincount(after, minlength=104) / count, expected, atol=0.02)
    paid, risky = np.asarray(out.reward), np.asarray(world.noisy)[np.asarray(after)]
    assert np.all(paid[~risky] == 0) and risky.any()
    assert paid[risky].std() == pytest.approx(deviation, rel=0.05)
    assert paid[risky].mean() == pytest.approx(0, abs=0.8)
    assert (np.abs(paid[risky]).max() <= 15) == (noise == "uniform")
    goal = jax.vmap(lambda key: env.step(key, jnp.int32(54), jnp.int32(1)))(keys[:200])[1]
    arrived = np.asarray(goal.last_obs) == 62
    np.testing.assert_array_equal(goal.terminated, arrived)
    np.testing.assert_array_equal(goal.reward, 50.0 * arrived)


def test_bad_settings_are_refused():
    with pytest.raises(UserError, match="frozn"):
        rooms.rooms("frozn")
    for wrong in ({"slip": 1.5}, {"scale": -1.0}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            rooms.rooms("frozen", **wrong)
