"""Tensors of equal content under other keys."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from core.checkpoint import ITEMSIZES, TensorEntry, arrangement, parts
from core.compare.comparison import Pair, PairedBy
from core.compare.pairing.sampled import sampled_bytes
from core.progress import Progress

CERTAIN = 1.0
SAMPLED = 0.97
"""Confidence of what was told by a few elements; all bytes are compared later."""

TELLING = 16
"""Elements that a tensor must have for its content to tell it from others."""

DULL = 3
"""Different bytes among the sampled elements that tell nothing: those of one number, and a zero."""


def content_pairs(
    a: Mapping[str, TensorEntry],
    b: Mapping[str, TensorEntry],
    progress: Progress | None = None,
) -> list[Pair]:
    """Pair tensors of the same shape, dtype and content; the keys are those of the rows.

    Content that stands twice in a file, such as zeros or ones, tells nothing, and neither does that
    of a tensor whose elements are all the same, or few.
    Where all tensors of a shape keep a checksum of their own, no byte is read; else a few elements
    of each are. Raises SourceError and Cancelled.
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
        if progress is not None:
            progress.report(done, total, group_a[0])
    return pairs


def content_mark(entry: TensorEntry, *, checked: bool) -> Hashable | None:
    """Equal for equal tensors: by their checksums, or by a few of their elements. None: no mark."""
    held = [_part_mark(part, checked=checked) for part in parts(entry)]
    if not held or any(mark is None for mark in held):
        return None
    return (arrangement(entry), tuple(held)) if entry.form is not None else held[0]


def covers_its_record(entry: TensorEntry) -> bool:
    """Whether each byte of the record belongs to just one element, whatever their order."""
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
    """The keys of tensors that could be one another: of equal shape and dtype, and not empty."""
    found: dict[Hashable, tuple[list[str], list[str]]] = {}
    for side, entries in enumerate((a, b)):
        for key, entry in entries.items():
            if entry.numel >= TELLING and entry.records:
                found.setdefault((entry.shape, entry.dtype), ([], []))[side].append(key)
    return [group for group in found.values() if all(group)]


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
    for found, marks in ((of_a, marks_a), (of_b, marks_b)):
        for key, mark in marks.items():
            if mark is not None:
                found.setdefault(mark, []).append(key)
    certain, how = (CERTAIN, "same checksum") if checked else (SAMPLED, "sampled elements equal")
    return [
        Pair(keys[0], a[keys[0]], b[of_b[mark][0]], PairedBy.CONTENT, certain, how)
        for mark, keys in of_a.items()
        if len(keys) == len(of_b.get(mark, ())) == 1 and not is_dull(a[keys[0]])
    ]


def is_dull(entry: TensorEntry) -> bool:
    """Whether the sampled elements hold so few different bytes that many tensors could have them,
    such as zeros and ones. Raises SourceError."""
    found = sampled_bytes(entry)
    return found is not None and len(set(found)) <= DULL
