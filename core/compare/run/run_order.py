"""The order in which a training run saved its checkpoints, and a label for each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from core.checkpoint import Checkpoint
from core.checkpoint.tree import Json
from core.compare.metadata.training_state import Named, epoch_of, step_of
from core.keys import natural_order
from core.wording import count

_NOTED = re.compile(r"(epoch|global_step|step|iteration|iter)[=_-]?([0-9]{1,18})(?![0-9])", re.I)
"""A word and its number in a file name; Lightning's `epoch=3-step=1000.ckpt` has two."""


Mark = TypeVar("Mark", tuple[int | float, ...], tuple[int, ...], tuple[tuple[str, int, str], ...])
"""A key by which checkpoints are sorted."""


def in_order(checkpoints: Sequence[Checkpoint]) -> tuple[tuple[Checkpoint, ...], str]:
    """The checkpoints from the first to the last, and in a few words how the order is known.

    The first of these that distinguishes all of them decides: the epoch in their metadata, epoch
    and step, the step, such a number in the file names. Else the file names do, with the numbers in
    them compared as numbers.
    """
    order = _order(checkpoints)
    return tuple(checkpoints[index] for index in order.indices), order.evidence


def labels(checkpoints: Sequence[Checkpoint]) -> tuple[str, ...]:
    """A unique label for each: `epoch 3`, or the file name where the names decided the order.

    The labels are in the order of the given checkpoints.
    """
    given = _order(checkpoints).labels
    often = Counter(given)
    seen: Counter[str] = Counter()
    unique = []
    for label in given:
        seen[label] += 1
        unique.append(f"{label} ({seen[label]})" if often[label] > 1 else label)
    return tuple(unique)


@dataclass(frozen=True, slots=True)
class _Order:
    """`indices` are the given checkpoints in the run's order; `labels` are in the given order."""

    indices: tuple[int, ...]
    evidence: str
    labels: tuple[str, ...]


def _order(checkpoints: Sequence[Checkpoint]) -> _Order:
    metadata = [checkpoint.metadata for checkpoint in checkpoints]
    epochs, steps = _all(metadata, epoch_of), _all(metadata, step_of)
    for numbers in ((epochs,), (epochs, steps), (steps,)):
        if order := _by_metadata(numbers):
            return order
    names = [checkpoint.name for checkpoint in checkpoints]
    noted = [{word.lower(): int(number) for word, number in _NOTED.findall(name)} for name in names]
    for word in ("epoch", "global_step", "step", "iteration", "iter"):
        written = [(order[word],) for order in noted if word in order]
        if names and len(set(written)) == len(names):
            return _Order(_sorted(written), f"by the {word} in their names", tuple(names))
    evidence = "by their names"
    if len({re.sub("[0-9]+", "0", name) for name in names}) == 1 < len(set(names)):
        evidence = "by the numbers in their names"
    return _Order(_sorted([natural_order(name) for name in names]), evidence, tuple(names))


def _all(
    all_metadata: Sequence[Mapping[str, Json]],
    number_of: Callable[[Mapping[str, Json]], Named | None],
) -> list[Named]:
    """The number in each; empty where one lacks it, or has another name for it than the others."""
    numbers = [named for metadata in all_metadata if (named := number_of(metadata)) is not None]
    return (
        numbers
        if len(numbers) == len(all_metadata) and len({number.name for number in numbers}) == 1
        else []
    )


def _by_metadata(numbers: Sequence[Sequence[Named]]) -> _Order | None:
    """The order by these numbers, the first before the second; None where two checkpoints tie."""
    if not all(numbers):
        return None
    rows = list(zip(*numbers, strict=True))
    values = [tuple(named.value for named in row) for row in rows]
    if len(set(values)) < len(values):
        return None
    names = " and ".join(named.name for named in rows[0])
    return _Order(
        _sorted(values),
        f"by the {names} in their metadata",
        tuple(", ".join(f"{named.name} {_number(named.value)}" for named in row) for row in rows),
    )


def _number(value: int | float) -> str:
    return count(int(value)) if value == int(value) else f"{value:g}"


def _sorted(marks: Sequence[Mark]) -> tuple[int, ...]:
    return tuple(sorted(range(len(marks)), key=marks.__getitem__))
