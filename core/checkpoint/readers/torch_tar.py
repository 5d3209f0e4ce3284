"""Reads the tar archive that torch.save wrote before PyTorch 0.2.

Layout (torch/serialization.py, legacy_load), three members:

- `storages`: a count; for each storage a pickle of key, location and class, the number of elements
  as a 64-bit integer, and the bytes; then a pickle of the views of storages.
- `tensors`: a count; for each tensor a pickle of key, storage and class, the rank in 8 bytes, and
  sizes, strides and offset as 64-bit integers.
- `pickle`: the object, whose persistent ids are those keys.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from core.checkpoint.containers.budget import MoreThanLoupeReads, check_dimensions
from core.checkpoint.containers.sources import Within
from core.checkpoint.containers.tar_container import TarMember
from core.checkpoint.entries import ITEMSIZES, Record, Source
from core.checkpoint.pickles.inert import Global, InertTensor, Storage, Tree
from core.checkpoint.pickles.tensor_rebuilds import STORAGE_DTYPES
from core.checkpoint.pickles.unpickler import (
    Mentions,
    PickleEndsEarly,
    Unpickled,
    no_persistent_ids,
    unpickle,
)
from core.checkpoint.readers.contents import Contents
from core.checkpoint.tree.tensor_entries import entry_maker
from core.errors import CheckpointError
from core.wording import count, size

MEMBERS = frozenset({"storages", "tensors", "pickle"})

MAX_PICKLE = 64 << 20
"""The most bytes of one pickle, as in a zip (torch_zip.py)."""

MAX_OBJECTS = 50_000
"""The most storages, views or tensors of one file."""

FIRST_READ = 4096
"""Bytes that are read first of a pickle of unknown length. That of a storage or tensor has some
60."""


def is_torch_tar(members: Iterable[TarMember]) -> bool:
    """Whether a tar's members are those that torch.save wrote."""
    return {member.name for member in members} >= MEMBERS


def read_torch_tar(source: Source, members: Iterable[TarMember]) -> Contents:
    """The contents of a file. Raises CheckpointError, SourceError."""
    parts = {
        member.name: Within(source, member.offset, member.size)
        for member in members
        if member.name in MEMBERS
    }
    mentions = Mentions("storages")
    objects = _Objects(mentions)
    objects.read_storages(parts["storages"])
    mentions.record = "tensors"
    objects.read_tensors(parts["tensors"])
    mentions.record = "pickle"
    pickle = parts["pickle"]
    if pickle.size > MAX_PICKLE:
        raise _too_long()
    tree = unpickle(pickle.read(0, pickle.size), mentions, objects.persistent).tree
    return Contents(
        "tar",
        tree,
        mentions.judged(tree),
        entry_maker(objects.record_of),
        records=lambda: tuple(objects.records.values()),
    )


class _Objects:
    """The storages and tensors of the archive by their keys.

    `records` are those of the storages; `known` has the storages, their views and the tensors.
    """

    def __init__(self, mentions: Mentions) -> None:
        self.mentions = mentions
        self.records: dict[str, Record] = {}
        self.known: dict[int, Storage | InertTensor] = {}

    def record_of(self, storage: Storage) -> Record:
        return self.records[storage.key]

    def persistent(self, identifier: Tree) -> Tree:
        """The tensor or storage with this key; or the class, where its source is stored with it."""
        if isinstance(identifier, tuple) and identifier:
            return identifier[0]
        key = _key(identifier)
        if key not in self.known:
            raise ValueError("it refers to a tensor that is not in the archive")
        return self.known[key]

    def read_storages(self, part: Within) -> None:
        number, at = self.read_count(part)
        for _ in range(number):
            pickled = self.read_pickle(part, at)
            if not isinstance(pickled.tree, tuple) or len(pickled.tree) != 3:
                raise _damaged("a storage in it has no description")
            key, location, kind = pickled.tree
            dtype = STORAGE_DTYPES.get(kind.name) if isinstance(kind, Global) else None
            if dtype is None or not isinstance(location, str):
                raise _damaged("a storage in it is of an unknown kind")
            numel = _numbers(part, pickled.end, 1)[0]
            start = pickled.end + 8
            nbytes = numel * ITEMSIZES[dtype]
            if numel < 0 or nbytes > part.size - start:
                raise _damaged("a storage in it reaches beyond the archive")
            storage = Storage(str(_key(key)), dtype, location, numel)
            self.records[storage.key] = Record(storage.key, start, nbytes, None, part)
            self.known[_key(key)] = storage
            at = start + nbytes
        views = self.read_pickle(part, at).tree
        if not isinstance(views, list):
            raise _damaged("it has no list of views")
        if len(views) > MAX_OBJECTS:
            raise _too_many()
        for view in views:
            self.add_view(view)

    def add_view(self, view: Tree) -> None:
        if not isinstance(view, tuple) or len(view) != 4:
            raise _damaged("a view in it has no description")
        target, root, offset, numel = view
        storage = self.known.get(_key(root))
        if (
            not isinstance(storage, Storage)
            or type(offset) is not int
            or type(numel) is not int
            or offset < 0
            or not 0 <= numel <= storage.numel - offset
        ):
            raise _damaged("a view in it reaches beyond its storage")
        self.known[_key(target)] = Storage(
            storage.key, storage.dtype, storage.location, numel, storage.offset + offset
        )

    def read_tensors(self, part: Within) -> None:
        number, at = self.read_count(part)
        for _ in range(number):
            pickled = self.read_pickle(part, at)
            if not isinstance(pickled.tree, tuple) or len(pickled.tree) != 3:
                raise _damaged("a tensor in it has no description")
            key, storage_key, _ = pickled.tree
            storage = self.known.get(_key(storage_key))
            # torch reads 4 of the 8 bytes, and ignores the others (torch/serialization.py).
            rank = _numbers(part, pickled.end, 1)[0] & 0xFFFFFFFF
            if not isinstance(storage, Storage):
                raise _damaged("a tensor in it has no storage")
            check_dimensions(rank)
            numbers = _numbers(part, pickled.end + 8, 2 * rank + 1)
            if any(not 0 <= number < 1 << 62 for number in numbers):
                raise _damaged("a tensor in it has an impossible size")
            self.known[_key(key)] = InertTensor(
                storage, storage.dtype, numbers[:rank], numbers[rank:-1], numbers[-1]
            )
            at = pickled.end + 8 * (2 * rank + 2)

    def read_count(self, part: Within) -> tuple[int, int]:
        """The number of objects in a member, and the offset of the first."""
        pickled = self.read_pickle(part, 0)
        number = pickled.tree
        if type(number) is not int or not 0 <= number <= part.size:
            raise _damaged("a count in it is not possible")
        if number > MAX_OBJECTS:
            raise _too_many()
        return number, pickled.end

    def read_pickle(self, part: Within, at: int) -> Unpickled:
        """The pickle at an offset of a member; its `end` is an offset of the member too."""
        nbytes = FIRST_READ
        while True:
            data = part.read(at, nbytes)
            try:
                pickled = unpickle(data, self.mentions, no_persistent_ids)
            except PickleEndsEarly:
                if len(data) < nbytes:
                    raise
                if nbytes >= MAX_PICKLE:
                    raise _too_long() from None
                nbytes *= 16
            else:
                return Unpickled(pickled.tree, at + pickled.end)


def _numbers(part: Within, at: int, length: int) -> tuple[int, ...]:
    data = part.read(at, 8 * length)
    if len(data) < 8 * length:
        raise _damaged("it ends too early")
    return struct.unpack(f"<{length}q", data)


def _key(value: Tree) -> int:
    if isinstance(value, str) and value.lstrip("-").isdecimal() and len(value) < 24:
        return int(value)
    if type(value) is not int:
        raise _damaged("an object in it has no key")
    return value


def _too_many() -> CheckpointError:
    return MoreThanLoupeReads(f"it has more than {count(MAX_OBJECTS)} storages, views or tensors")


def _too_long() -> CheckpointError:
    return MoreThanLoupeReads(f"a pickle in it has more than {size(MAX_PICKLE)}")


def _damaged(why: str) -> CheckpointError:
    return CheckpointError(
        f"The tar archive that an old torch.save wrote is damaged: {why}.",
        "Get it again from where it came from.",
    )
