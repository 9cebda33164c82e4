"""The command `visualize` as a user meets it, in a process of its own, compilation included: time and peak of memory.

SqueezeNet, one channel, 224 pixels, 512 steps: the time. VGG16, its last layer, 224 pixels: the memory, for which a
few steps do; its weights are got as docs/networks.md tells.
"""

import os
import subprocess
import sys
import tempfile
import time

from harness import COLD, ROOT, arguments, bar, finish

WALL_S, PEAK_GIB = 60, 4
RUNS = {
    "squeezenet": ("--objective", "channel:fire8:200", "--size", "224", "--steps", "512"),
    "vgg16": ("--model", "vgg16", "--objective", "channel:conv5_3:12", "--size", "224", "--steps", "8"),
}


def measured(words: tuple[str, ...], folder: str) -> dict[str, float]:
    """Seconds, seconds of processor and the peak in GiB of one run, with no cache of compiled programs."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "theodolite.cli", "visualize", *words, "--out", folder]
    began = time.perf_counter()
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path, **COLD})
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return {"wall_s": wall, "cpu_s": used.ru_utime + used.ru_stime, "peak_gib": used.ru_maxrss / 2**20}


def main() -> None:
    options = arguments(__doc__ or "")
    options.add_argument("--only", choices=tuple(RUNS), help="one of the runs; nothing is written")
    only, load = options.parse_args().only, os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: measured(words, folder) for name, words in RUNS.items() if only in (None, name)}
    rows: list[tuple] = [("", "s", "processor s", "peak GiB")]
    rows += [(name, *run.values()) for name, run in runs.items()]
    if only:
        print(rows)
        return
    wall, peak = runs["squeezenet"]["wall_s"], runs["vgg16"]["peak_gib"]
    found = {
        "what": "theodolite visualize, compilation included", "runs": runs, "load_before": load,
        "bars": [
            bar(f"SqueezeNet, 224 pixels, 512 steps in under {WALL_S} s: {wall:.0f} s", wall < WALL_S),
            bar(f"VGG16 at 224 pixels in under {PEAK_GIB} GiB: {peak:.2f} GiB", peak < PEAK_GIB),
        ],
    }  # fmt: skip
    finish("vision_visualize", found, rows)


if __name__ == "__main__":
    main()
