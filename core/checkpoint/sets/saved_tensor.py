"""Reads quickly the thousands of single tensors that a distributed checkpoint consists of.

torch.save wrote each as a separate zip (torch/distributed/checkpoint/filesystem.py, _write_item),
and the bytes of most of their pickles are equal. A zip with anything else is left to the reader of
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
"""Opcodes that reading a piece counts as."""

MAX_MEMBERS = 16
"""The most members of a tensor's zip; torch.save writes seven."""

MAX_PICKLE = 4 << 10
"""The most bytes of a tensor's pickle; a tensor of four dimensions takes 200."""

MAX_KNOWN = 4096
"""The most different pickles that are cached, because the next piece may have an equal one."""

SMALL = 32 << 10
"""Bytes up to which a piece is read as a whole."""

END = 4 << 10
"""Bytes at the end of a larger piece that contain its directory and the small members."""


class SavedTensors:
    """Reads one tensor after another, and counts the globals that their pickles name."""

    def __init__(self) -> None:
        self._known: dict[bytes, InertTensor | None] = {}
        self._mentions: dict[bytes, Mentions] = {}
        self._times: Counter[bytes] = Counter()

    def read(self, part: Within) -> tuple[InertTensor, Record] | None:
        """The tensor in a part of a file, and the record of its storage in that file.

        None where the part is not one plain tensor, or is damaged: the reader of whole files then
        reports why. Raises CheckpointError where the budget of work is used up, and SourceError.
        """
        spend(OPENING)
        try:
            archive = open_archive(_ReadAhead(part))
            return self._read(archive, part)
        except (NoDirectory, CheckpointError):
            return None

    def globals(self) -> Iterator[GlobalUse]:
        """The globals that the pickles of all tensors name."""
        for pickle, times in self._times.items():
            for use in self._mentions[pickle].judged():
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
        in_part = archive.record(stored)
        self._times[pickle] += 1
        # The source is the whole file, so that the record can be read without the part.
        record = Record(
            stored,
            part.start + in_part.offset,
            in_part.nbytes,
            in_part.crc32,
            part.whole,
        )
        # Pieces with equal pickles share the cached tensor, but each is a tensor of its own.
        own = Storage(storage.key, storage.dtype, storage.location, storage.numel)
        return (
            InertTensor(
                own, tensor.dtype, tensor.shape, tensor.stride, tensor.storage_offset,
                tensor.requires_grad,
            ),
            record,
        )  # fmt: skip

    def _tensor(self, pickle: bytes) -> InertTensor | None:
        """The tensor in a pickle of one plain tensor; None for any other pickle."""
        if pickle in self._known:
            return self._known[pickle]
        mentions = Mentions("data.pkl")
        read = unpickle(pickle, mentions, storage_of)
        tree = read.tree
        plain = (
            isinstance(tree, InertTensor)
            and tree.form is None
            and type(tree.storage) is Storage
            and read.end == len(pickle)
            and not read.inner
        )
        tensor = tree if plain and isinstance(tree, InertTensor) else None
        if len(self._known) >= MAX_KNOWN:
            return None  # `globals` needs the mentions of every pickle that is read here
        self._known[pickle], self._mentions[pickle] = tensor, mentions
        return tensor


class _ReadAhead(Within):
    """A part whose end is read at once, or all of it where it is small.

    It serves the many small reads of a zip's directory and members from memory.
    """

    def __init__(self, part: Within) -> None:
        super().__init__(part.whole, part.start, part.size)
        self._at = 0 if part.size <= SMALL else part.size - END
        self._data = part.read(self._at, part.size - self._at)

    def read(self, offset: int, nbytes: int) -> bytes:
        """The bytes from `offset`, as many as there are up to `nbytes`; raises SourceError."""
        if offset < self._at:
            return super().read(offset, nbytes)
        return self._data[offset - self._at : offset - self._at + nbytes]
