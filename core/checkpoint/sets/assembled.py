"""Joins several files to the contents of one checkpoint.

The layouts are those of huggingface_hub (an index or numbered shards), transformers' Trainer,
accelerate (accelerate/utils/constants.py: `model.safetensors`, `optimizer.bin`, ...) and
diffusers (`model_index.json`, and a folder for each component).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

from core.checkpoint.containers.file_set import File, FileSet, opened, unsharded_name
from core.checkpoint.containers.sources import LocalFile
from core.checkpoint.entries import Record, Source
from core.checkpoint.pickles.global_verdicts import GlobalUse
from core.checkpoint.pickles.inert import InertDict
from core.checkpoint.readers import diagnose
from core.checkpoint.readers.contents import Contents, entry_of
from core.checkpoint.readers.formats import read_contents
from core.checkpoint.sets.distributed import DATA, METADATA, read_distributed
from core.checkpoint.sets.shards import NumberedPart, numbered, read_indexed, read_numbered
from core.checkpoint.tree.discover import find_state_dicts
from core.errors import CheckpointError, SourceError
from core.wording import count, listed

SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".pth.tar")
"""The endings of files with weights."""

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

STATES = re.compile(
    r"(?:random_states_\d+\.pkl|rng_state(?:_\d+)?\.pth|sampler(?:_\d+)?\.bin"
    r"|dl_state_dict(?:_\d+)?\.bin|custom_checkpoint_\d+\.pkl)"
)
"""Files next to a checkpoint that contain random states and the like, which Loupe does not read."""

MAX_NAMED = 5
"""The most files that a sentence names."""

COMPONENTS = "model_index.json"
"""The file in which diffusers lists the components of a pipeline."""

MODEL_STATES = "_model_states.pt"
"""The end of the names of DeepSpeed's model files (deepspeed/runtime/engine.py)."""

LATEST = "latest"
"""The file in which DeepSpeed writes the name of the latest step's folder."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """A set of files that was read: its contents, and the number of its bytes and files.

    `identity` is equal for equal contents.
    """

    contents: Contents
    size: int
    identity: str
    files: int


def read_file_set(files: FileSet) -> Assembled:
    """Read a set of files: one state_dict in shards, or the parts of one checkpoint.

    Raises CheckpointError for a damaged set, and SourceError for a set that contains no checkpoint
    or several, and for files that cannot be read.
    """
    here = _in_folder(files.files, "")
    if files.index is not None:
        return _assembled({"": read_indexed(here, files.index)}, {})
    return _assembled(_read_parts(files), here)


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
        or any(name.endswith(MODEL_STATES) or unsharded_name(name) for name in here)
    )


def _read_parts(files: FileSet) -> dict[str, NumberedPart]:
    """The parts of a checkpoint by their names; a single one is under an empty name."""
    here = _in_folder(files.files, "")
    if METADATA in here:
        return {"": read_distributed(here)}
    parts = {name: read() for name, read in _parts(here).items()}
    for folder in sorted({name.partition("/")[0] for name in files.files if "/" in name}):
        inside = _in_folder(files.files, folder)
        part = _part(folder)
        if part is not None and METADATA in inside:
            parts.setdefault(part, _unwrapped(read_distributed(inside)))
        elif COMPONENTS in here and "model" in (components := _parts(inside)):
            parts[folder] = components["model"]()
    if parts:
        return parts
    partitioned = _partitioned(files)
    return _only_one(files) if partitioned is None else {"": partitioned}


def _unwrapped(part: NumberedPart) -> NumberedPart:
    """The part without the dict that accelerate puts around it: `{"model": state_dict}`."""
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

    Where a part exists in several forms, the first by `_rank` is taken.
    """
    readers: dict[str, Callable[[], NumberedPart]] = {}
    indexed = {whole for whole in map(unsharded_name, here) if whole is not None}
    for name in sorted(here, key=_rank):
        shard, unsharded = numbered(name), unsharded_name(name)
        if unsharded is not None:
            stem = unsharded.rpartition(".")[0]
            readers.setdefault(_part(stem) or stem, partial(read_indexed, here, name))
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
    other = diagnose.of_another_kind(files.files, f"The folder {files.name}")
    if other is not None:
        raise other
    checkpoints = _checkpoints(files)
    if len(checkpoints) == 1:
        name = checkpoints[0]
        if name in files.files:
            return {"": _read_file(name, files.files[name])}
        below = f"{name}/"
        inside = {
            path.removeprefix(below): file
            for path, file in files.files.items()
            if path.startswith(below)
        }
        return _read_parts(FileSet(name, inside))
    if checkpoints:
        raise SourceError(
            f"{files.name} contains {count(len(checkpoints))} checkpoints that are not shards of "
            f"one: {listed(checkpoints, MAX_NAMED)}.",
            "Choose one of them.",
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


def _left_out_notes(here: Mapping[str, File], read: Iterable[Source]) -> Iterator[str]:
    """The notes on files in the folder that look like parts of the checkpoint but were not read."""
    sources = tuple(read)
    inside = {id(source) for source in sources}
    paths = {source.path for source in sources if isinstance(source, LocalFile)}
    not_read = [name for name, file in here.items() if file not in paths and id(file) not in inside]
    states = [name for name in not_read if STATES.fullmatch(name)]
    others = [name for name in not_read if name.endswith(SUFFIXES) and name not in states]
    if states:
        yield f"Files with random states and the like were left out: {listed(states, MAX_NAMED)}."
    if others:
        yield f"Files next to the checkpoint were left out: {listed(others, MAX_NAMED)}."


def _assembled(parts: Mapping[str, NumberedPart], here: Mapping[str, File]) -> Assembled:
    contents = tuple(chain.from_iterable(part.contents for part in parts.values()))
    sources = tuple(chain.from_iterable(part.sources for part in parts.values()))
    for source in sources:
        if isinstance(source, LocalFile):
            source.refuse_change()
    tree = next(iter(parts.values())).tree
    if len(parts) > 1:
        tree = InertDict()
        tree.update({name: part.tree for name, part in parts.items()})
    formats = {item.format for item in contents}
    if len(parts) > 1:
        kind = "parts"
    elif len(contents) == 1:
        kind = contents[0].format
    else:
        kind = "safetensors shards" if formats == {"safetensors"} else "shards"
    digest = hashlib.sha256("|".join(source.identity for source in sources).encode())
    return Assembled(
        Contents(
            format=kind,
            tree=tree,
            globals=_merged(chain.from_iterable(item.globals for item in contents)),
            entry=entry_of((item.tree, item.entry) for item in contents),
            notes=(
                *dict.fromkeys(chain.from_iterable(part.notes for part in parts.values())),
                *_left_out_notes(here, sources),
            ),
            records=lambda: chain.from_iterable(map(_records, contents)),
        ),
        sum(source.size for source in sources),
        f"set:{digest.hexdigest()}",
        len(sources),
    )


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
