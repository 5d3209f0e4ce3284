"""The safetensors format: a length, a JSON header, the tensors' bytes.

Layout (the README of huggingface/safetensors, "Format"): a 64-bit little-endian length, that many
bytes of JSON: name → dtype, shape, data_offsets, and `__metadata__`, name → text. Tensors lie
without holes and do not overlap.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from math import prod
from operator import attrgetter
from typing import TypeAlias

from core.checkpoint.entries import (
    ITEMSIZES,
    Record,
    Source,
    TensorEntry,
    quick_entry,
    quick_record,
)
from core.checkpoint.pickles.inert import InertDict, InertTensor
from core.checkpoint.readers.contents import Contents, cut_off
from core.checkpoint.tree.discover import find_state_dicts
from core.errors import CheckpointError

MAX_HEADER = 100_000_000
"""Bytes of a header; the format's own bound."""

MAX_READ_HEADER = 32 << 20
"""Bytes of a header that are read: 300,000 tensors' worth."""

MAX_SIGNS: Mapping[bytes, int] = {b"[": 700_000, b"{": 350_000, b":": 700_000, b",": 2_000_000}
"""How often a sign of JSON may be in a header, since what it begins takes memory: a tensor has two,
one, four and some seven of them."""

MAX_RANK = 64
MAX_NUMBER = 1 << 62
"""Of a length, and of a tensor's place in bytes."""

DTYPES: Mapping[str, str] = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F4": "float4_e2m1fn_x2",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "C64": "complex64",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}
"""The format's dtype names."""


def is_safetensors(head: bytes) -> bool:
    """Whether a file's first bytes are a length within it and the beginning of JSON."""
    if len(head) < 9 or head[8:9] != b"{":
        return False
    return int(struct.unpack_from("<Q", head)[0]) <= MAX_HEADER


def read_safetensors(source: Source) -> Contents:
    """The contents of a file. Raises CheckpointError, SourceError."""
    nbytes = struct.unpack("<Q", source.read(0, 8))[0]
    if nbytes > source.size - 8:
        raise cut_off(source, None)
    if nbytes > MAX_READ_HEADER:
        raise _unsound(f"its header has {nbytes:,} bytes, more than any checkpoint needs")
    raw = source.read(8, nbytes)
    if any(raw.count(sign) > most for sign, most in MAX_SIGNS.items()):
        raise _unsound("its header nests more than any checkpoint's")
    header = _header(raw)
    tree = InertDict()
    metadata = header.pop("__metadata__", None)
    if isinstance(metadata, dict):
        texts = InertDict()
        texts.update({str(key): str(value) for key, value in metadata.items()})
        tree["__metadata__"] = texts
    start = 8 + nbytes
    records: dict[str, Record] = {}
    layouts: dict[tuple[str | int, ...], _Layout] = {}
    for name, facts in header.items():
        code, shape, first, last = _facts(name, facts)
        layout = layouts.get((code, *shape))
        if layout is None:
            layout = layouts[code, *shape] = _layout(name, code, shape)
        dtype, lengths, stride, needed = layout
        if last - first != needed:
            raise _unsound(f"{name[:200]} has more or fewer bytes than its shape needs")
        tree[name] = InertTensor(None, dtype, lengths, stride, 0)
        records[name] = quick_record(name, start + first, needed, None, source)

    def entry(key: str, tensor: InertTensor) -> TensorEntry:
        return quick_entry(
            key, tensor.dtype, tensor.shape, tensor.stride, 0, records[key], origin=key
        )

    end = _end_of(records, start)
    if end > source.size:
        raise cut_off(source, find_state_dicts(tree, entry))
    if end < source.size:
        raise _unsound("bytes follow that belong to no tensor")
    return Contents("safetensors", tree, (), entry)


def _header(raw: bytes) -> dict[str, object]:
    """The header as a mapping; raises CheckpointError for one in which a name stands twice."""
    try:
        text = raw.decode("utf-8")
        header = json.loads(text)
        # Python keeps the last of two equal names. Where none is escaped, the texts can be counted
        # instead of looking at each mapping as it is made.
        if "\\" in text or text.count('"') != 2 * _texts_in(header):
            del header
            header = json.loads(text, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise _unsound("its header is no sound JSON") from error
    if not isinstance(header, dict):
        raise _unsound("its header is no mapping")
    return header


def _texts_in(header: object) -> int:
    """How many texts, names included, a sound header is written with; -1 for another one."""
    if not isinstance(header, dict):
        return -1
    if "__metadata__" not in header:
        return 5 * len(header)
    metadata = header["__metadata__"]
    if not isinstance(metadata, dict) or not all(type(text) is str for text in metadata.values()):
        return -1
    return 5 * (len(header) - 1) + 1 + 2 * len(metadata)


def _facts(name: str, facts: object) -> tuple[str, list[int], int, int]:
    """A tensor's dtype in the format's words, its shape, and its bytes' beginning and end."""
    if type(facts) is not dict:
        raise _unsound(f"{name[:200]} is described by no mapping")
    code, shape, offsets = facts.get("dtype"), facts.get("shape"), facts.get("data_offsets")
    if (
        type(shape) is not list
        or type(offsets) is not list
        or len(offsets) != 2
        or not _INT.issuperset(map(type, shape))
        or not _INT.issuperset(map(type, offsets))
        or not 0 <= offsets[0] <= offsets[1] < MAX_NUMBER
    ):
        raise _unsound(f"{name[:200]} has an impossible shape or place")
    return str(code), shape, offsets[0], offsets[1]


_INT = frozenset({int})

_Layout: TypeAlias = tuple[str, tuple[int, ...], tuple[int, ...], int]
"""A dtype in torch's words, a shape, its strides, and the bytes of such a tensor."""


def _layout(name: str, code: str, shape: list[int]) -> _Layout:
    dtype = DTYPES.get(code)
    if dtype is None:
        raise CheckpointError(
            f"The tensor {name[:200]} has the dtype {code[:40]}, which Loupe does not read.",
            "Save the file again with a dtype that PyTorch has.",
        )
    if len(shape) > MAX_RANK or not all(0 <= length < MAX_NUMBER for length in shape):
        raise _unsound(f"{name[:200]} has an impossible shape or place")
    if code == "F4":
        # The format counts numbers, torch counts the bytes that hold two of them.
        if not shape or shape[-1] % 2:
            raise _unsound(f"{name[:200]} has half a byte")
        shape = [*shape[:-1], shape[-1] // 2]
    stride = tuple(prod(shape[position + 1 :]) for position in range(len(shape)))
    return dtype, tuple(shape), stride, prod(shape) * ITEMSIZES[dtype]


def _end_of(records: Mapping[str, Record], start: int) -> int:
    """Where the last tensor ends; raises CheckpointError for holes and overlaps."""
    at = start
    for record in sorted(records.values(), key=attrgetter("offset", "nbytes")):
        if record.offset != at:
            what = "overlaps another tensor" if record.offset < at else "follows a hole"
            raise _unsound(f"{record.name[:200]} {what}")
        at += record.nbytes
    return at


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _unsound(why: str) -> CheckpointError:
    return CheckpointError(
        f"The safetensors file is unsound: {why}.",
        "It is damaged: get it again from where it came from.",
    )
