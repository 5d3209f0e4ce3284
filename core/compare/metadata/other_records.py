"""What differs in the records of two archives that no state_dict and no object tree has: code, a
graph, the tensors that a model does not save in its state_dict."""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from zlib import crc32

from core.checkpoint import Checkpoint, Record
from core.errors import CheckpointError

READ = frozenset({"data.pkl"})
"""Records that are compared as object trees."""

ABOUT_SAVING = frozenset(
    {"version", "byteorder", ".format_version", ".storage_alignment", "serialization_id"}
)
"""Records that say how an archive was written (caffe2/serialize/inline_container.h). The tensors'
comparison knows of the order of bytes."""

DEBUGGING = ".debug_pkl"
"""The end of the names of records that say which lines TorchScript's code comes from."""

_STORAGE = re.compile(
    r"(?:.*/)?(?:data|constants|\.data)/(?:\d+|tensor_\d+|\d+\.storage)", re.DOTALL
)
"""The names of tensors' storages, which are numbered in the order of saving."""

LOOSE = "a tensor in no state_dict"

PIECE = 1 << 20
"""Bytes of a record that are read at once."""

_Place = tuple[str, int, int | None]
"""A record's name, its number of bytes, and its CRC-32."""


@dataclass(frozen=True, slots=True)
class RecordChanges:
    """The names of the records that differ (`changed`), and of those that are the same
    `by_checksum` and were not read. `damaged` are those that were read and do not have the checksum
    that was saved, each with its file: `code/__torch__.py in B`."""

    changed: tuple[str, ...] = ()
    by_checksum: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()


def record_changes(a: Checkpoint, b: Checkpoint, most: int | None = None) -> RecordChanges:
    """The records that differ or are in one file only, besides those of the tensors in state_dicts.

    Those with equal sizes and stored checksums are read: at most `most` bytes of each file (None:
    all). Raises CheckpointError, SourceError.
    """
    in_a, in_b = _others(a), _others(b)
    left = sys.maxsize if most is None else most
    changed: list[str] = []
    by_checksum: list[str] = []
    damaged: list[str] = []
    for place in dict.fromkeys((*in_a, *in_b)):
        name, nbytes, _ = place
        of_a, of_b = in_a.get(place, ()), in_b.get(place, ())
        if len(of_a) != len(of_b):
            changed.append(name)
        elif nbytes * len(of_a) > left:
            by_checksum.append(name)
        else:
            left -= nbytes * len(of_a)
            (bytes_a, broken_a), (bytes_b, broken_b) = _contents(of_a), _contents(of_b)
            if bytes_a != bytes_b:
                changed.append(name)
            damaged += [
                f"{name} in {side}" for side, broken in (("A", broken_a), ("B", broken_b)) if broken
            ]
    return RecordChanges(
        *(tuple(dict.fromkeys(names)) for names in (changed, by_checksum, damaged))
    )


def _contents(records: Iterable[Record]) -> tuple[Counter[bytes], bool]:
    """Digests of all bytes of the records, and whether one of them is damaged."""
    found: Counter[bytes] = Counter()
    damaged = False
    for record in records:
        digest, checksum = blake2b(), 0
        try:
            for at in range(0, record.nbytes, PIECE):
                piece = record.source.read(record.offset + at, min(PIECE, record.nbytes - at))
                digest.update(piece)
                checksum = crc32(piece, checksum)
        except CheckpointError:  # a compressed record whose bytes cannot be restored
            damaged = True
            continue
        found[digest.digest()] += 1
        damaged |= checksum != record.crc32
    return found, damaged


def _others(checkpoint: Checkpoint) -> Mapping[_Place, Sequence[Record]]:
    """The records with a checksum, by what must be equal."""
    listed = {
        _start(record)
        for state_dict in checkpoint.state_dicts.values()
        for entry in state_dict.values()
        for record in entry.records
    }
    found: defaultdict[_Place, list[Record]] = defaultdict(list)
    for record in checkpoint.records():
        if (
            record.crc32 is not None
            and _start(record) not in listed
            and record.name.rpartition("/")[2] not in READ | ABOUT_SAVING
            and not record.name.endswith(DEBUGGING)
        ):
            found[_name(record), record.nbytes, record.crc32].append(record)
    return found


def _start(record: Record) -> tuple[int, int]:
    return id(record.source), record.offset


def _name(record: Record) -> str:
    """The name without the folder that has the name of the file."""
    return (
        LOOSE if _STORAGE.fullmatch(record.name) else record.name.partition("/")[2] or record.name
    )
