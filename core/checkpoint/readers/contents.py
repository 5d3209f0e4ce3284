"""What each format's reader returns, before state_dicts are looked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from core.checkpoint.entries import Record, Source, StateDict, TensorEntry
from core.checkpoint.pickles.global_verdicts import GlobalUse
from core.checkpoint.pickles.inert import HeldStorage, InertTensor, Storage, Tree
from core.checkpoint.tree.discover import tensors_in
from core.checkpoint.tree.tensor_entries import EntryMaker, entry_maker
from core.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class Contents:
    """A file's format, object tree and globals, how its tensors become entries, and sentences on
    what is odd. `records` gives every record of the file, those of no tensor included; where it is
    None, those of the tensors are all."""

    format: str
    tree: Tree
    globals: tuple[GlobalUse, ...]
    entry: EntryMaker
    notes: tuple[str, ...] = ()
    records: Callable[[], Iterable[Record]] | None = field(default=None, repr=False, compare=False)


def entry_of(parts: Iterable[tuple[Tree, EntryMaker]]) -> EntryMaker:
    """A maker for all of several trees: each tensor becomes an entry as in its own file.

    A tensor is known by its storage, and by itself where it has none: one whose bytes the pickle
    holds may be made anew each time that it is looked for, and is of no file.
    """
    by_storage: dict[int, EntryMaker] = {}
    by_tensor: dict[int, EntryMaker] = {}
    for tree, maker in parts:
        for tensor in tensors_in(tree):
            if tensor.storage is None:
                by_tensor[id(tensor)] = maker
            elif not isinstance(tensor.storage, HeldStorage):
                by_storage[id(tensor.storage)] = maker

    def entry(key: str, tensor: InertTensor) -> TensorEntry:
        if tensor.storage is None:
            return by_tensor[id(tensor)](key, tensor)
        return by_storage.get(id(tensor.storage), _held)(key, tensor)

    return entry


def _no_record(storage: Storage) -> Record:
    raise CheckpointError(
        f"The file names the storage {storage.key[:200]}, which is not in it.",
        "The file is damaged: get it again from where it came from.",
    )


_held = entry_maker(_no_record)


def cut_off(source: Source, found: Mapping[str, StateDict] | None) -> CheckpointError:
    """The error for a truncated file; `found` has records that reach
    beyond the file's end where they are not whole."""
    entries = [entry for state_dict in (found or {}).values() for entry in state_dict.values()]
    records = {
        record.name: record
        for entry in entries
        for record in entry.records
        if record.source is source
    }
    needed = sum(record.nbytes for record in records.values())
    sizes = f"it ends after {source.size:,} bytes"
    if needed > source.size:
        sizes += f", and its tensors alone take {needed:,}"
    whole = tuple(
        entry.key
        for entry in entries
        if all(record.offset + record.nbytes <= record.source.size for record in entry.records)
    )
    count = f" {len(whole):,} of its {len(entries):,} tensors are whole." if entries else ""
    return CheckpointError(
        f"The file is cut off: {sizes}.{count}",
        "The download or the copy broke off: get it again, and compare its size.",
        whole,
    )
