"""A deflated member of a zip as a source, which is unpacked from its start, a little at a time."""

from __future__ import annotations

import zlib

from core.checkpoint.entries import Source
from core.errors import CheckpointError

CHUNK = 1 << 16
"""Compressed bytes that are read at once."""

RAW_DEFLATE = -zlib.MAX_WBITS
"""Deflate without a header of zlib's own (APPNOTE.TXT, 4.4.5, method 8)."""


class Inflated:
    """A member's unpacked bytes. Reading backwards unpacks it from its start again."""

    def __init__(self, packed: Source, start: int, size: int, name: str) -> None:
        """`start` is the offset of the compressed bytes, `size` the number of unpacked bytes."""
        self.size = size
        self.identity = f"{packed.identity}@{start}~{size}"
        self._packed = packed
        self._start = start
        self._name = name
        self._rewind()

    def _rewind(self) -> None:
        self._unpacker = zlib.decompressobj(RAW_DEFLATE)
        self._next = self._start
        self._at = 0

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from `offset`.

        Raises CheckpointError where the compressed stream is damaged or ends too early, and
        SourceError.
        """
        if offset < self._at:
            self._rewind()
        while self._at < offset:
            self._more(min(offset - self._at, CHUNK))
        done = 0
        while done < len(buffer):
            piece = self._more(len(buffer) - done)
            buffer[done : done + len(piece)] = piece
            done += len(piece)

    def read(self, offset: int, nbytes: int) -> bytes:
        """The bytes from `offset`, as many as there are up to `nbytes`; raises as `read_into`."""
        buffer = bytearray(max(0, min(nbytes, self.size - offset)))
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def _more(self, most: int) -> bytes:
        """The next bytes, at least one."""
        while not self._unpacker.eof:
            packed = self._unpacker.unconsumed_tail
            if not packed:
                packed = self._packed.read(self._next, CHUNK)
                self._next += len(packed)
            try:
                piece = self._unpacker.decompress(packed, most)
            except zlib.error as error:
                raise self._unsound() from error
            self._at += len(piece)
            if piece:
                return piece
            if not packed:  # the source has no more bytes
                break
        raise self._unsound()

    def _unsound(self) -> CheckpointError:
        return CheckpointError(
            f"The archive's member {self._name[:200]} cannot be unpacked.",
            "The file is damaged: get it again from where it came from.",
        )
