"""The reader of pickles against pickles that Python wrote, and against those that would do harm."""

import io
import os
import pickle
import pickletools
import struct
from collections import OrderedDict

import numpy as np
import pytest

from theodolite.core.errors import UserError
from theodolite.interpret.vision.pickles import MAGIC, PROTOCOL, read_numpy, read_torch

WEIGHTS = {
    "conv1": [np.arange(24, dtype="f4").reshape(2, 3, 4), np.asfortranarray(np.arange(6.0).reshape(2, 3))],
    "deep": {
        "half": np.float16([1.5, -2]),
        "big_endian": np.arange(3, dtype=">f4"),
        "whole": np.arange(3),
        "n": 12345678,
    },
}


def old_names(content):
    """As NumPy 1 wrote it, which is what packages hold."""
    return content.replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n")


def test_dicts_of_arrays_are_read_as_python_wrote_them():
    shared = np.ones(3, "f4")
    found = read_numpy(old_names(pickle.dumps(WEIGHTS | {"a": shared, "b": shared, "t": (1, 2.5, None, True)}, 3)), "f")
    np.testing.assert_array_equal(found["conv1"][0], WEIGHTS["conv1"][0])
    np.testing.assert_array_equal(found["conv1"][1], WEIGHTS["conv1"][1])
    for name in ("half", "big_endian", "whole"):
        np.testing.assert_array_equal(found["deep"][name], WEIGHTS["deep"][name])
    np.testing.assert_array_equal(found["b"], shared)
    assert found["deep"]["n"] == 12345678 and found["t"] == [1, 2.5, None, True]


class Harm:
    """What an attacker would write: a call of any function when the file is read."""

    def __reduce__(self):
        return os.mkdir, ("harmed",)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_poisoned_pickle_is_refused_and_nothing_is_executed(protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    poison = pickle.dumps({"conv1": Harm()}, protocol)
    with pytest.raises(UserError, match="Nothing in it was executed"):
        read_numpy(poison, "weights.pkl")
    with pytest.raises(UserError, match="Nothing in it was executed"):
        read_torch(torch_file({"w": Harm()}, {}, protocol=max(protocol, 2)), "weights.pth")
    assert not list(tmp_path.iterdir())
    pickle.loads(poison)
    assert [p.name for p in tmp_path.iterdir()] == ["harmed"], "the poison works where pickle reads it"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "damaged or cut short"),
        (b"no pickle", "damaged or cut short"),
        (old_names(pickle.dumps(WEIGHTS, 3))[:-200], "damaged or cut short"),
        (pickle.dumps({"a": np.array([None])}, 3), "names|numbers of type"),
        (b"\x80\x03cnumpy.core.multiarray\n_reconstruct\ncos\nsystem\n.", "names os.system"),
        (b"\x80\x03K\x01K\x02R.", "calls what is no constructor"),
        (b"\x80\x03}.}", None),
        (b"\x80\x03" + b"]" * 20 + b"a" * 19 + b".", "nested more than eight"),
        (b"\x80\x03I1\n.", "the instruction INT"),
        (b"\x80\x030.", "the instruction POP"),
    ],
)
def test_what_is_no_weights_is_refused(content, says):
    if says is None:
        assert read_numpy(content, "f") == {}
        return
    with pytest.raises(UserError, match=f"(?s)f was not read: .*({says})"):
        read_numpy(content, "f")


class FloatStorage:
    """Stands for torch's class of that name."""


FloatStorage.__module__, FloatStorage.__qualname__ = "torch", "FloatStorage"


def _rebuild_tensor_v2(*arguments):
    raise AssertionError


class Tensor:
    def __init__(self, key, count, offset, shape, strides):
        self.arguments = key, count, offset, shape, strides

    def __reduce__(self):
        key, count, offset, shape, strides = self.arguments
        return _rebuild_tensor_v2, (Stored(key, count), offset, shape, strides, False, OrderedDict())


class Stored:
    def __init__(self, key, count):
        self.key, self.count = key, count


class Writer(pickle._Pickler):
    """Writes as torch did before its zip files."""

    def persistent_id(self, value):
        return ("storage", FloatStorage, value.key, "cpu", value.count, None) if isinstance(value, Stored) else None

    def save_global(self, value, name=None):
        names = {FloatStorage: b"torch\nFloatStorage", _rebuild_tensor_v2: b"torch._utils\n_rebuild_tensor_v2"}
        if value in names:
            self.write(b"c" + names[value] + b"\n")
        else:
            super().save_global(value, name)

    dispatch = {**pickle._Pickler.dispatch}  # noqa: RUF012
    dispatch[type(_rebuild_tensor_v2)] = save_global
    dispatch[type] = save_global


def torch_file(tensors, storages, protocol=2, magic=MAGIC):
    file = io.BytesIO()
    for value in (magic, PROTOCOL, {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}):
        pickle.dump(value, file, 2)
    Writer(file, protocol).dump(OrderedDict(tensors))
    pickle.dump(list(storages), file, 2)
    for numbers in storages.values():
        file.write(struct.pack("<q", len(numbers)) + np.asarray(numbers, "<f4").tobytes())
    return file.getvalue()


def test_tensors_are_views_of_their_storages():
    numbers = np.arange(24)
    tensors = {
        "whole": Tensor("s", 24, 0, (2, 3, 4), (12, 4, 1)),
        "turned": Tensor("s", 24, 4, (4, 2), (1, 12)),
        "one": Tensor("s", 24, 5, (), ()),
        "other": Tensor("t", 2, 0, (2,), (1,)),
    }
    found = read_torch(torch_file(tensors, {"t": [7, 8], "s": numbers}), "f")
    np.testing.assert_array_equal(found["whole"], numbers.reshape(2, 3, 4))
    np.testing.assert_array_equal(found["turned"], [[4, 16], [5, 17], [6, 18], [7, 19]])
    assert found["one"] == 5 and found["other"].tolist() == [7, 8] and found["one"].dtype == np.float32


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        (Tensor("s", 24, 0, (5, 5), (5, 1)), "reaches out"),
        (Tensor("s", 24, 20, (5,), (1,)), "reaches out"),
        (Tensor("s", 24, -1, (2,), (1,)), "reaches out"),
        (Tensor("s", 24, 3, (2,), (-1,)), "reaches out"),
        (Tensor("absent", 24, 0, (2,), (1,)), "damaged"),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(tensor, says):
    with pytest.raises(UserError, match=says):
        read_torch(torch_file({"w": tensor}, {"s": np.arange(24)}), "f")


def test_a_torch_file_of_another_kind_or_cut_short_is_refused():
    whole = torch_file({"w": Tensor("s", 24, 0, (24,), (1,))}, {"s": np.arange(24)})
    assert read_torch(whole, "f")["w"].size == 24
    with pytest.raises(UserError, match="damaged or cut short"):
        read_torch(whole[:-4], "f")
    with pytest.raises(UserError, match="no little-endian PyTorch file"):
        read_torch(torch_file({}, {}, magic=7), "f")
    assert {o.name for o, _, _ in pickletools.genops(whole)} <= {"PROTO", "LONG1", "STOP"}, "the first of five"
