"""Seconds that the sweep of the Ultimatum game takes: how often thresholds are known, by strength of selection.

python bench/ultimatum.py [--size 1000] [--generations 10000]

50 parameter points side by side in one process. The bar is 3 minutes. It is set against processor time, which is what
the sweep takes on a free core, since NumPy runs it on one; the wall time of a shared machine stands beside it.
"""

import argparse
import os
import time

import numpy as np
from harness import bar, finish

from theodolite.foundations import ultimatum as ug

BAR = 180.0
INFORMED = np.repeat(np.linspace(0, 0.9, 10), 5)
SELECTION = np.tile([0.3, 1.0, 3.0, 10.0, 30.0], 10)


def main() -> None:
    """Evolve all points at once and report what it took."""
    flags = argparse.ArgumentParser()
    flags.add_argument("--size", type=int, default=1_000)
    flags.add_argument("--generations", type=int, default=10_000)
    options = flags.parse_args()
    load = os.getloadavg()[0]
    c = ug.Population(size=options.size, generations=options.generations)
    start, cpu = time.perf_counter(), time.process_time()
    offers, thresholds = ug.evolve(np.random.default_rng(0), c, INFORMED, SELECTION)
    wall, processor = time.perf_counter() - start, time.process_time() - cpu
    strategies = len(INFORMED) * options.size * options.generations
    rows = [
        ("points", "population", "generations", "s", "processor s", "million strategies/s", "mean offer, threshold"),
        (len(INFORMED), options.size, options.generations, wall, processor, strategies / processor / 1e6,
         f"{offers.mean():.2f}, {thresholds.mean():.2f}"),
    ]  # fmt: skip
    says = (
        f"50 points of {options.size:,} strategies over {options.generations:,} generations within {BAR:g} s: "
        f"{processor:.0f} s of processor time on one core, {wall:.0f} s as the machine was loaded"
    )
    whole = options.size >= 1_000 and options.generations >= 10_000
    bars = [bar(says, whole and processor <= BAR)]
    what = "The Ultimatum sweep, all parameter points side by side"
    took = {"took_s": [(wall, processor)], "offers": offers.tolist(), "thresholds": thresholds.tolist()}
    finish("ultimatum", {"what": what, **took, "bars": bars, "load_before": load}, rows)


if __name__ == "__main__":
    main()
