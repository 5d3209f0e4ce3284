"""Reads the tensors in the pickles of a torch.package archive, never its Python code.

Layout (torch/package/package_exporter.py): a zip of one folder with the source of its modules,
pickles wherever `save_pickle` put them, and `.data/`, where the storage with the key K is
`K.storage`. Persistent ids are those of torch.save, or ("reduce_package", id, function, arguments).
"""

from __future__ import annotations

from dataclasses import replace

from core.checkpoint.containers.zip_container import Archive
from core.checkpoint.entries import Record
from core.checkpoint.pickles.inert import InertDict, Opaque, Storage, Tree
from core.checkpoint.pickles.unpickler import Mentions, begins_like_pickle, unpickle
from core.checkpoint.readers import diagnose
from core.checkpoint.readers.contents import Contents
from core.checkpoint.tree.discover import tensors_in
from core.checkpoint.tree.tensor_entries import entry_maker, storage_of
from core.errors import CheckpointError
from core.wording import count

MAX_PICKLE = 16 << 20
"""The most bytes of one pickle."""

MAX_PICKLES = 8
"""Pickles of one archive that are read: the first ones."""

_EXTERN = ".data/extern_modules"
"""The member that every package has: the modules that it imports from outside."""


def package_folder(archive: Archive) -> str | None:
    """The folder of a package in a zip, with its slash; None for another kind of zip."""
    for name in archive.members:
        if name.endswith(f"/{_EXTERN}") and name.count("/") == 2:
            return name.removesuffix(_EXTERN)
    return None


def read_torch_package(archive: Archive, folder: str) -> Contents:
    """The contents of the package's pickles. Raises CheckpointError, SourceError."""
    order = f"{folder}byteorder"
    big_endian = order in archive.members and archive.read(order, 16) == b"big"
    mentions = Mentions()
    names = _pickles(archive, folder)
    trees = InertDict()
    for name in names[:MAX_PICKLES]:
        mentions.record = name.removeprefix(folder)
        data = archive.read(name, MAX_PICKLE)
        read = unpickle(data, mentions, _persistent)
        trees[mentions.record.removesuffix(".pkl")] = read.tree

    def record_of(storage: Storage) -> Record:
        record = archive.record(f"{folder}.data/{storage.key}.storage")
        return replace(record, big_endian=True) if big_endian else record

    tree: Tree = trees if len(trees) > 1 else next(iter(trees.values()), None)
    if next(tensors_in(tree), None) is None:
        raise diagnose.of_another_kind(archive.members, "The file") or _nothing()
    notes = ["The Python code in this package was not read; its weights are here."]
    if len(names) > MAX_PICKLES:
        notes.append(f"Only the first {MAX_PICKLES} of its {count(len(names))} pickles were read.")
    return Contents("package", tree, mentions.judged(tree), entry_maker(record_of), tuple(notes))


def _pickles(archive: Archive, folder: str) -> list[str]:
    """The members that are pickles, without those in `.data/` and the source files."""
    return [
        name
        for name, member in archive.members.items()
        if name.startswith(folder)
        and not name.startswith(f"{folder}.data/")
        and not name.endswith(".py")
        and begins_like_pickle(archive.peek(member, 2))
    ]


def _persistent(identifier: Tree) -> Tree:
    if isinstance(identifier, tuple) and identifier[:1] == ("reduce_package",):
        return Opaque("reduce_package", identifier[1:])
    return storage_of(identifier)


def _nothing() -> CheckpointError:
    return diagnose.no_tensors("the pickles of a torch.package archive")
