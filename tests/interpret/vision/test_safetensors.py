"""safetensors files, written here byte by byte as the format says."""

import json
import struct

import numpy as np
import pytest

from theodolite.core.errors import UserError
from theodolite.interpret.vision import safetensors


def write(path, header, numbers=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + numbers)
    return path


def entry(kind="F32", shape=(2,), begin=0, end=8):
    return {"dtype": kind, "shape": list(shape), "data_offsets": [begin, end]}


def test_arrays_of_every_type(tmp_path):
    values = {
        "F64": np.array([1.5, -2]),
        "F16": np.float16([0.5, 3]),
        "I64": np.array([-1, 2**40]),
        "BOOL": np.array([True]),
    }
    header, numbers = {"__metadata__": {"format": "pt"}}, b""
    for kind, value in values.items():
        header[kind] = entry(kind, value.shape, len(numbers), len(numbers) + value.nbytes)
        numbers += value.tobytes()
    header["scalar"] = entry("F32", (), len(numbers), len(numbers) + 4)
    header["BF16"] = entry("BF16", (1, 2), len(numbers) + 4, len(numbers) + 8)
    numbers += np.float32(0.25).tobytes() + np.array([1.0, -0.15625], "<f4").view("<u2")[1::2].tobytes()
    found = safetensors.read(write(tmp_path / "w.safetensors", header, numbers))
    for kind, value in values.items():
        np.testing.assert_array_equal(found[kind], value)
        assert found[kind].dtype == value.dtype
    assert found["scalar"] == 0.25 and found["BF16"].tolist() == [[1, -0.15625]] and "__metadata__" not in found


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ({"w": entry(end=12)}, "lies at the bytes 0 to 12 of 8"),
        ({"w": entry(begin=4, end=0)}, "lies at the bytes 4 to 0"),
        ({"w": entry(begin=-8, end=0)}, "lies at the bytes -8"),
        ({"w": entry(shape=(3,))}, "of shape .* takes 8 bytes"),
        ({"w": entry(shape=(-2,))}, "lies at"),
        ({"w": entry(shape=(2.0,))}, "lies at"),
        ({"w": entry(kind="F8_E4M3")}, "numbers of the type F8_E4M3"),
        ({"w": {"dtype": "F32", "shape": [2]}}, "no entry 'data_offsets'"),
        ({"w": 5}, "no whole safetensors file"),
        ([1, 2], "no whole safetensors file"),
        (b"{not json}", "no whole safetensors file"),
        (b"\xff\xfe{}", "no whole safetensors file"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(header, says, tmp_path):
    with pytest.raises(UserError, match=says):
        safetensors.read(write(tmp_path / "w.safetensors", header, bytes(8)))


def test_a_file_cut_short_is_refused(tmp_path):
    whole = write(tmp_path / "w.safetensors", {"w": entry()}, bytes(8)).read_bytes()
    for length in (0, 7, 20, len(whole) - 1):
        (tmp_path / "w.safetensors").write_bytes(whole[:length])
        with pytest.raises(UserError, match="no whole safetensors file"):
            safetensors.read(tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", 2**60) + whole[8:])
    with pytest.raises(UserError, match=f"claims {2**60} bytes"):
        safetensors.read(tmp_path / "w.safetensors")
