"""Tile coding against its definition, and the generalisation that it promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core.errors import UserError
from theodolite.core.tiles import one_hot, tiles

LOW, HIGH, BINS, NUM = (-1.0, 0.0), (1.0, 4.0), (3, 5), 4


def slow(point):
    """Number by number."""
    found = []
    for k in range(NUM):
        cells = []
        for i in range(2):
            x = min(max((point[i] - LOW[i]) / (HIGH[i] - LOW[i]), 0), 1)
            cells.append(min(int(np.floor(x * BINS[i] + k * (2 * i + 1) / NUM % 1)), BINS[i]))
        found.append(k * 4 * 6 + cells[0] * 6 + cells[1])
    return found


def test_active_features_are_those_of_the_definition():
    features = tiles(LOW, HIGH, BINS, NUM)
    points = np.random.default_rng(0).uniform((-1.5, -1.0), (1.5, 5.0), (500, 2)).astype(np.float32)
    found = np.asarray(jax.vmap(features.of)(jnp.asarray(points)))
    np.testing.assert_array_equal(found, [slow(p.astype(float)) for p in points])
    assert features.num == NUM * 4 * 6 and features.active == NUM
    assert np.all((found >= 0) & (found < features.num))
    assert all(len(set(row)) == NUM for row in found.tolist())


def test_near_points_share_features_and_far_ones_none():
    of = tiles((0.0,), (1.0,), (4,), 8).of
    at = [set(np.asarray(of(jnp.array([x]))).tolist()) for x in (0.3, 0.33, 0.45, 0.9)]
    shared = [len(at[0] & other) for other in at[1:]]
    assert shared[0] > shared[1] > shared[2] == 0


def test_numbered_states_are_their_own_feature():
    features = one_hot(7)
    assert features.of(jnp.int32(3)).tolist() == [3] and (features.num, features.active) == (7, 1)


@pytest.mark.parametrize(
    ("box", "says"),
    [
        (((0.0,), (1.0, 2.0), (3,), 1), "lengths 1, 2, 1"),
        (((0.0,), (float("inf"),), (3,), 1), "finite"),
        (((1.0,), (1.0,), (3,), 1), "longer than nothing"),
        (((0.0,), (1.0,), (0,), 1), "must be >= 1"),
        (((0.0,), (1.0,), (3,), 0), "must be >= 1"),
    ],
)
def test_impossible_boxes_are_refused(box, says):
    with pytest.raises(UserError, match=says):
        tiles(*box)
