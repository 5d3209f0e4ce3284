"""A checkpoint as lines of text, the same for the same contents, so that git's own diff shows what
changed in it (gitattributes, textconv)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from zlib import crc32

from core.checkpoint import (
    ITEMSIZES,
    PACKED,
    STRIDED,
    Checkpoint,
    TensorEntry,
    arrangement,
    layout,
    parts,
)
from core.checkpoint.tree import Json
from core.errors import printable

CHUNK_BYTES = 1 << 20
"""Bytes read at once where a file keeps no checksum."""


def text_lines(checkpoint: Checkpoint) -> Iterator[str]:
    """A line for the format, one for each value of the metadata, then each state_dict under its
    path in brackets, a line a tensor: key, dtype, shape, CRC-32 of its elements.

    No name of the file, no date: equal contents, equal lines. The checksum is the one that the file
    keeps where it covers just that tensor; else the elements are read, in bounded memory, so that
    one tensor has one checksum in every format. Raises SourceError where the bytes are gone.
    """
    yield f"format: {checkpoint.format_title}"
    for key, found in checkpoint.metadata.items():
        for name, value in _leaves(found, key):
            yield printable(f"{name} = {value}")
    for path, state_dict in checkpoint.state_dicts.items():
        yield ""
        yield printable(f"[{path or 'tensors'}]")
        for key, entry in state_dict.items():
            shape = " × ".join(map(str, entry.shape)) or "scalar"
            yield printable(f"{key}  {entry.dtype}  {shape}  {content_mark(entry)}")


def content_mark(entry: TensorEntry) -> str:
    """`crc32:0123abcd` over the elements in C order, little-endian, as every format has them.

    Of a quantized, sparse or nested tensor also how it is laid out, and one checksum for all its
    parts; `no data` for one on the meta device. Raises SourceError where the bytes are gone.
    """
    held = parts(entry)
    if entry.numel and not any(part.records for part in held):
        return "no data"
    kind = layout(entry)
    marks = [f"crc32:{_crc32(held):08x}"]
    if kind != STRIDED:
        marks.insert(0, kind)
        words = [str(word) for word in arrangement(entry)[1:] if word is not None]
        marks.append(f"{crc32(' '.join(words).encode()):08x}")
    return " ".join(marks)


def _crc32(held: tuple[TensorEntry, ...]) -> int:
    if len(held) == 1 and held[0].record is not None and _is_its_record(held[0]):
        return held[0].record.crc32 or 0
    found = 0
    for part in held:
        if part.numel and part.records:
            for piece in _bytes(part):
                found = crc32(piece, found)
    return found


def _is_its_record(entry: TensorEntry) -> bool:
    """Whether the record's checksum is that of the tensor's own elements."""
    return (
        entry.record is not None
        and entry.record.crc32 is not None
        and _is_run(entry)
        and entry.numel * ITEMSIZES[entry.dtype] == entry.record.nbytes
    )


def _is_run(entry: TensorEntry) -> bool:
    """Whether the elements lie in the record as they are, one after the other."""
    if entry.record is None or entry.record.big_endian or entry.transforms:
        return False
    return entry.form is None and entry.dtype not in PACKED and entry.is_contiguous


def _bytes(entry: TensorEntry) -> Iterator[memoryview]:
    """The elements' bytes, in pieces; each is valid until the next one is asked for."""
    if not _is_run(entry):
        yield from _values(entry)
        return
    assert entry.record is not None
    itemsize = ITEMSIZES[entry.dtype]
    start, nbytes = entry.record.offset + entry.storage_offset * itemsize, entry.numel * itemsize
    buffer = memoryview(bytearray(min(CHUNK_BYTES, nbytes)))
    for at in range(0, nbytes, CHUNK_BYTES):
        piece = buffer[: min(CHUNK_BYTES, nbytes - at)]
        entry.record.source.read_into(start + at, piece)
        yield piece


def _values(entry: TensorEntry) -> Iterator[memoryview]:
    import torch  # only here: plain runs of bytes need no torch

    from core.tensors import blocks

    for block in blocks(entry):
        yield block.contiguous().view(torch.uint8).numpy().data


def _leaves(value: Json, name: str) -> Iterator[tuple[str, str]]:
    """Each value with the way to it; a list that holds no mapping and no list is one value."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}")
    elif isinstance(value, list | tuple) and any(
        isinstance(inner, Mapping | list | tuple) for inner in value
    ):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{name}[{index}]")
    else:
        yield name, json.dumps(value, ensure_ascii=False)
