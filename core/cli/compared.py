"""Opens and compares the two checkpoints that a command names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.checkpoint import Checkpoint, StateDict, open_checkpoint
from core.checkpoint.containers import file_or_set
from core.cli.output import watched
from core.compare import (
    ALLCLOSE,
    BY_ITSELF,
    NOTHING,
    Choices,
    Comparison,
    Numbers,
    Side,
    Tolerance,
    bytes_to_measure,
    compare,
    is_nothing,
    measurable,
    side,
)
from core.compare.metadata import MetadataChange, metadata_changes
from core.compare.pairing import pair
from core.compare.verdict import verdict
from core.wording import tensors


@dataclass(frozen=True, slots=True)
class Opened:
    """One side of the comparison; `checkpoint` is None for the null device."""

    side: Side
    state_dict: StateDict
    checkpoint: Checkpoint | None


@dataclass(frozen=True, slots=True)
class Compared:
    """Both sides and their comparison; `numbers` is None if they were not measured."""

    a: Opened
    b: Opened
    comparison: Comparison
    numbers: Mapping[str, Numbers] | None
    sentence: str
    metadata: tuple[MetadataChange, ...]


def open_side(path: Path, state_dict: str | None = None) -> Opened:
    """Open what a path names: a file, a folder, an index, or the null device, which is empty.

    `state_dict` is the path of the state_dict to compare, None for the best. Raises LoupeError.
    """
    if is_nothing(path):
        return Opened(NOTHING, StateDict(()), None)
    checkpoint = open_checkpoint(file_or_set(path))
    chosen = checkpoint.state_dict(state_dict)
    return Opened(side(checkpoint, chosen), chosen, checkpoint)


def compare_opened(
    a: Opened,
    b: Opened,
    choices: Choices,
    tolerance: Tolerance | None = None,
    *,
    numbers: bool | None = None,
) -> Compared:
    """Compare the two sides, with progress on stderr if that is a terminal.

    `numbers`: whether to measure what differs; None: if that is quick.
    """
    with watched("bytes") as progress:
        pairing = pair(a.state_dict, b.state_dict, choices, progress=progress)
        comparison = compare(a.state_dict, b.state_dict, pairing, progress=progress)
    if numbers is None:
        numbers = 0 < bytes_to_measure(comparison) <= BY_ITSELF
    measured = _numbers(comparison, tolerance or ALLCLOSE) if numbers else None
    sentence = _sentence(a, b, comparison, measured)
    return Compared(a, b, comparison, measured, sentence, _metadata(a, b))


def _numbers(comparison: Comparison, tolerance: Tolerance) -> Mapping[str, Numbers]:
    from core.compare.numbers import differences

    pairs = measurable(comparison)
    keys = list(pairs)
    with watched("elements") as progress:
        return {
            keys[index]: numbers
            for index, numbers in differences(list(pairs.values()), tolerance, progress=progress)
        }


def _sentence(
    a: Opened, b: Opened, comparison: Comparison, numbers: Mapping[str, Numbers] | None
) -> str:
    nothing = [name for name, side in (("A", a), ("B", b)) if side.checkpoint is None]
    if len(nothing) == 1:
        other = "B" if nothing == ["A"] else "A"
        return (
            f"{nothing[0]} is {NOTHING.name}, which contains nothing: "
            f"{tensors(len(comparison.rows))} only in {other}."
        )
    paths = {"path_a": a.state_dict.path, "path_b": b.state_dict.path}
    return verdict(comparison.rows, numbers, **paths).sentence


def _metadata(a: Opened, b: Opened) -> tuple[MetadataChange, ...]:
    """What changed besides the tensors; empty if one of the sides is the null device."""
    if a.checkpoint is None or b.checkpoint is None:
        return ()
    return metadata_changes(a.checkpoint.metadata, b.checkpoint.metadata)
