"""Opens the checkpoints in a pickle's byte strings, such as a policy that a trainer saved as bytes.

Each tensor in them is in a state_dict of the whole checkpoint, whose path says where the bytes are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from core.checkpoint.containers.file_set import FileSet
from core.checkpoint.containers.packed import Unpacking
from core.checkpoint.containers.sources import InMemory
from core.checkpoint.entries import Source, StateDict
from core.checkpoint.pickles.inert import LongBytes
from core.checkpoint.pickles.key_names import Names
from core.checkpoint.readers.formats import FORMATS, look_into
from core.checkpoint.tree.discover import find_state_dicts
from core.checkpoint.unlisted import FileInBytes, unlisted
from core.errors import CheckpointError, SourceError
from core.wording import listed

MAX_DEPTH = 3
"""Checkpoints in the bytes of each other that are opened."""

MAX_OPENED = 8
"""Byte strings of one file that are opened."""

MAX_UNPACKED = 256 << 20
"""Bytes that the compressed ones of a file may unpack to, together."""

IN_BYTES = "bytes"
"""The name in a path that stands for the checkpoint in the bytes before it."""


@dataclass(slots=True)
class InnerCheckpoints:
    """The `state_dicts` of those that were opened, by their path in the whole checkpoint, and
    `notes` on each byte string that begins as a file of weights does."""

    state_dicts: dict[str, StateDict] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def open_inner(
    files: Iterable[FileInBytes], taken: Iterable[str], scratch: Path | None
) -> InnerCheckpoints:
    """Open the files in byte strings, and those in the byte strings of these, within the bounds
    above and what is left of the budget of work. One that does not open is told, and no error.

    `taken` has the paths of the other choices, which keep them: a path like one of these gets a
    number. What is compressed is unpacked as in `open_checkpoint`.
    """
    result, names = InnerCheckpoints(), Names()
    for other in taken:
        names.name(other)
    unpacking = Unpacking(scratch, MAX_UNPACKED)
    rest = [(1, file.path, file) for file in files]
    opened = 0
    while rest:
        depth, path, file = rest.pop(0)
        above = f"{path}.{IN_BYTES}" if path else IN_BYTES
        if depth > MAX_DEPTH or opened == MAX_OPENED:
            _tell(result, file)
            continue
        opened += 1
        try:
            contents = look_into(_source(file), "The bytes", unpacking)
            if isinstance(contents, FileSet):
                _tell(result, file)
                continue
            inner = find_state_dicts(contents.tree, contents.entry)
            within = unlisted(contents.tree).files if contents.may_have_unlisted else ()
        except (CheckpointError, SourceError):
            _tell(result, file)
            continue
        rest += [(depth + 1, f"{above}.{each.path}".rstrip("."), each) for each in within]
        if not inner:
            _tell(result, file)
            continue
        paths = []
        for own, state_dict in inner.items():
            paths.append(names.name(f"{above}.{own}" if own else above))
            result.state_dicts[paths[-1]] = StateDict(
                state_dict.values(),
                paths[-1],
                state_dict.versions,
                state_dict.classes,
                state_dict.kinds,
            )
        place = f"under `{path}`" if path else "in it"
        result.notes.append(
            f"The {file.nbytes} of bytes {place} are a checkpoint of their own "
            f"({FORMATS[contents.format]}): its tensors are in {listed(paths)}."
        )
    return result


def _source(file: FileInBytes) -> Source:
    return file.value.source if isinstance(file.value, LongBytes) else InMemory(file.value)


def _tell(result: InnerCheckpoints, file: FileInBytes) -> None:
    if file.kind:
        result.notes.append(file.note)
