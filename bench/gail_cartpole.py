"""GAIL on seals/CartPole-v0 against imitation at the settings of its tutorial, from the same 60 demonstrations.

8 environments x 2,048 steps a round; PPO with 5 epochs of minibatches of 64, Adam at 4e-4, discount 0.95, two 64-64
tanh nets; the discriminator has 32-32 ReLU units and 8 updates a round of Adam at 1e-3 on 1,024 pairs of each class.
Ours differs in one thing: the policy's pairs come from the whole round, where imitation keeps the last 512.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from adversarial_task import make_demos
from harness import Worker, arguments, bar, column, finish, in_turns, median, ratio, said
from peers import python


def reaching(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """How long a side took to reach the target, over its seeds; runs that never did count at their full length."""
    return {
        "reached": sum(column(runs, "reached")),
        "seeds": len(runs),
        **{key: float(np.mean(column(runs, key))) for key in ("wall_s", "cpu_s", "steps", "return")},
    }


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--seeds", type=int, default=3, help="seeds that each side runs to 95%% of the expert")
    parser.add_argument("--most", type=int, default=60, help="rounds of 16,384 steps after which a seed has failed")
    options = parser.parse_args()
    load, peer = os.getloadavg()[0], python(options.peers, "imitation")
    with tempfile.TemporaryDirectory() as folder:
        demos = Path(folder) / "demos.npz"
        expert = make_demos(demos)
        goal = "gail", demos, 0.95 * expert, options.most
        with Worker("adversarial_ours.py", *goal) as a, Worker("adversarial_imitation.py", *goal, python=peer) as b:
            workers = {"theodolite": a, "imitation": b}
            runs = in_turns(workers, "chunk", options.rounds)
            reached = in_turns(workers, "reach", options.seeds)
            compiling = a.first["compile_s"]
    report({"expert_return": expert, "chunks": runs, "reach": reached, "compile_s": compiling, "load_before": load})


def report(found: dict[str, Any]) -> None:
    """The ratios, the bars and the table."""
    runs = found["chunks"]
    per_step = {
        name: {key: [r[key] / r["steps"] for r in rs] for key in ("wall_s", "cpu_s")} for name, rs in runs.items()
    }
    faster, thriftier = (ratio(per_step["imitation"][k], per_step["theodolite"][k]) for k in ("wall_s", "cpu_s"))
    bars = [
        bar(
            f"at least 30x imitation's steps/s: {said(faster)}, {said(thriftier)} per processor second",
            faster["low"] >= 30,
        )
    ]
    rows: list[tuple] = [("", "env steps/s", "steps per processor s", "peak MiB", "95% reached", "wall s to it")]
    sides = {name: reaching(rs) for name, rs in found["reach"].items() if rs}
    for name, rs in runs.items():
        side, steps = sides.get(name), rs[0]["steps"]
        speeds = (steps / median(rs, "wall_s"), steps / median(rs, "cpu_s"), max(column(rs, "peak_mib")))
        rows.append((name, *speeds, f"{side['reached']} of {side['seeds']}" if side else "not run",
                     side["wall_s"] if side else "-"))  # fmt: skip
    bars.append(sooner(sides, found["compile_s"]) if sides else bar("95% of the expert 20x sooner: not run", None))
    what = "GAIL on seals/CartPole-v0 at the settings of imitation's tutorial"
    ratios = {"wall_ratio": faster, "processor_ratio": thriftier}
    finish("gail_cartpole", {"what": what, **ratios, "sides": sides, **found, "bars": bars}, rows)


def sooner(sides: dict[str, dict[str, Any]], compiling: float) -> dict[str, Any]:
    """The bar on the time to 95% of the expert, compile time left out and counted in."""
    ours, theirs = sides["theodolite"], sides["imitation"]
    without, counted = theirs["wall_s"] / ours["wall_s"], theirs["wall_s"] / (ours["wall_s"] + compiling)
    seeds = f"{ours['reached']} of {ours['seeds']} seeds against {theirs['reached']} of {theirs['seeds']}"
    says = f"95% of the expert at least 20x sooner: {without:.1f}, {counted:.1f} with compiling; {seeds}"
    return bar(says, without >= 20 and ours["reached"] == ours["seeds"])


if __name__ == "__main__":
    main()
