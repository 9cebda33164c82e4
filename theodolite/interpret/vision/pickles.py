"""Reading weights out of pickle files without Python's pickle: a reader of data that can neither import nor call.

A pickle is a program for a small stack machine. This one knows the instructions that build dicts, lists, tuples,
numbers, texts and bytes. The few names that weight files mention (NumPy's arrays, PyTorch's tensors) are admitted one
by one and stand for constructors of our own; any other name or instruction is refused before anything happens.
"""

import pickletools
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np

from theodolite.core.errors import UserError

Constructor = Callable[..., Any]
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""How a PyTorch file of the kind before zip archives begins."""
NUMBERS = {"FloatStorage": "<f4", "LongStorage": "<i8"}


class _RefusedError(ValueError):
    """The file asks for what this reader does not do."""


class _Array:
    """An array that is filled in after it was made, as pickles do."""

    def __init__(self, *_: Any):
        self.value: np.ndarray | None = None

    def build(self, state: tuple) -> None:
        _, shape, dtype, by_columns, content = state
        self.value = np.frombuffer(content, dtype.type()).reshape(shape, order="F" if by_columns else "C")


class _Type:
    """A numeric type: kind and size, then the byte order."""

    def __init__(self, code: str, *_: Any):
        self.code, self.order = code, "|"

    def build(self, state: tuple) -> None:
        self.order = state[1]

    def type(self) -> np.dtype:
        if self.code not in ("f2", "f4", "f8", "i4", "i8"):
            raise _RefusedError(f"it holds numbers of type {self.code!r}")
        return np.dtype(self.order.replace("|", "=") + self.code)


class _Storage(NamedTuple):
    """A run of numbers that follows the program."""

    key: str
    type: str
    count: int


class _Tensor(NamedTuple):
    """A view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def of(self, numbers: np.ndarray) -> np.ndarray:
        """The view as an array of its own."""
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        if self.offset < 0 or min((*self.shape, *self.strides, 0)) < 0 or last >= len(numbers):
            raise _RefusedError(f"a tensor of shape {self.shape} reaches out of its storage")
        strides = tuple(s * numbers.itemsize for s in self.strides)
        return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, strides, writeable=False).copy()


NUMPY: dict[str, Constructor] = {
    "numpy.core.multiarray _reconstruct": _Array,
    "numpy ndarray": _Array,
    "numpy dtype": _Type,
}
TORCH: dict[str, Constructor] = {
    "collections OrderedDict": dict,
    "torch._utils _rebuild_tensor_v2": lambda storage, offset, shape, strides, *_: _Tensor(
        storage, offset, shape, strides
    ),
    **{f"torch {name}": lambda: None for name in NUMBERS},
}


class _Name(NamedTuple):
    """A name that was admitted, and what stands for it here."""

    name: str
    make: Constructor


class _Machine:
    """The stack, the marks in it and the memory of one program."""

    def __init__(self, admitted: Mapping[str, Constructor]):
        self.admitted, self.stack, self.memory, self.mark = admitted, [], {}, object()

    def since_mark(self) -> list:
        """What was put on the stack since the last mark, taken off with the mark."""
        place = len(self.stack) - 1 - self.stack[::-1].index(self.mark)
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values

    def take(self, count: int) -> list:
        """The topmost values, taken off."""
        if len(self.stack) < count:
            raise _RefusedError("its program is damaged")
        values = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return values

    def step(self, instruction: str, value: Any) -> None:
        """Carry out one instruction."""
        match instruction:
            case "PROTO" | "STOP":
                pass
            case "MARK":
                self.stack.append(self.mark)
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                self.stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[instruction]())
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                self.stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[instruction])
            case "BINPUT" | "LONG_BINPUT":
                self.memory[value] = self.stack[-1]
            case "BINGET" | "LONG_BINGET":
                self.stack.append(self.memory[value])
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                self.stack.append(tuple(self.take(int(instruction[-1]))))
            case "TUPLE":
                self.stack.append(tuple(self.since_mark()))
            case _ if instruction in _PLAIN:
                self.stack.append(value)
            case _:
                self.fill_or_make(instruction, value)

    def fill_or_make(self, instruction: str, value: Any) -> None:
        """The instructions that fill containers, name a constructor or use one."""
        match instruction:
            case "APPEND":
                self.stack[-2].append(self.take(1)[0])
            case "APPENDS":
                values = self.since_mark()
                self.stack[-1].extend(values)
            case "SETITEM":
                key, item = self.take(2)
                self.stack[-1][key] = item
            case "SETITEMS":
                values = self.since_mark()
                self.stack[-1].update(zip(values[::2], values[1::2], strict=True))
            case "GLOBAL":
                if value not in self.admitted:
                    raise _RefusedError(f"it names {value.replace(' ', '.')}, which is no part of weights")
                self.stack.append(_Name(value, self.admitted[value]))
            case "REDUCE":
                name, arguments = self.take(2)
                if not isinstance(name, _Name) or not isinstance(arguments, tuple):
                    raise _RefusedError("it calls what is no constructor")
                self.stack.append(name.make(*arguments))
            case "BUILD":
                (state,) = self.take(1)
                if isinstance(self.stack[-1], _Array | _Type):
                    self.stack[-1].build(state)
            case "BINPERSID":
                _, kind, key, _, count = self.take(1)[0][:5]
                self.stack.append(_Storage(key, kind.name.removeprefix("torch "), count))
            case _:
                raise _RefusedError(f"it contains the instruction {instruction}")


_PLAIN = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "BINBYTES", "SHORT_BINBYTES"),
}
_DAMAGE = (ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, OverflowError, RecursionError)


def _run(file: BytesIO, admitted: Mapping[str, Constructor]) -> Any:
    machine = _Machine(admitted)
    for instruction, value, _ in pickletools.genops(file):
        machine.step(instruction.name, value)
    (result,) = machine.stack
    return result


def _arrays(value: Any, depth: int = 0) -> Any:
    """Finished arrays in the places of those that were filled in later."""
    if depth > 8:
        raise _RefusedError("its dicts are nested more than eight deep")
    if isinstance(value, dict):
        return {key: _arrays(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_arrays(item, depth + 1) for item in value]
    return value.value if isinstance(value, _Array) else value


def read_numpy(content: bytes, where: str) -> Any:
    """Dicts and lists of NumPy arrays; `where` names the file in errors.

    Raises:
        UserError: the file is damaged, or holds anything but numbers, texts and NumPy arrays.
    """
    try:
        return _arrays(_run(BytesIO(content), NUMPY))
    except _DAMAGE as error:
        raise _refusal(where, error) from error


def read_torch(content: bytes, where: str) -> dict[str, np.ndarray]:
    """The state dict of a PyTorch file of the kind before zip archives.

    Raises:
        UserError: the file is damaged, of another kind, or holds anything but tensors.
    """
    file = BytesIO(content)
    try:
        if _run(file, {}) != MAGIC or _run(file, {}) != PROTOCOL or not _run(file, {})["little_endian"]:
            raise _RefusedError("it is no little-endian PyTorch file of protocol 1001")
        tensors, keys, numbers = _run(file, TORCH), _run(file, {}), {}
        types = {tensor.storage.key: NUMBERS[tensor.storage.type] for tensor in tensors.values()}
        for key in keys:
            (count,) = np.frombuffer(file.read(8), "<i8")
            type_ = np.dtype(types[key])
            numbers[key] = np.frombuffer(file.read(int(count) * type_.itemsize), type_, count=int(count))
        return {name: tensor.of(numbers[tensor.storage.key]) for name, tensor in tensors.items()}
    except _DAMAGE as error:
        raise _refusal(where, error) from error


def _refusal(where: str, error: Exception) -> UserError:
    why = str(error) if isinstance(error, _RefusedError) else "it is damaged or cut short"
    return UserError(f"{where} was not read: {why}. Nothing in it was executed. Download the file again.")
