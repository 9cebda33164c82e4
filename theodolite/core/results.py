"""Result folders: what a run was, what it found, and whether the committed verdicts still follow from their scores.

run folder        run.json, scores.jsonl, verdict.json, figure.svg, figure.png, report.html
results/an17/gail/quick/        scores.jsonl.gz, verdict.json, figure.svg: the newest published run
page.html in either is a page of the item's own to play with
"""

import json
import math
import os
import platform
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import metadata
from pathlib import Path
from threading import Lock
from typing import Any

from theodolite.core import scores as score_files
from theodolite.core.claim import Item, Size
from theodolite.core.errors import UserError
from theodolite.core.files import write_bytes, write_text
from theodolite.core.judge import Json, judge
from theodolite.core.scores import Scores, dumps

PACKAGES = ("theodolite", "jax", "jaxlib", "numpy", "scipy", "equinox", "optax", "gymnasium", "envpool")
TOLERANCE = 1e-6
"""Relative difference of two numbers that counts as equal when verdicts are recomputed on another machine."""
PAGE = "page.html"
LOADING = Lock()
PLAIN_LIST = re.compile(r'\[\n((?: *(?:"[^\n]*|[-+.\deE]+|null|true|false),?\n)+) *\]')


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    from theodolite import __version__

    return {**found, "theodolite": __version__}


@cache
def commit() -> str | None:
    """The commit of the package's own repository, with "+" when files differ from it; None outside a repository."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    git = ["git", "-C", str(here)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10)
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no", "--", "theodolite"],
            capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def hardware() -> str:
    """Processor, cores and memory."""
    name = platform.processor() or platform.machine()
    try:
        models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        name = models[0].split(":", 1)[1].strip() if models else name
        memory = f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    except (OSError, ValueError, AttributeError):
        memory = ""
    return f"{name}, {os.cpu_count()} cores{memory}, {platform.system()}"


def command(item: Item, size: Size, seeds: int | None) -> str:
    """The command that repeats the run."""
    return shlex.join(["theodolite", "run", item.path, "--size", size] + (["--seeds", str(seeds)] if seeds else []))


def configuration(item: Item, size: Size, seeds: int | None) -> Json:
    """What a run folder must agree on before it is continued."""
    return {"item": item.path, "size": size, "seeds": seeds}


def read_json(path: Path) -> Json:
    """The object in a JSON file.

    Raises:
        UserError: the file is absent, or holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}); was the folder made by run?") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}). Restore it, or run again into another folder.") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} holds a {type(found).__name__} where an object belongs. Restore it.")
    return found


def open_run(folder: Path, item: Item, size: Size, seeds: int | None) -> Json:
    """The manifest of a run folder, new or continued.

    Raises:
        UserError: the folder belongs to another configuration, or holds other things.
    """
    wanted = configuration(item, size, seeds)
    manifest = folder / "run.json"
    if manifest.exists():
        found = read_json(manifest)
        differing = [k for k in wanted if found.get(k) != wanted[k]]
        if differing:
            was = ", ".join(f"{k} = {found.get(k)}" for k in differing)
            now = ", ".join(f"{k} = {wanted[k]}" for k in differing)
            raise UserError(f"{folder} holds a run with {was}, not {now}. Choose another folder with --out, "
                            "or repeat the command that made this one.")  # fmt: skip
        return {**found, "sessions": list(found.get("sessions", []))}
    if folder.exists() and (not folder.is_dir() or any(not p.name.startswith(".") for p in folder.iterdir())):
        raise UserError(f"{folder} exists and is no run folder. Choose another one with --out.")
    return {**wanted, "command": command(item, size, seeds), "sessions": []}


def provenance(manifest: Json) -> Json:
    """What a verdict says about its run: duration, versions, commits, command, hardware and date."""
    sessions = manifest["sessions"]
    last = sessions[-1] if sessions else {}
    commits = list(dict.fromkeys(s["commit"] for s in sessions if s.get("commit")))
    return {
        "wall_s": round(sum(s["wall_s"] for s in sessions), 1),
        "versions": last.get("versions", {}),
        "commit": " ".join(commits) or None,
        "command": manifest["command"],
        "hardware": last.get("hardware"),
        "date": last.get("started"),
    }


def publish(run_folder: Path, results_root: Path) -> Path:
    """Copy a judged run to results/<edition>/<item>/<size>; equal scores give equal bytes.

    Raises:
        UserError: the run is of smoke size, unfinished, or has no figure.
    """
    verdict = read_json(run_folder / "verdict.json")
    if verdict["size"] == "smoke":
        raise UserError(f"{run_folder} is a smoke run, which is never judged. Publish a quick or a full one.")
    scores = score_files.read(run_folder / "scores.jsonl")
    if scores.digest() != verdict["scores_sha256"]:
        raise UserError(f"{run_folder}/verdict.json does not belong to its scores. Run the same command again.")
    if (run_folder / "failures.txt").exists():
        raise UserError(f"{run_folder} has jobs that failed, see failures.txt. Mend them and run the command again.")
    target = results_root / verdict["item"] / verdict["size"]
    write_bytes(target / "figure.svg", (run_folder / "figure.svg").read_bytes())
    if (run_folder / PAGE).exists():
        write_bytes(target / PAGE, (run_folder / PAGE).read_bytes())
    write_bytes(target / "scores.jsonl.gz", score_files.compressed(scores))
    write_text(target / "verdict.json", written(verdict))
    return target


def written(verdict: Json) -> str:
    """A verdict as it is stored: a field a line, a list of plain values on one."""
    short = PLAIN_LIST.sub(
        lambda found: f"[{' '.join(map(str.strip, found[1].splitlines()))}]", dumps(verdict, indent=1)
    )
    return f"{short}\n"


def stored(results_root: Path) -> list[Path]:
    """Every folder of published results, in order."""
    return sorted(
        {p.parent for name in ("verdict.json", "scores.jsonl.gz") for p in results_root.glob(f"*/*/*/{name}")}
    )


def verify(results_root: Path, load: Callable[[str], Item]) -> list[str]:
    """Where the published verdicts differ from what their scores and today's claims say; empty when all agree.

    `load` turns a name such as an17/gail into its item.
    """
    return each(results_root, lambda folder: list(differences(folder, load)))


def each(results_root: Path, look: Callable[[Path], list[str]]) -> list[str]:
    """What `look` says of every published folder, in order, its mistakes included; NumPy frees several threads."""

    def said(folder: Path) -> list[str]:
        try:
            return [f"{folder}: {what}" for what in look(folder)]
        except UserError as error:
            return [f"{folder}: {error}"]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [what for found in pool.map(said, stored(results_root)) for what in found]


def rejudge(results_root: Path, load: Callable[[str], Item]) -> list[str]:
    """Give every published folder the verdict that its scores have today, after a change of a claim or of the judge.

    Scores and provenance stay, the figure, which says the verdict, is drawn anew; returns what changed. Folders whose
    scores are not the judged ones are left alone.
    """
    judged: dict[Path, tuple[Item, Scores]] = {}

    def renew(folder: Path) -> list[str]:
        changed = list(differences(folder, load))
        old, found = read_json(folder / "verdict.json"), score_files.read(folder / "scores.jsonl.gz")
        if found.digest() == old.get("scores_sha256") and not _misplaced(old, folder):
            item = _loaded(folder, load)
            new = judge(item, found, old["size"])
            write_text(folder / "verdict.json", written({**new, **{k: v for k, v in old.items() if k not in new}}))
            judged[folder] = item, found.sorted().judged(new)
        return changed

    changed = each(results_root, renew)
    for folder in sorted(judged):  # one after the other: Matplotlib's settings are the process's
        _redraw(folder, *judged[folder])
    return changed


def _redraw(folder: Path, item: Item, scores: Scores) -> None:
    from theodolite.core import figures  # matplotlib loads slowly

    figures.save(figures.of_item(item, scores), folder / "figure")
    (folder / "figure.png").unlink()  # what is published is the drawing alone


def differences(folder: Path, load: Callable[[str], Item]) -> Iterator[str]:
    """The places where the verdict of one published folder differs; `load` as in `verify`.

    Raises:
        UserError: a file cannot be read.
    """
    verdict = read_json(folder / "verdict.json")
    if _misplaced(verdict, folder):
        yield f"the verdict is of {verdict.get('item')} at size {verdict.get('size')}"
        return
    if not (folder / "scores.jsonl.gz").exists():
        yield "scores.jsonl.gz is missing"
        return
    found: Scores = score_files.read(folder / "scores.jsonl.gz")
    if found.digest() != verdict.get("scores_sha256"):
        yield "scores.jsonl.gz does not hold the scores that were judged: its scores_sha256 is not the stored one"
        return
    yield from compare(verdict, judge(_loaded(folder, load), found, verdict["size"]))


def _loaded(folder: Path, load: Callable[[str], Item]) -> Item:
    """The item of a folder; one thread imports at a time, since Python 3.11 fails to build syntax trees in two."""
    with LOADING:
        return load("/".join(folder.parts[-3:-1]))


def _misplaced(verdict: Json, folder: Path) -> bool:
    return (verdict.get("item"), verdict.get("size")) != ("/".join(folder.parts[-3:-1]), folder.parts[-1])


def compare(stored_verdict: Any, recomputed: Any, where: str = "") -> Iterator[str]:
    """The places where two verdicts differ; what only the stored one has, such as versions, is not compared at top."""
    if isinstance(recomputed, dict) and isinstance(stored_verdict, dict):
        extra = stored_verdict.keys() - recomputed.keys() if where else ()
        for key in [*recomputed, *sorted(extra)]:
            inner = f"{where}.{key}" if where else key
            yield from compare(stored_verdict.get(key), recomputed.get(key), inner)
    elif isinstance(recomputed, list) and isinstance(stored_verdict, list) and len(recomputed) == len(stored_verdict):
        for index, (old, new) in enumerate(zip(stored_verdict, recomputed, strict=True)):
            name = new.get("id", index) if isinstance(new, dict) else index
            yield from compare(old, new, f"{where}[{name}]")
    elif not _equal(stored_verdict, recomputed):
        yield f"{where} is stored as {dumps(stored_verdict)}, recomputed as {dumps(recomputed)}"


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return type(a) is type(b) and a == b
