"""Reads a zip of torch.save, complete or cut off: its object tree and a maker of entries."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import partial

from core.checkpoint.containers.budget import work_left
from core.checkpoint.containers.inner_places import HEAD, may_have_pickles
from core.checkpoint.containers.sources import Within
from core.checkpoint.containers.zip_container import Archive, local_data, next_local, zip_records
from core.checkpoint.entries import Record, Source
from core.checkpoint.pickles.hidden import MAX_HIDDEN, HiddenPickles
from core.checkpoint.pickles.inert import Storage, Tree
from core.checkpoint.pickles.long_bytes import unpickle_in_place
from core.checkpoint.pickles.unpickler import (
    Mentions,
    PickleEndsEarly,
    Unpickled,
    unpickle,
)
from core.checkpoint.readers.contents import Contents, cut_off
from core.checkpoint.readers.torchscript import is_torchscript, read_torchscript
from core.checkpoint.tree.discover import find_state_dicts, tensors_in
from core.checkpoint.tree.tensor_entries import entry_maker, storage_bytes, storage_of
from core.errors import CheckpointError

MAX_PICKLE = 16 << 20
"""The most bytes of data.pkl that are read at once; a hundred tensors take 10 KB. In a longer one,
long byte strings stay in the file."""

FIRST_READ = 1 << 20
"""Bytes that are read first of a pickle of unknown length, in a file that is cut off."""

OPENING = 800
"""Opcodes that opening an archive counts as: some formats have one archive for each tensor."""

MAX_OTHERS = 64
"""The most members besides data.pkl and the storages that are searched for pickles."""

PICKLE_ENDINGS = (".pkl", ".pickle", ".joblib", ".dat", ".data")
"""The endings of pickles' names."""


PICKLE = re.compile(r"(?:.*/)?data\.pkl", re.DOTALL)
"""The path of the pickle of torch.save."""

REPACKED = "Somebody packed this zip again: torch.save compresses nothing."
"""The note on a compressed file of torch.save; torch.jit.save compresses its code and pickles."""


def torch_folder(archive: Archive) -> str | None:
    """The folder of data.pkl in a zip, with its slash; None for another kind of zip."""
    for name in archive.members:
        folder, _, last = name.rpartition("/")
        if last == "data.pkl" and "/" not in folder:
            return f"{folder}/" if folder else ""
    return None


def only_torch_folder(names: Collection[str]) -> str | None:
    """The folder of the only data.pkl, at any depth, by the names of files; None for any other.

    It is deeper than torch.save puts it where somebody unpacked a checkpoint and packed the folder.
    """
    folders = [name.removesuffix("data.pkl") for name in names if PICKLE.fullmatch(name)]
    return folders[0] if len(folders) == 1 and f"{folders[0]}version" in names else None


def read_torch_zip(archive: Archive, folder: str) -> Contents:
    """The contents of a complete file. Raises CheckpointError, SourceError."""
    order = f"{folder}byteorder"
    big_endian = order in archive.members and archive.read(order, 16) == b"big"
    work_left().operations -= OPENING
    mentions = Mentions("data.pkl")
    pickle = archive.record(f"{folder}data.pkl")
    if pickle.nbytes > MAX_PICKLE:
        within = Within(pickle.source, pickle.offset, pickle.nbytes)
        read = unpickle_in_place(within, mentions, storage_of)
    else:
        data = pickle.source.read(pickle.offset, pickle.nbytes)
        read = unpickle(data, mentions, storage_of)
    hidden = HiddenPickles(mentions)
    hidden.look_inside(read.inner, "data.pkl")
    after = min(pickle.nbytes - read.end, MAX_HIDDEN)
    hidden.look_after(pickle.source.read(pickle.offset + read.end, after), "the pickle in data.pkl")
    _look_at_other_pickles(archive, folder, hidden)
    records: dict[str, Record] = {}

    def member(name: str) -> Record:
        record = archive.record(name)
        return replace(record, big_endian=True) if big_endian else record

    def record_of(storage: Storage) -> Record:
        record = records.get(storage.key)
        if record is None:
            record = records[storage.key] = member(storage_name(folder, storage))
        return record

    contents = Contents(
        format="zip",
        tree=read.tree,
        globals=mentions.judged(read.tree),
        entry=entry_maker(record_of),
        notes=hidden.notes,
        unsearched=tuple(hidden.unsearched),
        # Deflated members are unpacked once, and their records are those of the tensors.
        records=archive.every_record
        if archive.is_deflated
        else partial(zip_records, archive.source),
        may_have_unlisted=read.may_have_unlisted,
    )
    if is_torchscript(archive, folder):
        return read_torchscript(archive, folder, contents, member)
    if archive.is_deflated:
        return replace(contents, notes=(REPACKED, *contents.notes))
    return contents


def _look_at_other_pickles(archive: Archive, folder: str, hidden: HiddenPickles) -> None:
    """Read the globals of the pickles besides data.pkl, none of which torch.load reads."""
    storages = f"{folder}data/"
    others = [
        member
        for name, member in archive.members.items()
        if not (name.startswith(storages) and name.removeprefix(storages).isdigit())
    ]
    for member in others[:MAX_OTHERS]:
        name = member.name.removeprefix(folder)
        if member.name == f"{folder}data.pkl" or name.startswith("code/"):
            continue
        if name.endswith(PICKLE_ENDINGS) or may_have_pickles(archive.peek(member, HEAD)):
            hidden.look_at(archive.peek(member, MAX_HIDDEN), name)


def truncated_zip(source: Source) -> CheckpointError:
    """The error for a zip that is cut off, with the names of the tensors that are whole."""
    first = local_data(source, 0)
    if first is None or not first[0].endswith("data.pkl"):
        return cut_off(source, None)
    name, start = first
    try:
        read = _pickle_at(source, start)
        folder = name.removesuffix("data.pkl")
        records = dict(_records_from_the_front(source, start + read.end, folder, read.tree))

        def record_of(storage: Storage) -> Record:
            missing = Record(storage.key, source.size, storage_bytes(storage), None, source)
            return records.get(storage.key, missing)

        return cut_off(source, find_state_dicts(read.tree, entry_maker(record_of)))
    except CheckpointError:
        return cut_off(source, None)


def _pickle_at(source: Source, start: int) -> Unpickled:
    """Read a pickle of unknown length, without reading the whole file."""
    nbytes = FIRST_READ
    while True:
        try:
            return unpickle(source.read(start, nbytes), Mentions(), storage_of)
        except PickleEndsEarly:
            if nbytes >= MAX_PICKLE or start + nbytes >= source.size:
                raise
            nbytes *= 8


def _records_from_the_front(
    source: Source, after: int, folder: str, tree: Tree
) -> Iterator[tuple[str, Record]]:
    """The records of complete storages, found by walking from member to member.

    torch.save writes no sizes into the local headers. So the size of a storage comes from the
    pickle; after other members, which are small, the next header is searched for.
    """
    sizes = {
        storage_name(folder, tensor.storage): storage_bytes(tensor.storage)
        for tensor in tensors_in(tree)
        if tensor.storage is not None
    }
    at = next_local(source, after)
    while at is not None:
        member = local_data(source, at)
        if member is None:
            return
        name, start = member
        nbytes = sizes.get(name, 0)
        if start + nbytes > source.size:
            return
        if name in sizes:
            key = name.removeprefix(f"{folder}data/")
            yield key, Record(name, start, nbytes, None, source)
        at = next_local(source, start + nbytes)


def storage_name(folder: str, storage: Storage) -> str:
    """The name of a storage's member."""
    return f"{folder}data/{storage.key}"
