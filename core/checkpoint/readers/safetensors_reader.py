"""Reads the safetensors format: a length, a JSON header, the tensors' bytes.

Layout (the README of huggingface/safetensors, "Format"): a 64-bit little-endian length, and so many
bytes of JSON: name → dtype, shape, data_offsets, and `__metadata__`, name → text. The tensors have
no holes between them and do not overlap.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from math import prod
from operator import attrgetter
from typing import TypeAlias

from core.checkpoint.containers.budget import MoreThanLoupeReads, check_dimensions, work_left
from core.checkpoint.entries import (
    ITEMSIZES,
    Record,
    Source,
    TensorEntry,
    make_entry,
    make_record,
)
from core.checkpoint.pickles.inert import InertDict, InertTensor
from core.checkpoint.readers.contents import Contents, cut_off
from core.checkpoint.tree.discover import find_state_dicts
from core.errors import CheckpointError
from core.wording import size

MAX_HEADER = 100_000_000
"""Bytes of a header by the format's own limit."""

MAX_SIGNS: Mapping[bytes, int] = {b"[": 700_000, b"{": 350_000, b":": 300_000, b",": 2_000_000}
"""How often these characters may occur in a header, besides BYTES_PER_SIGN, because each takes
memory when it is parsed. A tensor has two, one, four and some seven of them."""

BYTES_PER_SIGN: Mapping[bytes, int] = {b"[": 25, b"{": 50, b":": 24, b",": 8}
"""The bytes of a header that allow one more of them; a tensor's description takes 60 and more."""

MAX_NUMBER = 1 << 62
"""The limit of a dimension's length, and of an offset in bytes."""

_ENDS = re.compile(rb'"data_offsets"\s*:\s*\[\s*\d{1,20}\s*,\s*(\d{1,20})\s*\]')
"""Where a tensor ends, after the header."""

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
"""The format's names of dtypes, with torch's."""


def is_safetensors(head: bytes) -> bool:
    """Whether a file's first bytes are a possible length and the start of a JSON object."""
    if len(head) < 9 or head[8:9] != b"{":
        return False
    return int(struct.unpack_from("<Q", head)[0]) <= MAX_HEADER


def safetensors_end(source: Source) -> int | None:
    """Where the last tensor of a file ends by its header, whatever else is wrong with it.

    None for a file that does not begin as one, or ends before that.
    """
    if not is_safetensors(source.read(0, 9)):
        return None
    nbytes = struct.unpack("<Q", source.read(0, 8))[0]
    ends = [int(end) for end in _ENDS.findall(source.read(8, nbytes))]
    end: int = 8 + nbytes + max(ends, default=0)
    return end if ends and end < source.size else None


def read_safetensors(source: Source) -> Contents:
    """The contents of a file. Raises CheckpointError, SourceError."""
    nbytes = struct.unpack("<Q", source.read(0, 8))[0]
    if nbytes > source.size - 8:
        raise cut_off(source, None)
    raw = source.read(8, nbytes)
    for sign, most in MAX_SIGNS.items():
        if raw.count(sign) > most + nbytes // BYTES_PER_SIGN[sign]:
            raise MoreThanLoupeReads(
                f"its header of {size(nbytes)} has more parts than so many tensors need",
                "Save it in several files, each with a part of the tensors.",
            )
    work_left().grow(nbytes)
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
            raise _unsound(f"{name[:200]} has more or fewer bytes than its shape and dtype need")
        tree[name] = InertTensor(None, dtype, lengths, stride, 0)
        records[name] = make_record(name, start + first, needed, None, source)

    def entry(key: str, tensor: InertTensor) -> TensorEntry:
        return make_entry(
            key, tensor.dtype, tensor.shape, tensor.stride, 0, records[key], origin=key
        )

    end = _end_of(records, start)
    if end > source.size:
        raise cut_off(source, find_state_dicts(tree, entry))
    if end < source.size:
        raise _unsound("bytes after the last tensor belong to none")
    return Contents("safetensors", tree, (), entry, may_have_unlisted=False)


def _header(raw: bytes) -> dict[str, object]:
    """The parsed header; raises CheckpointError where it is not valid JSON, or has a key twice.

    It is an object, because a file whose header does not begin as one is not `is_safetensors`.
    """
    try:
        text = raw.decode("utf-8")
        header: dict[str, object] = json.loads(text)
        # json.loads keeps the last of two equal keys. To find them, it is faster to count the
        # quotes than to call a hook for each object, if no quote is escaped.
        if "\\" in text or text.count('"') != 2 * _texts_in(header):
            del header
            header = json.loads(text, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise _unsound("its header is not valid JSON") from error
    return header


def _texts_in(header: Mapping[str, object]) -> int:
    """The number of strings, keys included, in a valid header; −1 for an invalid one."""
    if "__metadata__" not in header:
        return 5 * len(header)
    metadata = header["__metadata__"]
    if not isinstance(metadata, dict) or not all(type(text) is str for text in metadata.values()):
        return -1
    return 5 * (len(header) - 1) + 1 + 2 * len(metadata)


def _facts(name: str, facts: object) -> tuple[str, list[int], int, int]:
    """A tensor's dtype by the format's name, its shape, and the start and end of its bytes."""
    if type(facts) is not dict:
        raise _unsound(f"the description of {name[:200]} is not a JSON object")
    code, shape, offsets = facts.get("dtype"), facts.get("shape"), facts.get("data_offsets")
    if type(shape) is list and type(offsets) is list and len(offsets) == 2:
        first, last = offsets
        if (
            type(first) is int
            and type(last) is int
            and 0 <= first <= last < MAX_NUMBER
            and _INT.issuperset(map(type, shape))
        ):
            return str(code), shape, first, last
    raise _unsound(f"{name[:200]} has an impossible shape or offset")


_INT = frozenset({int})

_Layout: TypeAlias = tuple[str, tuple[int, ...], tuple[int, ...], int]
"""A dtype by torch's name, a shape, its strides, and the bytes of such a tensor."""


def _layout(name: str, code: str, shape: list[int]) -> _Layout:
    dtype = DTYPES.get(code)
    if dtype is None:
        raise CheckpointError(
            f"The tensor {name[:200]} has the dtype {code[:40]}, which Loupe does not read.",
            "Save the file again with a dtype that PyTorch has.",
        )
    check_dimensions(len(shape), name)
    if not all(0 <= length < MAX_NUMBER for length in shape):
        raise _unsound(f"{name[:200]} has an impossible shape or offset")
    if code == "F4":
        # The format counts elements, torch's float4_e2m1fn_x2 bytes with two elements each.
        if not shape or shape[-1] % 2:
            raise _unsound(f"{name[:200]} ends in half a byte")
        shape = [*shape[:-1], shape[-1] // 2]
    stride = tuple(prod(shape[position + 1 :]) for position in range(len(shape)))
    return dtype, tuple(shape), stride, prod(shape) * ITEMSIZES[dtype]


def _end_of(records: Mapping[str, Record], start: int) -> int:
    """The offset at which the last tensor ends; raises CheckpointError for holes and overlaps."""
    at = start
    for record in sorted(records.values(), key=attrgetter("offset", "nbytes")):
        if record.offset != at:
            trouble = "overlaps another tensor" if record.offset < at else "follows a hole"
            raise _unsound(f"{record.name[:200]} {trouble}")
        at += record.nbytes
    return at


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a key occurs twice")
    return mapping


def _unsound(why: str) -> CheckpointError:
    return CheckpointError(
        f"The safetensors file is unsound: {why}.",
        "It is damaged: get it again from where it came from.",
    )
