"""Worker processes for independent jobs: spawned, one thread each, replaced when they die.

A worker gets strings and integers only and imports the item by itself. It limits XLA to one thread, since two
workers on two cores are faster than one job on both; it ignores Ctrl-C, which is the parent's to handle, and ends
with its parent, however that ended.
"""

import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

from theodolite.core import compile_cache
from theodolite.core.claim import Item, Job, Row, Size

ONE_THREAD = {"NPROC": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""NPROC sizes XLA's thread pool. The well-known --xla_cpu_multi_thread_eigen=false no longer does (JAX 0.10.2: two
busy threads with it, one with NPROC), and flags would split the compilation cache."""


class Task(NamedTuple):
    """What a worker is told: enough to find one job again."""

    module: str
    size: Size
    seeds: int | None
    index: int


class Done(NamedTuple):
    """What comes back: rows, or the traceback of the failure."""

    index: int
    rows: list[Row]
    failure: str
    wall_s: float


def jobs_of(item: Item, size: Size, seeds: int | None) -> list[Job]:
    """The jobs of an item; their names tell them apart, also after a restart."""
    jobs = item.jobs(size, seeds)
    names = [job.name for job in jobs]
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise ValueError(
            f"{item.path} has several jobs named {', '.join(twins)}: arm, case and seeds must tell them apart"
        )
    return jobs


def perform(task: Task) -> Done:
    """Do one job in this process; an exception becomes a traceback."""
    started = time.monotonic()
    try:
        item = importlib.import_module(task.module).ITEM
        job = jobs_of(item, task.size, task.seeds)[task.index]
        rows = list(job.run())
        if not rows:
            raise ValueError(f"job {job.name} returned no rows")
        rows = [_sound(r) for r in rows]
    except Exception:
        return Done(task.index, [], traceback.format_exc(), time.monotonic() - started)
    return Done(task.index, rows, "", time.monotonic() - started)


def _sound(found: Row) -> Row:
    # Scalars of NumPy and JAX become plain numbers here: they need not survive the way to the parent.
    metrics = {str(k): float(v) for k, v in found["metrics"].items()}
    curves = {k: [[float(v) for v in axis] for axis in axes] for k, axes in found.get("curves", {}).items()}
    sound = {"arm": str(found["arm"]), "case": str(found["case"]), "seed": int(found["seed"]), "metrics": metrics}
    return {**sound, "curves": curves} if curves else sound


def serve(pipe: Connection) -> None:
    """The life of a worker: a task in, a result out, until the parent closes the pipe or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.dup2(sys.stderr.fileno(), 1)  # a job that prints must not break the JSON on the parent's output
    while True:
        try:
            pipe.send(perform(Task(*pipe.recv())))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class Worker:
    """One spawned process and the job that it is doing."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, child = context.Pipe()
        self.process = context.Process(target=serve, args=(child,), daemon=True)
        self.task: Task | None = None
        self.started = 0.0
        with _environment():
            self.process.start()
        child.close()

    def give(self, task: Task) -> None:
        """Send a task."""
        self.task, self.started = task, time.monotonic()
        with suppress(BrokenPipeError):  # a dead worker is noticed, and named, by take
            self.pipe.send(tuple(task))

    def take(self) -> Done:
        """The result that is waiting, or the way in which the process ended."""
        assert self.task is not None
        try:
            return Done(*self.pipe.recv())
        except (EOFError, ConnectionResetError):
            self.process.join()
            code = self.process.exitcode
            how = f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
            hint = " (out of memory?)" if code == -signal.SIGKILL else ""
            failure = f"the worker process ended with {how}{hint}\n"
            return Done(self.task.index, [], failure, time.monotonic() - self.started)

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self.pipe.close()
        self.process.terminate()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


@contextmanager
def _environment() -> Iterator[None]:
    """The environment that a spawned process inherits: set in the parent, because a child may import JAX at once."""
    wanted = {**ONE_THREAD, "XLA_PYTHON_CLIENT_PREALLOCATE": "false", **compile_cache.environment()}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def in_parallel(tasks: list[Task], workers: int) -> Iterator[Done | Task]:
    """Results as they come; a task is yielded itself at the moment when a worker starts on it."""
    waiting = list(reversed(tasks))
    crew: list[Worker] = []
    try:
        while waiting or any(w.task for w in crew):
            while waiting and len(crew) < workers:
                crew.append(Worker())
            for worker in crew:
                if worker.task is None and waiting:
                    task = waiting.pop()
                    worker.give(task)
                    yield task
            for pipe in wait([w.pipe for w in crew if w.task]):
                worker = next(w for w in crew if w.pipe is pipe)
                done = worker.take()
                worker.task = None
                if not worker.process.is_alive():
                    worker.stop()
                    crew.remove(worker)
                yield done
    finally:
        for worker in crew:
            worker.stop()
