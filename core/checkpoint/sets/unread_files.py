"""Names the files of a folder or an archive that look like weights and were not read."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from core.checkpoint.containers.file_set import File, source_of
from core.checkpoint.containers.served_file import ServedFile
from core.checkpoint.readers.diagnose import LFS_MAGIC
from core.checkpoint.readers.formats import CHUNKS
from core.errors import SourceError
from core.wording import counted, listed

SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".pth.tar")
"""The endings of files with weights."""

STATES = re.compile(
    r"(?:random_states_\d+\.pkl|rng_state(?:_\d+)?\.pth|sampler(?:_\d+)?\.bin"
    r"|dl_state_dict(?:_\d+)?\.bin|custom_checkpoint_\d+\.pkl)"
)
"""Files next to a checkpoint that contain random states and the like, which Loupe does not read."""

MAX_NAMED = 5
"""The most files that a sentence names."""

MAX_POINTER = 1024
"""Bytes of a Git LFS pointer at most (Git LFS, docs/spec.md)."""


def unread_notes(files: Mapping[str, File], read: Collection[str]) -> Iterator[str]:
    """The notes on the files of a set that look like weights but are not among those `read`.

    A file is named where it lies beside one that was read, else its outermost folder is.
    """
    opened_names = frozenset(read)
    folders = {"", *(name.rpartition("/")[0] for name in opened_names)}
    not_read = [name for name in files if name not in opened_names]
    states = [name for name in not_read if STATES.fullmatch(name.rpartition("/")[2])]
    others = [
        name for name in not_read if name.endswith((*SUFFIXES, CHUNKS)) and name not in states
    ]
    beside = [name for name in others if name.rpartition("/")[0] in folders]
    pointers = [name for name in beside if is_pointer(files[name], name)]
    beside = [name for name in beside if name not in pointers]
    below: dict[str, int] = {}
    for name in others:
        if name.rpartition("/")[0] not in folders:
            folder = _outermost(name, folders)
            below[folder] = below.get(folder, 0) + 1
    if states:
        yield f"Files with random states and the like were left out: {listed(states, MAX_NAMED)}."
    if beside:
        yield f"Files next to the checkpoint were left out: {listed(beside, MAX_NAMED)}."
    if pointers:
        yield (
            "Git LFS pointers next to the checkpoint were left out, since the files themselves "
            f"were not downloaded: {listed(pointers, MAX_NAMED)}."
        )
    if below:
        named = [f"{folder}/ ({counted(number, 'file')})" for folder, number in below.items()]
        yield (
            f"Folders with further weights were left out: {listed(named, MAX_NAMED)}. Open each "
            "by itself."
        )


def _outermost(name: str, folders: Collection[str]) -> str:
    """The outermost folder above a file in which no file was read."""
    parts = name.split("/")
    above = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
    return next(folder for folder in above if folder not in folders)


def is_pointer(file: File, name: str) -> bool:
    """Whether a file of the set only stands for a large one in a Git repository."""
    try:
        nbytes = file.stat().st_size if isinstance(file, Path | ServedFile) else file.size
        if nbytes > MAX_POINTER:
            return False
        return source_of(file, name).read(0, len(LFS_MAGIC)) == LFS_MAGIC
    except (OSError, SourceError):
        return False  # where the file is needed, opening it reports the error
