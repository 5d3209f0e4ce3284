"""What is known of two files besides the compared tensors, and the sentences on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.compare.verdict.change_kinds import Finding, Kind
from core.errors import printable
from core.wording import are, counted, listed, place_in_file, size

MAX_NAME = 60
"""The most characters of a name from a file."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What differs besides the compared tensors, by paths in the files.

    `arrays` are the numpy arrays in no state_dict that differ, `arrays_a` and `arrays_b` those of
    one file only, and `unread` those that were not compared. `values` are those of the metadata
    that differ. `records` are the files' other records that differ, and `records_by_checksum` those
    that are the same by checksum, and were not read. `files` are those beside the checkpoints that
    differ or are beside one only, and `files_unread` those that were not compared. `unread_bytes`
    counts the bytes of byte strings that were not compared.
    `others` are the other state_dicts in which tensors differ, `others_unread` those in which some
    were not compared, and `others_by_checksum` those in which some are the same by checksum, and
    were not read. `damaged` are the damaged records without a compared tensor, each with its file:
    `data.pkl in A`. `order` is 1 where the files state that B is the later one of a training, -1
    where A is, and 0 where they do not say.
    """

    arrays: tuple[str, ...] = ()
    arrays_a: tuple[str, ...] = ()
    arrays_b: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    unread_bytes: int = 0
    records: tuple[str, ...] = ()
    records_by_checksum: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    files_unread: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    others_unread: tuple[str, ...] = ()
    others_by_checksum: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    order: int = 0

    @property
    def same_arrays(self) -> bool:
        """Whether all arrays of both files were compared and are the same."""
        return not (self.arrays or self.arrays_a or self.arrays_b or self.unread)

    def nothing(self, *, by_checksum: bool) -> bool:
        """Whether all else in the files was compared, and nothing of it differs. All was read,
        too, unless it may be the same `by_checksum`."""
        if not by_checksum:
            return self == NOTHING_BESIDE
        return self == Beside(
            records_by_checksum=self.records_by_checksum,
            others_by_checksum=self.others_by_checksum,
        )


NOTHING_BESIDE = Beside()
"""Of files that have nothing besides tensors, or where nobody asked."""


def damage_finding(beside: Beside) -> Finding | None:
    """A sentence on damage outside of the compared tensors."""
    if not beside.damaged:
        return None
    names = [_short(name) for name in beside.damaged]
    do, checksum = ("does", "checksum") if len(names) == 1 else ("do", "checksums")
    return Kind.DAMAGED, (
        f"Damaged besides the compared tensors: {listed(names)} {do} not have the {checksum} that "
        f"{'was' if len(names) == 1 else 'were'} saved."
    )


def arrays_finding(beside: Beside) -> Finding | None:
    """A sentence on the numpy arrays and the byte strings that are not known to be the same."""
    clauses = []
    if beside.arrays:
        verb = "differs" if len(beside.arrays) == 1 else "differ"
        clauses.append(f"{_arrays(beside.arrays)} {verb} from A to B")
    for side, paths in (("A", beside.arrays_a), ("B", beside.arrays_b)):
        if paths:
            clauses.append(f"{_arrays(paths)} only in {side}")
    if beside.unread:
        verb = "was" if len(beside.unread) == 1 else "were"
        clauses.append(f"{_arrays(beside.unread)} {verb} not compared")
    if beside.unread_bytes:
        clauses.append(f"{size(beside.unread_bytes)} of byte strings were not compared")
    if not clauses:
        return None
    return Kind.ARRAYS, f"Besides the tensors, {'; '.join(clauses)}."


def values_clause(beside: Beside) -> str:
    """The end of a sentence that calls the tensors the same, on the values and the other
    state_dicts that are not known to be; or empty."""
    clauses = []
    if names := [
        *map(_short, (*beside.values, *beside.records, *beside.files)),
        *map(_state_dict, beside.others),
    ]:
        clauses.append(f"{listed(names)} {'differs' if len(names) == 1 else 'differ'}")
    unread = [path for path in beside.others_unread if path not in beside.others]
    trusted = [path for path in beside.others_by_checksum if path not in beside.others]
    for names, how in (
        ([*map(_short, beside.files_unread)], "not compared"),
        ([*map(_state_dict, unread)], "not compared in all tensors"),
        (
            [*map(_short, beside.records_by_checksum), *map(_state_dict, trusted)],
            "the same by checksum",
        ),
    ):
        if names:
            clauses.append(f"{listed(names)} {are(len(names))} {how}")
    return f"; besides them, {', and '.join(clauses)}" if clauses else ""


def _state_dict(path: str) -> str:
    return f"the state_dict {place_in_file(_short(path))}"


def _arrays(paths: Sequence[str]) -> str:
    if len(paths) == 1:
        return f"the numpy array {_short(paths[0])}"
    return f"{counted(len(paths), 'numpy array')} ({listed([_short(path) for path in paths])})"


def _short(path: str) -> str:
    text = printable(path)
    return text if len(text) <= MAX_NAME else f"{text[: MAX_NAME - 1]}…"
