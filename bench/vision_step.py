"""One step of an image's optimisation through a VGG-like stack of six convolutions, against PyTorch and plain XLA.

The gradient by a 224x224 image, float32, two threads. Ours differs from plain XLA by Winograd's filtering in the
convolutions of many channels and by the gradient of the pools; all three walk to the same image.
"""

import os

import numpy as np
from harness import Worker, arguments, bar, column, finish, in_turns, median, ratio, said
from peers import python


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    load, torch = os.getloadavg()[0], python(options.peers, "imitation")
    with Worker("vision_ours.py") as ours, Worker("vision_torch.py", python=torch) as peer:
        runs = in_turns({"theodolite": ours, "torch": peer}, "steps", options.rounds)
    with Worker("vision_ours.py", "plain") as plain:
        runs |= in_turns({"plain XLA": plain}, "steps", 2)
    faster = ratio(column(runs["torch"], "wall_s"), column(runs["theodolite"], "wall_s"))
    thriftier = ratio(column(runs["torch"], "cpu_s"), column(runs["theodolite"], "cpu_s"))
    rows: list[tuple] = [("", "s per step", "processor s per step", "peak MiB", "moved by")]
    for name, rs in runs.items():
        each = (median(rs, kind) / rs[0]["steps"] for kind in ("wall_s", "cpu_s"))
        rows.append((name, *each, max(column(rs, "peak_mib")), f"{rs[0]['moved']:.6f}"))
    moved = [rs[0]["moved"] for rs in runs.values()]
    found = {
        "what": "One step through a VGG-like stack of six convolutions at 224x224",
        "wall_ratio": faster,
        "processor_ratio": thriftier,
        "steps": runs,
        "load_before": load,
        "bars": [
            bar(f"no slower than torch: torch takes {said(faster)} of our time", faster["ratio"] >= 1),
            bar("all walk to the same image, to a thousandth", np.ptp(moved) < 1e-3 * np.mean(moved)),
        ],
    }
    finish("vision_step", found, rows)


if __name__ == "__main__":
    main()
