"""Seeds on an environment outside JAX: a process each, at most one per core, in sub-folders of one run."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from theodolite.core import results, runlog
from theodolite.core.files import write_text
from theodolite.core.scores import dumps

SWITCHES = ("--seed", "--seeds", "--out")


def train(setup: Any, folder: Path, argv: list[str]) -> int:
    """Train every seed with the same command in its own process; the worst exit code."""
    setup.envs.close()
    plan = setup.plan
    parts = [f"seed-{plan.seed + k}" for k in range(plan.seeds)]
    found = runlog.check(folder, setup.identity)
    about = {**found, **setup.identity, **setup.about, "parts": parts, "versions": results.versions()}
    write_text(folder / runlog.MANIFEST, dumps({**about, "commit": results.commit()}, indent=1) + "\n")
    common = without(argv, SWITCHES)
    commands = [[*common, "--seed", str(plan.seed + k), "--out", str(folder / part)] for k, part in enumerate(parts)]
    code = in_processes([[sys.executable, "-m", "theodolite.cli", "train", *words] for words in commands], parts)
    if code == 0:
        print(f"{folder} holds {plan.seeds} seeds. Next: theodolite evaluate {folder}")
    return code


def in_processes(commands: list[list[str]], names: list[str]) -> int:
    """Run commands, as many at once as there are cores; their lines are passed on behind their names."""
    waiting = list(zip(commands, names, strict=True))[::-1]
    running: list[tuple[subprocess.Popen, str]] = []
    worst = 0
    try:
        while waiting or running:
            while waiting and len(running) < (os.cpu_count() or 1):
                words, name = waiting.pop()
                print(f"{name}: started", file=sys.stderr, flush=True)
                running.append((subprocess.Popen(words, stdin=subprocess.DEVNULL), name))
            time.sleep(0.1)
            for process, name in [r for r in running if r[0].poll() is not None]:
                running.remove((process, name))
                worst = max(worst, abs(process.returncode))
                how = "done" if process.returncode == 0 else f"ended with exit code {process.returncode}"
                print(f"{name}: {how}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        # the processes got the same signal from the terminal, and save what they have
        for process, _ in running:
            process.wait()
        print("theodolite: interrupted; what was finished is saved. The same command continues.", file=sys.stderr)
        return 130
    finally:
        for process, _ in running:
            process.terminate()
    return worst


def without(argv: list[str], switches: tuple[str, ...]) -> list[str]:
    """A command line without some flags and their values."""
    kept, skip = [], False
    for word in argv:
        if skip:
            skip = False
        elif word in switches:
            skip = True
        elif word.split("=")[0] not in switches:
            kept.append(word)
    return kept
