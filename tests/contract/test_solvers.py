"""What a method without an environment owes: pure, resumable, vmappable, its metrics declared."""

import jax
import numpy as np
import pytest
from methods import CONTINUOUS, CONTINUOUS_EXPERT, ENVS, EXPERT

from theodolite.core import checkpoint
from theodolite.core.train import expected_state, solve
from theodolite.intent import bc

pytestmark = pytest.mark.usefixtures("light_numbers")
CONFIG = bc.Config(batch_size=8, validate_every=3, hidden=(8,))
UPDATES, HALF, SEEDS = 6, 3, 2
TASKS = {"discrete": (ENVS.space, EXPERT), "continuous": (CONTINUOUS.space, CONTINUOUS_EXPERT)}


def make(c):
    return bc.solver(*c)


def run(data, space, **settings):
    chunks = solve(make, (CONFIG, data), space, every=HALF, **settings)
    return [jax.tree.map(np.asarray, chunk) for chunk in chunks]


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture(scope="module", params=TASKS)
def task(request):
    return TASKS[request.param]


@pytest.fixture(scope="module")
def whole(task):
    space, data = task
    return run(data, space, updates=UPDATES, seeds=SEEDS)


def test_metrics_are_those_declared_and_finite(whole):
    for chunk in whole:
        assert chunk.metrics.keys() == bc.METRICS.keys()
        assert all(np.isfinite(v).all() and v.shape == (SEEDS, HALF) for v in chunk.metrics.values())


def test_three_updates_saved_and_three_more_are_six(task, whole, tmp_path):
    space, data = task
    first = run(data, space, updates=HALF, seeds=SEEDS)[-1]
    same(first, whole[0])
    checkpoint.save(tmp_path / "last.npz", first.carry)
    carry = checkpoint.load(tmp_path / "last.npz", expected_state(make, (CONFIG, data), space, SEEDS))
    same(run(data, space, updates=UPDATES, seeds=SEEDS, resume=(HALF, carry))[-1], whole[-1])


def test_vmapped_seeds_agree_with_a_single_one_and_differ(task, whole):
    space, data = task
    alone = run(data, space, updates=UPDATES)[-1].carry
    first = jax.tree.map(lambda x: x[:1], whole[-1].carry)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), first, alone)
    assert any(jax.tree.leaves(jax.tree.map(lambda x: (x[0] != x[1]).any(), whole[-1].carry.agent)))
