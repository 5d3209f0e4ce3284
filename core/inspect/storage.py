"""What a checkpoint's bytes are spent on: the model, its EMA, the optimizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.checkpoint import Checkpoint, Source, TensorEntry, parts_bytes
from core.checkpoint.containers import LocalFile, Within


@dataclass(frozen=True, slots=True)
class Section:
    """The state_dicts of one role.

    `tensors` and `nbytes` count what they show, a shared storage with each tensor; `stored` are
    the bytes that the file keeps for them, each storage once and with the first role that uses it.
    """

    role: str
    tensors: int
    nbytes: int
    stored: int


def sections(checkpoint: Checkpoint) -> tuple[Section, ...]:
    """The roles in the file, the largest in the file first."""
    tensors: dict[str, int] = {}
    nbytes: dict[str, int] = {}
    stored: dict[str, int] = {}
    seen: set[tuple[int, int, str]] = set()
    for path, state_dict in checkpoint.state_dicts.items():
        role = checkpoint.roles[path]
        tensors[role] = tensors.get(role, 0) + len(state_dict)
        nbytes[role] = nbytes.get(role, 0) + state_dict.nbytes
        fresh = 0
        for entry in state_dict.values():
            for record in entry.records:
                place = (id(record.source), record.offset, record.name)
                if place not in seen:
                    seen.add(place)
                    fresh += record.nbytes
        stored[role] = stored.get(role, 0) + fresh
    found = (Section(role, tensors[role], nbytes[role], stored[role]) for role in tensors)
    return tuple(sorted(found, key=lambda section: -section.stored))


LEAST_WASTE = 1 << 20
"""Bytes below which nobody minds."""


def stored_bytes(entry: TensorEntry) -> int:
    """Bytes that the file must keep for this tensor: its whole records, each once."""
    places = {
        (id(record.source), record.offset, record.name): record.nbytes for record in entry.records
    }
    return sum(places.values())


def storage_note(entry: TensorEntry) -> str | None:
    """Say that a small view keeps a large storage; None where it does not.

    torch.save writes a tensor's whole storage, whatever part of it the tensor shows; other tensors
    of the file may show other parts of it.
    """
    shown = parts_bytes(entry)
    kept = stored_bytes(entry)
    if kept - shown < max(LEAST_WASTE, shown):
        return None
    return (
        f"A view of {_megabytes(shown)} into a storage of {_megabytes(kept)}: the file keeps the "
        "whole storage. Unless other tensors share it, saving `tensor.clone()` makes the file "
        f"{_megabytes(kept - shown)} smaller."
    )


def storages_note(sections: Sequence[Section]) -> str | None:
    """Say that a file keeps a tenth more than all its tensors show; None where it does not."""
    shown = sum(section.nbytes for section in sections)
    kept = sum(section.stored for section in sections)
    if kept - shown < max(LEAST_WASTE, kept // 10):
        return None
    return (
        f"The tensors show {_megabytes(shown)} of the {_megabytes(kept)} that the file keeps for "
        "them: some are small views of large storages. An export from the Fit page holds what they "
        "show, and nothing else."
    )


def _megabytes(nbytes: int) -> str:
    return f"{nbytes / 1e6:.1f} MB" if nbytes >= 100_000 else f"{nbytes / 1e3:.1f} kB"


def read_files(checkpoint: Checkpoint) -> Mapping[str, int]:
    """Bytes by the file's name, in the order in which the tensors first name them.

    A file inside another one, such as a shard in a tar, counts as the one that holds it.
    """
    found: dict[str, int] = {}
    seen: set[int] = set()
    for state_dict in checkpoint.state_dicts.values():
        for entry in state_dict.values():
            for record in entry.records:
                if id(record.source) not in seen:
                    seen.add(id(record.source))
                    file = _outermost(record.source)
                    if isinstance(file, LocalFile):
                        found.setdefault(file.name, file.size)
    return found


def _outermost(source: Source) -> Source:
    while isinstance(source, Within):
        source = source.whole
    return source
