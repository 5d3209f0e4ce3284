"""Writes the elements of a tensor, one chunk at a time."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Protocol

import torch

from core.checkpoint import Derived, Pieces, Quantized, Record, Source, TensorEntry
from core.errors import CheckpointError, StoreError
from core.export.exported import CHUNK
from core.progress import Report, ignore
from core.tensors import chunks


class Writable(Protocol):
    """A file, or anything else to which bytes can be written."""

    def write(self, data: memoryview, /) -> int:
        """Write all bytes."""


class Counter:
    """Counts the bytes written and read back, and reports them."""

    def __init__(self, total: int, report: Report = ignore) -> None:
        self.done = 0
        self.total = total
        self.report = report

    def add(self, nbytes: int, what: str) -> None:
        """Count `nbytes` more. Raises what the report raises."""
        self.done += nbytes
        self.report(min(self.done, self.total), self.total, what)


def write_elements(entry: TensorEntry, file: Writable, counter: Counter) -> None:
    """Write the elements in C order. Raises what `chunks` and `checked` raise."""
    for chunk in chunks(checked(entry), CHUNK):
        raw = chunk.contiguous().view(torch.uint8).numpy()
        file.write(raw.data.cast("B"))
        counter.add(raw.nbytes, entry.key)


def refuse_without_scales(entry: TensorEntry) -> None:
    """Raise StoreError for quantized integers whose scales are unknown."""
    quantized = entry.dtype.startswith(("qint", "quint"))
    # A transform, such as a cast, gives other numbers than those that the scales are for.
    if quantized != isinstance(entry.form, Quantized) or (quantized and entry.transforms):
        raise StoreError(
            f"{entry.key} is quantized, and its scales cannot be written.",
            "Drop the quantized keys, or dequantize the model first.",
        )


def checked(entry: TensorEntry) -> TensorEntry:
    """The entry with sources that verify CRC-32, also of the entries it is computed from.

    Such a source raises CheckpointError at the end of a record whose bytes are damaged. It verifies
    records that have a checksum and are read in order from beginning to end.
    """
    match entry.form:
        case Derived(parts=parts):
            form = replace(entry.form, parts=tuple(map(checked, parts)))
            return replace(entry, form=form)
        case Pieces(pieces):
            whole = tuple(replace(piece, entry=checked(piece.entry)) for piece in pieces)
            return replace(entry, form=Pieces(whole))
    record = entry.record
    if record is None or record.crc32 is None:
        return entry
    source = _CheckedSource(record, record.crc32, entry.origin or entry.key)
    return replace(entry, record=replace(record, source=source))


class _CheckedSource:
    """A record's source that computes the CRC-32 of what is read of the record in order."""

    def __init__(self, record: Record, crc32: int, key: str) -> None:
        """`crc32` is the saved checksum, and `key` the tensor's key for the error."""
        self._source: Source = record.source
        self._begin, self._end = record.offset, record.offset + record.nbytes
        self._saved_crc32 = crc32
        self._key = key
        self._at = self._begin
        self._crc32 = 0

    @property
    def size(self) -> int:
        """The size of the source."""
        return self._source.size

    @property
    def identity(self) -> str:
        """The identity of the source."""
        return self._source.identity

    def read(self, offset: int, nbytes: int) -> bytes:
        """Bytes as the source reads them, not verified."""
        return self._source.read(offset, nbytes)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from `offset`. Raises SourceError, and CheckpointError if damaged."""
        self._source.read_into(offset, buffer)
        if offset == self._begin:
            self._at, self._crc32 = offset, 0
        if offset != self._at:
            return  # read in another order: the sum cannot be computed
        self._at += len(buffer)
        self._crc32 = zlib.crc32(buffer, self._crc32)
        if self._at == self._end and self._crc32 != self._saved_crc32:
            raise CheckpointError(
                f"The tensor {self._key} is damaged in the input file: its bytes have the CRC-32 "
                f"{self._crc32:08x}, and {self._saved_crc32:08x} was saved.",
                "Get the file again from where it came from; `loupe inspect --verify` lists all "
                "damaged tensors.",
            )
