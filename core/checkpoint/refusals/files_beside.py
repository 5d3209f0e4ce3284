"""Looks into the files beside an opened checkpoint, in its folder or its archive, for pickles.

Whoever gets the checkpoint gets these files too, and some program loads them: random states, the
options of a training, another copy of the weights.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from core.checkpoint.containers.budget import bounded_work
from core.checkpoint.containers.file_set import File, FileSet, source_of
from core.checkpoint.containers.inner_places import HEAD, Search, may_have_pickles
from core.checkpoint.containers.packed import WEIGHTS
from core.checkpoint.entries import Source
from core.checkpoint.pickles.global_verdicts import GlobalUse, Verdict, judge
from core.checkpoint.readers.torch_zip import PICKLE_ENDINGS
from core.checkpoint.refusals.unread_pickles import look_at
from core.errors import LoupeError, printable
from core.wording import counted, listed

MAX_LIKELY = 64
"""Files with the names of pickles that are searched."""

MAX_OTHERS = 256
"""Files with other names whose first bytes are looked at."""

MAX_NAMED = 5
"""The most files that a note names."""

_LIKELY = (*PICKLE_ENDINGS, *WEIGHTS, ".npy", ".npz", ".zip", ".gz", ".tgz")

_SAFE = ".safetensors"
"""The ending of files that contain no pickle."""


@dataclass(frozen=True, slots=True)
class PicklesBeside:
    """The dangerous globals of files beside a checkpoint, and notes on what was not searched."""

    globals: tuple[GlobalUse, ...] = ()
    notes: tuple[str, ...] = ()


def look_beside(files: FileSet, read: Collection[str]) -> PicklesBeside:
    """Search the files of a set, or of its archive, that are not among those `read`."""
    if files.index is not None:
        return PicklesBeside()
    if files.archive is not None:
        return look_into_archive(files.archive, {f"{files.within}{name}" for name in read})
    unread = [name for name in files.files if name not in read and not name.endswith(_SAFE)]
    likely = [name for name in unread if name.endswith(_LIKELY)]
    others = [name for name in unread if not name.endswith(_LIKELY)]
    search = Search()
    search.unread += likely[MAX_LIKELY:]
    searched = (*likely[:MAX_LIKELY], *_like_pickles(files.files, others))
    return _found(search, ((source_of(files.files[name], name), name) for name in searched), ())


def look_into_archive(archive: Source, read: Collection[str]) -> PicklesBeside:
    """Search the members of an archive that are not among those `read`."""
    return _found(Search(), [(archive, "")], read)


def _like_pickles(files: Mapping[str, File], names: Collection[str]) -> Iterator[str]:
    for name in list(names)[:MAX_OTHERS]:
        try:
            head = source_of(files[name], name).read(0, HEAD)
        except LoupeError:
            continue  # a file that cannot be opened is loaded by nobody
        if may_have_pickles(head):
            yield name


def _found(
    search: Search,
    sources: Iterator[tuple[Source, str]] | list[tuple[Source, str]],
    leave_out: Collection[str],
) -> PicklesBeside:
    places: dict[str, dict[str, None]] = {}
    with bounded_work():
        for source, name in sources:
            try:
                for place, data in search.places(source, name, leave_out=leave_out):
                    if place and (place.endswith(PICKLE_ENDINGS) or may_have_pickles(data)):
                        for global_name in _dangerous(place, data):
                            places.setdefault(global_name, {})[printable(place)] = None
            except LoupeError:
                search.unread.append(name)
    uses = (_use(global_name, list(files)) for global_name, files in places.items())
    return PicklesBeside(tuple(uses), _note(search.unread))


def _dangerous(place: str, data: bytes) -> tuple[str, ...]:
    found = look_at(data, place)
    return found.names if found.runs else ()


def _use(name: str, files: list[str]) -> GlobalUse:
    reason, file = judge(name, 1, known=False).reason, listed(files, MAX_NAMED)
    return GlobalUse(name, Verdict.DANGEROUS, reason, len(files), file, hidden=True, file=file)


def _note(unread: Collection[str]) -> tuple[str, ...]:
    names = [printable(name)[:120] for name in dict.fromkeys(unread) if name]
    if not names:
        return ()
    return (
        f"{counted(len(names), 'file')} beside the checkpoint could not be searched for dangerous "
        f"names to the end: {listed(names, MAX_NAMED)}.",
    )
