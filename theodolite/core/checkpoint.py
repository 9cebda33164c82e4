"""Checkpoints: one .npz whose names are tree paths. Data only: nothing in it is executed when it is loaded.

What NumPy's format does not know (typed keys, bfloat16) is stored as unsigned integers, with its dtype in the name.
"""

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
    leaves = {_entry(name, leaf): _bits(leaf) for name, leaf in zip(names(tree), jax.tree.leaves(tree), strict=True)}
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
    expected = {_entry(name, leaf): leaf for name, leaf in zip(names(like), jax.tree.leaves(like), strict=True)}
    looked_at = [name for name in saved if name != META and name.startswith(part)]
    found = {name: (saved[name].shape, str(saved[name].dtype)) for name in looked_at}
    stored = {name: jax.eval_shape(_words, leaf) for name, leaf in expected.items()}
    wanted = {name: (leaf.shape, str(leaf.dtype)) for name, leaf in stored.items()}
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            raise UserError(
                f"{path}: {name} is {_say(found.get(name))}, expected {_say(wanted.get(name))}. "
                "The checkpoint belongs to another configuration: load it with the one in its run.json."
            )
    leaves = [_leaf(saved[name], leaf.dtype) for name, leaf in expected.items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _entry(name: str, leaf: Any) -> str:
    foreign = _is_key(leaf.dtype) or leaf.dtype.kind == "V"
    return f"{name}:{leaf.dtype}" if foreign else name


def _is_key(dtype: Any) -> bool:
    return jax.numpy.issubdtype(dtype, jax.dtypes.prng_key)


def _words(leaf: Array | np.ndarray) -> Array | np.ndarray:
    """A leaf as NumPy's format can hold it."""
    if _is_key(leaf.dtype):
        return jax.random.key_data(leaf)
    if leaf.dtype.kind == "V":
        return jax.lax.bitcast_convert_type(leaf, f"uint{8 * leaf.dtype.itemsize}")
    return leaf


def _bits(leaf: Array | np.ndarray) -> np.ndarray:
    return np.asarray(_words(leaf))


def _leaf(words: np.ndarray, dtype: Any) -> Array:
    if _is_key(dtype):
        return jax.random.wrap_key_data(jax.numpy.array(words))
    return jax.numpy.array(words.view(dtype) if dtype.kind == "V" else words)


def _open(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file:  # np.load would leave a damaged file open
            return dict(np.lib.npyio.NpzFile(file, allow_pickle=False))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist. A run writes it at its first checkpoint.") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a whole checkpoint ({error}). Train again in a new folder.") from error


def _say(leaf: tuple[tuple[int, ...], str] | None) -> str:
    return "absent" if leaf is None else f"{leaf[1]}{list(leaf[0])}"
