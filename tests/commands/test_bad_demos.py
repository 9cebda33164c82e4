"""Demonstrations that are damaged or do not fit: one sentence, exit code 2, and no folder left behind."""

import json
import shutil

import h5py
import numpy as np
import pytest

from theodolite.core import demos as demonstrations
from theodolite.core import minari

MAIN = "data/main_data.hdf5"


def truncated(folder):
    path = folder / MAIN
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(folder):
    with h5py.File(folder / MAIN, "a") as file:
        for name in [name for name in file if name.startswith("episode")]:
            del file[name]
        file.attrs["total_episodes"] = file.attrs["total_steps"] = 0
    path = folder / "data/metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"total_episodes": 0, "total_steps": 0}))


def replaced(folder, name, change):
    with h5py.File(folder / MAIN, "a") as file:
        old = file["episode_1"][name][()]
        del file["episode_1"][name]
        file["episode_1"][name] = change(old)


def with_nan(folder):
    replaced(folder, "observations", lambda x: np.where(np.arange(len(x))[:, None] == 3, np.nan, x))


DAMAGE = {
    "a truncated file": (truncated, "is damaged or truncated"),
    "no main file": (lambda folder: (folder / MAIN).unlink(), "no main_data.hdf5: the copy is incomplete"),
    "no data set": (lambda folder: shutil.rmtree(folder / "data"), "is no data set"),
    "no folder": (shutil.rmtree, "does not exist"),
    "zero episodes": (emptied, "zero episodes"),
    "not a number": (with_nan, "episode 1, step 3"),
    "wrong shapes": (lambda folder: replaced(folder, "observations", lambda x: x[:, :3]), "episode 1"),
    "a row too few": (lambda folder: replaced(folder, "observations", lambda x: x[:-1]), "episode 1"),
    "actions outside": (lambda folder: replaced(folder, "actions", lambda x: x + 2), "episode 1"),
}


@pytest.mark.parametrize("method", ["bc", "gail"])
@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_demonstrations_are_refused_before_anything_is_written(say, demos, tmp_path, kind, method):
    damage, said = DAMAGE[kind]
    shutil.copytree(demos, tmp_path / "d")
    damage(tmp_path / "d")
    found = say("train", method, "--env", "CartPole-v1", "--demos", tmp_path / "d", "--out", tmp_path / "r")
    assert found.code == 2 and said in found.err, found.err
    assert found.err.startswith("theodolite: ") and "Traceback" not in found.err and found.out == ""
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--env", "Acrobot-v1"), "Acrobot-v1 has (6,)"),
        (("--env", "MountainCar-v0"), "MountainCar-v0 has (2,)"),
        (("--demo-episodes", 9), "9 episodes were asked for, the demonstrations hold 3"),
        (("--demo-every", 0), "demo_every = 0: must be >= 1"),
    ],
)
def test_demonstrations_that_do_not_fit_are_refused(say, demos, tmp_path, flags, said):
    found = say("train", "gail", "--demos", demos, *flags, "--out", tmp_path / "r")
    assert found.code == 2 and said in found.err
    assert not (tmp_path / "r").exists()


def test_actions_outside_the_box_of_the_environment_are_refused(say, tmp_path):
    obs, wild = np.zeros((1, 4, 3), np.float32), np.full((1, 3, 1), 2.5, np.float32)
    minari.write(demonstrations.from_arrays(obs, wild, env_id="Pendulum-v1"), tmp_path / "d")
    found = say("train", "bc", "--demos", tmp_path / "d", "--env", "Pendulum-v1", "--out", tmp_path / "r")
    assert found.code == 2 and "the action is 2.5, outside [-2, 2]" in found.err, found.err
