"""Checkpoints: one .npz whose names are tree paths. Data only: nothing in it is executed when it is loaded."""

import json
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, PyTree

from theodolite.core.errors import UserError
from theodolite.core.files import replacing

META = "__meta__"


def names(tree: PyTree) -> list[str]:
    """The path of every leaf, such as `agent.nets.actor.net.layers[0].weight`."""
    return [jax.tree_util.keystr(path).lstrip(".") for path, _ in jax.tree_util.tree_leaves_with_path(tree)]


def save(path: Path, tree: PyTree[Array | np.ndarray], **meta: Any) -> None:
    """Write every leaf under its path, and `meta` (anything JSON holds), replacing the file in one step.

    Raises:
        UserError: the file could not be written; the old one is intact.
    """
    leaves = {name: np.asarray(leaf) for name, leaf in zip(names(tree), jax.tree.leaves(tree), strict=True)}
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, **leaves, **{META: np.array(json.dumps(meta))})


def meta(path: Path) -> dict[str, Any]:
    """What was saved beside the leaves."""
    return json.loads(str(_open(path)[META]))


def load(path: Path, like: PyTree, part: str = "") -> PyTree[Array]:
    """The saved tree. `like` has its structure: arrays, or shapes from `jax.eval_shape`.

    With `part` only leaves whose name starts with it are looked at, and `like` holds those alone.

    Raises:
        UserError: the file is damaged, or a leaf is missing, is not expected, or has another shape or dtype.
    """
    saved = _open(path)
    expected = dict(zip(names(like), jax.tree.leaves(like), strict=True))
    looked_at = [name for name in saved if name != META and name.startswith(part)]
    found = {name: (saved[name].shape, str(saved[name].dtype)) for name in looked_at}
    wanted = {name: (leaf.shape, str(leaf.dtype)) for name, leaf in expected.items()}
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            raise UserError(
                f"{path}: {name} is {_say(found.get(name))}, expected {_say(wanted.get(name))}. "
                "The checkpoint belongs to another configuration: load it with the one in its run.json."
            )
    return jax.tree.unflatten(jax.tree.structure(like), [jax.numpy.array(saved[name]) for name in expected])


def _open(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist. A run writes it at its first checkpoint.") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a whole checkpoint ({error}). Train again in a new folder.") from error


def _say(leaf: tuple[tuple[int, ...], str] | None) -> str:
    return "absent" if leaf is None else f"{leaf[1]}{list(leaf[0])}"
