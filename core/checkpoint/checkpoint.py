"""Opens a file as a Checkpoint; nothing in it is executed, and no tensor is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path

from core.checkpoint.configurations import Surroundings, configurations, in_set
from core.checkpoint.containers.budget import bounded_work
from core.checkpoint.containers.file_set import FileSet, files_beside, folder_files, opened
from core.checkpoint.containers.packed import WEIGHTS, Unpacking
from core.checkpoint.containers.served_file import ServedFile
from core.checkpoint.containers.sources import LocalFile
from core.checkpoint.entries import Record, Source, StateDict, is_float_dtype
from core.checkpoint.inner_checkpoints import open_inner
from core.checkpoint.pickles.global_verdicts import GlobalUse
from core.checkpoint.pickles.inert import LongBytes, Opaque, Tree
from core.checkpoint.pickles.ledger import kept_names
from core.checkpoint.readers import diagnose
from core.checkpoint.readers.contents import Contents
from core.checkpoint.readers.formats import FORMATS, look_into
from core.checkpoint.readers.torch_zip import PICKLE_ENDINGS
from core.checkpoint.refusals import PicklesBeside, danger_first, look_beside, look_into_archive
from core.checkpoint.sets.assembled import read_file_set
from core.checkpoint.sets.lone_piece import piece_notes
from core.checkpoint.tensor_notes import notes_on
from core.checkpoint.tree.discover import best_path, find_networks, role
from core.checkpoint.tree.joined_parts import JoinedParts
from core.checkpoint.tree.metadata_json import Json, metadata_of, torch_version
from core.checkpoint.tree.numpy_arrays import NumpyArray, array_notes, makes_arrays, numpy_arrays
from core.checkpoint.tree.repeated_parts import repeats_endlessly
from core.checkpoint.unlisted import Unlisted, unlisted
from core.errors import CheckpointError, SourceError
from core.fast_objects import paused_collector
from core.wording import listed, place_in_file

MAX_MEMBERS = 5
"""The most files of an archive that a note names."""

MAX_SEARCHED = 64
"""Files of a set that are searched for pickles where the set is refused."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An opened checkpoint, in one file or several.

    - `size` is the number of its bytes; `identity` is equal for equal contents.
    - `tree` is the whole object tree as inert data.
    - `state_dicts` has those found in the tree, by their path (`""` where the tree itself is one),
      in file order, and behind them those of the checkpoints in its byte strings, at least one.
    - `in_bytes` are the paths of those in its byte strings.
    - `joined` has the networks that the file has in several of these, by the path of the dict
      around them.
    - `choices` are both together, by path: all that a person may choose. `best` is the path of the
      one that is most likely meant; `roles` says of each whether it is a model's, an EMA's, an
      optimizer's or another.
    - `metadata` is everything besides tensors, as JSON values.
    - `notes` are sentences on what is unusual, `unsearched` those on where a pickle may be hidden
      that was not read. `files` is the number of files that were read.
    - `arrays()` returns every numpy array that is in no state_dict, in file order.
    - `records()` returns every run of bytes that the file names, also of no tensor, in any order.
      It may read the file, and raise CheckpointError and SourceError.
    - `beside()` returns the files in the same folder or archive that are no part of it, by name;
      None for one that cannot be opened.
    - `folder` are the folders in which it lies, as far as they are known, and `configs` the
      configurations beside it in its folder (`config.json`, `preprocessor_config.json`), by name;
      None for one that cannot be read. They are no part of it.
    """

    name: str
    size: int
    identity: str
    format: str
    tree: Tree
    state_dicts: Mapping[str, StateDict]
    best: str
    roles: Mapping[str, str]
    metadata: Mapping[str, Json]
    globals: tuple[GlobalUse, ...]
    torch_version: str | None
    notes: tuple[str, ...] = ()
    unsearched: tuple[str, ...] = ()
    files: int = 1
    in_bytes: Set[str] = frozenset()
    joined: Mapping[str, JoinedParts] = field(default_factory=dict)
    arrays: Callable[[], Iterable[NumpyArray]] = field(default=tuple, repr=False, compare=False)
    records: Callable[[], Iterable[Record]] = field(default=tuple, repr=False, compare=False)
    beside: Callable[[], Mapping[str, Source | None]] = field(
        default=dict, repr=False, compare=False
    )
    folder: str = ""
    configs: Mapping[str, Json] = field(default_factory=dict)

    @property
    def format_title(self) -> str:
        """The format as people read it, from FORMATS."""
        return FORMATS[self.format]

    @property
    def choices(self) -> Mapping[str, StateDict]:
        """The state_dicts and the joined ones; a joined one also has what lies at its own path."""
        return _choices(self.state_dicts, self.joined)

    def parts(self, path: str) -> tuple[str, ...]:
        """The paths in `state_dicts` of the tensors that the choice at `path` has."""
        joined = self.joined.get(path)
        return (path,) if joined is None else (path, *joined.parts)

    def state_dict(self, path: str | None = None) -> StateDict:
        """The state_dict at `path`, or the best one.

        Where none is at `path` but some are below it, as those of a file in an archive are, it is
        the best of these. Raises CheckpointError for an unknown path.
        """
        choices = self.choices
        state_dict = choices.get(self.best if path is None else path)
        if state_dict is None:
            below = {at: choices[at] for at in choices if at.startswith(f"{path}.")}
            if path and below:
                return below[best_path({at: self.roles[at] for at in below}, below)]
            paths = ", ".join(map(place_in_file, choices))
            raise CheckpointError(
                f"{self.name} has no state_dict at {path!r}.", f"It has: {paths}."
            )
        return state_dict


def _choices(
    state_dicts: Mapping[str, StateDict], joined: Mapping[str, JoinedParts]
) -> Mapping[str, StateDict]:
    return {**state_dicts, **{path: network.state_dict for path, network in joined.items()}}


@paused_collector()
@bounded_work()
def open_checkpoint(
    path: Path | ServedFile | FileSet,
    *,
    name: str | None = None,
    identity: str | None = None,
    scratch: Path | None = None,
    quotes: bool = True,
    around: Surroundings | None = None,
) -> Checkpoint:
    """Open a checkpoint: read its directory and its pickles, but none of its tensors.

    A folder or a FileSet is one checkpoint in several files. `name` is the file's name on screen,
    `identity` the SHA-256 of its contents where it is known. Compressed files are unpacked into a
    temporary file without a name, in the folder `scratch` if it is given. `around` is what lies
    around a single file, which only its owner can say. Raises CheckpointError
    for a file that is not a checkpoint, or a damaged one, and SourceError for a file that cannot be
    read. Without `quotes`, the error for a file that is not a checkpoint quotes none of its bytes.
    """
    if isinstance(path, Path) and os.path.isdir(path):
        path = folder_files(path)
    with diagnose.quoting(quotes), kept_names() as ledger:
        try:
            checkpoint = _open(path, name, identity, scratch)
            if around is not None:
                checkpoint = replace(
                    checkpoint,
                    folder=around.folder or checkpoint.folder,
                    configs=checkpoint.configs or configurations(around.files),
                )
            return checkpoint
        except (CheckpointError, SourceError) as error:
            # What was read so far would stay in memory beside what is looked at now.
            _let_go(error)
            refusal = danger_first(error, ledger, partial(_sources, path, name))
            if refusal is error:
                raise
            raise refusal from error


def _let_go(error: BaseException) -> None:
    """Drop the tracebacks of an error and of its causes, which keep all that the reader made.

    The error goes on from here; what it says, and its causes, stay.
    """
    cleared: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in cleared:  # an error may be its own cause
        cause.__traceback__ = None
        cleared.append(cause)
        cause = cause.__cause__ or cause.__context__


def _sources(path: Path | ServedFile | FileSet, name: str | None) -> Mapping[str, Source]:
    """The files that may be pickles, opened once more. Raises SourceError."""
    if not isinstance(path, FileSet):
        return {"": LocalFile(path, name=name)}
    names = [file for file in path.files if file.endswith((*PICKLE_ENDINGS, *WEIGHTS))]
    return {file: opened(path.files[file], file) for file in names[:MAX_SEARCHED]}


def _open(
    path: Path | ServedFile | FileSet,
    name: str | None,
    identity: str | None,
    scratch: Path | None,
) -> Checkpoint:
    if isinstance(path, FileSet):
        files = path
        assembled = read_file_set(files)
        checkpoint = _checkpoint(
            _with_those_beside(assembled.contents, look_beside(files, assembled.files)),
            name or files.name, assembled.size, identity or assembled.identity, scratch,
        )  # fmt: skip
        beside = partial(files_beside, files, assembled.files)
        return replace(
            checkpoint,
            files=len(assembled.files),
            beside=beside,
            folder=files.name,
            configs=configurations(in_set(files)),
        )
    source = LocalFile(path, identity, name)
    contents = look_into(source, source.name, Unpacking(scratch))
    if isinstance(contents, FileSet):
        assembled = read_file_set(contents)
        pickles = look_beside(contents, assembled.files)
        packed = _with_those_beside(assembled.contents, pickles)
        members = [f"{contents.within}{member}" for member in assembled.files]
        note = f"The checkpoint is packed in {contents.name}, as {listed(members, MAX_MEMBERS)}."
        if packed.format == "archive":
            # By the names that choose them: a folder of shards is one.
            names = [str(key) for key in packed.tree] if isinstance(packed.tree, dict) else members
            note = (
                f"{contents.name} contains several checkpoints: "
                f"{listed(names, MAX_MEMBERS)}. Each is under its name."
            )
        checkpoint = _checkpoint(
            replace(packed, notes=(note, *packed.notes)), contents.name, source.size,
            source.identity, scratch,
        )  # fmt: skip
        return replace(
            checkpoint,
            beside=partial(files_beside, contents, assembled.files),
            configs=configurations(in_set(contents)),
        )
    if contents.format == "exported":
        contents = _with_those_beside(contents, look_into_archive(source, ()))
    return _checkpoint(
        replace(contents, notes=(*contents.notes, *piece_notes(source.name, contents.tree))),
        source.name,
        source.size,
        source.identity,
        scratch,
    )


def _with_those_beside(contents: Contents, beside: PicklesBeside) -> Contents:
    """The contents with the dangerous globals of files beside them, and notes on these."""
    named = {use.name for use in contents.globals}
    others = tuple(use for use in beside.globals if use.name not in named)
    return replace(
        contents,
        globals=(*contents.globals, *others),
        notes=(*contents.notes, *beside.notes),
        unsearched=(*contents.unsearched, *beside.notes),
    )


def _checkpoint(
    contents: Contents, name: str, size: int, identity: str, scratch: Path | None
) -> Checkpoint:
    state_dicts, joined, weights = find_networks(contents.tree, contents.entry)
    others = Unlisted()
    if contents.may_have_unlisted or not state_dicts:
        others = unlisted(contents.tree)
    inner = open_inner(others, _choices(state_dicts, joined), scratch)
    if not state_dicts and not inner.state_dicts:
        if repeats_endlessly(contents.tree):
            raise diagnose.repeated_parts()
        raise diagnose.no_tensors(_describe(contents.tree), (*others.on_keys, *inner.notes))
    roles = _roles(_choices(state_dicts, joined), inner.state_dicts)
    state_dicts = {**state_dicts, **inner.state_dicts}
    choices = _choices(state_dicts, joined)
    metadata = metadata_of(contents.tree)
    arrays = makes_arrays(contents.globals)
    return Checkpoint(
        name=name,
        size=size,
        identity=identity,
        format=contents.format,
        tree=contents.tree,
        state_dicts=state_dicts,
        best=best_path(roles, choices),
        roles=roles,
        metadata=metadata,
        globals=contents.globals,
        torch_version=torch_version(metadata),
        notes=(
            *contents.notes,
            *notes_on(contents, state_dicts),
            *(array_notes(contents.tree, weights) if arrays else ()),
            *others.on_keys,
            *inner.notes,
        ),
        unsearched=contents.unsearched,
        in_bytes=inner.state_dicts.keys(),
        joined=joined,
        arrays=partial(numpy_arrays, contents.tree, weights, contents.entry) if arrays else tuple,
        records=partial(_all_records, contents.records, state_dicts, inner.state_dicts),
    )


def _roles(choices: Mapping[str, StateDict], inner: Mapping[str, StateDict]) -> dict[str, str]:
    """The role of each; what is in bytes is not taken for the model beside weights that are not."""
    roles = {path: role(path, state_dict) for path, state_dict in choices.items()}
    has_model = any(
        roles[path] == "model" and any(is_float_dtype(entry.dtype) for entry in state_dict.values())
        for path, state_dict in choices.items()
    )
    for path, state_dict in inner.items():
        own = role(path, state_dict)
        roles[path] = "other" if has_model and own == "model" else own
    return roles


def _all_records(
    named: Callable[[], Iterable[Record]] | None,
    state_dicts: Mapping[str, StateDict],
    inner: Mapping[str, StateDict],
) -> list[Record]:
    """Every record that a file names, and those of the tensors in byte strings."""
    if named is None:
        return _tensor_records(state_dicts)
    return [*named(), *_tensor_records(inner)]


def _tensor_records(state_dicts: Mapping[str, StateDict]) -> list[Record]:
    """The records of all tensors, each once."""
    entries = chain.from_iterable(state_dict.values() for state_dict in state_dicts.values())
    records = chain.from_iterable(entry.records for entry in entries)
    return list({record.place: record for record in records}.values())


def _describe(tree: Tree) -> str:
    if isinstance(tree, dict):
        names = ", ".join(str(key)[:40] for key in list(tree)[:5])
        keys = "key" if len(tree) == 1 else "keys"
        return f"a dictionary with the {keys} {names}" if names else "an empty dictionary"
    if isinstance(tree, Opaque):
        return f"an object of the class {tree.name}"
    if isinstance(tree, bytes | LongBytes):
        return "bytes"
    return "a list" if isinstance(tree, list | tuple) else f"a value of type {type(tree).__name__}"
