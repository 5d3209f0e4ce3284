"""What differs in the records of two archives that no state_dict and no object tree has: code, a
graph, the tensors that a model does not save in its state_dict."""

from __future__ import annotations

import re
from collections import Counter

from core.checkpoint import Checkpoint, Record

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


def changed_records(a: Checkpoint, b: Checkpoint) -> tuple[str, ...]:
    """The names of the records that differ by their stored checksums or sizes, or are in one file
    only, besides those of the tensors in state_dicts. Raises CheckpointError, SourceError."""
    in_a, in_b = _others(a), _others(b)
    return tuple(dict.fromkeys(name for name, _, _ in ((in_a - in_b) + (in_b - in_a))))


def _others(checkpoint: Checkpoint) -> Counter[tuple[str, int, int]]:
    """How often each record occurs, as (name, bytes, CRC-32)."""
    listed = {
        _place(record)
        for state_dict in checkpoint.state_dicts.values()
        for entry in state_dict.values()
        for record in entry.records
    }
    return Counter(
        (_name(record), record.nbytes, record.crc32)
        for record in checkpoint.records()
        if record.crc32 is not None
        and _place(record) not in listed
        and record.name.rpartition("/")[2] not in READ | ABOUT_SAVING
        and not record.name.endswith(DEBUGGING)
    )


def _place(record: Record) -> tuple[int, int]:
    return id(record.source), record.offset


def _name(record: Record) -> str:
    """The name without the folder that has the name of the file."""
    return (
        LOOSE if _STORAGE.fullmatch(record.name) else record.name.partition("/")[2] or record.name
    )
