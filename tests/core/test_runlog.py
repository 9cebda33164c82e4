import errno
import json
import os
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core import runlog
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.errors import NotFinite, UserError
from theodolite.core.runlog import RunLog, read_metrics
from theodolite.core.train import Chunk, Learnt

IDENTITY = {"method": "none", "config": {"rate": 0.5, "hidden": (3, 4)}, "seeds": 2}


def chunk(update: int, count: int = 2) -> Chunk:
    rows = jnp.arange(update - count, update, dtype=jnp.float32)
    return Chunk(update, Learnt(jnp.full((2, 3), update)), {"loss": jnp.stack([rows / 3, rows * jnp.nan])})


def filled(folder, *updates):
    with RunLog(folder, IDENTITY, {}) as log:
        resumed = log.resume(Learnt(jnp.zeros((2, 3), int)))
        for update in updates:
            log.keep(chunk(update))
    return resumed


def contents(folder):
    return [(folder / name).read_bytes() for name in ("metrics.jsonl", "last.npz")]


def test_metrics_are_strict_json_with_the_shortest_exact_numbers(tmp_path):
    filled(tmp_path / "r", 2)
    lines = (tmp_path / "r/metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert rows == [{"update": 1, "loss": [0.0, None]}, {"update": 2, "loss": [0.33333334, None]}]
    read = read_metrics(tmp_path / "r")
    np.testing.assert_array_equal(read["loss"][:, 0].astype(np.float32), np.float32([0, 1 / 3]))
    assert np.isnan(read["loss"][:, 1]).all() and read["update"].tolist() == [1, 2]


def test_a_run_in_two_sessions_leaves_the_same_bytes(tmp_path):
    assert filled(tmp_path / "a", 2, 4) is None
    filled(tmp_path / "b", 2)
    done, carry = filled(tmp_path / "b", 4)
    assert done == 2 and (carry.agent == 2).all()
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    sessions = json.loads((tmp_path / "b/run.json").read_text())["sessions"]
    assert [s["from_update"] for s in sessions] == [0, 2]


def test_metrics_after_the_checkpoint_are_dropped_on_resume(tmp_path):
    filled(tmp_path / "r", 2)
    before = contents(tmp_path / "r")
    with (tmp_path / "r/metrics.jsonl").open("a") as file:
        file.write('{"update": 3, "loss": [7.0, 7.0]}\n{"upda')
    filled(tmp_path / "r")
    assert contents(tmp_path / "r") == before


def test_lost_metrics_are_noticed(tmp_path):
    filled(tmp_path / "r", 2)
    (tmp_path / "r/metrics.jsonl").write_text("")
    with pytest.raises(UserError, match="lines were lost"):
        filled(tmp_path / "r")


def test_the_newest_state_is_saved_when_the_loop_breaks(tmp_path):
    with pytest.raises(KeyboardInterrupt), RunLog(tmp_path / "r", IDENTITY, {}) as log:
        log.resume(Learnt(jnp.zeros((2, 3), int)))
        for update in (2, 4, 6):  # within SAVE_EVERY_S: only the first is written at once
            log.keep(chunk(update))
        assert log.update == 2
        raise KeyboardInterrupt
    assert filled(tmp_path / "r")[0] == 6


def test_divergence_names_the_state_before_it(tmp_path):
    said = r"it broke\. State before it: .*r/last.npz \(update 2\)"
    with pytest.raises(NotFinite, match=said), RunLog(tmp_path / "r", IDENTITY, {}) as log:
        log.keep(chunk(2))
        raise NotFinite("it broke.")
    with pytest.raises(NotFinite, match="No state was saved before it"), RunLog(tmp_path / "s", IDENTITY, {}):
        raise NotFinite("it broke.")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seeds": 3}, "seeds = 2, not 3"),
        ({"config": {"rate": 0.25, "hidden": (3, 4)}}, "config.rate = 0.5, not 0.25"),
        ({"config": {"rate": 0.5, "hidden": (3,)}}, r"config.hidden = \[3, 4\], not \[3\]"),
        ({"config": {"hidden": (3, 4)}}, "config.rate = 0.5, not null"),
    ],
)
def test_a_folder_of_another_configuration_is_refused(tmp_path, changed, said):
    filled(tmp_path / "r", 2)
    before = contents(tmp_path / "r")
    with pytest.raises(UserError, match=said), RunLog(tmp_path / "r", IDENTITY | changed, {}):
        pytest.fail("the folder was taken")
    assert contents(tmp_path / "r") == before


def test_a_folder_of_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="no run folder"), RunLog(tmp_path, IDENTITY, {}):
        pytest.fail("the folder was taken")


def test_refused_settings_leave_a_new_folder_free_for_mended_ones(tmp_path):
    for error in (UserError("minibatches"), RuntimeError("the bearing is worn")):
        with pytest.raises(type(error)), RunLog(tmp_path / type(error).__name__, IDENTITY, {}):
            raise error
    assert not (tmp_path / "UserError").exists()
    filled(tmp_path / "UserError", 2)
    with pytest.raises(UserError, match="another run"), RunLog(tmp_path / "RuntimeError", IDENTITY | {"seeds": 3}, {}):
        pytest.fail("the folder was taken")
    before = contents(tmp_path / "UserError")
    with pytest.raises(UserError), RunLog(tmp_path / "UserError", IDENTITY, {}):
        raise UserError("a full disk")
    assert contents(tmp_path / "UserError") == before and (tmp_path / "UserError/run.json").exists()


def test_refused_settings_remove_what_was_made_for_them_and_no_more(tmp_path):
    (tmp_path / "mine").mkdir()
    for name in ("mine", "runs/deep/r"):
        with pytest.raises(UserError), RunLog(tmp_path / name, IDENTITY, {}):
            raise UserError("minibatches")
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]  # which was there before
    with pytest.raises(UserError), RunLog(tmp_path / "runs/r", IDENTITY, {}):
        (tmp_path / "runs/r/notes.txt").write_text("x")
        raise UserError("minibatches")
    assert (tmp_path / "runs/r/notes.txt").exists() and not (tmp_path / "runs/r/run.json").exists()


def test_two_runs_do_not_share_a_folder(tmp_path):
    with RunLog(tmp_path / "r", IDENTITY, {}), pytest.raises(UserError, match="another process"):
        RunLog(tmp_path / "r", IDENTITY, {}).__enter__()


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_full_disk_leaves_a_state_that_can_be_continued(tmp_path, monkeypatch, fails_at):
    filled(tmp_path / "reference", 2, 4)
    filled(tmp_path / "r", 2)
    calls, fsync = [], os.fsync

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) >= fails_at + 1:  # the first writes run.json
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        filled(tmp_path / "r", 4)
    monkeypatch.undo()
    done, carry = filled(tmp_path / "r")
    assert done in (2, 4) and (carry.agent == done).all()
    if done == 2:
        filled(tmp_path / "r", 4)
    assert contents(tmp_path / "r") == contents(tmp_path / "reference")
    assert not list((tmp_path / "r").glob(".*.part"))


def test_a_file_size_limit_leaves_the_old_checkpoint_intact(tmp_path):
    filled(tmp_path / "r", 2)
    before = contents(tmp_path / "r")
    code = f"""
import resource, numpy as np
from pathlib import Path
from theodolite.core import checkpoint
from theodolite.core.errors import UserError
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    checkpoint.save(Path({str(tmp_path / "r/last.npz")!r}), np.zeros(10_000))
except UserError as error:
    assert "the previous file is intact" in str(error)
    print("refused")
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "refused\n"
    assert contents(tmp_path / "r") == before


def test_a_kill_during_a_write_leaves_the_old_file_intact(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    code = f"""
import os, signal
from pathlib import Path
from theodolite.core.files import replacing
with replacing(Path({str(path)!r})) as file:
    file.write(b"half of the new")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize(
    "space",
    [
        Space(Box((4,)), Discrete(2), 8),
        Space(Box((2,), (-1.0, -float("inf")), (1.0, float("inf"))), Box((1,), -2.0, 2.0), 1),
        Space(Box((2, 2), ((0.0, 1.0), (2.0, 3.0)), 255.0, "uint8"), Discrete(3), 4),
    ],
)
def test_spaces_survive_json(space):
    found = runlog.space_from_json(json.loads(json.dumps(runlog.space_to_json(space), allow_nan=False)))
    assert found == space and hash(found) == hash(space)


def test_findings_are_kept_once_and_outlast_the_session(tmp_path):
    with RunLog(tmp_path / "r", IDENTITY, {}) as log:
        log.begin(chunk(2))
        for said in ("", "values explode", "values explode"):
            log.note(said)
    with pytest.raises(NotFinite, match=r"last.npz \(update 0\)"), RunLog(tmp_path / "r", IDENTITY, {}) as log:
        assert log.resume(Learnt(jnp.zeros((2, 3), int)))[0] == 0
        raise NotFinite("it broke.")
    assert json.loads((tmp_path / "r/run.json").read_text())["findings"] == ["values explode", "it broke."]


def test_a_state_before_training_does_not_stand_in_the_way_of_mended_settings(tmp_path, monkeypatch):
    with pytest.raises(UserError), RunLog(tmp_path / "r", IDENTITY, {}) as log:
        log.begin(chunk(2))
        raise UserError("train_every does not divide")
    filled(tmp_path / "r", 2)
    monkeypatch.setattr(runlog, "CHEAP", 1)  # bytes
    with RunLog(tmp_path / "s", IDENTITY, {}) as log:
        log.begin(chunk(2))
    assert not (tmp_path / "s/last.npz").exists()
