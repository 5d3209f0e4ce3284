"""Whether the bytes of records have the checksums that were saved with them."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable

from core.checkpoint import Record, TensorEntry
from core.errors import CheckpointError

CHUNK = 8 << 20
"""Bytes in memory at once."""


class RecordChecks:
    """Remembers what is wrong with each record, so that none is read twice for its checksum.

    The records' sources stay open as long as it is used. Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._problems: dict[tuple[int, int, str], str | None] = {}
        self._lock = threading.Lock()

    def problem(
        self, record: Record, progress: Callable[[int], None] = lambda _: None
    ) -> str | None:
        """A sentence on what is wrong with the record's bytes; None where nothing is.

        Reads all of them, unless they were read before; without a checksum this shows only that
        they can be read. `progress` gets the bytes read so far. Raises SourceError where a file
        cannot be read or has changed, and whatever `progress` raises.
        """
        if record.place not in self._problems:
            try:
                self.note(record, _crc32(record, progress))
            except CheckpointError as error:  # a compressed record whose bytes cannot be restored
                with self._lock:
                    self._problems[record.place] = error.problem
        return self._problems[record.place]

    def is_damaged(
        self, entry: TensorEntry, progress: Callable[[int], None] = lambda _: None
    ) -> bool:
        """Whether a checksum of the records that the tensor lies in does not hold. Reads and raises
        as `problem` does; records without a checksum are not read."""
        return any(
            self.problem(record, progress) is not None
            for record in entry.records
            if record.crc32 is not None
        )

    def note(self, record: Record, crc32: int) -> None:
        """Remember the CRC-32 of all bytes of a record, which the caller has read."""
        problem = None
        if record.crc32 not in (None, crc32):
            problem = f"Its bytes have the CRC-32 {crc32:08x}, and {record.crc32:08x} was saved."
        with self._lock:
            self._problems[record.place] = problem


def _crc32(record: Record, progress: Callable[[int], None]) -> int:
    crc32 = 0
    buffer = memoryview(bytearray(min(CHUNK, record.nbytes)))
    for at in range(0, record.nbytes, CHUNK):
        chunk = buffer[: min(CHUNK, record.nbytes - at)]
        record.source.read_into(record.offset + at, chunk)
        crc32 = zlib.crc32(chunk, crc32)
        progress(at + len(chunk))
    return crc32
