"""Reads the stream that torch.save wrote before PyTorch 1.6, and still writes on request.

Layout (torch/serialization.py, _legacy_save): five pickles (a magic number, a protocol version,
facts on the system, the object, the storages' keys), then for each key the number of elements as a
64-bit integer, and the bytes. Every machine writes these little-endian
(torch/csrc/serialization.cpp, doWrite and THPStorage_writeFileRaw), so the byte order that is
among the facts does not matter.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import replace

from core.checkpoint.containers.budget import MoreThanLoupeReads, work_left
from core.checkpoint.containers.sources import Within
from core.checkpoint.containers.window import WINDOW, Window
from core.checkpoint.entries import ITEMSIZES, Record, Source, make_record
from core.checkpoint.pickles.hidden import MAX_HIDDEN, HiddenPickles
from core.checkpoint.pickles.inert import Storage, Tree
from core.checkpoint.pickles.long_bytes import unpickle_in_place
from core.checkpoint.pickles.tensor_run import ends_in_runs
from core.checkpoint.pickles.unpickler import Mentions, PickleEndsEarly, no_persistent_ids, unpickle
from core.checkpoint.readers.contents import Contents, cut_off
from core.checkpoint.tree.discover import find_state_dicts
from core.checkpoint.tree.tensor_entries import entry_maker, storage_of
from core.errors import CheckpointError
from core.wording import size

MAGIC = 0x1950A86A20F9469CFC6C
"""What the first pickle is."""

PICKLES_IN_STREAM = 5

PROTOCOL = 1001
"""The protocol version that every torch.save has written (torch/serialization.py)."""

FIRST_READ = 1 << 17
"""Bytes that are read first, because the length of the pickles is unknown."""

MAX_PICKLES = 16 << 20
"""The most bytes of the five pickles together that are read at once. Where they are longer, the
long byte strings of the object's pickle stay in the file."""

MAX_KEYS = 64 << 20
"""The most bytes of the pickle of the storages' keys; each takes some ten."""

MAX_OPERATIONS = 1000
"""The most opcodes of each of the first three pickles; torch writes some twenty."""

MAX_KEY_OPERATIONS = 2_000_000
"""The most opcodes of the pickle of the storages' keys; each key takes two or three."""

_COUNT = struct.Struct("<q")


def read_torch_legacy(source: Source) -> Contents:
    """The contents of a stream.

    Raises CheckpointError (with the `whole` tensors where the stream is cut off among the
    storages), SourceError.
    """
    nbytes = FIRST_READ
    work = work_left()
    before = replace(work)
    while True:
        data = source.read(0, nbytes)
        if len(data) == nbytes < MAX_PICKLES and ends_in_runs(data):
            # The object's pickle goes on: reading what is there would be in vain.
            nbytes = min(4 * nbytes, MAX_PICKLES)
            continue
        long = nbytes >= MAX_PICKLES
        try:
            return _read(source, data, long=long)
        except PickleEndsEarly:
            if len(data) == source.size or long:
                raise cut_off(source, None) from None
            nbytes = min(8 * nbytes, MAX_PICKLES)
            # The pickles are read again from their start, and count once.
            work.operations, work.objects = before.operations, before.objects
            work.steps, work.growth = before.steps, before.growth


def _read(source: Source, data: bytes, *, long: bool) -> Contents:
    """Read a stream that begins with `data`; if `long`, the object's pickle may reach beyond."""
    mentions = Mentions("pickle 1 of 5")
    roots: dict[str, str] = {}
    numels: dict[str, int] = {}

    def persistent(identifier: Tree) -> Tree:
        if isinstance(identifier, tuple) and len(identifier) == 4 and identifier[0] == "module":
            return identifier[1]  # a class; its source text is the third item
        storage = storage_of(identifier)
        if roots.setdefault(storage.key, storage.dtype) != storage.dtype:
            raise ValueError("a storage in it has two dtypes")
        if numels.get(storage.key, 0) < storage.offset + storage.numel:
            numels[storage.key] = storage.offset + storage.numel
        return storage

    magic = unpickle(data, mentions, no_persistent_ids, 0, MAX_OPERATIONS)
    mentions.record = "pickle 2 of 5"
    protocol = unpickle(data, mentions, no_persistent_ids, magic.end, MAX_OPERATIONS)
    mentions.record = "pickle 3 of 5"
    system = unpickle(data, mentions, no_persistent_ids, protocol.end, MAX_OPERATIONS)
    if magic.tree != MAGIC or protocol.tree != PROTOCOL:
        raise CheckpointError(
            "The file begins like a torch.save stream, but its version is unknown.",
            "Load it with the PyTorch that wrote it, and save it again with a newer one.",
        )
    mentions.record = "pickle 4 of 5"
    if long:
        rest = Within(source, system.end, source.size - system.end)
        main = unpickle_in_place(rest, mentions, persistent)
        keys_at = system.end + main.end
        data, start = source.read(keys_at, MAX_KEYS), 0
    else:
        main = unpickle(data, mentions, persistent, system.end)
        keys_at = start = main.end
    mentions.record = "pickle 5 of 5"
    try:
        keys = unpickle(data, mentions, no_persistent_ids, start, MAX_KEY_OPERATIONS)
    except PickleEndsEarly:
        if long and keys_at + MAX_KEYS < source.size:
            raise MoreThanLoupeReads(
                f"the list of its storages has more than {size(MAX_KEYS)}"
            ) from None
        raise
    if not isinstance(keys.tree, list) or not all(isinstance(key, str | int) for key in keys.tree):
        raise CheckpointError(
            "The stream has no list of its storages.",
            "It is damaged: get it again from where it came from.",
        )
    records, end = _records(source, keys.tree, keys_at + keys.end - start, roots, numels)
    hidden = HiddenPickles(mentions)
    for number, read in enumerate((magic, protocol, system, main, keys), 1):
        hidden.look_inside(read.inner, f"pickle {number} of 5")
    if end < source.size:
        hidden.look_after(source.read(end, MAX_HIDDEN), "the stream")
    contents = Contents(
        "legacy",
        main.tree,
        mentions.judged(main.tree),
        entry_maker(_record_of(records)),
        notes=hidden.notes,
        unsearched=tuple(hidden.unsearched),
        records=records.values,
        may_have_unlisted=main.may_have_unlisted,
    )
    if end > source.size:
        raise cut_off(source, find_state_dicts(main.tree, contents.entry))
    return contents


def _records(
    source: Source,
    keys: list[Tree],
    at: int,
    dtypes: dict[str, str],
    numels: dict[str, int],
) -> tuple[dict[str, Record], int]:
    """The record of each storage, and the offset at which the last one ends.

    In a file that is cut off, that offset is beyond its end.
    """
    records: dict[str, Record] = {}
    window, nbytes = Window(source), 0
    for key in map(str, keys):
        # The counts of small storages lie close together, so one read serves many.
        more = nbytes < WINDOW // 4
        count = window.read(at, _COUNT.size, more=more) if at < source.size else b""
        at += _COUNT.size
        # After the end of a cut file, the numbers of elements in the pickle replace these counts.
        numel = _COUNT.unpack(count)[0] if len(count) == _COUNT.size else numels.get(key, 0)
        if not 0 <= numel < 1 << 60 or key in records:
            raise CheckpointError(
                "A storage in the stream has an impossible size.",
                "The file is damaged: get it again from where it came from.",
            )
        nbytes = numel * ITEMSIZES[dtypes.get(key, "uint8")]
        records[key] = make_record(key, at, nbytes, None, source)
        at += nbytes
    return records, at


def _record_of(records: Mapping[str, Record]) -> Callable[[Storage], Record]:
    def record_of(storage: Storage) -> Record:
        record = records.get(storage.key)
        if record is None:
            raise CheckpointError(
                f"The stream refers to the storage {storage.key[:200]}, which it does not contain.",
                "The file is damaged: get it again from where it came from.",
            )
        return record

    return record_of
