"""The result of each format's reader, before state_dicts are searched for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from core.checkpoint.entries import Record, Source, StateDict, TensorEntry
from core.checkpoint.pickles.global_verdicts import GlobalUse
from core.checkpoint.pickles.inert import InertTensor, InlineStorage, Storage, Tree
from core.checkpoint.tree.discover import tensors_in
from core.checkpoint.tree.tensor_entries import EntryMaker, entry_maker
from core.errors import CheckpointError
from core.wording import count, part_of


@dataclass(frozen=True, slots=True)
class Contents:
    """The contents of a file: its format, its object tree and the globals that it names.

    `entry` makes a TensorEntry of a tensor, and `notes` are sentences on what is unusual. `records`
    returns every record of the file, also of no tensor; None where only tensors have records.
    `may_have_unlisted` is False where the tree has neither long byte strings nor unusual keys:
    weights in these are listed nowhere. `unsearched` are those of the notes that say where hidden
    pickles may be that were not read.
    """

    format: str
    tree: Tree
    globals: tuple[GlobalUse, ...]
    entry: EntryMaker
    notes: tuple[str, ...] = ()
    records: Callable[[], Iterable[Record]] | None = field(default=None, repr=False, compare=False)
    may_have_unlisted: bool = True
    unsearched: tuple[str, ...] = ()


def entry_of(parts: Iterable[tuple[Tree, EntryMaker]]) -> EntryMaker:
    """One maker of entries for several trees; it calls the maker of the tensor's own file.

    A tensor is identified by its storage, or by itself where it has none. A tensor with an
    InlineStorage needs no file's maker, and may be a new object at each search.
    """
    by_storage: dict[int, EntryMaker] = {}
    by_tensor: dict[int, EntryMaker] = {}
    for tree, maker in parts:
        for tensor in tensors_in(tree):
            if tensor.storage is None:
                by_tensor[id(tensor)] = maker
            elif not isinstance(tensor.storage, InlineStorage):
                by_storage[id(tensor.storage)] = maker

    def entry(key: str, tensor: InertTensor) -> TensorEntry:
        if tensor.storage is None:
            return by_tensor[id(tensor)](key, tensor)
        return by_storage.get(id(tensor.storage), _inline_entry)(key, tensor)

    return entry


def _no_record(storage: Storage) -> Record:
    raise CheckpointError(
        f"The file refers to the storage {storage.key[:200]}, which it does not contain.",
        "The file is damaged: get it again from where it came from.",
    )


_inline_entry = entry_maker(_no_record)


def cut_off(source: Source, state_dicts: Mapping[str, StateDict] | None) -> CheckpointError:
    """The error for a truncated file.

    `state_dicts` has the tensors that its pickle describes, with records that reach beyond the end
    of the file where they are incomplete; None where the pickle is incomplete too.
    """
    entries = [
        entry for state_dict in (state_dicts or {}).values() for entry in state_dict.values()
    ]
    records = {
        record.name: record
        for entry in entries
        for record in entry.records
        if record.source is source
    }
    needed = sum(record.nbytes for record in records.values())
    sizes = f"it ends after {count(source.size)} bytes"
    if needed > source.size:
        sizes += f", and its tensors alone take {count(needed)}"
    whole = tuple(
        entry.key
        for entry in entries
        if all(record.offset + record.nbytes <= record.source.size for record in entry.records)
    )
    summary = f" {part_of(len(whole), len(entries), 'tensor', 'its')} whole." if entries else ""
    return CheckpointError(
        f"The file is cut off: {sizes}.{summary}",
        "The download or the copy broke off: get it again, and compare its size.",
        whole,
    )
