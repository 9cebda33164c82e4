"""The arms of techniques 5 and 6 on a network of a few weights: rows, measures, the pictures and the figure."""

import jax
import numpy as np
import pytest

from theodolite.claims.an17 import image_parameterizations_3d as claims
from theodolite.claims.an17 import image_parameterizations_3d_arms as arms
from theodolite.core import panels
from theodolite.core.scores import Scores
from theodolite.interpret.vision import network, rasterise

BUDGET = arms.BUDGETS["smoke"]._replace(seeds=2, arms=(arms.PAINTED, arms.PYRAMID), rates=(0.03, 0.1))
SEEDS = (1_000, 1_001)


def small():
    """Patches of 8 pixels through random weights, under the names of SqueezeNet's layers."""
    depths = {"relu1": 4, "fire2": 4, "fire4": 6, "fire6": 5, "fire8": 201}
    rng = np.random.default_rng(0)
    params = {k: {"kernel": rng.normal(size=(192, c)).astype(np.float32)} for k, c in depths.items()}

    def apply(params, x):
        b, h, w = x.shape[:3]
        patches = x.reshape(b, h // 8, 8, w // 8, 8, 3).swapaxes(2, 3).reshape(b, h // 8, w // 8, 192)
        return {k: jax.nn.relu(patches @ p["kernel"]) for k, p in params.items() if isinstance(p, dict)}

    return network.build("squeezenet", params, apply, 32)


@pytest.fixture(scope="module")
def rows():
    net = small()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arms, "loaded", lambda name: net)
        patch.setattr(arms, "DETAIL", {"blob": 4, "teapot": 2})
        patch.setattr(arms, "SIDE", 24)
        patch.setattr(arms.images, "read", lambda name: np.random.default_rng(1).random((70, 70, 3), np.float32))
        return arms.features("blob/fire8:200", SEEDS, BUDGET) + arms.styles("teapot/hubble", SEEDS, BUDGET)


def test_every_row_has_the_measures_of_its_claims(rows):
    found = {(r["arm"], r["case"], r["seed"]): r["metrics"] for r in rows}
    assert len(found) == len(rows) == 2 * 2 + 2 * 2
    for claim in claims.CLAIMS_3D:
        scored = Scores(tuple(rows)).arms(claim.metric)
        assert set(scored) and set(scored) <= set(claim.arms)
    assert all(np.isfinite(v) for metrics in found.values() for v in metrics.values())
    painted = [found[arms.PAINTED, "blob/fire8:200", s]["activation_ratio"] for s in SEEDS]
    assert painted == [1.0, 1.0]


def test_seeds_differ_and_the_figure_shows_the_first_ones_pictures(rows):
    by_arm = {}
    for r in rows:
        by_arm.setdefault((r["arm"], r["case"]), []).append(r)
    for (arm, _), found in by_arm.items():
        metric = "disagreement" if "disagreement" in found[0]["metrics"] else "activation"
        assert len({r["metrics"][metric] for r in found}) == len(SEEDS), arm
        assert ["strip" in r.get("curves", {}) for r in found] == [True, False]
    figure = panels.stacked(claims.rows_3d(Scores(tuple(rows))))
    assert len([a for part in figure.subfigs for a in part.axes if a.images]) == len(by_arm)


def test_the_rate_is_the_one_that_does_best_on_the_tuning_seed():
    tried = []

    def run(rate, seed):
        tried.append((rate, seed))
        return arms.Painted(np.zeros((1, 1, 3)), {"activation": -abs(rate - 0.03)})

    assert arms.tuned(run, lambda p: p.measures["activation"], arms.RATES) == 0.03
    assert tried == [(rate, arms.TUNING_SEED) for rate in arms.RATES]


def test_every_expectation_speaks_of_cases_and_arms_that_quick_runs():
    jobs = claims.jobs_3d("quick", None)
    assert {job.case for job in jobs} == set(arms.FEATURES) | set(arms.STYLES)
    assert all(job.seeds == (0, 1, 2) for job in jobs)
    run = {*arms.BUDGETS["quick"].arms, *arms.BUDGETS["quick"].decays, arms.SINGLY}
    assert {e.arm for c in claims.CLAIMS_3D for e in c.expect} <= run


def test_a_pixel_is_as_wide_as_the_camera_sees_it():
    eye = arms.neighbours()[0]._replace(eye=np.array([0.0, 0.0, 12.0]), axes=np.eye(3))
    ends = np.array([[0.0, 0, 0], [arms.pixel(BUDGET), 0, 0]], np.float32)
    at, _ = rasterise.projected(ends, eye, BUDGET.frame)
    assert at[1, 0] - at[0, 0] == pytest.approx(1, rel=1e-4)
