"""The item's jobs and claims fit together, and its figure draws from made-up scores."""

from typing import Any

import numpy as np
import pytest

from theodolite.claims.an51 import diagnosing, diagnosing_arms
from theodolite.control import fqi, fqi_projection
from theodolite.core import judge
from theodolite.core.claim import row
from theodolite.core.scores import Scores
from theodolite.envs import oracles


@pytest.fixture
def made_up(monkeypatch):
    """Every job of a size with runs that return random metrics."""
    rng = np.random.default_rng(0)

    def ran(o: Any, c: fqi.Config, seeds: tuple[int, ...], **how: Any) -> dict[str, np.ndarray]:
        return {name: rng.uniform(0.1, 1, (len(seeds), c.iterations)) for name in fqi.METRICS}

    monkeypatch.setattr(diagnosing_arms, "ran", ran)
    monkeypatch.setattr(fqi_projection, "projection_error", lambda o, c, keys, steps: np.full(len(keys), 0.1))
    return lambda size: Scores(tuple(r for job in diagnosing.jobs(size, 4) for r in job.run()))


@pytest.mark.parametrize("size", ["quick", "full"])
def test_every_claim_finds_its_arms_and_no_score_is_made_twice(made_up, size):
    scores = made_up(size)
    cells = [(r["arm"], r["case"], r["seed"], name) for r in scores.rows for name in r["metrics"]]
    assert len(set(cells)) == len(cells)
    for claim in judge.judge(diagnosing.ITEM, scores, size)["claims"]:
        assert claim["verdict"] != "not run" and all(e["estimate"] is not None for e in claim["expect"]), claim["id"]


def test_the_figure_draws_all_that_there_is_and_what_is_missing(made_up):
    for size in ("smoke", "quick"):
        drawn = diagnosing.figure(made_up(size))
        titles = [axes.get_title(loc="left") for axes in drawn.axes]
        assert len(titles) == 10 and all(titles) and all(axes.lines or axes.collections for axes in drawn.axes)
    assert len(diagnosing.figure(Scores((row("4 4", "cliffwalk", 0, late_return=1.0),))).axes) == 10


def test_every_size_has_its_jobs_and_their_names_differ():
    for size in ("smoke", "quick", "full"):
        names = [job.name for job in diagnosing.jobs(size, None)]
        assert len(set(names)) == len(names) > 8
    assert {name: oracles.domain(name).num_states for name in oracles.DOMAINS} == diagnosing_arms.STATES


def test_correlation_of_what_does_not_vary_is_none():
    assert diagnosing_arms.correlation([1, 1, 1], [0, 1, 2]) == 0
    assert diagnosing_arms.correlation([0, 1, 2], [1, 3, 5]) == pytest.approx(1)
