"""PPO on Hopper-v5 through EnvPool, 64 environments and two 64-64 nets: where the wall time of a run goes.

2,048 steps a batch, 10 epochs of minibatches of 64. Learning runs in the background until the next batch's first
action needs its result, so the first action of a batch also holds the wait for it: waiting and acting are one row.
"""

import os

import numpy as np
from harness import Worker, arguments, bar, column, finish, in_turns, median


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    load = os.getloadavg()[0]
    with Worker("host_ours.py") as ours:
        runs = in_turns({"theodolite": ours}, "chunk", options.rounds)["theodolite"]
    outside = {
        kind: [1 - run[f"stepping_{kind}"] / run[kind] for run in runs] for kind in ("wall_s", "cpu_s")
    }  # fmt: skip
    rows: list[tuple] = [("", "wall time", "processor time")]
    for name, part in (
        ("stepping the environments", lambda r, kind: r[f"stepping_{kind}"]),
        ("acting, waiting for the learner, transfers", lambda r, kind: r[f"collecting_{kind}"] - r[f"stepping_{kind}"]),
        ("starting and finishing updates", lambda r, kind: r[kind] - r[f"collecting_{kind}"]),
    ):
        shares = (np.median([part(r, kind) / r[kind] for r in runs]) for kind in ("wall_s", "cpu_s"))
        rows.append((name, *(f"{share:.0%}" for share in shares)))
    rows.append(("env steps/s", *(runs[0]["steps"] / median(runs, kind) for kind in ("wall_s", "cpu_s"))))
    rows.append(("peak MiB", max(column(runs, "peak_mib")), "-"))
    wall, processor = (float(np.median(outside[kind])) for kind in ("wall_s", "cpu_s"))
    found = {
        "what": "PPO on Hopper-v5 through EnvPool, 64 environments, two 64-64 nets",
        "outside_stepping": outside,
        "chunks": runs,
        "load_before": load,
        "bars": [bar(f"at most 40% outside stepping: {wall:.0%} ({processor:.0%} of processor time)", wall <= 0.4)],
    }
    finish("host_split", found, rows)


if __name__ == "__main__":
    main()
