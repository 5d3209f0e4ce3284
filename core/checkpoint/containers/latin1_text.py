"""Bytes that a pickle of protocol 2 has as text: each is a character of Latin-1, in UTF-8."""

from __future__ import annotations

from bisect import bisect_right

from core.checkpoint.entries import Source

BLOCK = 256 << 10
"""Bytes of text that are read at once."""


class Latin1Text:
    """The bytes that a text stands for, as a source; a byte above 127 takes two in the text."""

    def __init__(self, text: Source) -> None:
        """Read the text once, to find where each block begins.

        Raises ValueError where it is not UTF-8, or has a character that is no byte; SourceError.
        """
        self.identity = f"{text.identity}~latin1"
        self._text = text
        self._starts: list[int] = []
        self._places: list[int] = []
        at = size = 0
        while at < text.size:
            block = self._block(at)
            self._starts.append(size)
            self._places.append(at)
            at += len(block)
            size += len(block.decode("utf-8").encode("latin-1"))
        self.size = size

    def _block(self, at: int) -> bytes:
        """The text's bytes from an offset, to the end of a character."""
        block = self._text.read(at, BLOCK)
        # The first of a character's two bytes; at the very end, it is not UTF-8.
        ends_within = block[-1] >= 0xC0 and at + len(block) < self._text.size
        return block[:-1] if ends_within else block

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from `offset`. Raises ValueError beyond the end, and SourceError."""
        if offset < 0 or offset + len(buffer) > self.size:
            raise ValueError("beyond the end of the text's bytes")
        done = 0
        number = bisect_right(self._starts, offset) - 1
        while done < len(buffer):
            data = self._block(self._places[number]).decode("utf-8").encode("latin-1")
            piece = data[offset + done - self._starts[number] :][: len(buffer) - done]
            buffer[done : done + len(piece)] = piece
            done += len(piece)
            number += 1

    def read(self, offset: int, nbytes: int) -> bytes:
        """The bytes from `offset`, as many as there are up to `nbytes`; raises SourceError."""
        buffer = bytearray(max(0, min(nbytes, self.size - offset)))
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)
