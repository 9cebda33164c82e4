"""Diagnostics of options against closed forms, and usage against the chain solved as a linear system and by play."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.envs import rooms
from theodolite.safety import option_chain as chain
from theodolite.safety import option_diagnostics as diagnostics


@pytest.fixture(scope="module")
def world():
    return rooms.rooms("frozen")


def test_rooms_are_four_and_doorways_are_none_of_them(world):
    found, cells = diagnostics.rooms_of(world), np.asarray(world.cells)
    assert sorted(map(tuple, cells[found < 0])) == [(3, 6), (6, 2), (7, 9), (10, 6)]
    quadrants = {(1, 1): 25, (1, 11): 30, (11, 1): 25, (11, 11): 20}
    for corner, size in quadrants.items():
        own = found[np.flatnonzero((cells == corner).all(1))[0]]
        assert (found == own).sum() == size
    assert found.max() == 3


def test_entropy_and_information_have_their_extremes(world):
    found = diagnostics.rooms_of(world)
    one = jnp.zeros((104, 4)).at[:, 2].set(1.0)
    by_room = jnp.asarray(np.eye(4, dtype=np.float32)[np.maximum(found, 0)])
    even = jnp.ones((104, 4))
    assert diagnostics.usage_entropy(one) == 0 and diagnostics.usage_entropy(even) == pytest.approx(np.log(4), rel=1e-5)
    share = np.bincount(found[found >= 0]) / (found >= 0).sum()
    entropy = -(share * np.log(share)).sum()
    assert float(diagnostics.room_information(by_room, found)) == pytest.approx(entropy, rel=1e-4)
    for none in (one, even):
        assert float(diagnostics.room_information(none, found)) == pytest.approx(0, abs=1e-5)
    rng = np.random.default_rng(0)
    usage = rng.random((104, 3))
    joint = np.array([usage[found == r].sum(0) for r in range(4)])
    joint /= joint.sum()
    slow = sum(
        joint[r, w] * np.log(joint[r, w] / joint[r].sum() / joint[:, w].sum()) for r in range(4) for w in range(3)
    )
    assert float(diagnostics.room_information(jnp.asarray(usage, jnp.float32), found)) == pytest.approx(slow, abs=1e-5)


def test_the_map_of_endings_weighs_options_by_their_steps():
    usage, ending = jnp.array([[3.0, 1.0], [0.0, 0.0]]), jnp.array([[0.2, 0.6], [0.1, 0.5]])
    np.testing.assert_allclose(diagnostics.ending_map(usage, ending), [0.3, 0.3], rtol=1e-6)
    assert float(diagnostics.ending_rate(usage, ending)) == pytest.approx(0.3)


def test_usage_solves_the_chain_and_adds_up_to_the_steps():
    world, key = rooms.rooms("noisy-tv"), jax.random.key(1)
    shape = (world.mdp.initial.size, 2)
    policy = jax.nn.softmax(jax.random.normal(key, (*shape, 4)))
    options = chain.Options(policy, jnp.full(shape, 0.3), jnp.full(shape, 0.5))
    risk = jax.jit(chain.risk, static_argnums=2)(world, options, 3_000)
    assert float(risk.usage.sum()) == pytest.approx(float(risk.steps), rel=1e-4)
    moves = np.asarray(chain.pair_transition(world, options), float)
    begun = (np.asarray(world.mdp.initial)[:, None] * np.asarray(options.choice)).ravel()
    np.testing.assert_allclose(
        risk.usage.ravel(), np.linalg.solve(np.eye(len(moves)) - moves.T, begun), rtol=2e-2, atol=1e-3
    )
