"""A training run is a folder: what it is (run.json), what happened (metrics.jsonl), where it stands (last.npz).

The same command continues it. A checkpoint notes how long metrics.jsonl was when it was taken; what came after, in a
process that was killed, is cut off and computed again, to the same bits. Nothing in the last two files depends on the
clock: an interrupted and continued run leaves the same bytes as one that ran through.
"""

import json
import math
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from theodolite.core import checkpoint, results
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.errors import NotFinite, UserError
from theodolite.core.files import LOCK, alone, write_text
from theodolite.core.judge import Json
from theodolite.core.scores import dumps, plain
from theodolite.core.train import Chunk

MANIFEST, METRICS, LAST = "run.json", "metrics.jsonl", "last.npz"
SAVE_EVERY_S = 2.0
"""Seconds between checkpoints; between them the newest state is kept in memory, and written if the loop ends."""
CHEAP = 64 * 2**20
"""Bytes up to which the state before training is worth writing: a large replay that is still empty is not."""
SAVE_SHARE = 20.0
"""Where writing takes long, as it does with a large replay, this many times as long must lie between checkpoints."""


class RunLog:
    """A run's folder while it is being trained, as a context manager.

    `identity` is what a folder must agree on before it is continued; `about` may change from session to session. On
    leaving, however that happens, the newest finished chunk is saved.
    """

    def __init__(self, folder: Path, identity: Json, about: Json) -> None:
        self.folder, self.identity, self.about = folder, plain(identity), plain(about)
        self.manifest: Json = {}
        self._new = True
        self._made: list[Path] = []
        self.update = 0
        """Updates in the newest checkpoint."""
        self._stack = ExitStack()
        self._pending: tuple[int, int, PyTree] | None = None
        self._saved_at, self._saving_took = -math.inf, 0.0
        self._started = time.monotonic()

    def __enter__(self) -> "RunLog":
        found = check(self.folder, self.identity)
        self._new = not found
        self._made = [place for place in (self.folder, *self.folder.parents) if not place.exists()]
        self._stack.enter_context(alone(self.folder))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        software = {"versions": results.versions(), "commit": results.commit(), "hardware": results.hardware()}
        self.manifest = {"created": now, **found, **self.identity, **self.about, **software}
        last = self.folder / LAST
        self.update = checkpoint.meta(last)["update"] if last.exists() else 0
        session = {"started": now, "from_update": self.update, "wall_s": 0.0, **software}
        self.manifest["sessions"] = [*found.get("sessions", []), session]
        self._write_manifest()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        with self._stack:
            self.save()
            if isinstance(error, UserError) and self._new and self.update == 0:
                self._forget()
                return
            if isinstance(error, NotFinite):
                self.note(str(error))
            self.manifest["sessions"][-1]["wall_s"] = round(time.monotonic() - self._started, 1)
            self._write_manifest()
        if isinstance(error, NotFinite):
            raise NotFinite(f"{error} {self.state_before()}") from error

    def _forget(self) -> None:
        """Leave a new folder as if untouched, or none if there was none: settings that were refused must not stand in
        the way of mended ones."""
        for name in (MANIFEST, METRICS, LAST):
            (self.folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # a folder that holds other things stays, and those that it lies in
            if self._made and [p.name for p in self.folder.iterdir()] == [LOCK]:
                (self.folder / LOCK).unlink()
            for place in self._made:
                place.rmdir()

    def state_before(self) -> str:
        """Where the newest good state lies, in words."""
        if not (self.folder / LAST).exists():
            return "No state was saved before it: this was in the first chunk of updates."
        return f"State before it: {self.folder / LAST} (update {self.update:,})."

    @property
    def findings(self) -> list[str]:
        """What the run's own numbers say went wrong, in this session or before."""
        return self.manifest.get("findings", [])

    def note(self, finding: str) -> None:
        """Write a finding into the manifest, once; the run may go on."""
        if finding and finding not in self.findings:
            self.manifest["findings"] = [*self.findings, finding]
            self._write_manifest()

    def resume(self, like: PyTree) -> tuple[int, PyTree] | None:
        """(updates done, carry) of the checkpoint, None if there is none; drops the metrics that came after it.

        Raises:
            UserError: the checkpoint is damaged, or metrics are missing.
        """
        path, metrics = self.folder / LAST, self.folder / METRICS
        if not path.exists():
            metrics.unlink(missing_ok=True)
            return None
        size = checkpoint.meta(path)["metrics_bytes"]
        found = metrics.stat().st_size if metrics.exists() else 0
        if found < size:
            raise UserError(
                f"{metrics} holds {found:,} bytes where {path.name} expects at least {size:,}: lines were lost. "
                "Restore the file, or train again in a new folder."
            )
        carry = checkpoint.load(path, like)
        if found:
            os.truncate(metrics, size)
        return self.update, carry

    def begin(self, chunk: Chunk) -> None:
        """Save the state before the first update if that is cheap: a first chunk that fails then leaves a state."""
        if sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(chunk.held)) <= CHEAP:
            checkpoint.save(self.folder / LAST, chunk.carry, update=0, metrics_bytes=0)

    def keep(self, chunk: Chunk) -> None:
        """Append a chunk's metrics, and save its state now or soon.

        Raises:
            UserError: the disk is full; what was saved before is intact.
        """
        size = self._append("".join(lines(chunk)).encode())
        # copied before training goes on, which hands the memory back to JAX
        self._pending = chunk.update, size, jax.tree.map(lambda x: np.array(x, copy=True), chunk).carry
        if time.monotonic() - self._saved_at >= max(SAVE_EVERY_S, SAVE_SHARE * self._saving_took):
            self.save()

    def save(self) -> None:
        """Write the newest state, if it is not on disk yet."""
        if self._pending is None:
            return
        update, size, carry = self._pending
        began = time.monotonic()
        self._flush_metrics()
        checkpoint.save(self.folder / LAST, carry, update=update, metrics_bytes=size)
        self.update, self._pending, self._saved_at = update, None, time.monotonic()
        self._saving_took = self._saved_at - began

    def _append(self, content: bytes) -> int:
        path = self.folder / METRICS
        try:
            with path.open("ab") as file:
                file.write(content)
                file.flush()
                return file.tell()
        except OSError as error:
            raise self._unwritten(error) from error

    def _flush_metrics(self) -> None:
        """Metrics reach the disk before the checkpoint that counts them, which must never be ahead."""
        try:
            with (self.folder / METRICS).open("ab") as file:
                os.fsync(file.fileno())
        except OSError as error:
            raise self._unwritten(error) from error

    def _unwritten(self, error: OSError) -> UserError:
        free = shutil.disk_usage(self.folder).free
        return UserError(
            f"{self.folder / METRICS} could not be written ({error.strerror or error}; {free:,} bytes are free). "
            f"{self.state_before()} Free space, then run the same command again."
        )

    def _write_manifest(self) -> None:
        write_text(self.folder / MANIFEST, dumps(self.manifest, indent=1) + "\n")


def lines(chunk: Chunk) -> Iterator[str]:
    """One line of strict JSON per update: its number, then every metric with one entry per seed, null where NaN."""
    metrics = {name: np.asarray(values) for name, values in chunk.metrics.items()}
    count = next(iter(metrics.values())).shape[1]
    for i in range(count):
        row = {name: [_number(v) for v in values[:, i]] for name, values in metrics.items()}
        yield dumps({"update": chunk.update - count + i + 1, **row}) + "\n"


def read_metrics(folder: Path) -> dict[str, np.ndarray]:
    """The metrics of a run: `update` [N], every other one [N, S], NaN where there is none.

    Raises:
        UserError: the folder has no metrics, or a line is damaged.
    """
    path = folder / METRICS
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: expected the folder of a training run.") from None
    except ValueError as error:
        raise UserError(f"{path} has a line that is no JSON ({error}). The same training command mends it.") from error
    names = rows[0] if rows else ()
    return {
        name: np.array([row[name] for row in rows], dtype=np.int64 if name == "update" else float) for name in names
    }


def check(folder: Path, identity: Json) -> Json:
    """The manifest of the run in a folder, empty if the folder is new.

    Raises:
        UserError: the folder holds a run of another configuration, or other things.
    """
    if (folder / MANIFEST).exists():
        found = results.read_json(folder / MANIFEST)
        if "method" not in found:
            raise UserError(f"{folder} is no folder of `train`. Choose another one with --out.")
        differing = list(differences(found, plain(identity)))
        if differing:
            said = ", ".join(f"{name} = {old}, not {new}" for name, old, new in differing)
            raise UserError(
                f"{folder} holds another run: {said}. Choose another folder with --out, or repeat the command that "
                "made this one."
            )
        return found
    if folder.exists() and (not folder.is_dir() or any(not p.name.startswith(".") for p in folder.iterdir())):
        raise UserError(f"{folder} exists and is no run folder. Choose another one with --out.")
    return {}


def check_seed(folder: Path, seeds: int, seed: int) -> None:
    """Refuse a seed, counted from 0, that a run does not have.

    Raises:
        UserError: it has not.
    """
    if not 0 <= seed < seeds:
        holds = f"{seeds} seeds: expected one of 0 to {seeds - 1}" if seeds > 1 else "one seed: expected 0"
        raise UserError(f"{folder} holds {holds}, not {seed}.")


def read(folder: Path) -> Json:
    """The manifest of a training run.

    Raises:
        UserError: the folder holds no training run.
    """
    if not (folder / MANIFEST).exists():
        raise UserError(f"{folder} is no run folder: it has no {MANIFEST}. Give the folder that `train` wrote.")
    manifest = results.read_json(folder / MANIFEST)
    if "method" not in manifest:
        raise UserError(f"{folder} is the run of {manifest.get('item', 'something else')}, not one of `train`.")
    return manifest


def differences(found: Any, wanted: Any, where: str = "") -> Iterator[tuple[str, str, str]]:
    """(field, what was found, what was wanted) for everything in `wanted` that `found` does not agree with."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name in [*wanted, *(found.keys() - wanted.keys() if where else ())]:
            yield from differences(found.get(name), wanted.get(name), f"{where}.{name}" if where else name)
    elif found != wanted:
        yield where, _short(found), _short(wanted)


def config_to_json(config: Any) -> Json:
    """The fields of a config."""
    return plain({f.name: getattr(config, f.name) for f in fields(config)})


def config_from_json(cls: type, values: Json) -> Any:
    """The config with these fields.

    Raises:
        UserError: a field is unknown to this version of the method, or its value is not allowed.
    """
    known = {f.name for f in fields(cls)}
    strangers = sorted(values.keys() - known)
    if strangers:
        raise UserError(f"the run has the setting {strangers[0]!r}, which this version of its method does not know.")
    return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})


def space_to_json(space: Space) -> Json:
    """The space; infinite bounds are the words inf and -inf."""
    action = space.action
    return {
        "obs": _box_to_json(space.obs),
        "action": {"num": action.num} if isinstance(action, Discrete) else _box_to_json(action),
        "num_envs": space.num_envs,
    }


def space_from_json(found: Json) -> Space:
    """The space that `space_to_json` wrote."""
    action = found["action"]
    kind = Discrete(action["num"]) if "num" in action else _box_from_json(action)
    return Space(_box_from_json(found["obs"]), kind, found["num_envs"])


def _box_to_json(box: Box) -> Json:
    low, high = ([_bound(v) for v in b] if isinstance(b, tuple) else _bound(b) for b in (box.low, box.high))
    return {"shape": list(box.shape), "low": low, "high": high, "dtype": box.dtype}


def _box_from_json(found: Json) -> Box:
    low, high = (_tuples(found[name]) for name in ("low", "high"))
    return Box(tuple(found["shape"]), low, high, found["dtype"])


def _bound(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_bound(v) for v in value]
    return float(value) if math.isfinite(value) else str(float(value))


def _tuples(bound: Any) -> Any:
    return tuple(_tuples(b) for b in bound) if isinstance(bound, list) else float(bound)


def _number(value: np.generic) -> float | int | None:
    """The shortest decimal that reads back as the same number."""
    if isinstance(value, np.integer):
        return int(value)
    return float(str(value)) if np.isfinite(value) else None


def _short(value: Any) -> str:
    text = dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
