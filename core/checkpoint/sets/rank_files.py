"""Joins the safetensors files of several ranks, each with its pieces of the same tensors.

Layout (torch/distributed/checkpoint/hf_storage.py and _hf_utils.py): the files are named
`shard-00001-model-00001-of-00001.safetensors`, and `__metadata__` has a JSON text under
DCP_SHARDING_INFO: name → `saved_offsets`, where the piece begins in the whole tensor. No file
states the whole tensor's size: it is where the last piece ends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

from core.checkpoint.containers.bounded_json import read_json
from core.checkpoint.entries import Piece, TensorEntry
from core.checkpoint.pickles.inert import InertDict, InertTensor, Tree
from core.checkpoint.readers.contents import Contents
from core.checkpoint.sets.joined_pieces import Chunk, Offsets, check_cover, joined_chunks
from core.errors import CheckpointError

SHARDING = "DCP_SHARDING_INFO"
"""The key of `__metadata__` under which a file says where its pieces begin."""

HEADER_TEXTS = "__metadata__"
"""The key of a safetensors file's texts."""

MAX_OFFSET = 1 << 62
"""The limit of an offset, in elements."""

_NAME = re.compile(r"shard-\d{5,6}-model-\d{5,6}-of-\d{5,6}\.safetensors")


def is_rank_file(name: str) -> bool:
    """Whether a file's name says that it has one rank's pieces."""
    return _NAME.fullmatch(name) is not None


def has_sharding(tree: Tree) -> bool:
    """Whether a file says where the pieces in it begin."""
    texts = tree.get(HEADER_TEXTS) if isinstance(tree, dict) else None
    return isinstance(texts, dict) and SHARDING in texts


def join_ranks(files: Sequence[Contents]) -> Contents:
    """The whole tensors of the ranks' files.

    Raises CheckpointError where the pieces do not cover a tensor, or a file is unsound.
    """
    chunks: dict[str, dict[Offsets, Chunk]] = {}
    for contents in files:
        starts = _starts(contents.tree)
        for key, tensor in _tensors(contents.tree):
            offsets = starts.get(key, (0,) * len(tensor.shape))
            entry = contents.entry(key, tensor)
            # Several ranks may have saved the same piece.
            chunks.setdefault(key, {}).setdefault(offsets, Chunk(Piece(offsets, entry), tensor))
    tree = InertDict()
    entries: dict[int, TensorEntry] = {}
    for key, by_offsets in chunks.items():
        tensor, entry = _whole(key, tuple(by_offsets.values()))
        tree[key] = tensor
        entries[id(tensor)] = entry

    def entry_of(key: str, tensor: InertTensor) -> TensorEntry:
        return replace(entries[id(tensor)], key=key, origin=key)

    uses = tuple(chain.from_iterable(contents.globals for contents in files))
    return Contents("safetensors shards", tree, uses, entry_of)


def _whole(key: str, chunks: Sequence[Chunk]) -> tuple[InertTensor, TensorEntry]:
    if len({chunk.tensor.dtype for chunk in chunks}) != 1:
        raise _unsound(f"the pieces of {key[:200]} have different dtypes")
    if len({len(chunk.tensor.shape) for chunk in chunks}) != 1:
        raise _unsound(f"the pieces of {key[:200]} have different ranks")
    if any(len(chunk.piece.offsets) != len(chunk.tensor.shape) for chunk in chunks):
        raise _unsound(f"a piece of {key[:200]} begins nowhere in it")
    ends = [
        [start + length for start, length in zip(piece.offsets, piece.entry.shape, strict=True)]
        for piece in (chunk.piece for chunk in chunks)
    ]
    size = tuple(map(max, zip(*ends, strict=True)))
    check_cover(key, size, [chunk.piece for chunk in chunks], _unsound)
    return joined_chunks(key, size, chunks)


def _tensors(tree: Tree) -> list[tuple[str, InertTensor]]:
    items = tree.items() if isinstance(tree, dict) else ()
    return [(str(key), item) for key, item in items if isinstance(item, InertTensor)]


def _starts(tree: Tree) -> Mapping[str, Offsets]:
    """Where the pieces in a file begin, by their tensors' keys."""
    if not has_sharding(tree):
        return {}
    try:
        stated = read_json(str(tree[HEADER_TEXTS][SHARDING]).encode(), SHARDING)  # type: ignore[index,call-overload]
    except ValueError as error:
        raise _unsound(f"its {SHARDING} is not valid JSON") from error
    if not isinstance(stated, dict):
        raise _unsound(f"its {SHARDING} is not a JSON object")
    return {str(key): _start(facts) for key, facts in stated.items()}


def _start(facts: object) -> Offsets:
    offsets = facts.get("saved_offsets") if isinstance(facts, dict) else None
    if not isinstance(offsets, list) or not all(
        type(offset) is int and 0 <= offset < MAX_OFFSET for offset in offsets
    ):
        raise _unsound("it does not say where its pieces begin")
    return tuple(offsets)


def _unsound(why: str) -> CheckpointError:
    return CheckpointError(
        f"The files do not make up whole tensors: {why}.",
        "Get the files of all ranks, and put them next to the others.",
    )
