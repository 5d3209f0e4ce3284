"""What differs in the files that lie beside two checkpoints, in their folders or archives."""

from __future__ import annotations

from dataclasses import dataclass

from core.checkpoint import Checkpoint, Source
from core.errors import CheckpointError

PIECE = 1 << 20
"""Bytes of a file that are read at once."""


@dataclass(frozen=True, slots=True)
class FileChanges:
    """The names of the files that differ or are in one folder only (`changed`), and of those that
    were not compared (`unread`)."""

    changed: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


def file_changes(a: Checkpoint, b: Checkpoint, most: int) -> FileChanges:
    """The files beside A and B that are not the same, by their names.

    At most `most` bytes of each side are read. Raises SourceError where a file cannot be read.
    """
    in_a, in_b = a.beside(), b.beside()
    changed, unread, left = [], [], most
    for name in dict.fromkeys((*in_a, *in_b)):
        if name not in in_a or name not in in_b:
            changed.append(name)
            continue
        file_a, file_b = in_a[name], in_b[name]
        if file_a is None or file_b is None or file_a.size > left:
            unread.append(name)
        elif file_a.size != file_b.size:
            changed.append(name)
        else:
            left -= file_a.size
            same = _are_equal(file_a, file_b)
            if same is None:
                unread.append(name)
            elif not same:
                changed.append(name)
    return FileChanges(tuple(changed), tuple(unread))


def _are_equal(a: Source, b: Source) -> bool | None:
    """Whether two files of one size have the same bytes; None where one cannot be unpacked."""
    try:
        return all(a.read(at, PIECE) == b.read(at, PIECE) for at in range(0, a.size, PIECE))
    except CheckpointError:
        return None
