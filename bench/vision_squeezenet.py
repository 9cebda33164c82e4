"""One optimisation step of a picture through SqueezeNet 1.1 against PyTorch: the real network, basis and transforms.

The picture has 224x224 pixels in the Fourier basis with decorrelated colours, every step draws one of the standard
transforms (shift, scale and rotation as one bilinear resampling), and Adam ascends the mean of a channel of fire9. Both
sides have the same weights and two threads; of one picture and one draw they must find the same objective and gradient.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
from harness import Worker, arguments, bar, column, finish, in_turns, median, ratio, said
from peers import python
from vision_squeezenet_task import SHAPE, scale

from theodolite.interpret.vision import models, parameterizations, transforms


def prepare(folder: Path) -> None:
    """What both sides read: the weights, the constants of the basis, a picture and a draw of the transforms."""
    weights = {f"{layer}:{part}": np.asarray(array) for layer, parts in models.load("squeezenet").params.items()
               for part, array in parts.items()}  # fmt: skip
    rng = np.random.default_rng(0)
    angle, zoom = np.deg2rad(7.0), 1.06
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / zoom
    np.savez(
        folder / "task.npz", **weights, scale=scale(), colours=parameterizations.DECORRELATE,
        waves=rng.normal(0, 0.05, SHAPE).astype(np.float32), matrix=turn.astype(np.float32),
        shift=np.array([2.0, -3.0], np.float32), scales=np.array(transforms.STANDARD_SCALES, np.float32),
        angles=np.array(transforms.STANDARD_ANGLES, np.float32),
    )  # fmt: skip


def apart(folder: Path) -> dict[str, float]:
    """By how much the two sides differ on the picture and the draw, relative to the value."""
    ours, theirs = (np.load(folder / f"{name}.npz") for name in ("ours", "torch"))
    gap = np.linalg.norm(ours["gradient"] - theirs["gradient"]) / np.linalg.norm(theirs["gradient"])
    return {"objective": abs(float(ours["objective"] / theirs["objective"]) - 1), "gradient": float(gap)}


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    load, torch = os.getloadavg()[0], python(options.peers, "imitation")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        with (
            Worker("vision_squeezenet_ours.py", folder) as ours,
            Worker("vision_squeezenet_torch.py", folder, python=torch) as peer,
        ):
            runs = in_turns({"theodolite": ours, "torch": peer}, "steps", options.rounds)
            layout, gaps = peer.first["layout"], apart(folder)
    faster = ratio(column(runs["torch"], "wall_s"), column(runs["theodolite"], "wall_s"))
    thriftier = ratio(column(runs["torch"], "cpu_s"), column(runs["theodolite"], "cpu_s"))
    rows: list[tuple] = [("", "s per step", "processor s per step", "peak MiB", "objective reached")]
    for name, rs in runs.items():
        each = (median(rs, kind) / rs[0]["steps"] for kind in ("wall_s", "cpu_s"))
        rows.append((name, *each, max(column(rs, "peak_mib")), median(rs, "reached")))
    found = {
        "what": "One step of a 224x224 picture through SqueezeNet 1.1, Fourier basis, standard transforms, Adam",
        "wall_ratio": faster, "processor_ratio": thriftier, "apart": gaps, "layout_of_torch": layout, "steps": runs,
        "load_before": load,
        "bars": [
            bar(f"no slower than torch: torch takes {said(faster)} of our time", faster["ratio"] >= 1),
            bar("the same objective and gradient, to a hundredth", max(gaps.values()) < 0.01),
        ],
    }  # fmt: skip
    finish("vision_squeezenet", found, rows)
    print(f"torch takes {said(faster)} of our time, {said(thriftier)} of our processor time, in {layout}.")
    print(f"apart on one draw: objective {gaps['objective']:.1e}, gradient {gaps['gradient']:.1e}.")


if __name__ == "__main__":
    main()
