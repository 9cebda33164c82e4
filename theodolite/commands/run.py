"""theodolite run ITEM: rerun its claims, print arms, intervals and verdicts, draw the figure, write the report."""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from theodolite.commands.parsing import parse


@dataclass(frozen=True)
class Flags:
    """Rerun an item's claims. The same command continues an interrupted run."""

    item: Annotated[str, tyro.conf.Positional]
    """A short name such as gail, or a path such as an17/gail."""
    size: Literal["smoke", "quick", "full"] = "quick"
    """smoke: seconds, never judged; quick: minutes on 2 cores; full: an hour or two."""
    seeds: int | None = None
    """Seeds per arm; the size's own number if left out."""
    out: str | None = None
    """The run's folder; runs/ITEM-SIZE if left out."""
    workers: int = os.cpu_count() or 1
    """Processes that work at the same time."""


def main(argv: list[str]) -> int:
    """Run; 1 if jobs failed."""
    flags = parse(Flags, argv, "run")
    from theodolite.claims import registry
    from theodolite.core import runner

    entry = registry.find(flags.item)
    item = registry.load(flags.item)
    folder = Path(flags.out or f"runs/{entry.name}-{flags.size}")
    display = Display(f"{item.title}, {flags.size}")
    try:
        with display:
            outcome = runner.run(item, flags.size, folder, flags.seeds, flags.workers, display.show)
    except runner.JobsFailed as error:
        print(f"theodolite: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"theodolite: interrupted; finished jobs are saved in {folder}. The same command continues.",
              file=sys.stderr)  # fmt: skip
        return 130
    print_outcome(outcome)
    return 0


class Display:
    """Progress of a run: a live table on a terminal, elsewhere a plain line for every job that begins or ends."""

    def __init__(self, title: str) -> None:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=sys.stderr)
        self.title, self.started = title, time.monotonic()
        self._live = Live(console=console, refresh_per_second=4) if console.is_terminal else None
        self._seen: tuple = ()
        self._first = 0

    def __enter__(self) -> "Display":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self._live:
            self._live.stop()

    def show(self, progress: Any) -> None:
        """Take note of how far the run is."""
        seen = progress.done, progress.running
        if not self._seen:
            self._first = progress.done
        if self._live:
            self._live.update(self._table(progress))
        elif seen != self._seen:
            failed = f", {len(progress.failed)} failed" if progress.failed else ""
            at_work = f"; at work: {', '.join(progress.running)}" if progress.running else ""
            state = f"{progress.done} of {progress.total} jobs{failed}{at_work}"
            print(f"{self._time(progress)}  {state}", file=sys.stderr, flush=True)
        self._seen = seen

    def _time(self, progress: Any) -> str:
        from theodolite.commands.progress import duration

        elapsed = time.monotonic() - self.started
        fresh = progress.done - self._first
        left = f", {duration(elapsed / fresh * (progress.total - progress.done))} left" if fresh else ""
        return duration(elapsed) + left

    def _table(self, progress: Any) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        table = Table(title=self.title, show_header=False, title_justify="left", min_width=50)
        table.add_row("jobs", ProgressBar(total=max(progress.total, 1), completed=progress.done, width=40))
        table.add_row("", f"{progress.done} of {progress.total}, {self._time(progress)}")
        for name in progress.running:
            table.add_row("at work", name)
        for name in progress.failed:
            table.add_row("failed", name)
        return table


def print_outcome(outcome: Any) -> None:
    """Tables of arms by cases with the source's numbers, the verdict on every claim, and where the report lies."""
    from rich.console import Console

    from theodolite.core import report

    console = Console()
    shown = []
    for claim in outcome.verdict["claims"]:
        told = (claim["metric"], list(claim["arms"]), claim["cases"])
        if claim["arms"] and told not in shown:  # claims that speak of the same scores share a table
            console.print(_table(claim, report))
        shown.append(told)
        sign, source = (
            report.BADGES.get(claim["verdict"], ""),
            ", ".join(filter(None, (claim["source"], claim["where"]))),
        )
        console.print(f"{sign} {claim['verdict'].upper()}  {claim['text']} [{source}]", markup=False)
        for line in [claim["reason"]] if claim["reason"] else _against(claim):
            console.print(f"  {line}", markup=False, style="dim")
    if outcome.verdict["size"] != "smoke":
        console.print(f"\n{beside_published(outcome.verdict)}", markup=False)
    console.print(f"\nreport: {outcome.folder / 'report.html'}", markup=False, soft_wrap=True)


def _against(claim: Any) -> list[str]:
    """What was expected and did not come out."""
    if claim["verdict"] not in ("partly", "refuted"):
        return []
    kept = [e for e in claim["expect"] if e["outcome"] != "supported"]
    return [f"{e['outcome']}: {e['says']}" + f" ({', '.join(e['cases'])})" * bool(e["cases"]) for e in kept]


def beside_published(verdict: Any) -> str:
    """How the verdicts stand to the published ones of the item."""
    from theodolite.commands.show import published

    name = verdict["item"].rpartition("/")[2]
    before = {id: said.rpartition(", ") for id, said in published(name).items()}
    ours = {c["id"]: c["verdict"] for c in verdict["claims"] if c["id"] in before}
    if not ours:
        return "Nothing is published of it."
    size = next(iter(before.values()))[2]
    differs = [f"{id} ({before[id][0]})" for id, said in ours.items() if said != before[id][0]]
    told = f"; published otherwise: {', '.join(differs)}" if differs else ""
    return f"Verdicts as published at size {size}: {len(ours) - len(differs)} of {len(ours)}{told}."


def _table(claim: Any, report: Any) -> Any:
    """Arms in columns, cases in rows; under each estimate its interval and, behind a diamond, the source's number."""
    from rich import box
    from rich.table import Table

    title = (claim["unit"] or claim["metric"]) + (
        f" (◇ the {claim['source']}'s number)" if claim["paper_value"] else ""
    )
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("case", no_wrap=True)
    for arm in claim["arms"]:
        table.add_column(arm, justify="right")
    cells = [found for arm in claim["arms"].values() for found in arm["cases"].values()]
    scale = max((abs(found["estimate"]) for found in cells if found["estimate"] is not None), default=1.0)
    for case in claim["cases"]:
        table.add_row(case, *(_cell(claim, arm, case, scale, report) for arm in claim["arms"]))
    return table


def _cell(claim: Any, arm: str, case: str, scale: float, report: Any) -> str:
    found = claim["arms"][arm]["cases"].get(case)
    if not found:
        return "–"
    paper = claim["paper_value"].get(arm, {}).get(case)
    source = "" if paper is None else f"◇ {report.number(paper, scale)}"
    return "\n".join(
        part for part in (report.number(found["estimate"], scale), report.bracket(found, scale), source) if part
    )
