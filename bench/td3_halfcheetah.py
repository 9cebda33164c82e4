"""TD3 on HalfCheetah-v5 against SBX's at equal settings: one gradient step of 256 per environment step, one seed.

Networks of 256-256 units, twin critics, the policy every second step, a million transitions in replay. SBX learns after
every step, as it does by default ("sbx"), or 32 times after every 32 steps, as ours does ("sbx, 32 steps"). Both step
Gymnasium's HalfCheetah, of which one copy is faster than EnvPool's. SBX moves its slow copies in every step and climbs
on the lower of both critics where ours follows the paper; the difference is small beside the products of matrices that
both do. These are so small that two threads gain little, and lose much where another process wants a core:
`--one-thread` does without.
"""

import os
from typing import Any

import numpy as np
from harness import COLD, Worker, arguments, bar, column, finish, in_turns, ratio, said
from peers import python

from theodolite.core.pool import ONE_THREAD


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--one-thread", action="store_true", help="every worker in one thread, for a busy machine")
    options = parser.parse_args()
    env = {**COLD, **(ONE_THREAD if options.one_thread else {})}
    load, sbx = os.getloadavg()[0], python(options.peers, "sbx")
    with (
        Worker("td3_ours.py", env=env) as ours,
        Worker("td3_sbx.py", 1, python=sbx, env=env) as one,
        Worker("td3_sbx.py", 32, python=sbx, env=env) as many,
    ):
        workers = {"theodolite": ours, "sbx": one, "sbx, 32 steps": many}
        runs = in_turns(workers, "chunk", options.rounds)
    report({"chunks": runs, "one_thread": options.one_thread, "load_before": load})


def report(found: dict[str, Any]) -> None:
    """The ratios, the bar and the table."""
    runs = found["chunks"]
    per_step = {n: [r["wall_s"] / r["steps"] for r in rs] for n, rs in runs.items()}
    processor = {n: [r["cpu_s"] / r["steps"] for r in rs] for n, rs in runs.items()}
    faster = {n: ratio(per_step[n], per_step["theodolite"]) for n in runs if n != "theodolite"}
    thriftier = {n: ratio(processor[n], processor["theodolite"]) for n in runs if n != "theodolite"}
    rows = [("", "env steps/s", "env steps per processor second", "peak MiB")]
    for name, rs in runs.items():
        rows.append((name, 1 / np.median(per_step[name]), 1 / np.median(processor[name]), max(column(rs, "peak_mib"))))
    what = {
        "what": "TD3 on HalfCheetah-v5, one gradient step of 256 per step, 256-256 nets, one seed",
        "wall_ratio": faster,
        "processor_ratio": thriftier,
        **found,
        "bars": [bar(f"at least 1.5x SBX's steps/s: {said(faster['sbx'])}", faster["sbx"]["ratio"] >= 1.5)],
    }
    finish("td3_halfcheetah", what, rows)


if __name__ == "__main__":
    main()
