"""Files are whole or absent: a failure, a full disk or a kill in the middle leaves the old one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from theodolite.core import files
from theodolite.core.errors import UserError

ROOT = str(Path(__file__).resolve().parents[2])


def test_content_replaces_content(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    for text in ("one", "zwölf", ""):
        files.write_text(path, text)
        assert path.read_text(encoding="utf-8") == text
    files.write_bytes(path, b"\0\1")
    assert path.read_bytes() == b"\0\1"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_an_error_of_the_writer_is_its_own_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), files.replacing(path) as file:
        file.write(b"half of the new")
        1 / 0  # noqa: B018
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_full_disk_is_said_and_leaves_the_old_file(tmp_path, monkeypatch, function):
    path = tmp_path / "a"

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, function, full)
    with pytest.raises(UserError, match=r"No space left on device.*nothing was left behind"):
        files.write_text(path, "new")
    assert os.listdir(tmp_path) == []
    path.write_text("old")
    with pytest.raises(UserError, match=r"a could not be written.*previous file is intact.*Free space"):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_folder_in_the_place_of_the_file_is_said(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(UserError, match="could not be written"):
        files.write_text(tmp_path / "a", "new")
    assert os.listdir(tmp_path) == ["a"]


def test_a_path_through_a_file_is_said(tmp_path):
    (tmp_path / "a").write_text("a file")
    with pytest.raises(UserError, match="could not be written"):
        files.write_text(tmp_path / "a" / "b", "new")


KILLED = """
import sys
from pathlib import Path
from theodolite.core import files
with files.replacing(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print("written", flush=True)
    sys.stdin.read()
"""


def test_a_kill_during_a_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    words = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"written\n"
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    files.write_text(path, "new")  # what the killed one left beside it is in nobody's way
    assert path.read_text() == "new"


HOLDER = """
import sys
from pathlib import Path
from theodolite.core import files
with files.alone(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_held_by_one_process_and_freed_by_its_death(tmp_path):
    folder = tmp_path / "run"
    words = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match="another process is running"), files.alone(folder):
            pass
        child.kill()
    time.sleep(0.05)
    with files.alone(folder):
        pass
