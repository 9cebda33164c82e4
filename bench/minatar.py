"""DQN on two of MinAtar's games after a million steps, over seeds.

`dqn.MINATAR` in eight copies of the game without sticky actions, cut after 1,000 steps, as gymnax has it; 64 greedy
episodes twenty times, of which the last two count. A run is a process of one thread, as many at a time as there are
cores, five minutes each. Finished runs are kept in results/bench/minatar_1000k.json, and the command goes on from
there. The bar for Breakout, 8, is two sevenths of what gymnax publishes for PPO; the same share of Asterix's is 4.3.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from harness import RESULTS, Worker, arguments, bar, finish

from theodolite.core import stats
from theodolite.core.devices import cores
from theodolite.core.pool import ONE_THREAD

STEPS, COUNTED = 1_000_000, 2
PPO = {"Breakout": 28.0, "Asterix": 15.0}
SHARE = 8 / 28
Runs = dict[str, dict[str, dict[str, Any]]]


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    path = RESULTS / f"{name_of(options.steps)}.json"
    found: Runs = json.loads(path.read_text())["runs"] if path.exists() else {}
    todo = [(game, seed) for seed in range(options.seeds) for game in PPO if str(seed) not in found.get(game, {})]

    def one(job: tuple[str, int]) -> None:
        game, seed = job
        with Worker("minatar_ours.py", game, seed, options.steps, env=ONE_THREAD) as worker:
            found.setdefault(game, {})[str(seed)] = worker.first
        report(found, options.steps)

    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(one, todo))


def name_of(steps: int) -> str:
    """Of the result file."""
    return f"minatar_{steps // 1_000}k"


def report(runs: Runs, steps: int) -> None:
    """Interquartile means with their intervals, and the bars."""
    rows, bars = [("", "seeds", "return", "from", "to", "of PPO's", "processor s")], []
    for game in sorted(runs):
        returns = np.array([np.mean(r["returns"][-COUNTED:]) for r in runs[game].values()])
        found = stats.bootstrap([returns], "iqm", np.random.default_rng(0))
        seconds = float(np.median([r["cpu_s"] for r in runs[game].values()]))
        share = found.estimate / PPO[game]
        rows.append((game, str(len(returns)), found.estimate, *found.interval(), share, seconds))
        least = SHARE * PPO[game]
        bars.append(bar(f"{game}: at least {least:.1f}, found {found.estimate:.1f}", found.estimate >= least))
    what = f"Return of DQN after {steps:,} steps of MinAtar's games: interquartile mean of seeds, 64 greedy episodes"
    finish(name_of(steps), {"what": what, "runs": runs, "bars": bars}, rows)


if __name__ == "__main__":
    main()
