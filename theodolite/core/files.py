"""Files that are either whole or absent: written under a temporary name, flushed to disk, renamed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from theodolite.core.errors import UserError

LOCK = ".lock"
"""The file in a folder by which a run holds it."""


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path`; on success it takes the place of `path`, on failure it vanishes.

    Raises:
        UserError: the disk is full or the folder cannot be written; the old file, if any, is intact.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.fchmod(descriptor, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        kept = "the previous file is intact" if path.exists() else "nothing was left behind"
        raise UserError(
            f"{path} could not be written ({error.strerror or error}); {kept}. Free space or choose "
            "another folder, then run the same command again."
        ) from error
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step."""
    with replacing(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    """Replace `path` by `content`, in UTF-8, in one step."""
    write_bytes(path, content.encode())


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Make a folder and hold it against a second run into it.

    Raises:
        UserError: another process is at work in the folder, or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("wb")
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror or error}). Choose another folder.") from error
    with file:
        try:
            _lock(file)
        except OSError as error:
            raise UserError(
                f"another process is running in {folder}. Wait for it, or choose another folder with --out."
            ) from error
        yield


def _lock(file: IO[bytes]) -> None:
    try:
        import fcntl
    except ImportError:  # not a POSIX system: two runs into one folder are the user's affair there
        return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
