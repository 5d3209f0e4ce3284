"""The numpy arrays, scalars and dtypes in a pickle, as inert data."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from math import prod

from core.checkpoint.containers.budget import MAX_DIMENSIONS
from core.checkpoint.pickles.inert import (
    InertArray,
    InertDtype,
    InertTensor,
    InlineStorage,
    LongBytes,
    Opaque,
    Tree,
)

MAX_READ = 1 << 20
"""Bytes that are read for the values of an array that stayed in the file."""

TORCH_DTYPES: Mapping[str, str] = {
    "f8": "float64",
    "f4": "float32",
    "f2": "float16",
    "i8": "int64",
    "i4": "int32",
    "i2": "int16",
    "i1": "int8",
    "u8": "uint64",
    "u4": "uint32",
    "u2": "uint16",
    "u1": "uint8",
    "b1": "bool",
    "c16": "complex128",
    "c8": "complex64",
}
"""numpy's short dtype codes, with torch's names for the same dtypes."""

STRUCT_CODES: Mapping[str, str] = {
    "f8": "d",
    "f4": "f",
    "f2": "e",
    "i8": "q",
    "i4": "i",
    "i2": "h",
    "i1": "b",
    "u8": "Q",
    "u4": "I",
    "u2": "H",
    "u1": "B",
    "b1": "?",
    "c16": "dd",
    "c8": "ff",
}
"""numpy's short dtype codes, with the struct module's format characters."""


def array_values(array: InertArray, most: int) -> list[Tree] | None:
    """The values of an array in the order of its bytes; None if they are more than `most`.

    None also where they cannot be read. Dates and time spans become text.
    """
    if prod(array.shape) > most:
        return None
    if array.objects is not None:
        return array.objects[:most]
    if array.dtype is None or array.data is None:
        return None
    data = array.data
    if isinstance(data, LongBytes):
        data = data.source.read(0, min(data.source.size, MAX_READ))
    return _values(array.dtype, data, prod(array.shape))


def array_tensor(array: InertArray) -> InertTensor:
    """A numeric array as a tensor whose bytes are in the pickle.

    Raises ValueError for an array whose dtype torch does not have.
    """
    dtype = TORCH_DTYPES.get(array.dtype.code if array.dtype else "")
    if dtype is None or array.dtype is None or array.data is None:
        raise ValueError("an array that cannot be a tensor")
    numel = prod(array.shape)
    storage = InlineStorage(
        "in the pickle", dtype, "cpu", numel, data=array.data, big_endian=array.dtype.big_endian
    )
    order = array.shape if array.fortran else array.shape[::-1]
    steps = [1]
    for length in order[:-1]:
        steps.append(steps[-1] * max(1, length))
    stride = tuple(steps[: len(order)] if array.fortran else steps[: len(order)][::-1])
    return InertTensor(storage, dtype, array.shape, stride, 0)


def numpy_dtype(code: Tree, *_flags: Tree) -> InertDtype:
    """`numpy.dtype`; BUILD sets its byte order and unit."""
    if not isinstance(code, str):
        raise TypeError("not a dtype's code")
    return InertDtype(code.lstrip("<>=|"), code.startswith(">"))


def build_dtype(dtype: InertDtype, state: Tree) -> None:
    """Set a numpy.dtype's state: (version, byte order, subarray, names, fields, …), and for a date
    its unit as the ninth."""
    if not isinstance(state, tuple) or len(state) < 2:
        return
    dtype.big_endian = state[1] == ">"
    if any(part is not None for part in state[2:5]):
        dtype.fields = state[2:5]
    match state:
        case (*_, (_, (bytes() | str() as unit, int() as count, _, _))) if len(state) == 9:
            name = unit if isinstance(unit, str) else unit.decode("latin-1")
            dtype.unit = ("" if count == 1 else f"{count} ") + name[:20]


def numpy_scalar(dtype: Tree, data: Tree = None) -> Tree:
    """`numpy.core.multiarray.scalar`, as a Python value."""
    if not isinstance(dtype, InertDtype):
        raise TypeError("a scalar without a dtype")
    raw = _bytes(data, _itemsize(dtype))
    if raw is None:
        raise TypeError("a scalar without bytes")
    values = _values(dtype, raw, 1)
    if values is None:
        return Opaque(f"numpy scalar of dtype {dtype.code}", (raw,))
    return values[0]


def numpy_array(*_arguments: Tree) -> InertArray:
    """`numpy.core.multiarray._reconstruct`: an empty array that BUILD fills."""
    return InertArray()


def build_array(array: InertArray, state: Tree) -> None:
    """Set a numpy.ndarray's state: (version, shape, dtype, is Fortran order, bytes or a list)."""
    if not isinstance(state, tuple) or len(state) != 5:
        raise TypeError("an array in it has no state")
    _, shape, dtype, fortran, data = state
    if isinstance(dtype, Opaque):  # of another library, such as ml_dtypes.bfloat16
        array.shape = _lengths(shape)
        array.data = data if isinstance(data, bytes | LongBytes) else None
        return
    _fill(array, shape, dtype, bool(fortran), data)


def array_from_buffer(data: Tree, dtype: Tree, shape: Tree, order: Tree, *_axes: Tree) -> Tree:
    """`numpy._core.numeric._frombuffer`, with which pickles of protocol 5 write arrays."""
    array = InertArray()
    _fill(array, shape, dtype, order == "F", data)
    return array


def _fill(array: InertArray, shape: Tree, dtype: Tree, fortran: bool, data: Tree) -> None:
    if not isinstance(dtype, InertDtype):
        raise TypeError("an array in it has no dtype")
    array.dtype, array.shape, array.fortran = dtype, _lengths(shape), fortran
    nbytes = _itemsize(dtype) * prod(array.shape)
    array.data = data if isinstance(data, LongBytes) else _bytes(data, nbytes)
    array.objects = data if isinstance(data, list) else None


def _lengths(shape: Tree) -> tuple[int, ...]:
    """The lengths in a shape; raises TypeError and ValueError where it is none."""
    if not isinstance(shape, list | tuple):
        raise TypeError("an array in it has no shape")
    if len(shape) > MAX_DIMENSIONS:
        raise ValueError("an array with too many dimensions")
    lengths = [length for length in shape if type(length) is int and 0 <= length < 1 << 62]
    if len(lengths) != len(shape):
        raise TypeError("an array in it has no shape")
    return tuple(lengths)


def _itemsize(dtype: InertDtype) -> int:
    """The bytes of one value, by the dtype's code; 0 where the code does not say."""
    digits = dtype.code[1:]
    number = int(digits) if digits.isdecimal() and len(digits) < 10 else 0
    return 4 * number if dtype.code.startswith("U") else number


def _bytes(data: Tree, nbytes: int) -> bytes | None:
    """The bytes of values, which Python 2 wrote as a string, and which are `nbytes` long.

    The unpickler reads such a string as UTF-8 where it can, else as Latin-1. Of a string with
    accents, the number of bytes says which of the two it was.
    """
    if isinstance(data, str):
        utf8 = data.encode("utf-8", "surrogatepass")
        return utf8 if len(utf8) == nbytes else data.encode("latin-1")
    return data if isinstance(data, bytes) else None


def _values(dtype: InertDtype, data: bytes, count: int) -> list[Tree] | None:
    if dtype.code in STRUCT_CODES:
        layout = struct.Struct(_order(dtype) + STRUCT_CODES[dtype.code])
        if len(data) != layout.size * count:
            return None
        return [
            complex(*numbers) if len(numbers) == 2 else numbers[0]
            for numbers in layout.iter_unpack(data)
        ]
    decode = _DECODERS.get(dtype.code[:1])
    width = len(data) // count if count else 0
    dated = dtype.code[:1] in ("M", "m")
    if decode is None or width * count != len(data) or (dated and count and width != TIME_BYTES):
        return None
    return [decode(dtype, data[at * width : (at + 1) * width]) for at in range(count)]


def _order(dtype: InertDtype) -> str:
    return ">" if dtype.big_endian else "<"


def _wide_text(dtype: InertDtype, raw: bytes) -> str:
    encoding = "utf-32-be" if dtype.big_endian else "utf-32-le"
    return raw.decode(encoding, "replace").rstrip("\0")


def _narrow_text(_dtype: InertDtype, raw: bytes) -> str:
    return raw.rstrip(b"\0").decode("utf-8", "replace")


TIME_BYTES = 8
"""Bytes of a datetime64 or timedelta64 of any unit."""

_MICROSECONDS: Mapping[str, int] = {
    "W": 604_800_000_000,
    "D": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
    "us": 1,
}
"""numpy's units of time that are whole microseconds, Python's smallest unit."""


def _date(dtype: InertDtype, raw: bytes) -> str:
    """A date in ISO 8601 if Python can represent it, else the count with its unit."""
    ticks, unit = _ticks(dtype, raw), dtype.unit
    if ticks is None:
        return "NaT"
    since = ticks // 1000 if unit == "ns" else ticks * _MICROSECONDS.get(unit, 0)
    try:
        date = datetime(1970, 1, 1) + timedelta(microseconds=since)
    except OverflowError:
        date = None
    if date is None or unit not in (*_MICROSECONDS, "ns"):
        return f"{ticks} {unit} since 1970"
    return date.date().isoformat() if unit in ("W", "D") else date.isoformat()


def _span(dtype: InertDtype, raw: bytes) -> str:
    ticks = _ticks(dtype, raw)
    return "NaT" if ticks is None else f"{ticks} {dtype.unit}"


def _ticks(dtype: InertDtype, raw: bytes) -> int | None:
    ticks: int = struct.unpack(_order(dtype) + "q", raw)[0]
    return None if ticks == -(1 << 63) else ticks


_DECODERS: Mapping[str, Callable[[InertDtype, bytes], str]] = {
    "U": _wide_text,
    "S": _narrow_text,
    "M": _date,
    "m": _span,
}
"""Functions that make text of a value, by the first letter of its dtype's code."""
