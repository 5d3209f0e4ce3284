"""Shards: the files of one state_dict, with an index of which holds what, or numbered alone.

Layout (huggingface_hub/serialization/_base.py and _torch.py): `NAME.index.json` maps each key to
its file under `weight_map`, beside `metadata`; the files are called `NAME-00001-of-00003.SUFFIX`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

from core.checkpoint.containers.bounded_json import read_json
from core.checkpoint.containers.file_set import File, opened
from core.checkpoint.entries import Source
from core.checkpoint.pickles.inert import InertDict, InertTensor, Tree
from core.checkpoint.readers.contents import Contents
from core.checkpoint.readers.formats import read_contents
from core.errors import CheckpointError

MAX_INDEX = 64 << 20
"""Bytes of an index: a hundred for each key."""

MAX_KEYS = 500_000
MAX_SHARDS = 4_096

SHOWN = 3
"""Files named in a sentence at most."""

METADATA = "__metadata__"
"""Where safetensors keep their texts, and where an index's own go here."""

_NUMBERED = re.compile(r"(.+?)-(\d{5,6})-of-(\d{5,6})(\.\w+)")


class Numbered(NamedTuple):
    """What the name of a shard says: `model-00002-of-00003.safetensors`."""

    name: str
    number: int
    of: int
    suffix: str

    def sibling(self, number: int) -> str:
        """The name of another shard of the set."""
        return f"{self.name}-{number:05}-of-{self.of:05}{self.suffix}"


@dataclass(frozen=True, slots=True)
class NumberedPart:
    """A state_dict, or another object tree, out of one file or several."""

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
    """What a file's name says of the set that it is a shard of; None for another name."""
    found = _NUMBERED.fullmatch(name)
    if found is None:
        return None
    shard = Numbered(found[1], int(found[2]), int(found[3]), found[4])
    return shard if 1 <= shard.number <= shard.of <= MAX_SHARDS else None


def read_indexed(files: Mapping[str, File], index: str) -> NumberedPart:
    """The shards that an index names, with its keys in its order.

    `files` are those of the index's folder by name, and the index's names are looked up there.
    Raises CheckpointError (its `whole` filled where a shard is missing or damaged), SourceError.
    """
    source = opened(files[index], index)
    weight_map, metadata = _index(source, index)
    names = list(dict.fromkeys(weight_map.values()))
    if len(names) > MAX_SHARDS:
        raise _unsound(index, f"it names {len(names):,} files")
    shards = _open({name: files.get(name) for name in names}, len(weight_map))
    items = {shard.name: shard.items for shard in shards}
    lost = [key for key, name in weight_map.items() if key not in items[name]]
    if lost:
        more = f", and lacks {len(lost) - 1:,} keys more" if len(lost) > 1 else ""
        missing = set(lost)
        whole = tuple(key for key in weight_map if key not in missing)
        raise CheckpointError(
            f"{weight_map[lost[0]][:200]} lacks {lost[0][:200]}, which {index} says is in it{more}."
            f" {len(whole):,} of the {len(weight_map):,} tensors are where it says.",
            "The index and the shards are of different checkpoints: get them again together.",
            whole,
        )
    tree = InertDict()
    tree.update({key: items[name][key] for key, name in weight_map.items()})
    strangers = _rest(tree, shards)
    notes: tuple[str, ...] = ()
    if strangers:
        notes = (
            f"{index} does not name {len(strangers):,} of the tensors in the shards, such as "
            f"{strangers[0][:200]}: they stand at the end.",
        )
    if metadata:
        texts = tree.get(METADATA)
        merged = InertDict()
        merged.update(texts if isinstance(texts, dict) else {})
        merged.update(metadata)
        tree[METADATA] = merged
    return NumberedPart(
        tree,
        tuple(shard.contents for shard in shards),
        (source, *(shard.source for shard in shards)),
        notes,
    )


def read_numbered(files: Mapping[str, File], one: Numbered) -> NumberedPart:
    """The set that one shard belongs to, in the order of the numbers, where there is no index.

    Raises CheckpointError (its `whole` filled where a shard is missing or damaged), SourceError.
    """
    names = [one.sibling(number) for number in range(1, one.of + 1)]
    shards = _open({name: files.get(name) for name in names}, None)
    tree = InertDict()
    _rest(tree, shards)
    notes = ["There is no index beside the shards: they were put together by their numbers."]
    counted = Counter(chain.from_iterable(map(_tensors, shards)))
    twice = [key for key, times in counted.items() if times > 1]
    if twice:
        notes.append(
            f"{len(twice):,} of the tensors stand in more than one shard, such as "
            f"{twice[0][:200]}: the first was taken. They may be parts of larger ones."
        )
    return NumberedPart(
        tree,
        tuple(shard.contents for shard in shards),
        tuple(shard.source for shard in shards),
        tuple(notes),
    )


def _index(source: Source, name: str) -> tuple[dict[str, str], dict[str, Tree]]:
    """An index's `weight_map`, and what it says of the whole."""
    if source.size > MAX_INDEX:
        raise _unsound(name, f"it has {source.size:,} bytes")
    try:
        document = read_json(source.read(0, MAX_INDEX))
    except ValueError as error:
        raise _unsound(name, "it is no sound JSON") from error
    stated = document if isinstance(document, dict) else {}
    weight_map = stated.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise _unsound(name, "it has no `weight_map`, which says what lies where")
    if len(weight_map) > MAX_KEYS:
        raise _unsound(name, f"it names {len(weight_map):,} keys")
    if not all(isinstance(file, str) for file in weight_map.values()):
        raise _unsound(name, "its `weight_map` holds something other than files' names")
    metadata = stated.get("metadata")
    facts = metadata if isinstance(metadata, dict) else {}
    return weight_map, {
        key: value for key, value in facts.items() if isinstance(value, str | int | float)
    }


def _open(named: Mapping[str, File | None], total: int | None) -> list[_Shard]:
    """Each shard opened; where some are missing or damaged, an error that tells what is whole."""
    shards: list[_Shard] = []
    whole: list[str] = []
    missing = [name for name, path in named.items() if path is None]
    damaged: dict[str, CheckpointError] = {}
    for name, path in named.items():
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
                f"{name} holds no state_dict, as a shard does.", "Get it again from its source."
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
    have = f"{len(whole):,} of the {total:,}" if total is not None else f"{len(whole):,}"
    told = f"{have} tensors are whole in those that are there."
    if missing:
        raise CheckpointError(
            f"{len(missing):,} of the {len(named):,} shards are missing: {_some(missing)}. {told}",
            "Get the missing files, and put them beside the others.",
            tuple(whole),
        )
    name, trouble = next(iter(damaged.items()))
    raise CheckpointError(f"In {name}: {trouble.problem} {told}", trouble.remedy, tuple(whole))


def _tensors(shard: _Shard) -> list[str]:
    return [key for key, item in shard.items.items() if isinstance(item, InertTensor)]


def _rest(tree: InertDict, shards: Sequence[_Shard]) -> list[str]:
    """Add what is not there yet, in the shards' order; the keys of its tensors."""
    added = []
    for shard in shards:
        for key, item in shard.items.items():
            if key not in tree:
                tree[key] = item
                if isinstance(item, InertTensor):
                    added.append(key)
    return added


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    listed = ", ".join(name[:120] for name in names[:SHOWN])
    return f"{listed} and {more:,} more" if more > 0 else listed


def _unsound(index: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"{index} is no sound index of shards: {why}.", "Get it again from where it came from."
    )
