"""Checkpoints come back bit by bit, and whatever does not fit is refused by the name of its leaf."""

import json
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core import checkpoint
from theodolite.core.arrays import Arrays
from theodolite.core.errors import UserError
from theodolite.core.nets import MLP, glorot, mlp


class Run(Arrays):
    net: MLP
    counts: dict
    nothing: None = None


@pytest.fixture
def tree(key):
    net = mlp(key, (3, 4, 2), hidden=glorot(1.0), head=glorot(1.0))
    odd = {"int": jnp.int32(-7), "flags": jnp.array([True, False]), "nan": jnp.array([jnp.nan, -0.0, jnp.inf])}
    return Run(net, {**odd, "half": jnp.array([1.5, -2.0], jnp.bfloat16), "key": jax.random.split(key, 3)})


@pytest.fixture
def path(tmp_path, tree):
    checkpoint.save(tmp_path / "last.npz", tree, update=12, note="ü")
    return tmp_path / "last.npz"


def test_every_leaf_returns_with_its_bits_and_dtype(path, tree):
    for like in (tree, jax.eval_shape(lambda: tree)):
        loaded = checkpoint.load(path, like)
        assert jax.tree.structure(loaded) == jax.tree.structure(tree)
        for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(loaded), strict=True):
            assert a.dtype == b.dtype and a.shape == b.shape
            if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
                a, b = jax.random.key_data(a), jax.random.key_data(b)
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_what_was_saved_beside_it(path):
    assert checkpoint.meta(path) == {"update": 12, "note": "ü"}


def test_bare_numpy_opens_it_without_pickle(path, tree):
    with np.load(path, allow_pickle=False) as file:
        np.testing.assert_array_equal(file["net.layers[0].weight"], tree.net.layers[0].weight)
        assert "counts['key']:key<fry>" in file and "counts['half']:bfloat16" in file
        assert json.loads(str(file["__meta__"]))["update"] == 12


def test_a_part_is_loaded_alone(path, tree):
    class Part(Arrays):
        net: MLP

    loaded = checkpoint.load(path, Part(tree.net), part="net")
    np.testing.assert_array_equal(loaded.net.layers[1].weight, tree.net.layers[1].weight)


def changed(tree, **counts):
    return Run(tree.net, {**tree.counts, **counts})


@pytest.mark.parametrize(
    ("counts", "found", "expected"),
    [
        ({"int": jnp.zeros(2, jnp.int32)}, "int32[]", "int32[2]"),
        ({"int": jnp.float32(0)}, "int32[]", "float32[]"),
        ({"new": jnp.float32(0)}, "absent", "float32[]"),
        ({"half": jnp.zeros(2, jnp.uint16)}, "absent", "uint16[2]"),
    ],
)
def test_another_configuration_is_refused_by_leaf(path, tree, counts, found, expected):
    (name,) = counts
    with pytest.raises(UserError, match="another configuration") as refusal:
        checkpoint.load(path, changed(tree, **counts))
    assert f"counts['{name}'] is {found}, expected {expected}" in str(refusal.value)


def test_a_leaf_too_many_is_refused(path, tree):
    fewer = Run(tree.net, {k: v for k, v in tree.counts.items() if k != "int"})
    with pytest.raises(UserError, match=r"counts\['int'\] is int32\[\], expected absent"):
        checkpoint.load(path, fewer)


def test_no_file_and_damaged_files(path, tree, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        checkpoint.load(tmp_path / "none.npz", tree)
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    for broken in (b"", b"not a checkpoint", whole[:middle], whole[:-30], flipped):
        path.write_bytes(broken)
        with pytest.raises(UserError, match="not a whole checkpoint"):
            checkpoint.load(path, tree)


def test_a_plain_array_is_not_a_checkpoint(tmp_path, tree):
    with (tmp_path / "last.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(UserError, match="not a whole checkpoint"):
        checkpoint.load(tmp_path / "last.npz", tree)


def test_pickled_objects_are_not_executed(tmp_path, tree):
    path = tmp_path / "evil.npz"
    np.savez(path, **{"net.layers[0].weight": np.array([print], dtype=object)})
    with pytest.raises(UserError, match="not a whole checkpoint"):
        checkpoint.load(path, tree)


def test_a_failed_write_keeps_the_old_file(path, tree, monkeypatch):
    before = path.read_bytes()

    def full(*arguments, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    monkeypatch.setattr(zipfile.ZipFile, "open", full)
    with pytest.raises(UserError, match=r"No space left on device.*previous file is intact"):
        checkpoint.save(path, tree, update=13)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["last.npz"]
