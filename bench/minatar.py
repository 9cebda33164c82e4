"""DQN on two of MinAtar's games after a million steps, over seeds.

`dqn.MINATAR` in eight copies of the game without sticky actions, cut after 1,000 steps, as gymnax has it; 64 greedy
episodes twenty times, of which the last two count. A run takes five minutes of one core. The bar for Breakout, 8, is
two sevenths of what gymnax publishes for PPO; the same share of Asterix's is 4.3.
"""

from functools import partial

import numpy as np
from harness import Worker, arguments, finish
from over_seeds import Runs, at_least, complete, middle, processor_s

from theodolite.core.pool import ONE_THREAD

STEPS, COUNTED = 1_000_000, 2
PPO = {"Breakout": 28.0, "Asterix": 15.0}
SHARE = 8 / 28


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    steps, name = options.steps, f"minatar_{options.steps // 1_000}k"

    def start(game: str, seed: int) -> Worker:
        return Worker("minatar_ours.py", game, seed, steps, env=ONE_THREAD)

    complete(name, [*PPO], options.seeds, start, partial(report, name, steps))


def report(name: str, steps: int, runs: Runs) -> None:
    """Interquartile means with their intervals, and the bars."""
    rows, bars = [("", "seeds", "return", "from", "to", "of PPO's", "processor s")], []
    for game in sorted(runs):
        found = middle(np.mean(run["returns"][-COUNTED:]) for run in runs[game].values())
        share = found.estimate / PPO[game]
        rows.append((game, str(found.seeds), *found[1:], share, processor_s(runs[game])))
        least = SHARE * PPO[game]
        bars.append(at_least(f"{game}: at least {least:.1f}", found, least))
    what = f"Return of DQN after {steps:,} steps of MinAtar's games: interquartile mean of seeds, 64 greedy episodes"
    finish(name, {"what": what, "runs": runs, "bars": bars}, rows)


if __name__ == "__main__":
    main()
