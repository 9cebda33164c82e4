"""How long a command takes to be of use: the help text, and the first chunk of a second run of the same shapes."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import ROOT, arguments, bar, finish, median

COMMAND = (sys.executable, "-m", "theodolite.cli")


def run(*arguments: Any, metrics: Path | None = None) -> dict[str, float]:
    """Wall and processor seconds of a command, and those until it wrote its first line of metrics."""
    before, began = os.times(), time.perf_counter()
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    first = float("nan")
    while process.poll() is None:
        if metrics and first != first and metrics.exists() and metrics.stat().st_size:
            first = time.perf_counter() - began
        time.sleep(0.005)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, arguments))} ended with exit code {process.returncode}.")
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return {"wall_s": time.perf_counter() - began, "cpu_s": spent, "first_chunk_s": first}


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--runs", type=int, default=4, help="runs of each training; the first one compiles")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    help_runs = [run("--help") for _ in range(options.rounds)]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        run("demos", "record", "--env", "CartPole-v1", "--policy", "random", "--out", place / "demos")
        learn = {"train ppo": ("train", "ppo"), "train gail": ("train", "gail", "--demos", place / "demos")}
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in learn}
        for k in range(options.runs):
            for name, command in learn.items():
                out = place / f"{name} {k}"
                common = "--env", "CartPole-v1", "--steps", 20_000, "--out", out
                runs[name].append(run(*command, *common, metrics=out / "metrics.jsonl"))
    second = {name: rs[1:] for name, rs in runs.items()}
    rows: list[tuple] = [("", "wall s", "to the first chunk, s", "processor s")]
    rows.append(("theodolite --help", median(help_runs, "wall_s"), "-", median(help_runs, "cpu_s")))
    for name, rs in second.items():
        rows.append((name, *(median(rs, key) for key in ("wall_s", "first_chunk_s", "cpu_s"))))
    found = {
        "what": "Start-up: the help text, and the second run of the same shapes (warm compilation cache)",
        "help": help_runs,
        "train": runs,
        "load_before": load,
        "bars": [bar(f"help within 0.4 s: {rows[1][1]:.2f} s, {rows[1][3]:.2f} s of processor", rows[1][1] <= 0.4)]
        + [
            bar(f"second {name}: first chunk within 3 s: {first:.1f} s, all {cpu:.1f} s of processor", first <= 3)
            for name, _, first, cpu in rows[2:]
        ],
    }
    finish("startup", found, rows)


if __name__ == "__main__":
    main()
