"""One tensor that torch.save wrote by itself, among thousands: a piece of a distributed checkpoint.

Each piece is a zip of its own (torch/distributed/checkpoint/filesystem.py, _write_item), and most
of their pickles are equal to the byte. A zip that holds anything else is left to the reader of
whole files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from core.checkpoint.containers.budget import spend
from core.checkpoint.containers.sources import Within
from core.checkpoint.containers.zip_container import Archive, NoDirectory, open_archive
from core.checkpoint.entries import Record
from core.checkpoint.pickles.global_verdicts import GlobalUse
from core.checkpoint.pickles.inert import InertTensor, Storage
from core.checkpoint.pickles.unpickler import Mentions, begins_like_pickle, unpickle
from core.checkpoint.readers.torch_zip import PICKLE_ENDINGS, storage_name, torch_folder
from core.checkpoint.tree.tensor_entries import storage_of
from core.errors import CheckpointError

OPENING = 120
"""Opcodes that reading a piece counts for."""

MAX_MEMBERS = 16
"""Members of a tensor's zip: torch.save writes seven."""

MAX_PICKLE = 4 << 10
"""Bytes of a tensor's pickle: a tensor of four dimensions takes 200."""

MAX_KNOWN = 4096
"""Pickles that are kept in case that the next piece has an equal one."""

SMALL = 32 << 10
"""Bytes of a piece that is read at once."""

END = 4 << 10
"""Bytes in which a larger piece's directory lies, and the small members before it."""


class SavedTensors:
    """Reads tensor after tensor; the classes that their pickles name are counted."""

    def __init__(self) -> None:
        self._known: dict[bytes, InertTensor | None] = {}
        self._names: dict[bytes, Mentions] = {}
        self._times: Counter[bytes] = Counter()

    def read(self, part: Within) -> tuple[InertTensor, Record] | None:
        """The tensor in a part of a file, and where its storage's bytes lie in that file.

        None for what is not one plain tensor, or is damaged: the reader of whole files tells more.
        Raises CheckpointError where there is more to read than a checkpoint has, and SourceError.
        """
        spend(OPENING)
        try:
            archive = open_archive(_ReadAhead(part))
            return self._read(archive, part)
        except (NoDirectory, CheckpointError):
            return None

    def globals(self) -> Iterator[GlobalUse]:
        """The classes that the pickles of all tensors name."""
        for pickle, times in self._times.items():
            for use in self._names[pickle].judged():
                yield replace(use, uses=use.uses * times)

    def _read(self, archive: Archive, part: Within) -> tuple[InertTensor, Record] | None:
        folder = torch_folder(archive)
        if folder is None or len(archive.members) > MAX_MEMBERS:
            return None
        pickle = archive.read(f"{folder}data.pkl", MAX_PICKLE)
        tensor = self._tensor(pickle)
        storage = None if tensor is None else tensor.storage
        if tensor is None or storage is None:
            return None
        stored = storage_name(folder, storage)
        for member in archive.members.values():
            name = member.name.removeprefix(folder)
            if name == "byteorder":
                if archive.read(member.name, 16) != b"little":
                    return None
            elif (
                name != "data.pkl"
                and member.name != stored
                and (name.endswith(PICKLE_ENDINGS) or begins_like_pickle(archive.peek(member, 2)))
            ):
                return None
        found = archive.record(stored)
        self._times[pickle] += 1
        record = Record(
            found.name, part.start + found.offset, found.nbytes, found.crc32, part.whole
        )
        own = Storage(storage.key, storage.dtype, storage.location, storage.numel)
        return (
            InertTensor(
                own, tensor.dtype, tensor.shape, tensor.stride, tensor.storage_offset,
                tensor.requires_grad,
            ),
            record,
        )  # fmt: skip

    def _tensor(self, pickle: bytes) -> InertTensor | None:
        """The tensor of a pickle that holds one plain tensor and nothing else; None for others."""
        if pickle in self._known:
            return self._known[pickle]
        names = Mentions("data.pkl")
        read = unpickle(pickle, names, storage_of)
        tree = read.tree
        plain = (
            isinstance(tree, InertTensor)
            and tree.form is None
            and type(tree.storage) is Storage
            and read.end == len(pickle)
            and not read.inner
        )
        found = tree if plain and isinstance(tree, InertTensor) else None
        if len(self._known) >= MAX_KNOWN:
            return None
        self._known[pickle], self._names[pickle] = found, names
        return found


class _ReadAhead(Within):
    """A part whose end, or the whole where it is small, is read at once; for as long as its zip's
    directory and small members are."""

    def __init__(self, part: Within) -> None:
        super().__init__(part.whole, part.start, part.size)
        self._at = 0 if part.size <= SMALL else part.size - END
        self._data = part.read(self._at, part.size - self._at)

    def read(self, offset: int, nbytes: int) -> bytes:
        """The bytes from `offset`, as many as there are up to `nbytes`; raises SourceError."""
        if offset < self._at:
            return super().read(offset, nbytes)
        return self._data[offset - self._at : offset - self._at + nbytes]
