"""Reads the safetensors format: a length, a JSON header, the tensors' bytes.

Layout (the README of huggingface/safetensors, "Format"): a 64-bit little-endian length, and so many
bytes of JSON: name → dtype, shape, data_offsets, and `__metadata__`, name → text. The tensors have
no holes between them and do not overlap.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping, Sequence
from math import prod
from operator import itemgetter
from typing import NamedTuple, TypeAlias, cast

from core.checkpoint.containers.budget import MoreThanLoupeReads, check_dimensions, work_left
from core.checkpoint.entries import (
    ITEMSIZES,
    Source,
    TensorEntry,
    make_entry,
    make_record,
)
from core.checkpoint.pickles.inert import InertDict, InertTensor, Tree
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

NOT_TEXT = (
    "`__metadata__` in the header has values that are not text. The safetensors library refuses "
    "such a file."
)

_TEXT = frozenset({str})

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
        if nbytes > most and raw.count(sign) > most + nbytes // BYTES_PER_SIGN[sign]:
            raise MoreThanLoupeReads(
                f"its header of {size(nbytes)} has more parts than so many tensors need",
                "Save it in several files, each with a part of the tensors.",
            )
    work_left().grow(nbytes)
    header = _read_plainly(raw) or _read_as_json(raw)
    names, layouts, firsts, lasts = header.names, header.layouts, header.firsts, header.lasts
    tree = InertDict()
    notes: tuple[str, ...] = ()
    if isinstance(header.metadata, dict):
        texts = InertDict()
        texts.update(header.metadata)
        tree["__metadata__"] = texts
        notes = () if _TEXT.issuperset(map(type, texts.values())) else (NOT_TEXT,)
    elif header.metadata is not None:  # null says that there is none
        tree["__metadata__"] = cast("Tree", header.metadata)
        notes = (NOT_TEXT,)
    for name, layout, first, last in zip(names, layouts, firsts, lasts, strict=True):
        if last - first != layout[3]:
            raise _unsound(f"{name[:200]} has more or fewer bytes than its shape and dtype need")
    tensors = [InertTensor(None, dtype, shape, stride, 0) for dtype, shape, stride, _ in layouts]
    tree.update(zip(names, tensors, strict=True))
    start = 8 + nbytes
    records = {
        name: make_record(name, start + first, layout[3], None, source)
        for name, layout, first in zip(names, layouts, firsts, strict=True)
    }

    def entry(key: str, tensor: InertTensor) -> TensorEntry:
        return make_entry(
            key, tensor.dtype, tensor.shape, tensor.stride, 0, records[key], False, "cpu", key
        )

    end = start + _end_of(header)
    if end > source.size:
        raise cut_off(source, find_state_dicts(tree, entry))
    if end < source.size:
        raise _unsound("bytes after the last tensor belong to none")
    return Contents("safetensors", tree, (), entry, notes, may_have_unlisted=False)


_Layout: TypeAlias = tuple[str, tuple[int, ...], tuple[int, ...], int]
"""A dtype by torch's name, a shape, its strides, and the bytes of such a tensor."""


class _Header(NamedTuple):
    """A header's metadata, and its tensors in columns, each with an item for each of them.

    Their bytes begin at `firsts` and end at `lasts`, both counted from the header's end.
    """

    metadata: object
    names: Sequence[str]
    layouts: Sequence[_Layout]
    firsts: list[int]
    lasts: list[int]


# A header as safetensors writes it: without a space or an escape.

_TENSOR = re.compile(
    r'"([^"\\\0-\x1f]*+)":\{"dtype":("[A-Z0-9_]{1,20}+","shape":\[[0-9,]{0,255}+\]),'
    r'"data_offsets":\[(0|[1-9][0-9]{0,17}+),(0|[1-9][0-9]{0,17}+)\]\}(?:,(?=")|(?=\}))|(.+)',
    re.DOTALL,
)
"""A tensor: its name, its dtype and shape, where it begins and ends. Where none is, the last group
takes all that is left."""

_WITH_TEXTS = '{"__metadata__":'
"""The beginning of a header that has texts too: they come first."""


def _read_plainly(raw: bytes) -> _Header | None:
    """The header if it is such a one, and sound; else None.

    A regular expression takes less than half of the time of json.loads, which makes a dict and two
    lists for each tensor.
    """
    try:
        text = raw.decode("utf-8")
        metadata, at = None, 1
        if text.startswith(_WITH_TEXTS):
            metadata, end = _JSON.raw_decode(text, len(_WITH_TEXTS))
            at = end + 1
            if text[end:at] != ",":
                return None
        *found, (*_, rest) = _TENSOR.findall(text, at)
        names, kinds, firsts, lasts, _ = zip(*found, strict=True)
        layouts = _Layouts()
        header = _Header(
            metadata,
            names,
            [layouts[kind] for kind in kinds],
            [*map(int, firsts)],
            [*map(int, lasts)],
        )
    except (ValueError, RecursionError, CheckpointError):
        return None
    once = {"__metadata__", *names}
    return header if rest.rstrip(" ") == "}" and len(once) == 1 + len(names) else None


class _Layouts(dict[str, _Layout]):
    """The layouts of a header by their text.

    Raises ValueError where that is not valid JSON, and CheckpointError where no tensor has it.
    """

    def __missing__(self, kind: str) -> _Layout:
        code, shape = json.loads("[" + kind.replace('"shape":', "") + "]")
        self[kind] = layout = _layout("", code, shape)
        return layout


# Any other header


def _read_as_json(raw: bytes) -> _Header:
    """The header.

    Raises CheckpointError where it is not valid JSON, has a key twice, or describes what no tensor
    is.
    """
    header = _parsed(raw)
    metadata = header.pop("__metadata__", None)
    layouts, firsts, lasts = list[_Layout](), list[int](), list[int]()
    for name, stated in header.items():
        code, shape, first, last = _facts(name, stated)
        layouts.append(_layout(name, code, shape))
        firsts.append(first)
        lasts.append(last)
    return _Header(metadata, [*header], layouts, firsts, lasts)


def _parsed(raw: bytes) -> dict[str, object]:
    """The parsed header; raises CheckpointError where it is not valid JSON, or has a key twice.

    It is an object, because a file whose header does not begin as one is not `is_safetensors`.
    """
    try:
        header: dict[str, object] = _JSON.decode(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _unsound("its header is not valid JSON") from error
    return header


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a key occurs twice")
    return mapping


_JSON = json.JSONDecoder(object_pairs_hook=_without_duplicates)


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


def _end_of(header: _Header) -> int:
    """Where the last tensor ends; raises CheckpointError for holes and overlaps."""
    if header.firsts[:1] == [0] and header.firsts[1:] == header.lasts[:-1]:
        return header.lasts[-1]
    at = 0
    spans = zip(header.firsts, header.lasts, header.names, strict=True)
    for first, last, name in sorted(spans, key=itemgetter(0, 1)):
        if first != at:
            trouble = "overlaps another tensor" if first < at else "follows a hole"
            raise _unsound(f"{name[:200]} {trouble}")
        at = last
    return at


def _unsound(why: str) -> CheckpointError:
    return CheckpointError(
        f"The safetensors file is unsound: {why}.",
        "It is damaged: get it again from where it came from.",
    )
