"""The exact arms of AIRL and of maximum-entropy IRL in little, and the figure from made-up scores."""

import jax
import numpy as np
import pytest

from theodolite.claims.an17 import airl, airl_tabular, airl_transfer, maxent_irl, maxent_irl_arms
from theodolite.core import figures, soft_planning
from theodolite.core.claim import row
from theodolite.core.scores import Scores


def test_a_reward_of_states_from_maximum_entropy_is_exact_and_survives_other_actions():
    found = airl_tabular.recovery("maxent state", "stochastic", 2, 1)
    assert [r["seed"] for r in found] == [0, 1]
    for r in found:
        assert r["metrics"]["reward_error"] < 1e-6 and r["metrics"]["transfer"] == pytest.approx(1)


def test_the_cliff_leads_where_it_should():
    m, reward = maxent_irl_arms.cliff(jax.random.key(0), 0.3)
    assert reward.tolist()[1:6] == [-10, -10, -10, -10, 10] and reward[-1] == 0
    np.testing.assert_allclose(soft_planning.probabilities(m).sum(-1), 1)
    right, up = m.successor[0, 0].tolist(), m.successor[0, 2].tolist()
    assert right == [1, 1] and up == [6, 0]  # the wind undoes the step up
    assert not m.available[-1].any() and m.available[2].sum() == 1 and set(m.successor[2, 0].tolist()) == {18}


def test_every_size_has_its_jobs_and_their_names_differ():
    for item in (airl.ITEM, maxent_irl.ITEM):
        for size in ("smoke", "quick", "full"):
            names = [job.name for job in item.jobs(size, None)]
            assert len(set(names)) == len(names) > 5
    assert {job.case for job in airl.ITEM.jobs("full", None)} >= {"maze", "swimmer"}


def made_up():
    rng = np.random.default_rng(0)
    tabular = [
        row(arm, case, s, reward_error=rng.random(), transfer=rng.random())
        for arm in airl_tabular.ARMS for case in airl_tabular.CASES.values() for s in range(4)
    ]  # fmt: skip
    values = -np.hypot(*(airl_transfer.cells() - np.array([0.3, 0.5])).T)
    curves = {"reward_map": (range(len(values)), values)}
    moved = [
        row(arm, "maze", s, curves, imitation_share=1, self_return=-9, transfer_return=-20 + rng.random())
        for arm in airl_transfer.METHODS for s in range(4)
    ]  # fmt: skip
    return tabular, [*moved, *(row("true reward", "maze", s, transfer_return=-8.0) for s in range(4))]


def test_the_figure_draws_with_and_without_the_maze(tmp_path):
    tabular, moved = made_up()
    for name, rows in (("exact", tabular), ("whole", tabular + moved)):
        figures.save(airl.figure(Scores(tuple(rows))), tmp_path / name)
        assert (tmp_path / f"{name}.svg").stat().st_size > 10_000
