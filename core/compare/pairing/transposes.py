"""Tensors of which one is the other's transpose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from core.checkpoint import TensorEntry
from core.compare.comparison import Pair, PairedBy
from core.compare.pairing.entry_views import transposed
from core.compare.pairing.likeness import correlation
from core.compare.pairing.same_content import covers_its_record, is_dull
from core.compare.pairing.sampled import sampled_bytes

VIEW = "transposed"

PROBES = 12
"""Square matrices, or tensors of one shape, that are looked at before the others are not: a
conversion transposes many, or none."""

SAMPLED = 0.97


def seen_transposed(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs, of which those that are each other's transpose are seen so. Raises SourceError."""
    found = []
    square = misses = 0
    for one in pairs:
        seen = one
        if _is_matrix(one.a) and one.a.shape == one.b.shape[::-1]:
            if one.a.shape != one.b.shape:
                seen = _as_transpose(one)
            elif not _same_checksum(one) and (misses < PROBES or square):
                seen = _as_transpose(one, exactly=True)
                square += seen is not one
                misses += seen is one
        found.append(seen)
    return found


def transposed_pairs(a: Mapping[str, TensorEntry], b: Mapping[str, TensorEntry]) -> list[Pair]:
    """Pair matrices that are alone with those that hold the same elements transposed.

    Raises SourceError.
    """
    marks: dict[tuple[tuple[int, ...], str, bytes], list[str]] = {}
    wanted = {entry.shape[::-1] for entry in a.values() if _is_matrix(entry)}
    for key, entry in b.items():
        if _is_matrix(entry) and entry.shape in wanted and (mark := sampled_bytes(entry)):
            marks.setdefault((entry.shape, entry.dtype, mark), []).append(key)
    pairs = []
    misses: dict[tuple[int, ...], int] = {}
    shapes = {shape for shape, _, _ in marks}
    for key, entry in a.items():
        if not _is_matrix(entry) or entry.shape[::-1] not in shapes:
            continue
        if misses.get(entry.shape, 0) >= PROBES:
            continue
        seen = transposed(entry)
        mark = sampled_bytes(seen)
        keys = marks.get((seen.shape, seen.dtype, mark), []) if mark and not is_dull(entry) else []
        misses[entry.shape] = 0 if keys else misses.get(entry.shape, 0) + 1
        if len(keys) == 1:
            why = "equal to its transpose in the sampled elements"
            pairs.append(Pair(key, seen, b[keys[0]], PairedBy.CONTENT, SAMPLED, why, view_a=VIEW))
    return pairs


def _is_matrix(entry: TensorEntry) -> bool:
    return len(entry.shape) == 2 and min(entry.shape) > 1 and entry.form is None


def _same_checksum(one: Pair) -> bool:
    a, b = one.a.record, one.b.record
    if a is None or b is None or a.crc32 is None or not covers_its_record(one.a):
        return False
    return a.crc32 == b.crc32


def _as_transpose(one: Pair, *, exactly: bool = False) -> Pair:
    """The pair with A seen transposed, where that is nearer to B than A is."""
    seen = transposed(one.a)
    mark = sampled_bytes(seen)
    if mark is None or is_dull(one.a):
        return one
    if mark == sampled_bytes(one.b) and (
        one.a.shape != one.b.shape or mark != sampled_bytes(one.a)
    ):
        return replace(one, a=seen, view_a=VIEW, why="equal to its transpose")
    if exactly:
        return one
    alike = correlation(seen, one.b)
    if alike is None:
        return one
    return replace(one, a=seen, view_a=VIEW, why=f"correlates with its transpose at {alike:.2f}")
