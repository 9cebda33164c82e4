"""Demonstrations in the layout of the Minari package (0.4 and 0.5, hdf5), read and written without it.

    <folder>/data/metadata.json     spaces and environment as JSON strings, numbers of episodes and steps
    <folder>/data/main_data.hdf5    groups episode_<k>: observations [T+1, ...], actions [T, ...],
                                    rewards, terminations, truncations [T]; attributes id, total_steps

Only plain arrays of numbers are read: nothing is unpickled, and no link out of the file is followed. What a data set
stores beside these (infos, seeds) is not kept.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Shaped

from theodolite.core import demos as demonstrations
from theodolite.core import minari_spaces as spaces
from theodolite.core.demos import Demos, Episode
from theodolite.core.env import Discrete, Space
from theodolite.core.errors import UserError

LAYOUT = "0.5.4"
"""The version of Minari whose layout is written."""
MAIN_FILE, METADATA_FILE = "main_data.hdf5", "metadata.json"
COLUMNS = ("observations", "actions", "rewards", "terminations", "truncations")
OUR_KEYS = (
    "total_episodes",
    "total_steps",
    "data_format",
    "jpeg_encoding",
    "observation_space",
    "action_space",
    "dataset_id",
    "minari_version",
    "dataset_size",
    "env_id",
)
"""Keys of the metadata that writing computes anew; all others travel with the demonstrations."""
ENV_ID = re.compile(r"(?:[\w:-]+/)?[\w:.-]+?(?:-v\d+)?")
DATASET_NAME = re.compile(r"[-\w]+?-v\d+")


def read(
    folder: str | Path, *, space: Space | None = None, clip_actions: bool = False, allow_nan: bool = False
) -> Demos:
    """The demonstrations in a data set's folder, or in its `data` folder.

    `space` stands in for the file's own. `clip_actions` and `allow_nan` are those of `demos.from_arrays`.

    Raises:
        UserError: what is missing, damaged or not supported, and what to do.
    """
    data = find(folder)
    metadata = read_metadata(data)
    _check_supported(metadata, data)
    space = space or _space(metadata, data)
    with _reading(data / MAIN_FILE) as file:
        names = [f"episode_{k}" for k in range(_num_episodes(metadata, file, data))]
        columns = zip(*(_read_episode(file, name, metadata, data) for name in names), strict=True)
        arrays = [list(column) for column in columns]
    return demonstrations.from_arrays(
        *(arrays or [[]] * len(COLUMNS)),
        space=space,
        env_id=_env_id(metadata),
        dataset_id=metadata.get("dataset_id"),
        metadata={k: v for k, v in metadata.items() if k not in OUR_KEYS},
        clip_actions=clip_actions,
        allow_nan=allow_nan,
    )


def find(folder: str | Path) -> Path:
    """The folder that holds the data: `folder` itself, or its `data`.

    Raises:
        UserError: there is no data set.
    """
    folder = Path(folder).expanduser()
    if not folder.exists():
        raise UserError(f"{folder} does not exist: expected the folder of a Minari data set. Check the path.")
    for data in (folder / "data", folder):
        if (data / METADATA_FILE).is_file():
            if not (data / MAIN_FILE).is_file() and "hdf5" in str(read_metadata(data).get("data_format", "hdf5")):
                raise UserError(
                    f"{data} has {METADATA_FILE} but no {MAIN_FILE}: the copy is incomplete. Copy the whole folder "
                    "again."
                )
            return data
    raise UserError(
        f"{folder} is no data set: expected data/{METADATA_FILE} and data/{MAIN_FILE} in it. Give the folder of a "
        "Minari data set, or make one from arrays with demos.from_arrays and minari.write."
    )


def read_metadata(data: Path) -> dict[str, Any]:
    """The content of metadata.json.

    Raises:
        UserError: it is not a JSON object.
    """
    path = data / METADATA_FILE
    try:
        metadata = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): expected a JSON object. Copy the data set again.") from error
    if not isinstance(metadata, dict):
        raise UserError(f"{path} holds a JSON {type(metadata).__name__}, expected an object. Copy the data set again.")
    return metadata


def _check_supported(metadata: dict[str, Any], data: Path) -> None:
    stored = metadata.get("data_format", "hdf5")
    if stored != "hdf5":
        raise UserError(
            f"{data} is stored as {stored!r}, expected 'hdf5'. Convert it with the minari package: "
            "MinariStorage.new(new_folder, old.observation_space, old.action_space, "
            "data_format='hdf5').update_from_storage(old.storage), where old = minari.MinariDataset(folder)."
        )


def _space(metadata: dict[str, Any], data: Path) -> Space | None:
    """The space that the file states; None if it states none (to be guessed from the arrays)."""
    texts = metadata.get("observation_space"), metadata.get("action_space")
    if None in texts:
        return None
    return Space(spaces.read_obs(texts[0], str(data)), spaces.read_action(texts[1], str(data)))


def _env_id(metadata: dict[str, Any]) -> str | None:
    """The environment's id: ours, or that in the Gymnasium specification."""
    if isinstance(metadata.get("env_id"), str):
        return metadata["env_id"]
    try:
        return str(json.loads(metadata["env_spec"])["id"])
    except (KeyError, TypeError, ValueError):
        return None


@contextmanager
def _reading(path: Path) -> Iterator[h5py.File]:
    """An open hdf5 file; whatever h5py says of damage becomes one sentence."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        raise UserError(
            f"{path} is damaged or truncated ({error}): it holds {path.stat().st_size:,} bytes. Copy or record the "
            "data set again."
        ) from error


def _num_episodes(metadata: dict[str, Any], file: h5py.File, data: Path) -> int:
    """The number of episodes, on which the file and its metadata must agree."""
    stored = sum(name.startswith("episode_") for name in file)
    promised = metadata.get("total_episodes", stored)
    if promised != stored:
        raise UserError(
            f"{data / METADATA_FILE} promises {promised} episodes, {MAIN_FILE} holds {stored}: writing was "
            "interrupted, or the files are of different data sets. Copy or record the data set again."
        )
    return stored


def _read_episode(file: h5py.File, name: str, metadata: dict[str, Any], data: Path) -> tuple[np.ndarray, ...]:
    """The arrays of one episode, in the order of COLUMNS."""
    where = f"{data / MAIN_FILE}, {name}"
    group = _member(file, name, where)
    if not isinstance(group, h5py.Group):
        raise UserError(f"{where} is an array, expected a group of arrays. The file is no Minari data set.")
    return tuple(_read_array(group, column, metadata, where) for column in COLUMNS)


def _member(group: h5py.Group, name: str, where: str) -> Any:
    """What `name` holds, if it is in this very file."""
    link = group.get(name, getlink=True)
    if link is None:
        raise UserError(f"{where} is missing. The file holds {_few(list(group))}; expected what Minari writes.")
    if not isinstance(link, h5py.HardLink):
        raise UserError(
            f"{where} is a link out of its place, which is not followed. Load and save the data set with the minari "
            "package first."
        )
    return group[name]


def _read_array(group: h5py.Group, column: str, metadata: dict[str, Any], where: str) -> Shaped[np.ndarray, "..."]:
    where = f"{where}/{column}"
    array = _member(group, column, where)
    if not isinstance(array, h5py.Dataset):
        raise UserError(
            f"{where} is a group ({_few(list(array))}), as dictionary and tuple spaces are stored; expected one "
            "array. Flatten it (gymnasium.wrappers.FlattenObservation) and record again."
        )
    if array.external or array.is_virtual:
        raise UserError(
            f"{where} keeps its numbers in another file, which is not followed. Load and save the data set with the "
            "minari package first."
        )
    if array.dtype.kind not in "biuf":
        raise UserError(f"{where} has the dtype {array.dtype}, expected numbers. Text and objects are not read.")
    if column in ("observations", "actions") and metadata.get("jpeg_encoding", True):
        text = metadata.get(f"{column[:-1]}_space")
        if text is not None and spaces.is_image(text, where):
            raise UserError(
                f"{where} is JPEG-encoded, expected plain arrays. Save the data set with jpeg_encoding=False."
            )
    return array[()]


def _few(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "") if names else "nothing"


def write(demos: Demos, folder: str | Path, *, dataset_id: str | None = None) -> Path:
    """Write a data set that the minari package loads; the folder appears whole, or not at all.

    The data set is named after the folder, below MINARI_DATASETS_PATH with its namespace, unless `dataset_id` is given.

    Raises:
        UserError: the folder exists, or the disk is full or not writable.
    """
    folder = Path(folder).expanduser().absolute()
    if folder.exists() or folder.is_symlink():
        raise UserError(f"{folder} exists already and is not overwritten. Choose another folder, or delete this one.")
    draft = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".part"))
        _write_data(demos, draft / "data", dataset_id or _dataset_id(folder))
        draft.chmod(0o755)
        draft.rename(folder)
    except OSError as error:
        raise UserError(
            f"{folder} could not be written ({error.strerror or error}); nothing was left behind. Free space or "
            "choose another folder, then run the same command again."
        ) from error
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)
    return folder


def _write_data(demos: Demos, data: Path, dataset_id: str) -> None:
    data.mkdir()
    image = _file_image(demos)
    metadata = json.dumps(_metadata(demos, dataset_id, megabytes=round(len(image) / 1e6, 1)))
    for name, content in ((MAIN_FILE, image), (METADATA_FILE, metadata.encode())):
        with (data / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def _file_image(demos: Demos) -> bytes:
    """The hdf5 file, made in memory: on a full disk h5py itself would fail again whenever it frees an object."""
    with h5py.File("in memory", "w", driver="core", backing_store=False, track_order=True) as file:
        for k, episode in enumerate(demos.episodes):
            _write_episode(file.create_group(f"episode_{k}"), k, episode, isinstance(demos.space.action, Discrete))
        file.flush()
        return file.id.get_file_image()


def _write_episode(group: h5py.Group, k: int, e: Episode, discrete: bool) -> None:
    """One group, in Minari's dtypes; the first axis can grow, so that Minari can append."""
    steps = len(e.action)
    at_end = np.arange(steps) == steps - 1
    arrays = (
        e.obs,
        e.action.astype(np.int64) if discrete else e.action,
        e.reward.astype(np.float64),
        at_end & e.terminated,
        at_end & e.truncated,
    )
    for column, x in zip(COLUMNS, arrays, strict=True):
        group.create_dataset(column, data=x, chunks=True, maxshape=(None, *x.shape[1:]))
    group.create_group("infos")
    group.attrs["id"], group.attrs["total_steps"] = k, steps


def _metadata(demos: Demos, dataset_id: str, megabytes: float) -> dict[str, Any]:
    kept = {k: v for k, v in demos.metadata.items() if k not in OUR_KEYS}
    if "env_spec" not in kept and demos.env_id is not None and ENV_ID.fullmatch(demos.env_id):
        kept["env_spec"] = json.dumps({"id": demos.env_id, "additional_wrappers": []})
    named = {"env_id": demos.env_id} if demos.env_id is not None else {}
    return {
        "total_episodes": len(demos.episodes),
        "total_steps": int(demos.lengths.sum()),
        "data_format": "hdf5",
        "jpeg_encoding": False,
        "observation_space": spaces.to_json(demos.space.obs),
        "action_space": spaces.to_json(demos.space.action),
        "dataset_id": dataset_id,
        "minari_version": LAYOUT,
        "dataset_size": megabytes,
        **named,
        **kept,
    }


def _dataset_id(folder: Path) -> str:
    """A name that Minari accepts: the path below its root, or the folder's name, ending in a version."""
    root = Path(os.environ.get("MINARI_DATASETS_PATH", Path.home() / ".minari" / "datasets")).absolute()
    parts = folder.relative_to(root).parts if folder.is_relative_to(root) else (folder.name,)
    names = [re.sub(r"[^-\w]", "_", part) for part in parts]
    if not DATASET_NAME.fullmatch(names[-1]):
        names[-1] += "-v0"
    return "/".join(names)
