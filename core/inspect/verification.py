"""Every byte of a checkpoint read, and held against the checksums that the file keeps."""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from core.checkpoint import Checkpoint, Record
from core.checkpoint.containers import LocalFile, Within
from core.errors import CheckpointError

CHUNK = 8 << 20
"""Bytes that are in memory at once."""

Tell: TypeAlias = Callable[[int, int], None]
"""Called with the bytes read so far, and all that are to be read; what it raises ends the work."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A record whose bytes are not those that were saved.

    `keys` are the tensors that it holds, each behind the path of its state_dict; none for what is
    no tensor, such as `data.pkl`. `problem` is a sentence.
    """

    record: str
    keys: tuple[str, ...]
    problem: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What reading it all gave: how many records and bytes were read, and how many of the records
    had a checksum to be held against."""

    records: int
    checked: int
    nbytes: int
    damaged: tuple[Damage, ...]

    @property
    def sound(self) -> bool:
        """Whether no record is damaged, as far as the file can tell."""
        return not self.damaged


def verify(checkpoint: Checkpoint, progress: Tell | None = None) -> Verification:
    """Read every record to its last byte, and check those that have a CRC-32.

    safetensors and the stream before PyTorch 1.6 keep none: their records are read whole, which
    finds what the disk cannot give, and no changed bit. Raises SourceError where a file cannot be
    read, or changed meanwhile, CheckpointError where the table of contents is unsound, and
    whatever `progress` raises.
    """
    records = list(checkpoint.records())
    total = sum(record.nbytes for record in records)
    names = _names(records)
    buffer = memoryview(bytearray(min(CHUNK, max((one.nbytes for one in records), default=0))))
    done = 0
    damaged: list[tuple[int, str]] = []
    for index, record in enumerate(records):
        try:
            crc32 = 0
            for at in range(0, record.nbytes, CHUNK):
                chunk = buffer[: min(CHUNK, record.nbytes - at)]
                record.source.read_into(record.offset + at, chunk)
                crc32 = zlib.crc32(chunk, crc32)
                if progress is not None:
                    progress(done + at + len(chunk), total)
            problem = _mismatch(record, crc32)
        except CheckpointError as error:
            problem = error.problem
        done += record.nbytes
        if problem is not None:
            damaged.append((index, problem))
    checked = sum(record.crc32 is not None for record in records)
    held = _Held(checkpoint) if damaged else None
    return Verification(
        len(records),
        checked,
        total,
        tuple(
            Damage(names[index], held.keys_in(records[index]) if held else (), problem)
            for index, problem in damaged
        ),
    )


def _mismatch(record: Record, crc32: int) -> str | None:
    if record.crc32 is None or record.crc32 == crc32:
        return None
    return f"Its bytes have the CRC-32 {crc32:08x}, and {record.crc32:08x} was saved."


class _Held:
    """The tensors by where their bytes lie."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._places = sorted(
            (*_place(record), f"{path}.{entry.key}" if path else entry.key)
            for path, state_dict in checkpoint.state_dicts.items()
            for entry in state_dict.values()
            for record in entry.records
            if record.nbytes
        )

    def keys_in(self, record: Record) -> tuple[str, ...]:
        """Those that lie in a record, itself or in a file that it holds."""
        file, start = _place(record)
        first = bisect_left(self._places, (file, start, ""))
        last = bisect_left(self._places, (file, start + record.nbytes, ""))
        return tuple(dict.fromkeys(key for _, _, key in self._places[first:last]))


def _place(record: Record) -> tuple[int, int]:
    """The file, and where in it the record begins."""
    source, offset = record.source, record.offset
    while isinstance(source, Within):
        offset += source.start
        source = source.whole
    return id(source), offset


def _names(records: Sequence[Record]) -> list[str]:
    """What the records are called, the file's name before it where there are several files."""
    files = {
        id(record.source): record.source.name
        for record in records
        if isinstance(record.source, LocalFile)
    }
    if len(files) < 2:
        return [record.name for record in records]
    folders = {file: f"{name}: " for file, name in files.items()}
    return [folders.get(id(record.source), "") + record.name for record in records]


def verification_summary(found: Verification) -> str:
    """Say how much was read, how much of it the file can vouch for, and what is damaged."""
    records = _records(found.records)
    if found.damaged:
        are = "is" if len(found.damaged) == 1 else "are"
        return (
            f"{len(found.damaged):,} of {records} {are} damaged: get the file again from where it "
            "came from."
        )
    if not found.checked:
        return (
            f"All {records} can be read to the last byte; this format keeps no checksums, so a "
            "changed bit cannot be seen."
        )
    if found.checked < found.records:
        return (
            f"{found.checked:,} of {records} have a checksum, and all of these are right; the "
            "others can be read to the last byte."
        )
    return f"All {records} are sound: their bytes have the checksums that were saved."


def _records(count: int) -> str:
    return f"{count:,} records" if count != 1 else "1 record"
