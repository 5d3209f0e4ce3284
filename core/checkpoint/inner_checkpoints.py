"""Opens the checkpoints in a pickle's byte strings, such as a policy that a trainer saved as bytes.

Each tensor in them is in a state_dict of the whole checkpoint, whose path says where the bytes are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from core.checkpoint.containers.file_set import FileSet
from core.checkpoint.containers.packed import Unpacking
from core.checkpoint.entries import StateDict
from core.checkpoint.pickles.key_names import Names
from core.checkpoint.readers.formats import FORMATS, look_into
from core.checkpoint.tree.discover import find_state_dicts
from core.checkpoint.unlisted import FileInBytes, Unlisted, unlisted
from core.errors import CheckpointError, SourceError
from core.wording import are, counted, listed

MAX_DEPTH = 3
"""Checkpoints in the bytes of each other that are opened."""

MAX_OPENED = 8
"""Byte strings of one file that are opened."""

MAX_UNPACKED = 256 << 20
"""Bytes that the compressed ones of a file may unpack to, together."""

MAX_TOLD = 16
"""Byte strings that are told one by one where they are beyond these bounds."""

IN_BYTES = "bytes"
"""The name in a path that stands for the checkpoint in the bytes before it."""


@dataclass(slots=True)
class InnerCheckpoints:
    """The `state_dicts` of those that were opened, by their path in the whole checkpoint, and
    `notes` on each byte string that begins as a file of weights does."""

    state_dicts: dict[str, StateDict] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def open_inner(found: Unlisted, taken: Iterable[str], scratch: Path | None) -> InnerCheckpoints:
    """Open the files in byte strings, and those in the byte strings of these, within the bounds
    above and what is left of the budget of work. One that does not open is told, and no error.

    `taken` has the paths of the other choices, which keep them: a path like one of these gets a
    number. What is compressed is unpacked as in `open_checkpoint`.
    """
    result, names = InnerCheckpoints(), Names()
    for other in taken:
        names.name(other)
    unpacking = Unpacking(scratch, MAX_UNPACKED)
    rest = deque((1, file) for file in found.files)
    unopened: list[FileInBytes] = []
    opened, more = 0, found.more
    while rest:
        depth, file = rest.popleft()
        if depth > MAX_DEPTH or opened == MAX_OPENED:
            unopened.append(file)
            continue
        opened += 1
        above = f"{file.path}.{IN_BYTES}" if file.path else IN_BYTES
        try:
            contents = look_into(file.source, "The bytes", unpacking)
            if isinstance(contents, FileSet):
                _tell(result, file)
                continue
            inner = find_state_dicts(contents.tree, contents.entry)
            within = unlisted(contents.tree) if contents.may_have_unlisted else Unlisted()
        except (CheckpointError, SourceError):
            _tell(result, file)
            continue
        for each in within.files:
            path = f"{above}.{each.path}" if each.path else above
            rest.append((depth + 1, each._replace(path=path)))
        more += within.more
        if not inner:
            if not within.files:
                _tell(result, file)
            continue
        paths = []
        for own, state_dict in inner.items():
            paths.append(names.name(f"{above}.{own}" if own else above))
            result.state_dicts[paths[-1]] = state_dict.at(paths[-1])
        result.notes.append(
            f"The {file.nbytes} of bytes {file.place} are a checkpoint of their own "
            f"({FORMATS[contents.format]}): its tensors are in {listed(paths)}."
        )
    result.notes += [file.note for file in unopened[:MAX_TOLD]]
    more += len(unopened[MAX_TOLD:])
    if more:
        result.notes.append(
            f"{counted(more, 'more byte string')} with such a beginning {are(more)} not opened: "
            f"Loupe opens {MAX_OPENED} of a file."
        )
    return result


def _tell(result: InnerCheckpoints, file: FileInBytes) -> None:
    """Tell a file that does not open, if what is in it begins like weights."""
    try:
        told = file.looked_into()
    except SourceError:
        told = file
    if told is not None:
        result.notes.append(told.note)
