"""Several files become the contents of one checkpoint.

The layouts are those of huggingface_hub (an index or numbered shards), transformers' Trainer,
accelerate (accelerate/utils/constants.py: `model.safetensors`, `optimizer.bin`, ...) and
diffusers (`model_index.json`, with a folder a component).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

from core.checkpoint.containers.file_set import File, FileSet, indexed_whole, opened
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

SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".pth.tar")
"""How the files end that are taken for weights."""

VARIANT = r"\.(?:fp16|bf16|fp32|ema|non_ema)"
"""What diffusers and transformers add to the name of weights in another form."""

PARTS: Mapping[str, str] = {
    rf"(?:pytorch_|diffusion_pytorch_)?model(_\d+)?(?:{VARIANT})?": "model",
    r"pytorch_model_fsdp(?:_0|(_\d+))?": "model",
    r"adapter_model": "model",
    r"optimizer(?:_0|(_\d+))?": "optimizer",
    r"scheduler(_\d+)?": "scheduler",
    r"scaler": "scaler",
    r"training_args": "training_args",
}
"""What training libraries call the files of one checkpoint, without suffix, and the part it is;
accelerate's folders of sharded weights too (accelerate/utils/fsdp_utils.py)."""

PASSED_OVER = re.compile(
    r"(?:random_states_\d+\.pkl|rng_state(?:_\d+)?\.pth|sampler(?:_\d+)?\.bin"
    r"|dl_state_dict(?:_\d+)?\.bin|custom_checkpoint_\d+\.pkl)"
)
"""Files beside a checkpoint that hold random states and the like."""

SHOWN = 5
"""Files listed in a sentence at most."""

COMPONENTS = "model_index.json"
"""What diffusers calls the list of a pipeline's components."""

MODEL_STATES = "_model_states.pt"
"""How DeepSpeed's files of a model end (deepspeed/runtime/engine.py)."""

LATEST = "latest"
"""The file in which DeepSpeed names the folder of the last step."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """The contents of a set, the bytes of its files, what is equal for equal contents, and how
    many files were read."""

    contents: Contents
    size: int
    identity: str
    files: int


def read_file_set(files: FileSet) -> Assembled:
    """The contents of a set: one state_dict in shards, or the parts of one checkpoint.

    Raises CheckpointError for a damaged set, or one that is several checkpoints, and SourceError
    for what cannot be read.
    """
    here = _in_folder(files.files, "")
    if files.index is not None:
        return _assembled({"": read_indexed(here, files.index)}, {})
    return _assembled(_read_parts(files), here)


def is_one_checkpoint(names: Iterable[str]) -> bool:
    """Whether a folder's files, of these names, are to be opened together: shards, an index, or the
    parts that training libraries write. No file is read."""
    here = dict.fromkeys(names, Path())
    shards = [shard for name in here if (shard := numbered(name)) is not None and shard.of > 1]
    return (
        METADATA in here
        or COMPONENTS in here
        or bool(shards)
        or len(_parts(here)) > 1
        or any(name.endswith(MODEL_STATES) or indexed_whole(name) for name in here)
    )


def _read_parts(files: FileSet) -> dict[str, NumberedPart]:
    """The parts by their names; one alone is under an empty name."""
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
    """accelerate saves `{"model": state_dict}` and `{"optimizer": state_dict}`."""
    tree = part.tree
    if isinstance(tree, dict) and len(tree) == 1:
        (inner,) = tree.values()
        return replace(part, tree=inner) if isinstance(inner, dict) else part
    return part


def _in_folder(files: Mapping[str, File], folder: str) -> dict[str, File]:
    """The files that lie directly in a folder of the set, by their own names."""
    return {
        name.rpartition("/")[2]: path
        for name, path in files.items()
        if name.rpartition("/")[0] == folder
    }


def _parts(here: Mapping[str, File]) -> dict[str, Callable[[], NumberedPart]]:
    """The parts of a folder by their names, each with what reads it; safetensors come first."""
    found: dict[str, Callable[[], NumberedPart]] = {}
    wholes = {whole for whole in map(indexed_whole, here) if whole is not None}
    for name in sorted(here, key=_rank):
        shard, whole = numbered(name), indexed_whole(name)
        if whole is not None:
            stem = whole.rpartition(".")[0]
            found.setdefault(_part(stem) or stem, partial(read_indexed, here, name))
        elif shard is not None and name.endswith(SUFFIXES):
            if f"{shard.name}{shard.suffix}" not in wholes:
                part = _part(shard.name) or shard.name
                found.setdefault(part, partial(read_numbered, here, shard))
        elif name.endswith(SUFFIXES):
            known = _part(name.rpartition(".")[0])
            if known is not None:
                found.setdefault(known, partial(_read_file, name, here[name]))
    return found


def _rank(name: str) -> tuple[bool, bool, str]:
    """Whole precision before its variants, and safetensors before pickles."""
    return re.search(VARIANT + r"\b", name) is not None, ".safetensors" not in name, name


def _part(stem: str) -> str | None:
    for pattern, part in PARTS.items():
        match = re.fullmatch(pattern, stem)
        if match is not None:
            return part + ((match.groups() or ("",))[0] or "")
    return None


def _partitioned(files: FileSet) -> NumberedPart | None:
    """The model's file of a DeepSpeed folder: the first rank's of the last step."""
    found = sorted(name for name in files.files if name.endswith(MODEL_STATES))
    if not found:
        return None
    steps = {name.rpartition("/")[0]: name for name in reversed(found)}
    newest = max(steps, key=lambda step: (step[len(step.rstrip("0123456789")) :].zfill(20), step))
    if LATEST in files.files:
        latest = opened(files.files[LATEST], LATEST).read(0, 1024).decode("utf-8", "replace")
        newest = latest.strip() if latest.strip() in steps else newest
    part = _read_file(steps[newest], files.files[steps[newest]])
    note = (
        f"DeepSpeed wrote this folder, and {steps[newest]} was opened. Where ZeRO spread the "
        "weights over the ranks, tensors in it are empty: run `python zero_to_fp32.py . out` in "
        "the folder, and open what that writes."
    )
    return replace(part, notes=(*part.notes, note))


def _only_one(files: FileSet) -> dict[str, NumberedPart]:
    """The one checkpoint of a folder in which nothing else lies that might be meant."""
    other = diagnose.of_another_kind(files.files, f"The folder {files.name}")
    if other is not None:
        raise other
    found = _checkpoints(files)
    if len(found) == 1:
        name = found[0]
        if name in files.files:
            return {"": _read_file(name, files.files[name])}
        below = f"{name}/"
        inside = {
            path.removeprefix(below): file
            for path, file in files.files.items()
            if path.startswith(below)
        }
        return _read_parts(FileSet(name, inside))
    if found:
        raise SourceError(
            f"{files.name} holds {len(found):,} checkpoints that are no shards of one: "
            f"{_some(found)}.",
            "Choose one of them.",
        )
    if any(name.endswith(DATA) for name in files.files):
        raise SourceError(
            f"{files.name} holds {DATA} files of a distributed checkpoint, and no {METADATA}, "
            "which says what lies where in them.",
            f"Get {METADATA} from where the folder came from: its name begins with a dot, and "
            "copying often leaves such files behind.",
        )
    raise SourceError(
        f"{files.name} has no checkpoint in it.",
        "Choose a checkpoint file, or the folder that holds its shards.",
    )


def _checkpoints(files: FileSet) -> list[str]:
    """The checkpoints in a folder by their names: folders that are one, and other files."""
    by_folder: dict[str, list[str]] = {}
    for name in sorted(files.files):
        folder, _, last = name.rpartition("/")
        by_folder.setdefault(folder, []).append(last)
    found: list[str] = []
    whole: list[str] = []
    for folder in sorted(by_folder):
        names = by_folder[folder]
        if any(folder.startswith(f"{one}/") for one in whole):
            continue
        if folder and is_one_checkpoint(names):
            whole.append(folder)
            found.append(folder)
        else:
            below = f"{folder}/" if folder else ""
            found += [below + name for name in names if name.endswith(SUFFIXES)]
    return found


def _read_file(name: str, file: File) -> NumberedPart:
    source = opened(file, name)
    try:
        contents = read_contents(source)
    except CheckpointError as error:
        within = f"In {name}: {error.problem}"
        raise CheckpointError(within, error.remedy, error.whole) from error
    return NumberedPart(contents.tree, (contents,), (source,), contents.notes)


def _passed_over(here: Mapping[str, File], read: Iterable[Source]) -> Iterator[str]:
    """Sentences on the files of a folder that look like parts of the checkpoint, and were not
    read."""
    sources = tuple(read)
    inside = {id(source) for source in sources}
    paths = {source.path for source in sources if isinstance(source, LocalFile)}
    left = [
        name for name, file in here.items() if file not in paths and id(file) not in inside
    ]  # fmt: skip
    states = [name for name in left if PASSED_OVER.fullmatch(name)]
    others = [name for name in left if name.endswith(SUFFIXES) and name not in states]
    if states:
        yield f"Files with random states and the like were left out: {_some(states)}."
    if others:
        yield f"Files beside the checkpoint were left out: {_some(others)}."


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


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
    formats = {one.format for one in contents}
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
            globals=_merged(chain.from_iterable(one.globals for one in contents)),
            entry=entry_of((one.tree, one.entry) for one in contents),
            notes=(
                *dict.fromkeys(chain.from_iterable(part.notes for part in parts.values())),
                *_passed_over(here, sources),
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
        known = merged.get(use.name)
        merged[use.name] = (
            replace(known, uses=known.uses + use.uses, hidden=known.hidden and use.hidden)
            if known is not None
            else use
        )
    return tuple(merged.values())
