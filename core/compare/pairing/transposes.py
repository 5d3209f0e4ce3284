"""Pairs of which one tensor is the transpose of the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from core.checkpoint import TensorEntry, sampled_bytes
from core.compare.comparison import Pair, PairedBy
from core.compare.pairing.entry_views import transposed
from core.compare.pairing.likeness import correlation
from core.compare.pairing.same_content import SAMPLED, covers_its_record, is_dull

PROBES = 12
"""Square matrices, or matrices of one shape, that are tested without success before the others are
skipped: a conversion transposes many of them, or none."""


def seen_transposed(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs, with A's tensor transposed where that matches B's. Raises SourceError."""
    result = []
    hits = misses = 0
    for pair in pairs:
        viewed = pair
        if _is_matrix(pair.a) and pair.a.shape == pair.b.shape[::-1]:
            if pair.a.shape != pair.b.shape:
                viewed = _as_transpose(pair)
            elif not _same_checksum(pair) and (misses < PROBES or hits):
                viewed = _as_transpose(pair, exactly=True)
                hits += viewed is not pair
                misses += viewed is pair
        result.append(viewed)
    return result


def transposed_pairs(a: Mapping[str, TensorEntry], b: Mapping[str, TensorEntry]) -> list[Pair]:
    """Pair unpaired matrices with those that contain the same elements transposed.

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
        transpose = transposed(entry)
        mark = sampled_bytes(transpose)
        keys = (
            marks.get((transpose.shape, transpose.dtype, mark), [])
            if mark and not is_dull(entry)
            else []
        )
        misses[entry.shape] = 0 if keys else misses.get(entry.shape, 0) + 1
        if len(keys) == 1:
            why = "equal to its transpose in the sampled elements"
            pair = Pair(key, entry, b[keys[0]], PairedBy.CONTENT, SAMPLED)
            pairs.append(_with_transpose(pair, transpose, why))
    return pairs


def _is_matrix(entry: TensorEntry) -> bool:
    return len(entry.shape) == 2 and min(entry.shape) > 1 and entry.form is None


def _same_checksum(pair: Pair) -> bool:
    """Whether the two are the same by checksum as they are, so that no transpose is looked for."""
    a, b = pair.a.record, pair.b.record
    if a is None or b is None or a.crc32 is None or not covers_its_record(pair.a):
        return False
    return a.crc32 == b.crc32


def _as_transpose(pair: Pair, *, exactly: bool = False) -> Pair:
    """The pair with A transposed, where that matches B better; else the same pair.

    With `exactly`, only equal sampled elements count, and not a correlation.
    """
    transpose = transposed(pair.a)
    mark = sampled_bytes(transpose)
    if mark is None or is_dull(pair.a):
        return pair
    if mark == sampled_bytes(pair.b) and (
        pair.a.shape != pair.b.shape or mark != sampled_bytes(pair.a)
    ):
        return _with_transpose(pair, transpose, "equal to its transpose")
    if exactly:
        return pair
    agreement = correlation(transpose, pair.b)
    if agreement is None:
        return pair
    why = f"correlates with its transpose at {agreement:.2f}"
    return _with_transpose(pair, transpose, why)


def _with_transpose(pair: Pair, transpose: TensorEntry, why: str) -> Pair:
    return replace(pair, a=transpose, view_a="transposed", transposed=True, why=why)
