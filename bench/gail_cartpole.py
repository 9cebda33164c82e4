"""GAIL on seals/CartPole-v0 against imitation at the settings of its tutorial, from the same 60 demonstrations.

8 environments x 2,048 steps a round; PPO with 5 epochs of minibatches of 64, Adam at 4e-4, discount 0.95, two 64-64
tanh nets; the discriminator has 32-32 hidden units and 8 updates a round on 1,024 pairs of each class. Ours has tanh
where imitation's has ReLU, and draws the policy's pairs from the whole round where imitation keeps its last 512.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from gail_task import make_demos
from harness import Worker, arguments, bar, column, finish, in_turns, median, ratio, said
from peers import python


def reaching(name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """How long a side took to reach the target, over its seeds; runs that never did count at their full length."""
    return {
        "name": name,
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
        goal = demos, 0.95 * expert, options.most
        with Worker("gail_ours.py", *goal) as a, Worker("gail_imitation.py", *goal, python=peer) as b:
            workers = {"theodolite": a, "imitation": b}
            runs = in_turns(workers, "chunk", options.rounds)
            reached = in_turns(workers, "reach", options.seeds)
            compiling = a.first["compile_s"]
    report({"expert_return": expert, "chunks": runs, "reach": reached, "compile_s": compiling, "load_before": load})


def report(found: dict[str, Any]) -> None:
    """The ratios, the bars and the table."""
    runs, compiling = found["chunks"], found["compile_s"]
    per_step = {
        name: {key: [r[key] / r["steps"] for r in rs] for key in ("wall_s", "cpu_s")} for name, rs in runs.items()
    }
    faster, thriftier = (ratio(per_step["imitation"][k], per_step["theodolite"][k]) for k in ("wall_s", "cpu_s"))
    sides = {name: reaching(name, rs) for name, rs in found["reach"].items()}
    ours, theirs = sides["theodolite"], sides["imitation"]
    sooner, with_compile = theirs["wall_s"] / ours["wall_s"], theirs["wall_s"] / (ours["wall_s"] + compiling)
    all_reached = ours["reached"] == ours["seeds"]
    rows = [("", "env steps/s", "steps per processor s", "seeds at 95%", "wall s to it", "processor s", "env steps")]
    for name, rs in runs.items():
        side, steps = sides[name], rs[0]["steps"]
        speed, frugal = steps / median(rs, "wall_s"), steps / median(rs, "cpu_s")
        reached = f"{side['reached']} of {side['seeds']}"
        rows.append((name, speed, frugal, reached, side["wall_s"], side["cpu_s"], side["steps"]))
    found = {
        "what": "GAIL on seals/CartPole-v0 at the settings of imitation's tutorial",
        "wall_ratio": faster,
        "processor_ratio": thriftier,
        "sooner": {"without_compile": sooner, "with_compile": with_compile, "sides": sides},
        **found,
        "bars": [
            bar(f"at least 30x imitation's steps/s: {said(faster)}", faster["ratio"] >= 30),
            bar(
                f"95% of the expert at least 20x sooner: {sooner:.1f}, {with_compile:.1f} with {compiling:.1f} s of "
                f"compiling; {ours['reached']} of {ours['seeds']} seeds against {theirs['reached']} of "
                f"{theirs['seeds']}",
                sooner >= 20 and all_reached,
            ),
        ],
    }
    finish("gail_cartpole", found, rows)


if __name__ == "__main__":
    main()
