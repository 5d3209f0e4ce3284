"""A file becomes a Checkpoint; nothing in it is executed, and no tensor is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.checkpoint import diagnose
from core.checkpoint.collector import paused_collector
from core.checkpoint.contents import Contents
from core.checkpoint.discover import best_path, find_state_dicts, role
from core.checkpoint.entries import Source, StateDict
from core.checkpoint.inert import Opaque, Tree
from core.checkpoint.metadata import Json, metadata_of, torch_version
from core.checkpoint.safetensors_file import is_safetensors, read_safetensors
from core.checkpoint.sources import LocalFile
from core.checkpoint.torch_legacy import is_legacy, read_torch_legacy
from core.checkpoint.torch_zip import read_torch_zip, torch_folder, truncated_zip
from core.checkpoint.unpickle import Mentions, PickleError, no_persistent_ids, unpickle
from core.checkpoint.verdicts import GlobalUse
from core.checkpoint.zip_container import LOCAL_MAGIC, NoDirectory, open_archive
from core.errors import CheckpointError

FORMATS: Mapping[str, str] = {
    "zip": "PyTorch zip (torch.save, since 1.6)",
    "legacy": "PyTorch stream (torch.save, before 1.6)",
    "torchscript": "TorchScript archive (torch.jit.save)",
    "safetensors": "safetensors",
}
"""The formats that Loupe reads, in words."""

MAX_PLAIN_PICKLE = 16 << 20
"""Bytes of a plain pickle that are read to tell whether it is one."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An opened file.

    `tree` is its whole object tree as inert data. `state_dicts` are those found in it, by their
    path (`""` for a bare one), in file order and never none; `best` is the path of the one most
    likely meant, `roles` say of each whether it is a model's, an EMA's, an optimizer's or other.
    `metadata` is all that is no tensor, JSON-able. `notes` are sentences on what is odd.
    """

    source: Source
    name: str
    format: str
    tree: Tree
    state_dicts: Mapping[str, StateDict]
    best: str
    roles: Mapping[str, str]
    metadata: Mapping[str, Json]
    globals: tuple[GlobalUse, ...]
    torch_version: str | None
    notes: tuple[str, ...] = ()

    @property
    def format_title(self) -> str:
        """The format in words."""
        return FORMATS[self.format]

    @property
    def size(self) -> int:
        """The file's bytes."""
        return self.source.size

    @property
    def identity(self) -> str:
        """Equal for equal contents."""
        return self.source.identity

    def state_dict(self, path: str | None = None) -> StateDict:
        """The state_dict at `path`, or the best one; raises CheckpointError for an unknown path."""
        found = self.state_dicts.get(self.best if path is None else path)
        if found is None:
            there = ", ".join(known or "(the file itself)" for known in self.state_dicts)
            raise CheckpointError(
                f"{self.name} has no state_dict at {path!r}.", f"It has: {there}."
            )
        return found


@paused_collector()
def open_checkpoint(
    path: Path, *, name: str | None = None, identity: str | None = None
) -> Checkpoint:
    """Read a file's table of contents and its pickle, never its tensors.

    `name` is what people call the file, `identity` its content's SHA-256 where it is known.
    Raises CheckpointError for what is no checkpoint, or a damaged one, and SourceError for what
    cannot be read.
    """
    source = LocalFile(Path(path), identity)
    contents = _read(source)
    state_dicts = find_state_dicts(contents.tree, contents.entry)
    if not state_dicts:
        raise diagnose.no_tensors(_describe(contents.tree))
    roles = {found: role(found, state_dicts[found]) for found in state_dicts}
    metadata = metadata_of(contents.tree)
    return Checkpoint(
        source=source,
        name=name or Path(path).name,
        format=contents.format,
        tree=contents.tree,
        state_dicts=state_dicts,
        best=best_path(roles, state_dicts),
        roles=roles,
        metadata=metadata,
        globals=contents.globals,
        torch_version=torch_version(metadata),
        notes=tuple(_notes(contents, state_dicts)),
    )


def _read(source: LocalFile) -> Contents:
    if source.size == 0:
        raise diagnose.empty()
    head = source.read(0, diagnose.HEAD)
    if is_legacy(head):
        return read_torch_legacy(source)
    if head.startswith((LOCAL_MAGIC, b"PK\x05\x06")):
        return _read_zip(source)
    if is_safetensors(head):
        return read_safetensors(source)
    if _is_plain_pickle(source, head):
        raise diagnose.plain_pickle()
    raise diagnose.not_a_checkpoint(head, source.size)


def _read_zip(source: LocalFile) -> Contents:
    try:
        archive = open_archive(source)
    except NoDirectory:
        raise truncated_zip(source) from None
    folder = torch_folder(archive)
    if folder is None:
        raise diagnose.ordinary_zip(list(archive.members))
    return read_torch_zip(archive, folder)


def _is_plain_pickle(source: LocalFile, head: bytes) -> bool:
    """Whether the file is a pickle; protocols 2 and later begin with byte 0x80, the older ones
    with whatever the object begins with."""
    if head[:1] == b"\x80" and len(head) > 1 and head[1] <= 5:
        return True
    if head[0] not in b"(c]})ISVNLFXUTKMJG" or source.size > MAX_PLAIN_PICKLE:
        return False
    try:
        data = source.read(0, MAX_PLAIN_PICKLE)
        return unpickle(data, Mentions(), no_persistent_ids).end == len(data)
    except PickleError:
        return False


def _describe(tree: Tree) -> str:
    if isinstance(tree, dict):
        names = ", ".join(str(key)[:40] for key in list(tree)[:5])
        return f"a dictionary with the keys {names}" if names else "an empty dictionary"
    if isinstance(tree, Opaque):
        return f"an object of the class {tree.name}"
    return "a list" if isinstance(tree, list | tuple) else f"a value of type {type(tree).__name__}"


def _notes(contents: Contents, state_dicts: Mapping[str, StateDict]) -> list[str]:
    notes = []
    entries = [entry for state_dict in state_dicts.values() for entry in state_dict.values()]
    quantized = sum(entry.dtype.startswith(("qint", "quint")) for entry in entries)
    if quantized:
        notes.append(
            f"{quantized:,} tensors are quantized: their integers are shown without scale and "
            "zero point, and a float model cannot take them."
        )
    empty = sum(entry.numel == 0 for entry in entries)
    if empty:
        notes.append(f"{empty:,} tensors hold no element.")
    meta = sum(entry.record is None for entry in entries)
    if meta:
        notes.append(f"{meta:,} tensors lie on the meta device: they have a shape but no data.")
    if contents.format == "torchscript":
        notes.append("The code in this archive was not read; its weights are here.")
    return notes
