"""Checkpoints of one run in the order in which the training saved them, and what to call each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from core.checkpoint import Checkpoint
from core.checkpoint.tree import Json
from core.compare.metadata.training_state import Named, epoch_of, step_of
from core.wording import count

_NOTED = re.compile(r"(epoch|global_step|step|iteration|iter)[=_-]?([0-9]{1,18})(?![0-9])", re.I)
"""A number with its word in a file's name, as Lightning's `epoch=3-step=1000.ckpt` has two."""


Mark = TypeVar("Mark", tuple[int | float, ...], tuple[int, ...], tuple[tuple[str, int, str], ...])
"""By what checkpoints are sorted"""


def in_order(checkpoints: Sequence[Checkpoint]) -> tuple[tuple[Checkpoint, ...], str]:
    """The checkpoints from the first to the last, and in a few words how that is known.

    By the epoch where all hold one and they differ, else by epoch and step, else by the step; then
    by such a number in the files' names; else by the names, their numbers read as numbers.
    """
    order = _order(checkpoints)
    return tuple(checkpoints[index] for index in order.indices), order.evidence


def labels(checkpoints: Sequence[Checkpoint]) -> tuple[str, ...]:
    """What to call each, no two the same: `epoch 3`, or the file's name where that told the order.

    The labels come in the order of the checkpoints that are given.
    """
    given = _order(checkpoints).labels
    often = Counter(given)
    seen: Counter[str] = Counter()
    told = []
    for label in given:
        seen[label] += 1
        told.append(f"{label} ({seen[label]})" if often[label] > 1 else label)
    return tuple(told)


def natural(name: str) -> tuple[tuple[str, int, str], ...]:
    """A name as it is sorted by the numbers in it: `epoch_9` before `epoch_10`."""
    parts = re.findall(r"([^0-9]*)([0-9]*)", name.lower())
    digits = [(text, number.lstrip("0")) for text, number in parts]
    return (*((text, len(number), number) for text, number in digits), (name, 0, ""))


@dataclass(frozen=True, slots=True)
class _Order:
    """`indices` of the checkpoints in their order; the `labels` are in the given order."""

    indices: tuple[int, ...]
    evidence: str
    labels: tuple[str, ...]


def _order(checkpoints: Sequence[Checkpoint]) -> _Order:
    held = [checkpoint.metadata for checkpoint in checkpoints]
    epochs, steps = _all(held, epoch_of), _all(held, step_of)
    for numbers in ((epochs,), (epochs, steps), (steps,)):
        if found := _by_metadata(numbers):
            return found
    names = [checkpoint.name for checkpoint in checkpoints]
    noted = [{word.lower(): int(number) for word, number in _NOTED.findall(name)} for name in names]
    for word in ("epoch", "global_step", "step", "iteration", "iter"):
        written = [(found[word],) for found in noted if word in found]
        if names and len(set(written)) == len(names):
            return _Order(_sorted(written), f"by the {word} in their names", tuple(names))
    told = "by their names"
    if len({re.sub("[0-9]+", "0", name) for name in names}) == 1 < len(set(names)):
        told = "by the numbers in their names"
    return _Order(_sorted([natural(name) for name in names]), told, tuple(names))


def _all(
    held: Sequence[Mapping[str, Json]], number_of: Callable[[Mapping[str, Json]], Named | None]
) -> list[Named]:
    """The number in each; empty where one lacks it, or calls it something else than the others."""
    found = [named for metadata in held if (named := number_of(metadata)) is not None]
    return found if len(found) == len(held) and len({one.name for one in found}) == 1 else []


def _by_metadata(numbers: Sequence[Sequence[Named]]) -> _Order | None:
    """By these numbers, the first before the second; None where they don't tell all apart."""
    if not all(numbers):
        return None
    rows = list(zip(*numbers, strict=True))
    values = [tuple(named.value for named in row) for row in rows]
    if len(set(values)) < len(values):
        return None
    names = " and ".join(named.name for named in rows[0])
    return _Order(
        _sorted(values),
        f"by the {names} that they hold",
        tuple(", ".join(f"{named.name} {_number(named.value)}" for named in row) for row in rows),
    )


def _number(value: int | float) -> str:
    return count(int(value)) if value == int(value) else f"{value:g}"


def _sorted(marks: Sequence[Mark]) -> tuple[int, ...]:
    return tuple(sorted(range(len(marks)), key=marks.__getitem__))
