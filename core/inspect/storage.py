"""What a checkpoint's bytes are used for: the model, its EMA, the optimizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.checkpoint import Checkpoint, Source, TensorEntry, parts_bytes
from core.checkpoint.containers import LocalFile, Within
from core.wording import size as size_words


@dataclass(frozen=True, slots=True)
class Section:
    """The state_dicts of one role.

    `nbytes` is the size of all `tensors`, so a shared storage counts for each of them. `stored` is
    the bytes that the file contains for them: each storage counts once, for the first role that
    uses it.
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
        new_bytes = 0
        for entry in state_dict.values():
            for record in entry.records:
                if record.place not in seen:
                    seen.add(record.place)
                    new_bytes += record.nbytes
        stored[role] = stored.get(role, 0) + new_bytes
    by_role = (Section(role, tensors[role], nbytes[role], stored[role]) for role in tensors)
    return tuple(sorted(by_role, key=lambda section: -section.stored))


LEAST_WASTE = 1 << 20
"""Wasted bytes below which nothing is reported."""


def stored_bytes(entry: TensorEntry) -> int:
    """Bytes that the file contains for this tensor: its whole records, each counted once."""
    return sum({record.place: record.nbytes for record in entry.records}.values())


def storage_note(entry: TensorEntry) -> str | None:
    """A sentence on a small view into a large storage; None where the tensor is not one.

    torch.save writes a tensor's whole storage, however small the part that the tensor uses. Other
    tensors of the file may use other parts of it.
    """
    used = parts_bytes(entry)
    kept = stored_bytes(entry)
    if kept - used < max(LEAST_WASTE, used):
        return None
    return (
        f"A view of {size_words(used)} into a storage of {size_words(kept)}: the file keeps the "
        "whole storage. Unless other tensors share it, saving `tensor.clone()` makes the file "
        f"{size_words(kept - used)} smaller."
    )


def storages_note(sections: Sequence[Section]) -> str | None:
    """A sentence on a file that contains a tenth more than all its tensors use; else None."""
    used = sum(section.nbytes for section in sections)
    kept = sum(section.stored for section in sections)
    if kept - used < max(LEAST_WASTE, kept // 10):
        return None
    return (
        f"The tensors use {size_words(used)} of the {size_words(kept)} that the file keeps for "
        "them: some are small views of large storages. An export from the Fit page contains only "
        "what they use."
    )


def read_files(checkpoint: Checkpoint) -> Mapping[str, int]:
    """File name → size in bytes, in the order in which the tensors first use the files.

    A file inside another one, such as a shard in a tar, counts as the outer file.
    """
    sizes: dict[str, int] = {}
    seen: set[int] = set()
    for state_dict in checkpoint.state_dicts.values():
        for entry in state_dict.values():
            for record in entry.records:
                if id(record.source) not in seen:
                    seen.add(id(record.source))
                    file = _outermost(record.source)
                    if isinstance(file, LocalFile):
                        sizes.setdefault(file.name, file.size)
    return sizes


def _outermost(source: Source) -> Source:
    while isinstance(source, Within):
        source = source.whole
    return source
