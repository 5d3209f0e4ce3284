"""Compares the numpy arrays of two files that are in no state_dict."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from core.checkpoint import Checkpoint, NumpyArray, StateDict
from core.compare.comparison import Comparison, Pair, PairedBy, Pairing, State
from core.compare.metadata.content_changes import ContentChanges
from core.compare.metadata.further_tensors import OtherTensors
from core.compare.rows import compare
from core.compare.same_weights import alike
from core.compare.tensor_numbers import Numbers
from core.compare.verdict import Beside
from core.progress import Report, ignore


def compare_arrays(
    a: Checkpoint, b: Checkpoint, most: int | None = None, *, progress: Report = ignore
) -> tuple[Comparison, tuple[str, ...]]:
    """The arrays of A and B, by their paths, as the rows of a comparison; and the paths of those
    that were not compared.

    No file has a checksum of an array alone, so all bytes are read; at most `most` of each file,
    if that is given. Raises SourceError where the bytes are gone.
    """
    in_a, in_b = ({array.path: array for array in side.arrays()} for side in (a, b))
    pairs, unread, read = [], [], 0
    for path, array in in_a.items():
        other = in_b.get(path)
        if other is None or not _are_comparable(array, other):
            continue
        read += array.entry.nbytes
        if most is not None and read > most:
            unread.append(path)
        else:
            pairs.append(Pair(path, array.entry, other.entry, PairedBy.NAME))
    paired = {pair.key for pair in pairs} | set(unread)
    alone = (
        {path: array.entry for path, array in side.items() if path not in paired}
        for side in (in_a, in_b)
    )
    only_a, only_b = (tuple(entries.values()) for entries in alone)
    all_a = StateDict((*(pair.a for pair in pairs), *only_a))
    all_b = StateDict((*(pair.b for pair in pairs), *only_b))
    pairing = Pairing(tuple(pairs), (), only_a, only_b)
    return compare(all_a, all_b, pairing, progress=progress), tuple(unread)


def _are_comparable(a: NumpyArray, b: NumpyArray) -> bool:
    """Whether equal elements make equal arrays: of texts and dates, the dtype says what they are,
    and their entries have bytes alone."""
    return a.dtype == b.dtype or (a.dtype == a.entry.dtype and b.dtype == b.entry.dtype)


def found_beside(
    arrays: Comparison,
    unread: Sequence[str],
    contents: ContentChanges,
    others: Sequence[OtherTensors] = (),
    close: Mapping[str, Numbers] | None = None,
    order: int = 0,
) -> Beside:
    """What differs besides the tensors, for the verdict: the `arrays` that are compared, those
    that are `unread`, the other `contents`, the tensors in `others`, and the `order` of a training
    that the files state.

    `close` are numbers of the arrays, measured with a tolerance: what is within it is the same. Of
    small arrays, the metadata has the values, which are not told twice. Arrays of the same bytes
    may differ in what they stand for, such as dates in other units.
    """
    rows = [row for row in arrays.rows if not alike([row], close)]
    told = {row.key for row in arrays.rows if row.state is not State.SAME} | set(unread)
    paths = (".".join(change.path) for change in contents.changes)
    return Beside(
        arrays=tuple(row.key for row in rows if row.a is not None and row.b is not None),
        arrays_a=tuple(row.key for row in rows if row.b is None),
        arrays_b=tuple(row.key for row in rows if row.a is None),
        unread=tuple(unread),
        values=tuple(path for path in paths if not _is_of_array(path, told)),
        unread_bytes=contents.unread,
        records=contents.records.changed,
        files=contents.files.changed,
        files_unread=contents.files.unread,
        records_by_checksum=contents.records.by_checksum,
        others=tuple(other.path for other in others if other.differ),
        others_unread=tuple(other.path for other in others if other.unread),
        others_by_checksum=tuple(other.path for other in others if other.by_checksum),
        damaged=(
            *contents.records.damaged,
            *(
                f"{other.path}.{tensor}" if other.path else tensor
                for other in others
                for tensor in other.damaged
            ),
        ),
        order=order,
    )


def _is_of_array(path: str, arrays: Collection[str]) -> bool:
    """Whether a value is one of an array's elements, or stands for it."""
    while path:
        if path in arrays:
            return True
        path = path.rpartition(".")[0]
    return False
