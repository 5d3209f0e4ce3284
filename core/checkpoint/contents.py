"""What each format's reader returns, before state_dicts are looked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from core.checkpoint.entries import Record, Source, StateDict
from core.checkpoint.inert import Tree
from core.checkpoint.storages import EntryMaker
from core.checkpoint.verdicts import GlobalUse
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


def cut_off(source: Source, found: Mapping[str, StateDict] | None) -> CheckpointError:
    """The error for a truncated file; `found` has records that reach
    beyond the file's end where they are not whole."""
    entries = [entry for state_dict in (found or {}).values() for entry in state_dict.values()]
    records = {entry.record.name: entry.record for entry in entries if entry.record}
    needed = sum(record.nbytes for record in records.values())
    sizes = f"it ends after {source.size:,} bytes"
    if needed > source.size:
        sizes += f", and its tensors alone take {needed:,}"
    whole = tuple(
        entry.key
        for entry in entries
        if entry.record is None or entry.record.offset + entry.record.nbytes <= source.size
    )
    count = f" {len(whole):,} of its {len(entries):,} tensors are whole." if entries else ""
    return CheckpointError(
        f"The file is cut off: {sizes}.{count}",
        "The download or the copy broke off: get it again, and compare its size.",
        whole,
    )
