"""Runs that take minutes or hours each: kept one by one, gone on with, and judged over their seeds.

A run is a worker's first answer: a process of one thread, as many at a time as there are cores. Finished runs are kept
in the result file, so the same command goes on where it stopped, and judges anew where nothing is left to do.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from harness import RESULTS, Worker, bar, number

from theodolite.core import stats
from theodolite.core.devices import cores

Runs = dict[str, dict[str, dict[str, Any]]]
"""What the worker of an arm answered for a seed."""
FEWEST = 3
"""Seeds without which no bar is met or missed."""


class Middle(NamedTuple):
    """The interquartile mean over seeds with its 95% interval, which one seed does not have."""

    seeds: int
    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.seeds == 1:
            return f"{number(self.estimate)} (one seed)"
        return f"{number(self.estimate)} [{number(self.low)}, {number(self.high)}] ({self.seeds} seeds)"


def middle(scores: Iterable[float]) -> Middle:
    """Of one score per seed."""
    values = np.array([*scores])
    found = stats.bootstrap([values], "iqm", np.random.default_rng(0))
    return Middle(len(values), found.estimate, *(found.interval() if len(values) > 1 else (math.nan, math.nan)))


def at_least(says: str, found: Middle, least: float, *others: Middle) -> dict[str, Any]:
    """A bar that the interquartile mean must reach, undecided while it or what it is held against has few seeds."""
    enough = all(side.seeds >= FEWEST for side in (found, *others))
    return bar(f"{says}: {found}", found.estimate >= least if enough else None)


def processor_s(runs: dict[str, dict[str, Any]]) -> float:
    """The median of an arm's processor times."""
    return float(np.median([run["cpu_s"] for run in runs.values()]))


def complete(
    name: str, arms: Sequence[str], seeds: int, start: Callable[[str, int], Worker], report: Callable[[Runs], None]
) -> None:
    """Run what the result file `name` lacks, seed after seed, and report what there is after every run."""
    path, lock = RESULTS / f"{name}.json", Lock()
    runs: Runs = json.loads(path.read_text())["runs"] if path.exists() else {}
    todo = [(arm, seed) for seed in range(seeds) for arm in arms if str(seed) not in runs.get(arm, {})]

    def one(job: tuple[str, int]) -> None:
        arm, seed = job
        with start(arm, seed) as worker, lock:
            runs.setdefault(arm, {})[str(seed)] = worker.first
            report(runs)

    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(one, todo))
    if not todo:
        report(runs)
