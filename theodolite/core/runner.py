"""Running an item: its jobs in worker processes, rows on disk as they come, then verdict, figure and report.

The same command on the same folder continues: jobs whose rows are whole are not done again. A job that fails does
not stop the others; at the end the failures are named, and running again tries them once more.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, cast

from theodolite.core import pool, results
from theodolite.core import scores as score_files
from theodolite.core.claim import SIZES, Item, Job, Row, Size
from theodolite.core.errors import UserError, unknown
from theodolite.core.files import alone, write_text
from theodolite.core.judge import Json, judge
from theodolite.core.scores import Scores, dumps


class JobsFailed(Exception):  # noqa: N818 (the name says what happened)
    """Some jobs failed; the others are saved and judged. The message names them and the file with their traces."""


class Progress(NamedTuple):
    """How far a run is."""

    done: int
    total: int
    rows: tuple[Row, ...]
    running: tuple[str, ...]
    failed: tuple[str, ...]


class Outcome(NamedTuple):
    """What a run left behind."""

    folder: Path
    scores: Scores
    verdict: Json


OnProgress = Callable[[Progress], None]


def run(
    item: Item,
    size: str,
    out: Path,
    seeds: int | None = None,
    workers: int = 2,
    on_progress: OnProgress | None = None,
) -> Outcome:
    """Do the jobs of an item that `out` does not hold yet, then judge, draw and report.

    Raises:
        UserError: unknown size, a folder of another configuration, a full disk.
        JobsFailed: some jobs raised; everything else is done and saved.
    """
    if size not in SIZES:
        raise unknown("size", size, SIZES, f"The sizes are {', '.join(SIZES)}.")
    if workers < 1 or (seeds is not None and seeds < 1):
        raise UserError(
            f"workers = {workers}, seeds = {seeds}: both must be at least 1. Leave them out for the default."
        )
    manifest = results.open_run(out, item, cast(Size, size), seeds)
    with alone(out):
        failures = _work(_Run(item, manifest, out), workers, on_progress or (lambda _: None))
        _write_failures(out, failures)
        outcome = finish(item, out)
    if failures:
        names = "; ".join(f"{name}: {trace.strip().splitlines()[-1]}" for name, trace in failures.items())
        raise JobsFailed(f"{len(failures)} of the jobs failed ({names}). The others are saved; the traces are in "
                         f"{out / 'failures.txt'}. The same command tries the failed ones again.")  # fmt: skip
    return outcome


def finish(item: Item, folder: Path) -> Outcome:
    """Judge the scores of a run folder; write verdict.json, figure.svg, figure.png and report.html."""
    from theodolite.core import figures, report  # matplotlib and jinja2 load slowly; workers do without

    manifest = results.read_json(folder / "run.json")
    scores = score_files.read(folder / "scores.jsonl").sorted()
    verdict = {**judge(item, scores, manifest["size"]), **results.provenance(manifest)}
    write_text(folder / "verdict.json", results.written(verdict))
    if scores.rows:
        figures.save(figures.of_item(item, scores.judged(verdict)), folder / "figure")
    report.write(folder, item, verdict, scores)
    if item.leave and scores.rows:
        item.leave(folder, manifest["size"])
    return Outcome(folder, scores, verdict)


class _Run:
    """The state of a run while its jobs come in."""

    def __init__(self, item: Item, manifest: Json, folder: Path) -> None:
        self.item, self.manifest, self.folder = item, manifest, folder
        self.jobs: list[Job] = pool.jobs_of(item, manifest["size"], manifest["seeds"])
        self.write_manifest()  # the folder is ours before it holds any row
        self.rows: list[Row] = list(score_files.reopen(folder / "scores.jsonl").rows)
        saved = {r["job"] for r in self.rows}
        self.missing = [i for i, job in enumerate(self.jobs) if job.name not in saved]
        self.missing.sort(key=lambda i: -self.jobs[i].cost)
        self.done = len(self.jobs) - len(self.missing)
        self.running: dict[int, str] = {}
        self.failures: dict[str, str] = {}
        self.started = time.monotonic()

    def tasks(self) -> list[pool.Task]:
        """What is missing, the longest first; notes the session in the manifest."""
        if self.missing:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            about = {"versions": results.versions(), "commit": results.commit(), "hardware": results.hardware()}
            self.manifest["sessions"].append({"started": now, "wall_s": 0.0, **about})
            self.write_manifest()
        return [pool.Task(self.item.module, self.manifest["size"], self.manifest["seeds"], i) for i in self.missing]

    def keep(self, done: pool.Done) -> None:
        """Write the rows of a job, or note its failure."""
        name = self.running.pop(done.index)
        if done.failure:
            self.failures[name] = done.failure
        else:
            rows = [{**r, "job": name, "of": len(done.rows), "wall_s": round(done.wall_s, 3)} for r in done.rows]
            score_files.append(self.folder / "scores.jsonl", rows)
            self.rows += rows
            self.done += 1
        self.manifest["sessions"][-1]["wall_s"] = round(time.monotonic() - self.started, 1)
        self.write_manifest()

    def write_manifest(self) -> None:
        """Replace run.json."""
        write_text(self.folder / "run.json", dumps(self.manifest, indent=1) + "\n")

    def progress(self) -> Progress:
        """How far it is."""
        running, failed = tuple(self.running.values()), tuple(self.failures)
        return Progress(self.done, len(self.jobs), tuple(self.rows), running, failed)


def _work(state: _Run, processes: int, on_progress: OnProgress) -> dict[str, str]:
    """Do what is missing; returns the traces of the jobs that failed."""
    tasks = state.tasks()
    on_progress(state.progress())
    for event in pool.in_parallel(tasks, min(processes, len(tasks))):
        if isinstance(event, pool.Task):
            state.running[event.index] = state.jobs[event.index].name
        else:
            state.keep(event)
        on_progress(state.progress())
    return state.failures


def _write_failures(folder: Path, failures: dict[str, str]) -> None:
    path = folder / "failures.txt"
    if failures:
        write_text(path, "\n".join(f"== {name}\n{trace}" for name, trace in failures.items()))
    else:
        path.unlink(missing_ok=True)
