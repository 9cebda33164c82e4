"""What the benchmarks share: workers in turns, ratios with intervals, the machine, tables and result files.

Speeds are compared as ratios of neighbouring segments (A B A B ...), because a shared machine drifts: both sides of
one ratio see the same load. The interval is the 95% t interval of the mean log ratio.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from theodolite.core import files

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
RESULTS = ROOT / "results" / "bench"
PEERS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "theodolite" / "peers"
COLD = {"THEODOLITE_CACHE": ""}
"""The environment of a worker whose compilation is measured: no persistent cache."""


class Worker:
    """A process that runs one of the scripts here and answers in JSON lines; see worker.py."""

    def __init__(self, script: str, *arguments: Any, python: str | Path = sys.executable, env: Mapping = COLD):
        command = [str(python), str(BENCH / script), *map(str, arguments)]
        self._errors = None if os.environ.get("BENCH_VERBOSE") else subprocess.DEVNULL
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, "PYTHONPATH": path, **env},
        )
        self.first = self._reply()

    def run(self, segment: str) -> dict[str, Any]:
        """Run a segment once."""
        assert self._process.stdin is not None
        self._process.stdin.write(segment + "\n")
        self._process.stdin.flush()
        return self._reply()

    def _reply(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(map(str, self._process.args))} died; BENCH_VERBOSE=1 shows what it said.")
        return json.loads(line)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def in_turns(workers: Mapping[str, Worker], segment: str, rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Every worker's segment once per round, round after round."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
    for _ in range(rounds):
        for name, worker in workers.items():
            runs[name].append(worker.run(segment))
    return runs


def ratio(slow: Sequence[float], fast: Sequence[float]) -> dict[str, Any]:
    """The geometric mean of slow / fast over the rounds, with its 95% interval."""
    logs = np.log(np.asarray(slow) / np.asarray(fast))
    half = stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / len(logs) ** 0.5 if len(logs) > 1 else np.nan
    mean, low, high = np.exp([logs.mean(), logs.mean() - half, logs.mean() + half])
    return {"ratio": float(mean), "low": float(low), "high": float(high), "rounds": len(logs)}


def said(r: Mapping[str, Any]) -> str:
    """A ratio with its interval, for people."""
    return f"{r['ratio']:.2f} [{r['low']:.2f}, {r['high']:.2f}]"


def column(runs: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    """One quantity of every run."""
    return [run[name] for run in runs]


def median(runs: Sequence[Mapping[str, Any]], name: str) -> float:
    """The median of one quantity."""
    return float(np.median(column(runs, name)))


def machine() -> dict[str, Any]:
    """Where and on what the numbers were measured."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [s.split(":")[1].strip() for s in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in s]
        cpu = names[0] if names else cpu
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = {name: version(name) for name in ("jax", "jaxlib", "equinox", "optax", "numpy")}
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory, 1),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": packages,
    }


def arguments(description: str) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description.strip().split("\n")[0])
    parser.add_argument("--peers", type=Path, default=PEERS, help="folder of the peers' environments (see peers.py)")
    parser.add_argument("--rounds", type=int, default=8, help="alternations")
    return parser


def finish(name: str, found: dict[str, Any], rows: Sequence[Sequence[Any]]) -> None:
    """Print the table, whose first row is the header, and write the result file."""
    text = [[cell if isinstance(cell, str) else number(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in text) for i in range(len(text[0]))]
    for row in text:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    found = {**found, "table": text, "machine": {**machine(), "load_before": found.pop("load_before", None)}}
    files.write_text(RESULTS / f"{name}.json", json.dumps(found, indent=1, default=float) + "\n")


def number(x: float) -> str:
    """Three digits, or all before the point; a dash for what is not there."""
    if np.isnan(x):
        return "–"
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.3g}"


def bar(says: str, met: bool | None) -> dict[str, Any]:
    """What was to be reached, and whether it was; None while too little has run to say so.

    The estimate decides, and `says` tells its interval too; where the interval decides, `says` says that.
    """
    return {"says": says, "met": None if met is None else bool(met)}
