"""Messages between a process and the one that it started: a JSON object and bytes, in one frame."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import IO, Any

_LENGTHS = struct.Struct(">IQ")

Head = Mapping[str, Any]


def write_frame(stream: IO[bytes], head: Head, body: bytes) -> None:
    """Write a frame, and flush. Raises OSError if the other process has ended."""
    text = json.dumps(head).encode()
    stream.write(_LENGTHS.pack(len(text), len(body)))
    stream.write(text)
    stream.write(body)
    stream.flush()


def read_head(stream: IO[bytes]) -> tuple[Head, int] | None:
    """The next frame's object, and the length of its bytes, which come next in the stream; None if
    the stream ends before."""
    lengths = stream.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    head_length, body_length = _LENGTHS.unpack(lengths)
    text = stream.read(head_length)
    return (json.loads(text), body_length) if len(text) == head_length else None
