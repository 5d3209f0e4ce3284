"""Finds weights in a pickle that are in no state_dict, and would stay unseen without a word.

They are whole files in its byte strings, such as a checkpoint that a dict has as bytes, and tensors
that are only keys of a dict, as the parameters of an optimizer's state.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from core.checkpoint.containers.inner_places import is_legacy
from core.checkpoint.containers.packed import Compression, beginning, compression_of
from core.checkpoint.containers.sources import InMemory
from core.checkpoint.containers.zip_container import LOCAL_MAGIC
from core.checkpoint.entries import Source
from core.checkpoint.pickles.first_uses import Step, path_of
from core.checkpoint.pickles.inert import (
    CONTAINER_TYPES,
    LongBytes,
    Tree,
    UnusualKey,
    each_once,
    inside,
)
from core.checkpoint.readers.safetensors_reader import MAX_HEADER
from core.checkpoint.tree.discover import TENSORS
from core.wording import size, tensors

MAX_FILES = 1_000
"""Byte strings that are returned; those beyond are counted."""

MAX_CONTAINERS = 20_000
"""Dicts, lists and objects that are searched; what is beyond these is not told."""

HEAD = 32
"""Bytes that are looked at: the beginnings of all formats are shorter."""


class FileInBytes(NamedTuple):
    """A byte string that begins as a file does: its path (empty for the tree itself), and what kind
    of file of weights begins so, or by what it is compressed."""

    path: str
    value: bytes | LongBytes
    kind: str
    compression: Compression | None = None

    @property
    def place(self) -> str:
        """Where it is, in words."""
        return f"under `{self.path}`" if self.path else "in it"

    @property
    def source(self) -> Source:
        """Its bytes."""
        return self.value.source if isinstance(self.value, LongBytes) else InMemory(self.value)

    @property
    def nbytes(self) -> str:
        """The number of its bytes, in words."""
        return size(_length(self.value))

    @property
    def note(self) -> str:
        """The sentence on one that was not opened."""
        return (
            f"The {self.nbytes} of bytes {self.place} begin like {self.kind}: write them to a file "
            "of their own, and open that."
        )

    def looked_into(self) -> FileInBytes | None:
        """The same with the kind of what is compressed in it; None if that is no file of weights,
        such as a packed log. Raises SourceError."""
        if self.compression is None:
            return self
        head = beginning(self.source, self.compression, HEAD)
        if not head:  # one that is cut off may have been a checkpoint
            return None if head is None else self
        kind, _ = _kind(head, MAX_HEADER)
        packed = f"{kind}, packed by {self.compression.name}"
        return self._replace(kind=packed) if kind else None


class Unlisted(NamedTuple):
    """Sentences on the tensors that are only keys, and the files in byte strings: the first ones,
    and the number of further ones."""

    on_keys: tuple[str, ...] = ()
    files: tuple[FileInBytes, ...] = ()
    more: int = 0


def unlisted(tree: Tree) -> Unlisted:
    """The weights in a tree that are in none of its state_dicts; a byte string that many values
    share counts once."""
    files: list[FileInBytes] = []
    seen: set[int] = set()
    keys: dict[int, Tree] = {}
    more = 0
    for step, value in _candidates(tree):
        if isinstance(value, UnusualKey):
            inside_key = value.value if isinstance(value.value, tuple) else (value.value,)
            keys.update((id(item), item) for item in inside_key if isinstance(item, TENSORS))
            continue
        if id(value) in seen:
            continue
        seen.add(id(value))
        kind, compression = _kind(_head(value), _length(value) - 8)
        if kind and len(files) < MAX_FILES:
            files.append(FileInBytes(path_of(step), value, kind, compression))
        elif kind:
            more += 1
    return Unlisted(tuple(_on_keys(tree, keys)), tuple(files), more)


def _on_keys(tree: Tree, keys: dict[int, Tree]) -> Iterator[str]:
    """A sentence on the tensors among the keys (by their ids) that are nowhere else in the tree."""
    if keys:
        for value in each_once(tree):
            keys.pop(id(value), None)
    number = len(keys)
    if number == 1:
        yield "1 tensor is the key of a dictionary and nowhere else: it is not listed."
    elif number:
        yield f"{tensors(number)} are keys of a dictionary and nowhere else: they are not listed."


def _candidates(tree: Tree) -> Iterator[tuple[Step, bytes | LongBytes | UnusualKey]]:
    """The byte strings in a tree, and the keys that may contain a tensor."""
    if isinstance(tree, bytes | LongBytes):
        yield None, tree
    searched: set[int] = set()
    rest: list[tuple[Step, Tree]] = [(None, tree)]
    while rest and len(searched) < MAX_CONTAINERS:
        step, value = rest.pop()
        if id(value) in searched:
            continue
        searched.add(id(value))
        below: list[tuple[Step, Tree]] = []
        for key, item in inside(value):
            if type(key) is UnusualKey:
                yield step, key
            if type(item) is bytes or type(item) is LongBytes:
                yield (step, key), item
            elif type(item) in CONTAINER_TYPES:
                below.append(((step, key), item))
        rest.extend(reversed(below))


def _head(value: bytes | LongBytes) -> bytes:
    return value[:HEAD] if isinstance(value, bytes) else value.source.read(0, HEAD)


def _length(value: bytes | LongBytes) -> int:
    return len(value) if isinstance(value, bytes) else value.source.size


def _kind(head: bytes, most: int) -> tuple[str, Compression | None]:
    """What file begins so, and its compression; empty if neither weights nor packed files do.

    `most` is the most bytes of a safetensors' header.
    """
    if head.startswith(LOCAL_MAGIC):
        return "a zip archive, which torch.save writes", None
    if is_legacy(head):
        return "a file of torch.save before torch 1.6", None
    if _OBJECT.match(head, 8) and 2 <= int.from_bytes(head[:8], "little") <= most:
        return "a safetensors file", None
    compression = compression_of(head)
    return (f"a file packed by {compression.name}", compression) if compression else ("", None)


_OBJECT = re.compile(rb'\{[ \t\r\n]*("|\Z)')
"""The start of a JSON object with a name in it, as far as it is looked at."""
