"""The values of a row of a comparison: each side's own, and those of the pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from core.checkpoint import NUMBERLESS, TensorEntry
from core.compare.comparison import Row
from core.compare.measurability import comparable
from core.compare.one_pair.tensor_pairs import TensorPair, tensor_pair
from core.progress import Report, ignore
from core.tensors import Statistics, statistics

STEPS = 1_000
"""The steps of progress that one reading takes, however many elements it has."""


@dataclass(frozen=True, slots=True)
class PairValues:
    """What is measured of a row. `statistics` are by side, "A" or "B", of each that has numbers to
    read; `pair` is None where the two sides cannot be compared element by element."""

    statistics: Mapping[str, Statistics]
    pair: TensorPair | None


def pair_values(row: Row, progress: Report = ignore) -> PairValues:
    """Read each side once for its statistics, and both twice for the pair.

    Raises SourceError where the bytes are gone, LoupeError where they cannot be read, and
    Cancelled.
    """
    sides = {side: entry for side, entry in (("A", row.a), ("B", row.b)) if _has_numbers(entry)}
    passes = len(sides) + comparable(row.a, row.b)
    measured = {
        side: statistics(entry, _part(progress, at, passes))
        for at, (side, entry) in enumerate(sides.items())
        if entry is not None
    }
    pair = None
    if comparable(row.a, row.b):
        assert row.a is not None
        assert row.b is not None
        pair = tensor_pair(row.a, row.b, _part(progress, passes - 1, passes))
    return PairValues(measured, pair)


def _has_numbers(entry: TensorEntry | None) -> bool:
    return entry is not None and bool(entry.records) and entry.dtype not in NUMBERLESS


def _part(progress: Report, at: int, passes: int) -> Report:
    """The progress of one of several readings, as that of all."""

    def report(done: int, total: int, what: str) -> None:
        share = done / total if total else 1.0
        progress(round(STEPS * (at + share)), STEPS * passes, what)

    return report
