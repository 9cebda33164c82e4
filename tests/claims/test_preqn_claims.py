"""The item's jobs and claims fit together, its small parts are right, and its figure draws from made-up scores."""

import numpy as np
import pytest

from theodolite.claims.an51 import preqn, preqn_control, preqn_cost, preqn_figure, preqn_tabular, preqn_theory
from theodolite.core import judge
from theodolite.core.claim import row
from theodolite.core.scores import Scores


def made_up(size):
    """A row for every job's arms and cases with random metrics: what the runs would return."""
    rng, b = np.random.default_rng(0), preqn.BUDGETS[size]
    slopes = [f"{axis}_{what}" for axis in ("width", "depth") for what in ("diagonal", "ratio")]
    steps = ("semi-gradient", "preconditioned", "preconditioned, aligned")
    batches = [f"{w}/{n or 'all'}" for w in b.swept for n in b.batches]
    off = ("log_error", "held_out_alignment", "spill")
    shapes = [f"{a} {w} {d}" for a in preqn.NETS for w in b.widths for d in b.depths]
    groups = (
        (steps, preqn_theory.WORLDS, ("growth",)), (preqn_theory.BANDS, ("linear", "network"), ("diverged",)),
        (preqn.NETS, b.scanned, ("mean_log_diagonal", "mean_ratio", *slopes)), (shapes, b.scanned, ("ratio",)),
        (preqn_tabular.RULES, b.worlds, ("log_error", "diverged")), (preqn_tabular.DAMPINGS, batches, off),
        (("β", "row ratio"), b.foretold, ("auc",)),
        (("PreQN", "PreQN, no line search", "TD3"), b.timed, ("relative_cost",)),
        (b.arms, ("Pendulum", *b.games), ("score",)),
    )  # fmt: skip
    curve = {"return": ([100, 200], [-900.0, -200.0])}
    return Scores(tuple(
        row(arm, case, seed, curve if "score" in names else None, **{n: rng.uniform() for n in names})
        for arms, cases, names in groups for arm in arms for case in cases for seed in range(4)
    ))  # fmt: skip


@pytest.mark.parametrize("size", ["quick", "full"])
def test_every_claim_finds_its_arms(size):
    for claim in judge.judge(preqn.ITEM, made_up(size), size)["claims"]:
        assert claim["verdict"] != "not run" and all(e["estimate"] is not None for e in claim["expect"]), claim["id"]


def test_every_size_has_its_jobs_and_their_names_differ():
    for size in ("smoke", "quick", "full"):
        names = [job.name for job in preqn.jobs(size, None)]
        assert len(set(names)) == len(names) >= 12
    assert {job.arm for job in preqn.jobs("quick", None)} >= set(preqn_control.ARMS)
    assert set(preqn.jobs("quick", 3)[0].seeds) == {0, 1, 2}


def test_the_figure_draws_all_that_there_is_and_what_is_missing():
    for scores in (made_up("quick"), Scores((row("PreQN", "Pendulum", 0, score=1.0),))):
        drawn = preqn_figure.figure(scores)
        assert len(drawn.axes) == 11 and all(axes.get_title(loc="left") for axes in drawn.axes)
    assert all(axes.lines or axes.collections or axes.patches for axes in preqn_figure.figure(made_up("quick")).axes)


def test_counter_examples_end_as_their_eigenvalues_say():
    found = {(r["arm"], r["case"]): r["metrics"]["growth"] for c in ("two states",)
             for r in preqn_theory.counterexample(c, (1_000,))}  # fmt: skip
    assert found["semi-gradient", "two states"] > 11 and found["preconditioned", "two states"] > 11
    assert found["preconditioned, aligned", "two states"] == 0


def test_every_world_pays_where_it_can_be_reached():
    for make in preqn_tabular.WORLDS.values():
        o = make()
        assert 52 <= o.reward.size <= 320 and np.asarray(o.reward)[np.asarray(o.reachable)].max() > 0


def test_slopes_and_ranks_of_hand_made_tables():
    table = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    assert preqn_theory.slope(table, 0) == pytest.approx(2) and preqn_theory.slope(table, 1) == pytest.approx(1)
    score, event = np.array([1.0, 2.0, 2.0, 5.0]), np.array([False, False, True, True])
    assert preqn_tabular.auc(score, event) == pytest.approx((1 + 0.5 + 2) / 4)


def test_a_seed_that_leaves_the_numbers_is_a_row_and_not_a_crash(monkeypatch):
    def learn(arm, task, envs, steps, seeds):
        if 1 in seeds:
            raise preqn_control.NotFinite("gone")
        return [row(arm, task, s, score=0.5, diverged=0.0) for s in seeds]

    monkeypatch.setattr(preqn_control, "learn", learn)
    rows = preqn_control.study("PreQN", "Pendulum", (0, 1, 2), 100)
    assert [(r["seed"], r["metrics"]["diverged"]) for r in rows] == [(0, 0), (1, 1), (2, 0)]
    assert preqn_cost.SHAPES["256 256/256"] == ((256, 256), 256)
