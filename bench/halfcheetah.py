"""TD3 and SAC after 100,000 steps of HalfCheetah-v5, against SBX's on the same version, over seeds.

Networks of 256-256 units, batches of 256, one gradient step per environment step, 10,000 random steps; then ten
episodes of the deterministic policy. Hours, not minutes.
"""

from functools import partial

from harness import Worker, arguments, finish
from over_seeds import Runs, at_least, complete, middle, processor_s
from peers import python

from theodolite.core.pool import ONE_THREAD

STEPS = 100_000
METHODS, SIDES = ("td3", "sac"), {"theodolite": "halfcheetah_ours.py", "sbx": "halfcheetah_sbx.py"}
PUBLISHED = {"td3": 5_514.0}
"""TD3's authors after 100,000 steps of HalfCheetah-v1, ten seeds."""
SLACK = 0.85


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    steps, name = options.steps, f"halfcheetah_{options.steps // 1_000}k"

    def start(arm: str, seed: int) -> Worker:
        side, method = arm.split(", ")
        program = {"python": python(options.peers, "sbx")} if side == "sbx" else {}
        return Worker(SIDES[side], method, seed, steps, env=ONE_THREAD, **program)

    arms = [f"{side}, {method}" for method in METHODS for side in SIDES]
    complete(name, arms, options.seeds, start, partial(report, name, steps))


def report(name: str, steps: int, runs: Runs) -> None:
    """Interquartile means with their intervals, and whether ours is within 15% of the others."""
    found = {arm: middle(run["return"] for run in of_seeds.values()) for arm, of_seeds in sorted(runs.items())}
    rows = [("", "seeds", "return", "from", "to", "processor s")]
    rows += [(arm, str(m.seeds), *m[1:], processor_s(runs[arm])) for arm, m in found.items()]
    bars = []
    for method in METHODS:
        ours, theirs = found.get(f"theodolite, {method}"), found.get(f"sbx, {method}")
        if ours and theirs:
            bars.append(at_least(f"{method} within 15% of SBX's, {theirs}", ours, SLACK * theirs.estimate, theirs))
        if ours and method in PUBLISHED:
            best = PUBLISHED[method]
            bars.append(at_least(f"{method} within 15% of the authors' on v1, {best:,.0f}", ours, SLACK * best))
    what = f"Return after {steps:,} steps of HalfCheetah-v5: interquartile mean of seeds, ten episodes each"
    finish(name, {"what": what, "runs": runs, "bars": bars}, rows)


if __name__ == "__main__":
    main()
