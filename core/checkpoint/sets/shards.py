"""Reads shards: the files of one state_dict, with an index of its keys or only numbered names.

Layout (huggingface_hub/serialization/_base.py and _torch.py): `NAME.index.json` has `weight_map`,
from each key to its file, and `metadata`; the files are named `NAME-00001-of-00003.SUFFIX`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

from core.checkpoint.containers.bounded_json import read_json
from core.checkpoint.containers.budget import MoreThanLoupeReads
from core.checkpoint.containers.file_set import File, opened
from core.checkpoint.entries import Source
from core.checkpoint.pickles.inert import InertDict, InertTensor, Tree
from core.checkpoint.readers.contents import Contents
from core.checkpoint.readers.formats import read_contents
from core.checkpoint.sets.rank_files import HEADER_TEXTS, has_sharding, join_ranks
from core.errors import CheckpointError
from core.wording import are, count, counted, listed, part_of, size, tensors

MAX_INDEX = 64 << 20
"""Bytes of an index; a key takes about a hundred."""

MAX_KEYS = 500_000
"""The most keys of an index."""

MAX_SHARDS = 4_096
"""The most files of one set; the largest models have some hundred."""

REMEDY = "Open its shards one by one, or save it in fewer and larger ones."
"""What to do about an index that goes beyond a limit."""

_NUMBERED = re.compile(r"(.+?)-(\d{5,6})-of-(\d{5,6})(\.\w+)")


class Numbered(NamedTuple):
    """The parts of a shard's name, such as `model-00002-of-00003.safetensors`."""

    name: str
    number: int
    of: int
    suffix: str

    def sibling(self, number: int) -> str:
        """The name of another shard of the set."""
        return f"{self.name}-{number:05}-of-{self.of:05}{self.suffix}"


@dataclass(frozen=True, slots=True)
class NumberedPart:
    """A state_dict, or another object tree, from one file or several."""

    tree: Tree
    contents: tuple[Contents, ...]
    sources: tuple[Source, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Shard:
    name: str
    source: Source
    contents: Contents
    items: Mapping[str, Tree]


def numbered(name: str) -> Numbered | None:
    """The parts of a shard's name; None for any other name."""
    match = _NUMBERED.fullmatch(name)
    if match is None:
        return None
    shard = Numbered(match[1], int(match[2]), int(match[3]), match[4])
    return shard if 1 <= shard.number <= shard.of <= MAX_SHARDS else None


def read_indexed(files: Mapping[str, File], index: str) -> NumberedPart:
    """Read the shards that an index names; the keys are in the order of the index.

    `files` are the files in the index's folder, by name. Raises CheckpointError (with the `whole`
    tensors where a shard is missing or damaged), SourceError.
    """
    source = opened(files[index], index)
    weight_map, metadata = _index(source, index)
    names = list(dict.fromkeys(weight_map.values()))
    if len(names) > MAX_SHARDS:
        raise MoreThanLoupeReads(f"{index} names more than {count(MAX_SHARDS)} files", REMEDY)
    shards = _open({name: files.get(name) for name in names}, len(weight_map))
    items = {shard.name: shard.items for shard in shards}
    missing = [key for key, name in weight_map.items() if key not in items[name]]
    if missing:
        more = f", and {counted(len(missing) - 1, 'more key')}" if len(missing) > 1 else ""
        whole = tuple(key for key, name in weight_map.items() if key in items[name])
        raise CheckpointError(
            f"{weight_map[missing[0]][:200]} lacks {missing[0][:200]}, which {index} says is in "
            f"it{more}. {part_of(len(whole), len(weight_map), 'tensor')} where the index says.",
            "The index and the shards are from different checkpoints: get them again together.",
            whole,
        )
    tree = InertDict()
    tree.update({key: items[name][key] for key, name in weight_map.items()})
    unlisted = _add_missing(tree, shards)
    notes: tuple[str, ...] = ()
    if unlisted:
        notes = (
            f"{index} does not list {count(len(unlisted))} of the tensors in the shards, such as "
            f"{unlisted[0][:200]}: {'it comes' if len(unlisted) == 1 else 'they come'} last.",
        )
    if metadata:
        texts = tree.get(HEADER_TEXTS)
        merged = InertDict()
        merged.update(texts if isinstance(texts, dict) else {})
        merged.update(metadata)
        tree[HEADER_TEXTS] = merged
    return NumberedPart(
        tree,
        tuple(shard.contents for shard in shards),
        (source, *(shard.source for shard in shards)),
        notes,
    )


def read_numbered(files: Mapping[str, File], member: Numbered) -> NumberedPart:
    """Read a set of shards without an index, in the order of their numbers.

    `member` is the name of any of them, and `files` are the files in its folder, by name. Raises
    CheckpointError (with the `whole` tensors where a shard is missing or damaged), SourceError.
    """
    names = [member.sibling(number) for number in range(1, member.of + 1)]
    shards = _open({name: files.get(name) for name in names}, None)
    if any(has_sharding(shard.contents.tree) for shard in shards):
        return _of_ranks(shards)
    tree = InertDict()
    _add_missing(tree, shards)
    notes = ["There is no index with the shards: they were joined in the order of their numbers."]
    counted = Counter(chain.from_iterable(map(_tensors, shards)))
    twice = [key for key, times in counted.items() if times > 1]
    if twice:
        notes.append(
            f"{count(len(twice))} of the keys {are(len(twice))} in more than one shard, such as "
            f"{twice[0][:200]}: the first was taken. They may be parts of larger tensors."
        )
    return NumberedPart(
        tree,
        tuple(shard.contents for shard in shards),
        tuple(shard.source for shard in shards),
        tuple(notes),
    )


def read_ranks(files: Mapping[str, File], names: Sequence[str]) -> NumberedPart:
    """Read the files of several ranks, each with its pieces of the same tensors.

    `names` are those among the `files`. Raises CheckpointError, SourceError.
    """
    if len(names) > MAX_SHARDS:
        raise MoreThanLoupeReads(
            f"it has more than {count(MAX_SHARDS)} files of ranks",
            "Choose the folder that contains only the checkpoint.",
        )
    return _of_ranks(_open({name: files[name] for name in names}, None))


def _of_ranks(shards: Sequence[_Shard]) -> NumberedPart:
    contents = join_ranks([shard.contents for shard in shards])
    return NumberedPart(contents.tree, (contents,), tuple(shard.source for shard in shards))


def _index(source: Source, name: str) -> tuple[dict[str, str], dict[str, Tree]]:
    """An index's `weight_map` and `metadata`."""
    if source.size > MAX_INDEX:
        raise MoreThanLoupeReads(f"{name} has more than {size(MAX_INDEX)}", REMEDY)
    try:
        document = read_json(source.read(0, MAX_INDEX), name)
    except ValueError as error:
        raise _unsound(name, "it is not valid JSON") from error
    stated = document if isinstance(document, dict) else {}
    weight_map = stated.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise _unsound(name, "it has no `weight_map`, which says where each tensor is")
    if len(weight_map) > MAX_KEYS:
        raise MoreThanLoupeReads(f"{name} names more than {count(MAX_KEYS)} keys", REMEDY)
    if not all(isinstance(file, str) for file in weight_map.values()):
        raise _unsound(name, "its `weight_map` contains values that are not names of files")
    metadata = stated.get("metadata")
    values = metadata if isinstance(metadata, dict) else {}
    return weight_map, {
        key: value for key, value in values.items() if isinstance(value, str | int | float)
    }


def _open(files: Mapping[str, File | None], total: int | None) -> list[_Shard]:
    """Open the shards; `total` is the number of their tensors, None where it is unknown.

    Raises CheckpointError, with the `whole` tensors, where shards are missing or damaged.
    """
    shards: list[_Shard] = []
    whole: list[str] = []
    missing = [name for name, path in files.items() if path is None]
    damaged: dict[str, CheckpointError] = {}
    for name, path in files.items():
        if path is None:
            continue
        try:
            source = opened(path, name)
            contents = read_contents(source)
        except CheckpointError as error:
            damaged[name] = error
            whole += error.whole
            continue
        if not isinstance(contents.tree, dict):
            raise CheckpointError(
                f"{name} contains no state_dict, which a shard should.",
                "Get it again from its source.",
            )
        items = {str(key): item for key, item in contents.tree.items()}
        whole += [key for key, item in items.items() if isinstance(item, InertTensor)]
        contents = replace(
            contents,
            globals=tuple(replace(use, where=f"{name}, {use.where}") for use in contents.globals),
        )
        shards.append(_Shard(name, source, contents, items))
    if not missing and not damaged:
        return shards
    number = len(whole)
    summary = (
        f"{tensors(number)} {are(number)} whole."
        if total is None
        else f"{part_of(number, total, 'tensor')} whole."
    )
    if missing:
        raise CheckpointError(
            f"{part_of(len(missing), len(files), 'shard')} missing: "
            f"{listed([name[:120] for name in missing])}. {summary}",
            "Get the missing files, and put them next to the others.",
            tuple(whole),
        )
    name, first = next(iter(damaged.items()))
    raise CheckpointError(f"In {name}: {first.problem} {summary}", first.remedy, tuple(whole))


def _tensors(shard: _Shard) -> list[str]:
    return [key for key, item in shard.items.items() if isinstance(item, InertTensor)]


def _add_missing(tree: InertDict, shards: Sequence[_Shard]) -> list[str]:
    """Add the items that the tree lacks, in the shards' order; the keys of their tensors."""
    added = []
    for shard in shards:
        for key, item in shard.items.items():
            if key not in tree:
                tree[key] = item
                if isinstance(item, InertTensor):
                    added.append(key)
    return added


def _unsound(index: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"{index} is not a valid index of shards: {why}.", "Get it again from where it came from."
    )
