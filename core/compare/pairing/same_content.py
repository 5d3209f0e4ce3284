"""Tensors with equal content under different keys."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence

from core.checkpoint import ITEMSIZES, TensorEntry, arrangement, parts, sampled_bytes
from core.compare.comparison import Pair, PairedBy
from core.progress import Report, ignore

BY_CHECKSUM = 0.99
"""The confidence of a pair whose checksums are equal: checksums can be forged, and bytes that were
overwritten since do not change them."""

SAMPLED = 0.97
"""The confidence of a pair whose sampled elements are equal; all bytes are compared later."""

MIN_ELEMENTS = 16
"""Elements from which a tensor's content distinguishes it from others."""

MAX_UNIFORM_BYTES = 3
"""Distinct bytes among the sampled elements up to which the content distinguishes nothing: such are
the bytes of a single number and zero."""


def content_pairs(
    a: Mapping[str, TensorEntry],
    b: Mapping[str, TensorEntry],
    progress: Report = ignore,
) -> list[Pair]:
    """Pair tensors of the same shape, dtype and content; the keys are those of the rows.

    Content that occurs twice in a file pairs nothing, and neither does that of a tensor whose
    elements are few or all the same, such as zeros. Where all tensors of a shape have their own
    checksum, only a few elements of the pairs are read; else a few elements of each tensor are.
    Raises SourceError and Cancelled.
    """
    pairs = []
    done, total = 0, len(a) + len(b)
    for group_a, group_b in _groups(a, b):
        members = [a[key] for key in group_a] + [b[key] for key in group_b]
        checked = all(_has_checksum(part) for entry in members for part in parts(entry))
        marks_a = {key: content_mark(a[key], checked=checked) for key in group_a}
        marks_b = {key: content_mark(b[key], checked=checked) for key in group_b}
        pairs += _alike(a, b, marks_a, marks_b, checked=checked)
        done += len(members)
        progress(done, total, group_a[0])
    return pairs


def permuted_pairs(
    named: Sequence[Pair], apart: Collection[tuple[str, str]], progress: Report = ignore
) -> list[Pair]:
    """The pairs by content in place of those of `named` whose contents changed places.

    They are those tensors of A that all have their content in B under a key of one of the others.
    Where a tensor has the content of another and that one's is gone, the names stay. No pair is in
    `apart`. Raises as `content_pairs` does.
    """
    differing = [pair for pair in named if _have_other_marks(pair)]
    found = content_pairs(
        {pair.key: pair.a for pair in differing}, {pair.key: pair.b for pair in differing}, progress
    )
    row_of = {pair.b.key: pair.key for pair in differing}
    moved = {pair.key: pair for pair in found if (pair.a.key, pair.b.key) not in apart}
    while True:
        taken = {row_of[pair.b.key] for pair in moved.values()}
        closed = {
            key: pair for key, pair in moved.items() if key in taken and row_of[pair.b.key] in moved
        }
        if len(closed) == len(moved):
            return list(moved.values())
        moved = closed


def _have_other_marks(pair: Pair) -> bool:
    """Whether two tensors of one shape and dtype are known to differ, by checksums or by a few
    elements."""
    a, b = pair.a, pair.b
    if (a.shape, a.dtype) != (b.shape, b.dtype) or a.numel < MIN_ELEMENTS:
        return False
    if not (a.records and b.records):
        return False
    checked = all(_has_checksum(part) for part in (*parts(a), *parts(b)))
    marks = [content_mark(entry, checked=checked) for entry in (a, b)]
    return None not in marks and marks[0] != marks[1]


def content_mark(entry: TensorEntry, *, checked: bool) -> Hashable | None:
    """Equal for equal tensors: made from their checksums (`checked`) or a few of their elements.

    Different tensors may have equal marks too; the comparison of a pair decides.

    None where a part of the tensor has neither.
    """
    marks = [_part_mark(part, checked=checked) for part in parts(entry)]
    if not marks or any(mark is None for mark in marks):
        return None
    return (arrangement(entry), tuple(marks)) if entry.form is not None else marks[0]


def covers_its_record(entry: TensorEntry) -> bool:
    """Whether each byte of the record belongs to exactly one element, in any order."""
    if entry.record is None or entry.storage_offset:
        return False
    step = 1
    for stride, length in sorted(zip(entry.stride, entry.shape, strict=True)):
        if length == 1:
            continue
        if stride != step:
            return False
        step *= length
    return step * ITEMSIZES[entry.stored_dtype] == entry.record.nbytes


def _groups(
    a: Mapping[str, TensorEntry], b: Mapping[str, TensorEntry]
) -> list[tuple[list[str], list[str]]]:
    """The keys of A and of B with equal shape and dtype, for tensors with enough elements."""
    by_kind: dict[Hashable, tuple[list[str], list[str]]] = {}
    for side, entries in enumerate((a, b)):
        for key, entry in entries.items():
            if entry.numel >= MIN_ELEMENTS and entry.records:
                by_kind.setdefault((entry.shape, entry.dtype), ([], []))[side].append(key)
    return [group for group in by_kind.values() if all(group)]


def _has_checksum(entry: TensorEntry) -> bool:
    return entry.record is not None and entry.record.crc32 is not None and covers_its_record(entry)


def _part_mark(entry: TensorEntry, *, checked: bool) -> Hashable | None:
    if not checked:
        return sampled_bytes(entry)
    if entry.record is None:
        return None
    order = ITEMSIZES[entry.stored_dtype] > 1 and entry.record.big_endian
    strides = tuple(
        stride for stride, length in zip(entry.stride, entry.shape, strict=True) if length > 1
    )
    return entry.record.crc32, strides, entry.transforms, order


def _alike(
    a: Mapping[str, TensorEntry],
    b: Mapping[str, TensorEntry],
    marks_a: Mapping[str, Hashable | None],
    marks_b: Mapping[str, Hashable | None],
    *,
    checked: bool,
) -> list[Pair]:
    of_a: dict[Hashable, list[str]] = {}
    of_b: dict[Hashable, list[str]] = {}
    for by_mark, marks in ((of_a, marks_a), (of_b, marks_b)):
        for key, mark in marks.items():
            if mark is not None:
                by_mark.setdefault(mark, []).append(key)
    confidence, how = SAMPLED, "sampled elements equal"
    if checked:
        confidence, how = BY_CHECKSUM, "same checksum"
    return [
        Pair(keys[0], a[keys[0]], b[of_b[mark][0]], PairedBy.CONTENT, confidence, how)
        for mark, keys in of_a.items()
        if len(keys) == len(of_b.get(mark, ())) == 1 and not is_dull(a[keys[0]])
    ]


def is_dull(entry: TensorEntry) -> bool:
    """Whether the sampled elements have so few distinct bytes that many tensors could have them,
    such as zeros and ones. Raises SourceError."""
    sample = sampled_bytes(entry)
    return sample is not None and len(set(sample)) <= MAX_UNIFORM_BYTES
