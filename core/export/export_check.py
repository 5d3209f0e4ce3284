"""Verifies a written file: opens it again, and compares every byte with what was written."""

from __future__ import annotations

import zlib
from pathlib import Path

from core.checkpoint import Checkpoint, Record, layout, open_checkpoint
from core.errors import LoupeError, StoreError
from core.export.element_writer import Counter
from core.export.exported import CHUNK, Expected, ExpectedTensor

REMEDY = "Export it again; if that happens twice, check the disk and the memory."


def verify_export(path: Path, expected: Expected, counter: Counter | None = None) -> None:
    """Open a file that was just written, and compare it with what was to be written.

    It compares keys, shapes, dtypes, and bytes by their CRC-32. Raises StoreError that says what is
    wrong, and what the counter raises.
    """
    counter = counter or Counter(0)
    try:
        checkpoint = open_checkpoint(path)
        _check_tensors(checkpoint, expected)
        _check_records(_own_records(checkpoint), expected, counter)
    except StoreError:
        raise
    except LoupeError as error:
        raise _wrong(f"it cannot be read back: {error.problem}") from error


def _check_tensors(checkpoint: Checkpoint, expected: Expected) -> None:
    state_dict = checkpoint.state_dicts.get(expected.path)
    if state_dict is None:
        raise _wrong("its state_dict is not where it was written")
    keys, expected_keys = list(state_dict), list(expected.tensors)
    if keys != expected_keys and (expected.ordered or sorted(keys) != sorted(expected_keys)):
        raise _wrong("its keys differ from those that were written")
    for key, entry in state_dict.items():
        names = tuple(record.name for record in entry.records)
        written = ExpectedTensor(entry.dtype, entry.shape, layout(entry), names)
        if written != expected.tensors[key]:
            raise _wrong(f"the tensor {key} has another shape, dtype or place")


def _own_records(checkpoint: Checkpoint) -> list[Record]:
    """The records of the file itself: a checkpoint in its pickle's bytes has been written as a part
    of the pickle, which is a record, and may have records of the same names."""
    in_bytes = {
        record.place
        for path in checkpoint.in_bytes
        for entry in checkpoint.state_dicts[path].values()
        for record in entry.records
    }
    return [record for record in checkpoint.records() if record.place not in in_bytes]


def _check_records(records: list[Record], expected: Expected, counter: Counter) -> None:
    if {record.name for record in records} != expected.records.keys():
        raise _wrong("its parts differ from those that were written")
    buffer = memoryview(bytearray(min(CHUNK, max(record.nbytes for record in records))))
    for record in records:
        crc32 = 0
        for at in range(0, record.nbytes, CHUNK):
            chunk = buffer[: min(CHUNK, record.nbytes - at)]
            record.source.read_into(record.offset + at, chunk)
            crc32 = zlib.crc32(chunk, crc32)
            counter.add(len(chunk), "checking")
        if crc32 != expected.records[record.name]:
            raise _wrong(
                f"the bytes of {record.name} have the CRC-32 {crc32:08x}, and "
                f"{expected.records[record.name]:08x} was written"
            )


def _wrong(what: str) -> StoreError:
    return StoreError(f"The file that was written is wrong: {what.rstrip('.')}.", REMEDY)
