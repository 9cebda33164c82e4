"""TD3 and SAC after 100,000 steps of HalfCheetah-v5, against SBX's on the same version, over seeds.

Networks of 256-256 units, batches of 256, one gradient step per environment step, 10,000 random steps; then ten
episodes of the deterministic policy. Every run is a process of one thread, as many at a time as there are cores.
Finished runs are kept in results/bench/halfcheetah_100k.json, so the same command goes on where it stopped: hours, not
minutes.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from harness import RESULTS, Worker, arguments, bar, finish
from peers import python

from theodolite.core import stats
from theodolite.core.devices import cores
from theodolite.core.pool import ONE_THREAD

STEPS = 100_000
METHODS, SIDES = ("td3", "sac"), {"theodolite": "halfcheetah_ours.py", "sbx": "halfcheetah_sbx.py"}
PUBLISHED = {"td3": 5_514.0}
"""TD3's authors after 100,000 steps of HalfCheetah-v1, ten seeds."""
SLACK = 0.85
Runs = dict[str, dict[str, dict[str, Any]]]


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    path = RESULTS / f"{name_of(options.steps)}.json"
    found: Runs = json.loads(path.read_text())["runs"] if path.exists() else {}
    todo = [(seed, method, side) for seed in range(options.seeds) for method in METHODS for side in SIDES
            if str(seed) not in found.get(f"{side}, {method}", {})]  # fmt: skip

    def one(job: tuple[int, str, str]) -> None:
        seed, method, side = job
        program = {"python": python(options.peers, "sbx")} if side == "sbx" else {}
        with Worker(SIDES[side], method, seed, options.steps, env=ONE_THREAD, **program) as worker:
            found.setdefault(f"{side}, {method}", {})[str(seed)] = worker.first
        report(found, options.steps)

    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(one, todo))


def name_of(steps: int) -> str:
    """Of the result file."""
    return f"halfcheetah_{steps // 1_000}k"


def report(runs: Runs, steps: int) -> None:
    """Interquartile means with their intervals, and whether ours is within 15% of the others."""
    rows, bars, middle = [("", "seeds", "return", "from", "to", "processor s")], [], {}
    for name in sorted(runs):
        returns = np.array([r["return"] for r in runs[name].values()])
        found = stats.bootstrap([returns], "iqm", np.random.default_rng(0))
        middle[name] = found.estimate
        seconds = float(np.median([r["cpu_s"] for r in runs[name].values()]))
        rows.append((name, str(len(returns)), found.estimate, *found.interval(), seconds))
    for method in METHODS:
        ours, theirs = middle.get(f"theodolite, {method}"), middle.get(f"sbx, {method}")
        yardsticks = {"SBX's": theirs, "the authors' on v1": PUBLISHED.get(method)}
        bars += [bar(f"{method} within 15% of {whose}, {best:,.0f}: {ours:,.0f}", ours >= SLACK * best)
                 for whose, best in yardsticks.items() if ours is not None and best is not None]  # fmt: skip
    what = f"Return after {steps:,} steps of HalfCheetah-v5: interquartile mean of seeds, ten episodes each"
    finish(name_of(steps), {"what": what, "runs": runs, "bars": bars}, rows)


if __name__ == "__main__":
    main()
