"""PPO on CartPole-v1 against rejax at equal settings, with Stable-Baselines3 for reference.

64 environments x 64 steps, 4 epochs x 4 minibatches of 1,024, two 64-64 tanh nets, Adam at 1e-3, discount 0.99,
trace 0.95, clip 0.2, no entropy bonus. rejax clips values and single gradient entries where we clip the gradient's
norm, and Stable-Baselines3 steps Gymnasium's environments; neither is made to differ less.
"""

import os
from typing import Any

import numpy as np
from harness import Worker, arguments, bar, column, finish, in_turns, median, ratio, said
from peers import python


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    load, rejax, sb3 = os.getloadavg()[0], python(options.peers, "rejax"), python(options.peers, "imitation")
    cold: dict[str, list] = {"theodolite": [], "rejax": []}
    for _ in range(8):
        for name, script, with_python in (("theodolite", "ppo_ours.py", None), ("rejax", "ppo_rejax.py", rejax)):
            with Worker(script, **({"python": with_python} if with_python else {})) as worker:
                cold[name].append(worker.first)
    with Worker("ppo_ours.py") as a, Worker("ppo_rejax.py", python=rejax) as b, Worker("ppo_sb3.py", python=sb3) as c:
        runs = in_turns({"theodolite": a, "rejax": b}, "chunk", options.rounds)
        runs |= in_turns({"stable-baselines3": c}, "chunk", 3)
        returns = {"theodolite": a.run("score")["returns"], "rejax": b.run("score")["returns"]}
    report({"returns": returns, "chunks": runs, "cold": cold, "load_before": load})


def report(found: dict[str, Any]) -> None:
    """The ratios, the bars and the table."""
    runs, cold, returns = found["chunks"], found["cold"], found["returns"]
    speeds = {name: rs[0]["steps"] / median(rs, "wall_s") for name, rs in runs.items()}
    faster = ratio(column(runs["rejax"], "wall_s"), column(runs["theodolite"], "wall_s"))
    thriftier = ratio(column(runs["rejax"], "cpu_s"), column(runs["theodolite"], "cpu_s"))
    compiling = ratio(column(cold["theodolite"], "compile_s"), column(cold["rejax"], "compile_s"))
    cold_processor = ratio(column(cold["theodolite"], "cpu_s"), column(cold["rejax"], "cpu_s"))
    rows = [("", "env steps/s", "compile s", "first chunk, cold, s", "return at 204,800 steps", "peak MiB")]
    for name, rs in runs.items():
        learnt, first, program = "-", "-", "-"
        if name in cold:
            scores, first, program = returns[name], median(cold[name], "wall_s"), median(cold[name], "compile_s")
            learnt = f"{np.mean(scores):.0f} ({min(scores):.0f} to {max(scores):.0f})"
        rows.append((name, speeds[name], program, first, learnt, max(column(rs, "peak_mib"))))
    found = {
        "what": "PPO on CartPole-v1, 64 x 64 steps, 4 epochs x 4 minibatches, two 64-64 nets",
        "wall_ratio": faster,
        "processor_ratio": thriftier,
        "compile_ratio": compiling,
        "cold_processor_ratio": cold_processor,
        **found,
        "bars": [
            bar(f"at least 1.3x rejax's steps/s: {said(faster)}", faster["ratio"] >= 1.3),
            bar(
                f"compile time not above rejax's: {said(compiling)} of it, processor time of the cold first chunk "
                f"{said(cold_processor)}",
                compiling["ratio"] <= 1,
            ),
            bar("equal final return", np.mean(returns["theodolite"]) >= np.mean(returns["rejax"])),
        ],
    }
    finish("ppo_cartpole", found, rows)


if __name__ == "__main__":
    main()
