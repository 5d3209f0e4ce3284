"""A checkpoint as lines of text that depend only on its contents, so that git's own diff shows what
changed (gitattributes, textconv)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from zlib import crc32

from core.checkpoint import (
    ITEMSIZES,
    STRIDED,
    Checkpoint,
    TensorEntry,
    arrangement,
    layout,
    lies_in_order,
    parts,
)
from core.checkpoint.tree import Json
from core.errors import printable
from core.wording import shape

CHUNK_BYTES = 1 << 20
"""Bytes read at once."""


def text_lines(checkpoint: Checkpoint) -> Iterator[str]:
    """A line for the format and one for each value of the metadata; then for the numpy arrays that
    are in no state_dict, and for each state_dict, a title in brackets and a line per array or
    tensor: key, dtype, shape, CRC-32 of its elements.

    There is no file name and no date, so that equal contents give equal lines. All elements are
    read, in bounded memory: the file's own checksums do not change where bytes are overwritten, and
    not every format has them. Raises SourceError where the bytes are gone.
    """
    yield f"format: {checkpoint.format_title}"
    for key, value_at_top in checkpoint.metadata.items():
        for name, value in _leaves(value_at_top, key):
            yield printable(f"{name} = {value}")
    arrays = list(checkpoint.arrays())
    if arrays:
        yield ""
        yield "[numpy arrays]"
    for array in arrays:
        sizes = shape(array.shape)
        yield printable(f"{array.path}  {array.dtype}  {sizes}  {checksum_text(array.entry)}")
    for path, state_dict in checkpoint.state_dicts.items():
        yield ""
        yield printable(f"[{path or 'tensors'}]")
        for key, entry in state_dict.items():
            sizes = shape(entry.shape)
            yield printable(f"{key}  {entry.dtype}  {sizes}  {checksum_text(entry)}")


def checksum_text(entry: TensorEntry) -> str:
    """`crc32:0123abcd` over the elements in C order, little-endian, for every format.

    A quantized, sparse or nested tensor also has its layout in front, one checksum for all its
    parts, and one for its parameters. A tensor on the meta device has `no data`. Where the file
    stores another checksum of exactly this tensor, it follows as damage. Raises SourceError where
    the bytes are gone.
    """
    stored_parts = parts(entry)
    if entry.numel and not any(part.records for part in stored_parts):
        return "no data"
    kind = layout(entry)
    checksum = _crc32(stored_parts)
    marks = [f"crc32:{checksum:08x}"]
    if kind != STRIDED:
        marks.insert(0, kind)
        words = [str(word) for word in arrangement(entry)[1:] if word is not None]
        marks.append(f"{crc32(' '.join(words).encode()):08x}")
    if (stored := _stored_crc32(entry)) not in (None, checksum):
        marks.append(f"damaged, crc32:{stored:08x} is stored")
    return " ".join(marks)


def _crc32(stored_parts: tuple[TensorEntry, ...]) -> int:
    checksum = 0
    for part in stored_parts:
        if part.numel and part.records:
            for piece in _bytes(part):
                checksum = crc32(piece, checksum)
    return checksum


def _stored_crc32(entry: TensorEntry) -> int | None:
    """The checksum that the file has of exactly the tensor's elements in C order; or None."""
    record = entry.record
    if record is None or not lies_in_order(entry, unchanged=True):
        return None
    return record.crc32 if entry.numel * ITEMSIZES[entry.dtype] == record.nbytes else None


def _bytes(entry: TensorEntry) -> Iterator[memoryview]:
    """The elements' bytes, in pieces; each is valid until the next one is requested."""
    if not lies_in_order(entry, unchanged=True):
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
    import torch  # only here, because unchanged bytes need no torch

    from core.tensors import element_blocks

    for block in element_blocks(entry):
        yield block.view(torch.uint8).numpy().data


def _leaves(value: Json, name: str) -> Iterator[tuple[str, str]]:
    """(path, value as JSON) for each value; a list without mappings and lists is one value."""
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
