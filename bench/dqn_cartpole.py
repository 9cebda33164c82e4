"""DQN on CartPole-v1 against SBX's at equal settings: one gradient step per ten environment steps, one seed.

CleanRL's settings: a 120-84 relu net, batches of 128 from 10,000 transitions, Adam at 2.5e-4, the target copied every
500 steps, ε from 1 to 0.05 over 250,000 steps, discount 0.99. SBX steps one environment of Gymnasium ("sbx"), or ten at
once ("sbx, 10 environments"); ours steps ten. Its loss is Huber's where ours is the square; the work is the same.
"""

import os
from typing import Any

import numpy as np
from harness import Worker, arguments, bar, column, finish, in_turns, ratio, said
from peers import python


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    load, sbx = os.getloadavg()[0], python(options.peers, "sbx")
    with (
        Worker("dqn_ours.py") as ours,
        Worker("dqn_sbx.py", 1, python=sbx) as one,
        Worker("dqn_sbx.py", 10, python=sbx) as ten,
    ):
        workers = {"theodolite": ours, "sbx": one, "sbx, 10 environments": ten}
        runs = in_turns(workers, "chunk", options.rounds)
        returns = ours.run("score")["returns"]
    report({"returns": returns, "chunks": runs, "load_before": load})


def report(found: dict[str, Any]) -> None:
    """The ratios, the bars and the table."""
    runs, returns = found["chunks"], found["returns"]
    per_step = {n: [r["wall_s"] / r["steps"] for r in rs] for n, rs in runs.items()}
    processor = {n: [r["cpu_s"] / r["steps"] for r in rs] for n, rs in runs.items()}
    faster = {n: ratio(per_step[n], per_step["theodolite"]) for n in runs if n != "theodolite"}
    thriftier = {n: ratio(processor[n], processor["theodolite"]) for n in runs if n != "theodolite"}
    solved = sum(r >= 475 for r in returns)
    rows = [("", "env steps/s", "env steps per processor second", "peak MiB")]
    for name, rs in runs.items():
        rows.append((name, 1 / np.median(per_step[name]), 1 / np.median(processor[name]), max(column(rs, "peak_mib"))))
    what = {
        "what": "DQN on CartPole-v1, one gradient step of 128 per ten steps, 120-84 net, one seed",
        "wall_ratio": faster,
        "processor_ratio": thriftier,
        **found,
        "bars": [
            bar(f"at least 10x {n}'s steps/s, by the interval: {said(faster[n])}", faster[n]["low"] >= 10)
            for n in faster
        ]
        + [
            bar(f"greedy return of 475 on at least 9 of 10 seeds: {solved} of {len(returns)}", solved >= 9),
        ],
    }
    finish("dqn_cartpole", what, rows)


if __name__ == "__main__":
    main()
