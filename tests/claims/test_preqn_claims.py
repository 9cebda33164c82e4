"""The item's jobs and claims fit together, its small parts are right, and its figure draws from made-up scores."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.claims.an51 import (
    preqn,
    preqn_claims,
    preqn_control,
    preqn_cost,
    preqn_figure,
    preqn_tabular,
    preqn_theory,
)
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
    shapes = [f"{a} {w} {d}" for a in preqn_claims.NETS for w in b.widths for d in b.depths]
    groups = (
        (steps, preqn_theory.WORLDS, ("growth",)), (preqn_theory.BANDS, ("linear", "network"), ("diverged",)),
        (preqn_claims.NETS, b.scanned, ("mean_log_diagonal", "mean_ratio", *slopes)), (shapes, b.scanned, ("ratio",)),
        (preqn_tabular.RULES, b.worlds, ("log_error", "diverged", "skipped")), (preqn_tabular.DAMPINGS, batches, off),
        (("β", "row ratio"), b.foretold, ("auc",)),
        (("PreQN", "PreQN, no line search", "TD3"), b.timed, ("relative_cost",)),
        (b.arms, ("Pendulum", *b.games), ("score", "diverged")), (b.choosing, ("CartPole",), ("score", "diverged")),
        (preqn_tabular.shares(b.shapes, np.ones(len(b.shapes), bool)), b.foretold, ("share_diverged",)),
        (map(preqn_tabular.named, b.shapes), b.foretold, ("diverged",)),
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
    for scores, panels in ((made_up("quick"), 15), (Scores((row("PreQN", "Pendulum", 0, score=1.0),)), 13)):
        drawn = preqn_figure.figure(scores)
        assert len(drawn.axes) == panels and all(axes.get_title(loc="left") for axes in drawn.axes)
    whole = preqn_figure.figure(made_up("quick"))
    whole.draw_without_rendering()
    assert all(axes.lines or axes.collections or axes.patches for axes in whole.axes)


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


def test_shares_of_hand_made_shapes():
    shapes = (("relu", 16, 1), ("relu", 64, 2), ("sin", 16, 2), ("sin", 64, 2))
    assert preqn_tabular.shares(shapes, np.array([False, True, True, False])) == {
        "all shapes": 0.5, "relu": 0.5, "sin": 0.5, "width 16": 0.5, "width 64": 0.5, "depth 1": 0.0,
        "depth 2": pytest.approx(2 / 3),
    }  # fmt: skip
    of_claims = {arm for c in preqn_claims.CLAIMS if c.metric == "share_diverged" for arm in c.arms}
    assert of_claims < preqn_tabular.shares(preqn_tabular.ARCHITECTURES, np.ones(18, bool)).keys()


def test_steps_that_are_skipped_are_counted_and_those_after_the_end_are_not():
    t, key = preqn_tabular.table("cliffwalk"), jax.random.key(0)
    still = lambda net: (net, jnp.bool_(True))  # noqa: E731
    gone = lambda net: (jax.tree.map(lambda x: 1e6 * x, net), jnp.bool_(True))  # noqa: E731
    net = preqn_tabular.network(t, key)
    assert [float(preqn_tabular.iterate(t, net, move, 4)[2]) for move in (still, gone)] == [1, 0]


def test_the_worst_return_is_below_what_a_bad_run_can_have():
    low = preqn_control.TASKS["Pendulum"]
    assert low.worst <= -200 * (np.pi**2 + 0.1 * 8**2 + 0.001 * 2**2) < low.low
    for t in (preqn_control.TASKS | preqn_control.CHOICES).values():
        assert t.worst <= t.low and t.score(t.worst) <= t.score(t.low) == 0 and t.score(t.high) == 1


def test_a_seed_that_leaves_the_numbers_is_a_row_and_not_a_crash(monkeypatch):
    def learn(arm, task, envs, steps, seeds):
        if 1 in seeds:
            raise preqn_control.NotFinite("gone")
        return [row(arm, task, s, score=0.5, diverged=0.0) for s in seeds]

    monkeypatch.setattr(preqn_control, "learn", learn)
    rows = preqn_control.study("PreQN", "Pendulum", (0, 1, 2), 100)
    assert [(r["seed"], r["metrics"]["diverged"]) for r in rows] == [(0, 0), (1, 1), (2, 0)]
    assert [r["metrics"]["score"] for r in rows] == [0.5, pytest.approx((-3_255 + 1_200) / 1_050), 0.5]
    assert preqn_cost.SHAPES["256 256/256"] == ((256, 256), 256)
