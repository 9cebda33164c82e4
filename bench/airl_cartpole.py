"""AIRL on seals/CartPole-v0 against imitation at the settings of its tutorial, from the same 60 demonstrations.

8 environments x 2,048 steps a round; PPO with 5 epochs of minibatches of 64, Adam at 5e-4, discount 0.95, ratios
clipped at 0.1; g with 32 and h with 32-32 ReLU units, 16 updates a round of Adam at 1e-3 on 2,048 pairs of each class.
Ours differs in two things: the policy is paid f - log pi, the paper's reward, where imitation pays f; and the policy's
pairs come from the whole round, where imitation keeps the last 512.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from adversarial_task import make_demos
from harness import Worker, arguments, bar, column, finish, in_turns, median, ratio, said
from peers import python


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--seeds", type=int, default=3, help="seeds that each side trains to the end of the budget")
    parser.add_argument("--budget", type=int, default=20, help="rounds of 16,384 steps")
    options = parser.parse_args()
    load, peer = os.getloadavg()[0], python(options.peers, "imitation")
    with tempfile.TemporaryDirectory() as folder:
        demos = Path(folder) / "demos.npz"
        expert = make_demos(demos)
        task = "airl", demos, "inf", options.budget
        with Worker("adversarial_ours.py", *task) as a, Worker("adversarial_imitation.py", *task, python=peer) as b:
            workers = {"theodolite": a, "imitation": b}
            chunks = in_turns(workers, "chunk", options.rounds)
            trained = in_turns(workers, "reach", options.seeds)
    report({"expert_return": expert, "chunks": chunks, "trained": trained, "load_before": load})


def report(found: dict[str, Any]) -> None:
    """The ratios, the bars and the table."""
    runs, trained = found["chunks"], found["trained"]
    per_step = {
        name: {key: [r[key] / r["steps"] for r in rs] for key in ("wall_s", "cpu_s")} for name, rs in runs.items()
    }
    faster, thriftier = (ratio(per_step["imitation"][k], per_step["theodolite"][k]) for k in ("wall_s", "cpu_s"))
    says = f"at least 20x imitation's steps/s: {said(faster)}, {said(thriftier)} per processor second"
    bars = [bar(says, faster["low"] >= 20)]
    returns = {name: column(rs, "return") for name, rs in trained.items()}
    if all(returns.values()):
        steps = trained["theodolite"][0]["steps"]
        ours, theirs = (", ".join(f"{r:.0f}" for r in returns[name]) for name in ("theodolite", "imitation"))
        goal = f"the expert's: {found['expert_return']:.0f}"
        says = f"a better return after {steps:,} steps ({goal}): {ours}, theirs {theirs}"
        bars.append(bar(says, min(returns["theodolite"]) > max(returns["imitation"])))
    rows: list[tuple] = [("", "env steps/s", "steps per processor s", "peak MiB", "mean return at the end")]
    for name, rs in runs.items():
        steps = rs[0]["steps"]
        speeds = steps / median(rs, "wall_s"), steps / median(rs, "cpu_s"), max(column(rs, "peak_mib"))
        rows.append((name, *speeds, float(np.mean(returns[name])) if returns[name] else "-"))
    what = "AIRL on seals/CartPole-v0 at the settings of imitation's tutorial"
    finish(
        "airl_cartpole", {"what": what, "wall_ratio": faster, "processor_ratio": thriftier, **found, "bars": bars}, rows
    )


if __name__ == "__main__":
    main()
