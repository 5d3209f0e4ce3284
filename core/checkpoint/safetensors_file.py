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
from typing import TypeGuard

from core.checkpoint.contents import Contents, cut_off
from core.checkpoint.discover import find_state_dicts
from core.checkpoint.entries import ITEMSIZES, Record, Source, TensorEntry
from core.checkpoint.inert import InertDict, InertTensor
from core.errors import CheckpointError

MAX_HEADER = 100_000_000
"""Bytes of a header; the format's own bound."""

MAX_READ_HEADER = 32 << 20
"""Bytes of a header that are read: 300,000 tensors' worth."""

MAX_SIGNS: Mapping[bytes, int] = {b"[": 700_000, b"{": 350_000, b":": 700_000, b",": 2_000_000}
"""How often a sign of JSON may be in a header, since what it begins takes memory: a tensor has two,
one, four and some seven of them."""

MAX_RANK = 64

DTYPES: Mapping[str, str] = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
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
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise _unsound("its header is no sound JSON") from error
    if not isinstance(header, dict):
        raise _unsound("its header is no mapping")
    tree = InertDict()
    metadata = header.pop("__metadata__", None)
    if isinstance(metadata, dict):
        texts = InertDict()
        texts.update({str(key): str(value) for key, value in metadata.items()})
        tree["__metadata__"] = texts
    start = 8 + nbytes
    records: dict[str, Record] = {}
    for name, facts in header.items():
        tree[name], records[name] = _tensor(source, start, name, facts)

    def entry(key: str, tensor: InertTensor) -> TensorEntry:
        return TensorEntry(
            key, tensor.dtype, tensor.shape, tensor.stride, 0, records[key], origin=key
        )

    end = _end_of(records, start)
    if end > source.size:
        raise cut_off(source, find_state_dicts(tree, entry))
    if end < source.size:
        raise _unsound("bytes follow that belong to no tensor")
    return Contents("safetensors", tree, (), entry)


def _tensor(source: Source, start: int, name: str, facts: object) -> tuple[InertTensor, Record]:
    if not isinstance(facts, dict):
        raise _unsound(f"{name[:200]} is described by no mapping")
    code, shape, offsets = facts.get("dtype"), facts.get("shape"), facts.get("data_offsets")
    dtype = DTYPES.get(code) if isinstance(code, str) else None
    if dtype is None:
        raise CheckpointError(
            f"The tensor {name[:200]} has the dtype {str(code)[:40]}, which Loupe does not read.",
            "Save the file again with a dtype that PyTorch has.",
        )
    if not _counts(shape) or not _counts(offsets) or len(offsets) != 2 or len(shape) > MAX_RANK:
        raise _unsound(f"{name[:200]} has an impossible shape or place")
    first, last = offsets
    if last - first != prod(shape) * ITEMSIZES[dtype]:
        raise _unsound(f"{name[:200]} has more or fewer bytes than its shape needs")
    stride = tuple(prod(shape[position + 1 :]) for position in range(len(shape)))
    tensor = InertTensor(None, dtype, tuple(shape), stride, 0)
    return tensor, Record(name, start + first, last - first, None, source)


def _counts(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(
        type(number) is int and 0 <= number < 1 << 62 for number in value
    )


def _end_of(records: Mapping[str, Record], start: int) -> int:
    """Where the last tensor ends; raises CheckpointError for holes and overlaps."""
    at = start
    for record in sorted(records.values(), key=lambda record: (record.offset, record.nbytes)):
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
