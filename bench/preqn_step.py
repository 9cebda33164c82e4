"""A step of PreQN's critic against one of TD3's two critics: (256, 256) units, batches of 256, HalfCheetah's shapes.

Both sides start from targets by their own rule and end with what they keep: TD3's step moves its slow copies, PreQN's
has none. PreQN's is the dearest case, where all ten sizes of the step are tried and none is accepted; in practice one
of the first two is, for little more than a step without line search. The policies' steps, which are the same, are left
out. One thread each, since LAPACK's wait for each other on a busy machine.
"""

import os
from typing import Any

import numpy as np
from harness import COLD, Worker, arguments, bar, column, finish, in_turns, ratio, said

ONE_THREAD = {"NPROC": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
ARMS = ("PreQN", "PreQN, no line search", "TD3")


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    load, env = os.getloadavg()[0], {**COLD, **ONE_THREAD}
    ours, plain, theirs = (Worker("preqn_critic.py", arm, env=env) for arm in ARMS)
    with ours, plain, theirs:
        runs = in_turns(dict(zip(ARMS, (ours, plain, theirs), strict=True)), "chunk", options.rounds)
    report({"chunks": runs, "load_before": load})


def report(found: dict[str, Any]) -> None:
    """The ratios, the bar and the table."""
    runs = found["chunks"]
    slower = {n: ratio(column(rs, "wall_s"), column(runs["TD3"], "wall_s")) for n, rs in runs.items() if n != "TD3"}
    dearer = {n: ratio(column(rs, "cpu_s"), column(runs["TD3"], "cpu_s")) for n, rs in runs.items() if n != "TD3"}
    rows: list[tuple] = [("", "ms per step", "processor ms per step", "peak MiB")]
    for name, rs in runs.items():
        each = (1e3 * np.median(column(rs, kind)) / rs[0]["steps"] for kind in ("wall_s", "cpu_s"))
        rows.append((name, *each, max(column(rs, "peak_mib"))))
    what = {
        "what": "A step of the critic at (256, 256), batch 256, one thread",
        "wall_ratio": slower,
        "processor_ratio": dearer,
        **found,
        "bars": [
            bar(f"at most 3x a step of TD3's critics: {said(slower['PreQN'])}", slower["PreQN"]["ratio"] <= 3),
        ],
    }
    finish("preqn_step", what, rows)


if __name__ == "__main__":
    main()
