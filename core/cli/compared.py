"""Opens and compares the two checkpoints that a command names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.checkpoint import Checkpoint, StateDict, open_checkpoint
from core.checkpoint.containers import file_or_set
from core.cli.output import verified, warn_of, watched
from core.compare import (
    ALLCLOSE,
    BY_ITSELF,
    NOTHING,
    Choices,
    Comparison,
    Numbers,
    Side,
    Tolerance,
    alike,
    bytes_to_measure,
    compare,
    is_nothing,
    is_read_by_itself,
    measurable,
    side,
    with_damage,
)
from core.compare.metadata import (
    MAX_READ,
    ContentChanges,
    MetadataChange,
    Node,
    OtherTensors,
    compare_arrays,
    content_changes,
    found_beside,
    other_tensors,
    training_order,
)
from core.compare.pairing import distinct_keys, pair
from core.compare.verdict import NOTHING_BESIDE, Beside, damage_sentence, verdict
from core.inspect import RecordChecks, Verification
from core.wording import listed, tensors


@dataclass(frozen=True, slots=True)
class Opened:
    """One side of the comparison; `checkpoint` is None for the null device."""

    side: Side
    state_dict: StateDict
    checkpoint: Checkpoint | None


@dataclass(frozen=True, slots=True)
class Compared:
    """Both sides and their comparison; `numbers` is None if they were not measured.

    `verifications` are by side, "A" and "B"; None if that was not asked for. `beside` is what
    differs besides the tensors, and `others` are the state_dicts besides the compared ones.
    """

    a: Opened
    b: Opened
    comparison: Comparison
    numbers: Mapping[str, Numbers] | None
    sentence: str
    metadata: tuple[MetadataChange, ...]
    verifications: Mapping[str, Verification] | None = None
    beside: Beside = NOTHING_BESIDE
    others: tuple[OtherTensors, ...] = ()

    def same(self, *, tolerated: bool, ignore_names: bool) -> bool:
        """Whether A and B contain the same tensors and numpy arrays, and nothing is known to be
        damaged. If `tolerated`, tensors are the same where their numbers are close."""
        close = self.numbers if tolerated else None
        rows = self.comparison.rows
        return (
            self.sound and self.beside.same_arrays and alike(rows, close, ignore_names=ignore_names)
        )

    @property
    def sound(self) -> bool:
        """Whether nothing besides the compared tensors was found to be damaged."""
        verifications = (self.verifications or {}).values()
        return not self.beside.damaged and all(each.sound for each in verifications)


def _open_side(path: Path, state_dict: str | None = None) -> Opened:
    """Open what a path names: a file, a folder, an index, or the null device, which is empty.

    `state_dict` is the path of the state_dict to compare, None for the best. Raises LoupeError.
    """
    if is_nothing(path):
        return Opened(NOTHING, StateDict(()), None)
    checkpoint = open_checkpoint(file_or_set(path))
    chosen = checkpoint.state_dict(state_dict)
    return Opened(side(checkpoint, chosen), chosen, checkpoint)


def open_sides(
    path_a: Path,
    path_b: Path,
    state_dict_a: str | None = None,
    state_dict_b: str | None = None,
    *,
    aside: bool,
) -> tuple[Opened, Opened]:
    """Open both sides, and say what they would have run elsewhere; on stderr if `aside`."""
    opened = _open_side(path_a, state_dict_a), _open_side(path_b, state_dict_b)
    for each in opened:
        if each.checkpoint is not None:
            warn_of(each.checkpoint, aside=aside)
    return opened


def compare_opened(
    a: Opened,
    b: Opened,
    choices: Choices,
    tolerance: Tolerance | None = None,
    *,
    numbers: bool | None = None,
    verify: bool = False,
) -> Compared:
    """Compare the two sides, with progress on stderr if that is a terminal.

    `numbers`: whether to measure what differs; None: if that is quick. Checksums are trusted where
    a file is large, unless its numbers or `verify` are asked for; `verify` reads all of both files.
    """
    in_a, in_b = distinct_keys(a.state_dict, b.state_dict)
    a, b = replace(a, state_dict=in_a), replace(b, state_dict=in_b)
    checks = RecordChecks()
    verifications = None
    if verify:
        sides = {"A": a.checkpoint, "B": b.checkpoint}
        verifications = {
            name: verified(checkpoint, checks) for name, checkpoint in sides.items() if checkpoint
        }
    every = verify or bool(numbers)
    read = every or is_read_by_itself(a.state_dict, b.state_dict)
    with watched("bytes") as progress:
        pairing = pair(a.state_dict, b.state_dict, choices, progress=progress)
        comparison = compare(
            a.state_dict,
            b.state_dict,
            pairing,
            checks=checks if read else None,
            progress=progress,
        )
    if numbers is None:
        numbers = 0 < bytes_to_measure(comparison) <= BY_ITSELF
    measured = None
    if numbers:
        measured = _numbers(comparison, tolerance or ALLCLOSE, checks)
        comparison = with_damage(comparison, measured)
    contents, others = _contents(a, b, every=every), _others(a, b, checks, every=every)
    beside = _beside(a, b, contents, others, tolerance)
    if verifications is not None:  # it read all that the comparison did, and more
        beside = replace(beside, damaged=_damaged_besides(a, b, comparison, verifications))
    sentence = _sentence(a, b, comparison, measured, beside)
    return Compared(
        a, b, comparison, measured, sentence, contents.changes, verifications, beside, others
    )


def _numbers(
    comparison: Comparison, tolerance: Tolerance, checks: RecordChecks
) -> Mapping[str, Numbers]:
    from core.compare.numbers import differences

    pairs = measurable(comparison)
    keys = list(pairs)
    with watched("elements") as progress:
        measured = differences(list(pairs.values()), tolerance, checks=checks, progress=progress)
        return {keys[index]: numbers for index, numbers in measured}


def _beside(
    a: Opened,
    b: Opened,
    contents: ContentChanges,
    others: Sequence[OtherTensors],
    tolerance: Tolerance | None,
) -> Beside:
    """What differs besides the tensors; nothing if one of the sides is the null device."""
    if a.checkpoint is None or b.checkpoint is None:
        return NOTHING_BESIDE
    with watched("bytes") as progress:
        arrays, unread = compare_arrays(a.checkpoint, b.checkpoint, progress=progress)
    close = None if tolerance is None else _numbers(arrays, tolerance, RecordChecks())
    order = training_order(a.checkpoint, b.checkpoint)
    return found_beside(arrays, unread, contents, others, close, order)


def _damaged_besides(
    a: Opened, b: Opened, comparison: Comparison, verifications: Mapping[str, Verification]
) -> tuple[str, ...]:
    """The damaged records without a tensor of which the comparison says that it is damaged, by
    their tensors or else their names."""
    paths = {"A": a.state_dict.path, "B": b.state_dict.path}
    told = {
        (side, f"{paths[side]}.{entry.key}" if paths[side] else entry.key)
        for row in comparison.rows
        for side, entry in (("A", row.a), ("B", row.b))
        if entry is not None and side in row.damaged
    }
    return tuple(
        f"{listed(list(damage.keys)) or damage.record} in {side}"
        for side, verification in verifications.items()
        for damage in verification.damaged
        if not any((side, key) in told for key in damage.keys)
    )


def _sentence(
    a: Opened,
    b: Opened,
    comparison: Comparison,
    numbers: Mapping[str, Numbers] | None,
    beside: Beside,
) -> str:
    nothing = [name for name, side in (("A", a), ("B", b)) if side.checkpoint is None]
    if len(nothing) == 1:
        other = "B" if nothing == ["A"] else "A"
        return (
            f"{damage_sentence(comparison.rows)} {nothing[0]} is {NOTHING.name}, which contains "
            f"nothing: {tensors(len(comparison.rows))} only in {other}."
        ).lstrip()
    paths = {"path_a": a.state_dict.path, "path_b": b.state_dict.path}
    return verdict(comparison.rows, numbers, **paths, beside=beside).sentence


def _contents(a: Opened, b: Opened, *, every: bool) -> ContentChanges:
    """What changed besides the tensors; nothing if one of the sides is the null device. Where all
    tensors were read (`every`), all records are."""
    if a.checkpoint is None or b.checkpoint is None:
        return ContentChanges(Node("", None))
    most = None if every else BY_ITSELF
    return content_changes(a.checkpoint, b.checkpoint, most_of_records=most)


def _others(a: Opened, b: Opened, checks: RecordChecks, *, every: bool) -> tuple[OtherTensors, ...]:
    """The other state_dicts; where all of the compared one was read (`every`), all of these too."""
    if a.checkpoint is None or b.checkpoint is None:
        return ()
    chosen = a.state_dict.path, b.state_dict.path
    most = None if every else MAX_READ
    return other_tensors(a.checkpoint, b.checkpoint, chosen, most=most, scalars=0, checks=checks)
