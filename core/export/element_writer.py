"""A tensor's elements written, a chunk at a time."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Protocol

import torch

from core.checkpoint import Derived, Pieces, Quantized, Record, Source, TensorEntry
from core.errors import CheckpointError, StoreError
from core.export.exported import CHUNK, Report
from core.tensors import chunks


class Writable(Protocol):
    """What takes bytes."""

    def write(self, data: memoryview, /) -> int:
        """Write them all."""


class Counter:
    """Bytes written and read again so far, told to whoever asked."""

    def __init__(self, total: int, report: Report | None) -> None:
        self.done = 0
        self.total = total
        self.report = report

    def add(self, nbytes: int, what: str) -> None:
        """So many more. Raises what the report raises."""
        self.done += nbytes
        if self.report is not None:
            self.report(min(self.done, self.total), self.total, what)


def write_elements(entry: TensorEntry, file: Writable, counter: Counter) -> None:
    """Write the elements in C order. Raises as `chunks` and `checked` do."""
    for chunk in chunks(checked(entry), CHUNK):
        raw = chunk.contiguous().view(torch.uint8).numpy()
        file.write(raw.data.cast("B"))
        counter.add(raw.nbytes, entry.key)


def refuse_without_scales(entry: TensorEntry) -> None:
    """Raises StoreError for integers that need scales which the entry has not."""
    quantized = entry.dtype.startswith(("qint", "quint"))
    if quantized != isinstance(entry.form, Quantized) or (quantized and entry.transforms):
        raise StoreError(
            f"{entry.key} is quantized, and its scales cannot be written.",
            "Drop the quantized keys, or dequantize the model first.",
        )


def checked(entry: TensorEntry) -> TensorEntry:
    """The entry, with what it is made of, read from sources that raise CheckpointError at the end
    of a record whose bytes are not those that were saved.

    A record is checked where it is read from its beginning to its end, and has a checksum.
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
    source = _Summed(record, record.crc32, entry.origin or entry.key)
    return replace(entry, record=replace(record, source=source))


class _Summed:
    """A record's source that sums up what is read of the record in order."""

    def __init__(self, record: Record, crc32: int, key: str) -> None:
        """`crc32` is what the bytes must have, `key` whose they are."""
        self._source: Source = record.source
        self._begin, self._end = record.offset, record.offset + record.nbytes
        self._wanted = crc32
        self._key = key
        self._at = self._begin
        self._crc32 = 0

    @property
    def size(self) -> int:
        """That of the source."""
        return self._source.size

    @property
    def identity(self) -> str:
        """That of the source."""
        return self._source.identity

    def read(self, offset: int, nbytes: int) -> bytes:
        """As the source reads them, unchecked."""
        return self._source.read(offset, nbytes)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from `offset`. Raises SourceError, and CheckpointError at the end."""
        self._source.read_into(offset, buffer)
        if offset == self._begin:
            self._at, self._crc32 = offset, 0
        if offset != self._at:
            return
        self._at += len(buffer)
        self._crc32 = zlib.crc32(buffer, self._crc32)
        if self._at == self._end and self._crc32 != self._wanted:
            raise CheckpointError(
                f"The tensor {self._key} is damaged in the file that is read: its bytes have the "
                f"CRC-32 {self._crc32:08x}, and {self._wanted:08x} was saved.",
                "Get the file again from where it came from; `loupe inspect --verify` names all "
                "that is damaged in it.",
            )
