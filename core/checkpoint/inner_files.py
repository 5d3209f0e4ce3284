"""Finds whole files in the byte strings of a pickle, such as a checkpoint that a dict has as bytes.

Loupe opens the tensors of the file itself; those in such bytes would stay unseen without a word.
"""

from __future__ import annotations

from collections.abc import Iterator

from core.checkpoint.containers.zip_container import LOCAL_MAGIC
from core.checkpoint.pickles.first_uses import Step, path_of
from core.checkpoint.pickles.inert import CONTAINER_TYPES, LongBytes, Tree, inside
from core.checkpoint.readers.torch_legacy import is_legacy
from core.wording import size

MOST_NAMED = 8
"""The most byte strings that are told."""

MAX_CONTAINERS = 20_000
"""Dicts, lists and objects that are searched; byte strings beyond these are not told."""

HEAD = 32
"""Bytes that are looked at: the beginnings of all formats are shorter."""


def inner_files(tree: Tree) -> list[str]:
    """A sentence on each byte string that begins as a file of weights does, the first few."""
    found = []
    for step, value in _byte_strings(tree):
        head, nbytes = _head(value)
        kind = _kind(head, nbytes)
        if kind:
            found.append(
                f"The {size(nbytes)} of bytes under `{path_of(step)}` begin like {kind}: write "
                "them to a file of their own, and open that."
            )
            if len(found) == MOST_NAMED:
                break
    return found


def _byte_strings(tree: Tree) -> Iterator[tuple[Step, bytes | LongBytes]]:
    searched: set[int] = set()
    rest: list[tuple[Step, Tree]] = [(None, tree)]
    while rest and len(searched) < MAX_CONTAINERS:
        step, value = rest.pop()
        if id(value) in searched:
            continue
        searched.add(id(value))
        below: list[tuple[Step, Tree]] = []
        for key, item in inside(value):
            if type(item) is bytes or type(item) is LongBytes:
                yield (step, key), item
            elif type(item) in CONTAINER_TYPES:
                below.append(((step, key), item))
        rest.extend(reversed(below))


def _head(value: bytes | LongBytes) -> tuple[bytes, int]:
    """The first bytes of a byte string, and its length."""
    if isinstance(value, bytes):
        return value[:HEAD], len(value)
    return value.source.read(0, HEAD), value.source.size


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
