"""Serves small reads that lie close together from one larger read."""

from __future__ import annotations

from core.checkpoint.entries import Source

WINDOW = 16 << 10
"""Bytes that are read at once."""


class Window:
    """A source's bytes around the position of the last read."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._data = b""
        self._start = 0

    def read(self, offset: int, nbytes: int, *, more: bool) -> bytes:
        """The bytes from `offset`, as many as there are up to `nbytes`.

        With `more`, the bytes after them are likely to be needed next, and are read at once. Raises
        SourceError.
        """
        at = offset - self._start
        if at < 0 or at + nbytes > len(self._data):
            self._data = self._source.read(offset, max(nbytes, WINDOW if more else 0))
            self._start, at = offset, 0
        return self._data[at : at + nbytes]
