"""Joins several files to the contents of one checkpoint.

The layouts are those of huggingface_hub (an index or numbered shards), transformers' Trainer,
accelerate (accelerate/utils/constants.py: `model.safetensors`, `optimizer.bin`, ...) and
diffusers (`model_index.json`, and a folder for each component).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

from core.checkpoint.containers.bounded_json import read_json
from core.checkpoint.containers.budget import MoreThanLoupeReads
from core.checkpoint.containers.file_set import File, FileSet, opened, unsharded_name
from core.checkpoint.containers.sources import LocalFile
from core.checkpoint.entries import Record, Source
from core.checkpoint.pickles.global_verdicts import GlobalUse
from core.checkpoint.pickles.inert import InertDict, Tree
from core.checkpoint.pickles.ledger import Ledger, current_ledger, kept_names
from core.checkpoint.readers import diagnose
from core.checkpoint.readers.contents import Contents, entry_of
from core.checkpoint.readers.formats import read_contents
from core.checkpoint.refusals import dangers_in_part
from core.checkpoint.sets.distributed import DATA, METADATA, read_distributed
from core.checkpoint.sets.lone_piece import are_ranks_of_one_model
from core.checkpoint.sets.rank_files import is_rank_file
from core.checkpoint.sets.shards import (
    NumberedPart,
    numbered,
    read_indexed,
    read_numbered,
    read_ranks,
)
from core.checkpoint.sets.unpacked_zip import unpacked_zip
from core.checkpoint.sets.unread_files import MAX_NAMED, SUFFIXES, is_pointer, unread_notes
from core.checkpoint.tree.discover import find_state_dicts
from core.errors import CheckpointError, SourceError
from core.wording import count, listed

VARIANT = r"\.(?:fp16|bf16|fp32|ema|non_ema)"
"""The variants that diffusers and transformers add to the names of weights."""

PARTS: Mapping[str, str] = {
    rf"(?:pytorch_|diffusion_pytorch_)?model(_\d+)?(?:{VARIANT})?": "model",
    r"pytorch_model_fsdp(?:_0|(_\d+))?": "model",
    r"adapter_model": "model",
    r"optimizer(?:_0|(_\d+))?": "optimizer",
    r"scheduler(_\d+)?": "scheduler",
    r"scaler": "scaler",
    r"training_args": "training_args",
}
"""The names, without ending, that training libraries give to the files of one checkpoint, and the
part that each is; also accelerate's folders of sharded weights (accelerate/utils/fsdp_utils.py)."""

MAX_CHECKPOINTS = 64
"""The most checkpoints in one archive that are opened together; a reinforcement learning archive
has three."""

COMPONENTS = "model_index.json"
"""The file in which diffusers lists the components of a pipeline."""

MAX_COMPONENTS = 1 << 20
"""Bytes of that file; a component takes some fifty."""

MAIN_COMPONENTS = ("unet", "transformer", "prior")
"""The components that diffusers trains, before those that serve them, such as `vae`."""

MODEL_STATES = "_model_states.pt"
"""The end of the names of DeepSpeed's model files (deepspeed/runtime/engine.py)."""

LATEST = "latest"
"""The file in which DeepSpeed writes the name of the latest step's folder."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """A set of files that was read: its contents, the number of its bytes, and its files' names.

    `identity` is equal for equal contents.
    """

    contents: Contents
    size: int
    identity: str
    files: tuple[str, ...]


def read_file_set(files: FileSet) -> Assembled:
    """Read a set of files: one state_dict in shards, or the parts of one checkpoint.

    Raises CheckpointError for a damaged set, and SourceError for a set that contains no checkpoint
    or several, and for files that cannot be read.
    """
    if files.index is not None:
        here = _in_folder(files.files, "")
        return _assembled({"": read_indexed(here, files.index)}, files)
    return _assembled(_read_parts(files), files)


def is_one_checkpoint(names: Iterable[str]) -> bool:
    """Whether files with these names in a folder make up one checkpoint.

    They do if they are shards, an index, or the parts that training libraries write. No file is
    read.
    """
    here = dict.fromkeys(names, Path())
    shards = [shard for name in here if (shard := numbered(name)) is not None and shard.of > 1]
    return (
        METADATA in here
        or COMPONENTS in here
        or bool(shards)
        or len(_parts(here)) > 1
        or any(
            name.endswith(MODEL_STATES) or unsharded_name(name) or is_rank_file(name)
            for name in here
        )
    )


def _read_parts(files: FileSet) -> dict[str, NumberedPart]:
    """The parts of a checkpoint by their names; a single one is under an empty name."""
    here = _in_folder(files.files, "")
    if METADATA in here:
        return {"": read_distributed(here)}
    readers = _parts(here)
    components = _components(here)
    folders = {name.partition("/")[0] for name in files.files if "/" in name}
    order = [*MAIN_COMPONENTS, *sorted(components), *sorted(folders)]
    for folder in sorted(folders, key=order.index):
        inside = _in_folder(files.files, folder)
        part = _part(folder)
        if part is not None and METADATA in inside:
            readers.setdefault(part, partial(_read_unwrapped, inside))
        elif COMPONENTS in here:
            model = _parts(inside).get("model")
            if model is not None:
                readers[folder] = model
    if readers:
        return _read_those_that_can_be(readers, {}, needed=components | {"model"})
    partitioned = _partitioned(files)
    return _only_one(files) if partitioned is None else {"": partitioned}


def _components(here: Mapping[str, File]) -> frozenset[str]:
    """The names of the components that diffusers' index lists; none where it cannot be read."""
    if COMPONENTS not in here:
        return frozenset()
    try:
        index = read_json(opened(here[COMPONENTS], COMPONENTS).read(0, MAX_COMPONENTS), COMPONENTS)
    except (ValueError, MoreThanLoupeReads):
        return frozenset()
    return frozenset(index) if isinstance(index, dict) else frozenset()


def _read_those_that_can_be(
    readers: Mapping[str, Callable[[], NumberedPart]],
    files: Mapping[str, File],
    needed: Collection[str] = (),
) -> dict[str, NumberedPart]:
    """The parts, read; a note says which cannot be, and why.

    What one of these would have run is among the globals of the first part that can be read.
    `files` may have the file of a part under its name. Raises CheckpointError where a needed part
    cannot be read, or none can.
    """
    parts: dict[str, NumberedPart] = {}
    errors: dict[str, CheckpointError] = {}
    ledgers: dict[str, Ledger] = {}
    for name, read in readers.items():
        try:
            with kept_names() as ledgers[name]:
                parts[name] = read()
        except CheckpointError as error:
            if name in needed:
                raise
            errors[name] = error
        finally:
            current_ledger().add(ledgers[name])
    if not parts:
        raise next(iter(errors.values()))
    first = next(iter(parts))
    part, notes = parts[first], list(parts[first].notes)
    for name, refusal in errors.items():
        file = {name: files[name]} if name in files else {}
        danger, uses = dangers_in_part(name, ledgers[name], partial(_opened, file))
        notes.append(
            f"{danger} {name[:200]} was left out, since it cannot be read. {refusal.problem} "
            f"{refusal.remedy}".lstrip()
        )
        if uses:
            contents, *others = part.contents
            with_uses = replace(contents, globals=(*contents.globals, *uses))
            part = replace(part, contents=(with_uses, *others))
    parts[first] = replace(part, notes=tuple(notes))
    return parts


def _opened(files: Mapping[str, File]) -> dict[str, Source]:
    return {name: opened(file, name) for name, file in files.items()}


def _read_unwrapped(files: Mapping[str, File]) -> NumberedPart:
    """A distributed part without the dict that accelerate puts around it: `{"model": …}`."""
    part = read_distributed(files)
    tree = part.tree
    if isinstance(tree, dict) and len(tree) == 1:
        (inner,) = tree.values()
        return replace(part, tree=inner) if isinstance(inner, dict) else part
    return part


def _in_folder(files: Mapping[str, File], folder: str) -> dict[str, File]:
    """The files directly in a folder of the set, by their names in it."""
    return {
        name.rpartition("/")[2]: path
        for name, path in files.items()
        if name.rpartition("/")[0] == folder
    }


def _parts(here: Mapping[str, File]) -> dict[str, Callable[[], NumberedPart]]:
    """The parts of a folder by their names, each with a function that reads it.

    Where a part exists in several forms, the first by `_rank` is taken, but one that was downloaded
    before one of which there is only Git LFS's pointer.
    """
    readers: dict[str, Callable[[], NumberedPart]] = {}
    indexed = {whole for whole in map(unsharded_name, here) if whole is not None}
    for name in sorted(here, key=lambda name: (is_pointer(here[name], name), *_rank(name))):
        shard, unsharded = numbered(name), unsharded_name(name)
        if unsharded is not None:
            stem = unsharded.rpartition(".")[0]
            readers.setdefault(_part(stem) or stem, partial(read_indexed, here, name))
        elif is_rank_file(name):
            ranks = sorted(filter(is_rank_file, here))
            readers.setdefault("model", partial(read_ranks, here, ranks))
        elif shard is not None and name.endswith(SUFFIXES):
            if f"{shard.name}{shard.suffix}" not in indexed:
                part = _part(shard.name) or shard.name
                readers.setdefault(part, partial(read_numbered, here, shard))
        elif name.endswith(SUFFIXES):
            file_part = _part(name.rpartition(".")[0])
            if file_part is not None:
                readers.setdefault(file_part, partial(_read_file, name, here[name]))
    return readers


def _rank(name: str) -> tuple[bool, bool, str]:
    """A sort key: full precision before its variants, and safetensors before pickles."""
    return re.search(VARIANT + r"\b", name) is not None, ".safetensors" not in name, name


def _part(stem: str) -> str | None:
    for pattern, part in PARTS.items():
        match = re.fullmatch(pattern, stem)
        if match is not None:
            return part + ((match.groups() or ("",))[0] or "")
    return None


def _partitioned(files: FileSet) -> NumberedPart | None:
    """The model file in a folder of DeepSpeed: that of the first rank at the latest step."""
    state_files = sorted(name for name in files.files if name.endswith(MODEL_STATES))
    if not state_files:
        return None
    steps = {name.rpartition("/")[0]: name for name in reversed(state_files)}
    newest = max(steps, key=lambda step: (step[len(step.rstrip("0123456789")) :].zfill(20), step))
    if LATEST in files.files:
        latest = opened(files.files[LATEST], LATEST).read(0, 1024).decode("utf-8", "replace")
        newest = latest.strip() if latest.strip() in steps else newest
    part = _read_file(steps[newest], files.files[steps[newest]])
    note = (
        f"DeepSpeed wrote this folder, and {steps[newest]} was opened. If ZeRO distributed the "
        "weights over the ranks, tensors in it are empty: run `python zero_to_fp32.py . out` in "
        "the folder, and open the result."
    )
    return replace(part, notes=(*part.notes, note))


def _only_one(files: FileSet) -> dict[str, NumberedPart]:
    """The only checkpoint in a folder. Raises SourceError where there is none, or several."""
    unpacked = unpacked_zip(files.files)
    if unpacked is not None:
        return {"": unpacked}
    other = diagnose.of_another_kind(files.files, f"The folder {files.name}")
    if other is not None:
        raise other
    checkpoints = _checkpoints(files)
    if are_ranks_of_one_model(checkpoints):
        raise SourceError(
            f"{files.name} contains one model that was split across {count(len(checkpoints))} "
            f"ranks (tensor parallelism): {listed(checkpoints, MAX_NAMED)}. Each has a part of the "
            "large tensors, and Loupe does not join them.",
            "Convert them to one file with the program that wrote them, and open that; or open one "
            "rank's file to see its parts.",
        )
    if len(checkpoints) == 1:
        return _one_of(files, checkpoints[0])
    if files.within is not None and 1 < len(checkpoints) <= MAX_CHECKPOINTS:
        readers = {name: partial(_read_one_of, files, name) for name in checkpoints}
        return _read_those_that_can_be(readers, files.files)
    if checkpoints:
        raise SourceError(
            f"{files.name} contains {count(len(checkpoints))} checkpoints that are not shards of "
            f"one: {listed(checkpoints, MAX_NAMED)}.",
            "Choose one of them." if files.within is None else "Unpack it, and open one of them.",
        )
    if any(name.endswith(DATA) for name in files.files):
        raise SourceError(
            f"{files.name} contains {DATA} files of a distributed checkpoint, but no {METADATA}, "
            "which says what is where in them.",
            f"Get {METADATA} from where the folder came from: its name begins with a dot, and "
            "copying often leaves such files behind.",
        )
    raise SourceError(
        f"{files.name} contains no checkpoint.",
        "Choose a checkpoint file, or the folder that contains its shards.",
    )


def _one_of(files: FileSet, name: str) -> dict[str, NumberedPart]:
    """The parts of the checkpoint at a path of the set: those of a subfolder, or a single file."""
    if name in files.files:
        return {"": _read_file(name, files.files[name])}
    below = f"{name}/"
    inside = {
        path.removeprefix(below): file
        for path, file in files.files.items()
        if path.startswith(below)
    }
    return _read_parts(FileSet(name, inside, within=files.within))


def _read_one_of(files: FileSet, name: str) -> NumberedPart:
    """The checkpoint at a path of the set, as one part."""
    parts = _one_of(files, name)
    return NumberedPart(
        _tree(parts),
        tuple(chain.from_iterable(part.contents for part in parts.values())),
        tuple(chain.from_iterable(part.sources for part in parts.values())),
        tuple(chain.from_iterable(part.notes for part in parts.values())),
    )


def _tree(parts: Mapping[str, NumberedPart]) -> Tree:
    """The tree of the only part, or a dict with those of all."""
    if len(parts) == 1:
        return next(iter(parts.values())).tree
    tree = InertDict()
    tree.update({name: part.tree for name, part in parts.items()})
    return tree


def _checkpoints(files: FileSet) -> list[str]:
    """The paths of the checkpoints in a folder: subfolders that are one, and single files."""
    by_folder: dict[str, list[str]] = {}
    for name in sorted(files.files):
        folder, _, last = name.rpartition("/")
        by_folder.setdefault(folder, []).append(last)
    checkpoints: list[str] = []
    set_folders: list[str] = []
    for folder in sorted(by_folder):
        names = by_folder[folder]
        if any(folder.startswith(f"{set_folder}/") for set_folder in set_folders):
            continue
        if folder and is_one_checkpoint(names):
            set_folders.append(folder)
            checkpoints.append(folder)
        else:
            below = f"{folder}/" if folder else ""
            checkpoints += [below + name for name in names if name.endswith(SUFFIXES)]
    return checkpoints


def _read_file(name: str, file: File) -> NumberedPart:
    source = opened(file, name)
    try:
        contents = read_contents(source)
    except CheckpointError as error:
        within = f"In {name}: {error.problem}"
        raise CheckpointError(within, error.remedy, error.whole) from error
    return NumberedPart(contents.tree, (contents,), (source,), contents.notes)


def _assembled(parts: Mapping[str, NumberedPart], files: FileSet) -> Assembled:
    contents = tuple(chain.from_iterable(part.contents for part in parts.values()))
    sources = tuple(chain.from_iterable(part.sources for part in parts.values()))
    for source in sources:
        if isinstance(source, LocalFile):
            source.refuse_change()
    names = _names_of(sources, files.files)
    formats = {item.format for item in contents}
    if len(parts) > 1:
        kind = "archive" if _are_several(files, parts) else "parts"
    elif len(contents) == 1:
        kind = contents[0].format
    else:
        kind = "safetensors shards" if formats == {"safetensors"} else "shards"
    digest = hashlib.sha256("|".join(source.identity for source in sources).encode())
    return Assembled(
        Contents(
            format=kind,
            tree=_tree(parts),
            globals=_merged(chain.from_iterable(item.globals for item in contents)),
            entry=entry_of((item.tree, item.entry) for item in contents),
            notes=(
                *dict.fromkeys(chain.from_iterable(part.notes for part in parts.values())),
                *(unread_notes(files.files, names) if files.index is None else ()),
            ),
            records=lambda: chain.from_iterable(map(_records, contents)),
            unsearched=tuple(chain.from_iterable(item.unsearched for item in contents)),
        ),
        sum(source.size for source in sources),
        f"set:{digest.hexdigest()}",
        names,
    )


def _are_several(files: FileSet, parts: Collection[str]) -> bool:
    """Whether the parts are checkpoints of their own, side by side in one archive."""
    if files.within is None or COMPONENTS in files.files:
        return False
    return set(parts) <= set(_checkpoints(files))


def _names_of(sources: Iterable[Source], files: Mapping[str, File]) -> tuple[str, ...]:
    """The names of the files that the sources are of, in the order of the files."""
    opened_sources = tuple(sources)
    inside = {id(source) for source in opened_sources}
    paths = {source.path for source in opened_sources if isinstance(source, LocalFile)}
    return tuple(name for name, file in files.items() if file in paths or id(file) in inside)


def _records(contents: Contents) -> Iterable[Record]:
    if contents.records is not None:
        return contents.records()
    state_dicts = find_state_dicts(contents.tree, contents.entry).values()
    return (
        record
        for state_dict in state_dicts
        for entry in state_dict.values()
        for record in entry.records
    )


def _merged(uses: Iterable[GlobalUse]) -> tuple[GlobalUse, ...]:
    """The globals of all files, each once."""
    merged: dict[str, GlobalUse] = {}
    for use in uses:
        earlier = merged.get(use.name)
        merged[use.name] = (
            replace(earlier, uses=earlier.uses + use.uses, hidden=earlier.hidden and use.hidden)
            if earlier is not None
            else use
        )
    return tuple(merged.values())
