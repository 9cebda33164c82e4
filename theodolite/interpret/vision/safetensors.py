"""Reading safetensors files: the length of a header, the header in JSON, and raw numbers."""

import json
import struct
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from theodolite.core.errors import UserError

TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "?"}
LONGEST_HEADER = 100_000_000
"""Bytes, as the format's own library has it."""


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file; BF16, which NumPy does not have, comes as float32.

    Raises:
        UserError: the file is damaged, cut short, or its header claims bytes that it does not have.
    """
    content = path.read_bytes()
    try:
        (length,) = struct.unpack_from("<Q", content)
        if not 2 <= length <= min(LONGEST_HEADER, len(content) - 8):
            raise ValueError(f"its header claims {length} bytes")
        header = json.loads(content[8 : 8 + length])
        numbers = memoryview(content)[8 + length :]
        return {name: _array(name, entry, numbers) for name, entry in header.items() if name != "__metadata__"}
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"it has no entry {error}" if isinstance(error, KeyError) else error
        raise UserError(f"{path} is no whole safetensors file: {why}. Get the file again.") from error


def _array(name: str, entry: dict[str, Any], numbers: memoryview) -> np.ndarray:
    kind, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if kind != "BF16" and kind not in TYPES:
        raise ValueError(f"{name} has numbers of the type {kind}, expected one of {', '.join(TYPES)}, BF16")
    if not all(isinstance(n, int) and n >= 0 for n in (*shape, begin, end)) or not begin <= end <= len(numbers):
        raise ValueError(f"{name} lies at the bytes {begin} to {end} of {len(numbers)}")
    type_ = np.dtype("<u2" if kind == "BF16" else TYPES[kind])
    if prod(shape) * type_.itemsize != end - begin:
        raise ValueError(f"{name} of shape {shape} in {kind} takes {end - begin} bytes")
    array = np.frombuffer(numbers[begin:end], type_).reshape(shape)
    return (array.astype("<u4") << 16).view("<f4") if kind == "BF16" else array
