"""Finds weights in a pickle that are in no state_dict, and would stay unseen without a word.

They are whole files in its byte strings, such as a checkpoint that a dict has as bytes, and tensors
that are only keys of a dict, as the parameters of an optimizer's state.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from core.checkpoint.containers.inner_places import is_legacy
from core.checkpoint.containers.packed import compression_of
from core.checkpoint.containers.zip_container import LOCAL_MAGIC
from core.checkpoint.pickles.first_uses import Step, path_of
from core.checkpoint.pickles.inert import (
    CONTAINER_TYPES,
    LongBytes,
    Tree,
    UnusualKey,
    each_once,
    inside,
)
from core.checkpoint.tree.discover import TENSORS
from core.wording import size, tensors

MOST_NAMED = 8
"""The most byte strings that are told."""

MAX_CONTAINERS = 20_000
"""Dicts, lists and objects that are searched; what is beyond these is not told."""

HEAD = 32
"""Bytes that are looked at: the beginnings of all formats are shorter."""


class FileInBytes(NamedTuple):
    """A byte string that begins as a file does: where it is, in words and as a path (empty for the
    tree itself), and what kind of file of weights begins so; empty for one that is compressed."""

    place: str
    path: str
    value: bytes | LongBytes
    kind: str

    @property
    def nbytes(self) -> str:
        """The number of its bytes, in words."""
        return size(_length(self.value))

    @property
    def note(self) -> str:
        """The sentence on one that does not open."""
        return (
            f"The {self.nbytes} of bytes {self.place} begin like {self.kind}: write them to a file "
            "of their own, and open that."
        )


class Unlisted(NamedTuple):
    """Sentences on the tensors that are only keys, and the files in byte strings, the first few."""

    on_keys: tuple[str, ...] = ()
    files: tuple[FileInBytes, ...] = ()


def unlisted(tree: Tree) -> Unlisted:
    """The weights in a tree that are in none of its state_dicts."""
    files: list[FileInBytes] = []
    keys: dict[int, Tree] = {}
    for step, value in _candidates(tree):
        if isinstance(value, UnusualKey):
            inside_key = value.value if isinstance(value.value, tuple) else (value.value,)
            keys.update((id(item), item) for item in inside_key if isinstance(item, TENSORS))
        elif len(files) < MOST_NAMED:
            head = _head(value)
            kind = _kind(head, _length(value))
            if kind or compression_of(head) is not None:
                path = path_of(step)
                place = "in it" if step is None else f"under `{path}`"
                files.append(FileInBytes(place, path, value, kind))
    return Unlisted(tuple(_on_keys(tree, keys)), tuple(files))


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


def _kind(head: bytes, nbytes: int) -> str:
    """What file begins so; empty if no format of weights does."""
    if head.startswith(LOCAL_MAGIC):
        return "a zip archive, which torch.save writes"
    if is_legacy(head):
        return "a file of torch.save before torch 1.6"
    header = int.from_bytes(head[:8], "little")
    if head[8:10] == b'{"' and 2 <= header <= nbytes - 8:
        return "a safetensors file"
    return ""
