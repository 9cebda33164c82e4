"""How far long work is: a live table on a terminal, a plain line now and then elsewhere; on standard error."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

LINE_EVERY_S = 5.0
"""Seconds between plain lines; they double after each, up to a minute."""


class Told(Protocol):
    """What is shown of a chunk of work."""

    @property
    def update(self) -> int:
        """How far it is."""
        ...

    @property
    def metrics(self) -> Mapping[str, Any]:
        """By name, the last axis over updates."""
        ...


class TrainingDisplay:
    """Progress of a training run; a context manager."""

    def __init__(self, title: str, updates: int, steps_per_update: int, seeds: int, done: int = 0) -> None:
        self.title, self.updates, self.per_update, self.seeds = title, updates, steps_per_update, seeds
        self.first = self.done = done
        self.metrics: dict[str, float] = {}
        self.started = time.monotonic()
        self._first_chunk: tuple[float, int] | None = None
        self._next_line, self._gap, self._printed = 0.0, LINE_EVERY_S, done
        console = Console(file=sys.stderr)
        self._live = Live(console=console, auto_refresh=False, transient=False) if console.is_terminal else None

    def __enter__(self) -> "TrainingDisplay":
        if self._live:
            self._live.start()
            self._live.update(self.table(), refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.update(self.table(), refresh=True)
            self._live.stop()
        elif self.done != self._printed:
            self._print()

    def show(self, chunk: Told) -> None:
        """Take note of a chunk."""
        now = time.monotonic()
        self.done = chunk.update
        self.metrics = {name: _mean(np.asarray(values)[:, -1]) for name, values in chunk.metrics.items()}
        if self._first_chunk is None:
            self._first_chunk = now, self.done
        if self._live:
            self._live.update(self.table(), refresh=True)
        elif now >= self._next_line:
            self._print()
            self._next_line, self._gap = now + self._gap, min(2 * self._gap, 60.0)

    def rate(self) -> float | None:
        """Updates per second since the first chunk, which compiled."""
        if self._first_chunk is None or self.done == self._first_chunk[1]:
            return None
        return (self.done - self._first_chunk[1]) / max(time.monotonic() - self._first_chunk[0], 1e-9)

    def facts(self) -> dict[str, str]:
        """What is shown, in words."""
        rate = self.rate()
        steps = f"{self.done * self.per_update:,} of {self.updates * self.per_update:,}"
        facts = {"steps": steps + (f" x {self.seeds} seeds" if self.seeds > 1 else "")}
        if rate:
            facts["speed"] = f"{rate * self.per_update * self.seeds:,.0f} steps/s"
            facts["left"] = duration((self.updates - self.done) / rate)
        return facts

    def table(self) -> Table:
        """The live table."""
        table = Table(title=self.title, show_header=False, title_justify="left", min_width=50)
        table.add_row("done", ProgressBar(total=self.updates, completed=self.done, width=40))
        for name, value in self.facts().items():
            table.add_row(name, value)
        for name, value in self.metrics.items():
            table.add_row(name.replace("_", " "), _said(value))
        if not self.metrics:
            table.add_row("", "compiling")
        return table

    def _print(self) -> None:
        shown = list(self.facts().items())
        best = ["return", "episodes"] if "return" in self.metrics else list(self.metrics)[:3]
        shown += [(name.replace("_", " "), _said(self.metrics[name])) for name in best]
        self._printed = self.done
        elapsed = duration(time.monotonic() - self.started)
        print(f"{elapsed:>6}  " + ", ".join(f"{k} {v}" for k, v in shown), file=sys.stderr, flush=True)


def _said(value: float) -> str:
    """A dash for what is not known yet: no episode has ended."""
    return f"{value:.4g}" if np.isfinite(value) else "–"


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def duration(seconds: float) -> str:
    """Seconds as 42 s, 3:05 min or 2:10 h."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}:{rest:02} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02} h"
