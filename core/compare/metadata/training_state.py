"""How far a training run was when it saved a checkpoint, by the names that scripts use."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeGuard

from core.checkpoint.tree import Json

EPOCHS = ("epoch", "current_epoch", "epoch_idx")
STEPS = (
    *("global_step", "step", "iter", "iteration", "iterations", "global_iter", "num_updates"),
    *("current_step", "n_iter", "it"),
)
SCORES = (
    *("best_acc", "best_acc1", "best_acc_1", "best_accuracy", "best_prec1", "best_metric"),
    *("best_score", "best_fitness", "best_loss", "best_val_loss", "best_val_acc", "best_map"),
    *("best_miou", "metric", "accuracy", "acc", "acc1", "val_acc", "val_accuracy", "val_loss"),
    *("test_acc", "test_loss", "train_loss", "loss"),
)
"""What scripts call the results so far, the best ones first."""

PLACES = ("meta", "state", "train_state", "trainer_state", "training_state", "progress", "info")
"""Mappings at the top level in which some scripts store these."""

RATES = ("lr", "learning_rate")

MAX_DEPTH = 5
"""Levels down to which an optimizer's `param_groups` are searched."""

MAX_LOOKED = 2_000
"""The most values that are searched for them."""


@dataclass(frozen=True, slots=True)
class Named:
    """A number in the metadata, with the name that the script gave it."""

    name: str
    value: int | float


def epoch_of(metadata: Mapping[str, Json]) -> Named | None:
    """The epoch; None where the script did not save it."""
    return next(_numbers(metadata, EPOCHS), None)


def step_of(metadata: Mapping[str, Json]) -> Named | None:
    """The number of steps or iterations; None where the script did not save it."""
    return next(_numbers(metadata, STEPS), None)


def scores_of(metadata: Mapping[str, Json]) -> tuple[Named, ...]:
    """The results that the script saved, in the order of SCORES."""
    return tuple(_numbers(metadata, SCORES))


def learning_rates(metadata: Mapping[str, Json]) -> Mapping[str, tuple[float, ...]]:
    """Path of an optimizer in the metadata → the learning rate of each of its `param_groups`.

    Where there is none: the name → the learning rate that the script saved at the top level.
    """
    rates = dict(_param_groups(metadata))
    if not rates:
        rates = {number.name: (number.value,) for number in _numbers(metadata, RATES)}
    return rates


def _numbers(metadata: Mapping[str, Json], names: Sequence[str]) -> Iterator[Named]:
    """The numbers with these names at the top level, then those in PLACES."""
    below = (metadata.get(place) for place in PLACES)
    for place in (metadata, *(place for place in below if isinstance(place, Mapping))):
        for name in names:
            value = place.get(name)
            if isinstance(value, Sequence) and len(value) == 1:  # how metadata shows a numpy scalar
                value = value[0]
            if _is_number(value):
                yield Named(name, value)


def _is_number(value: Json) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _param_groups(metadata: Mapping[str, Json]) -> Iterator[tuple[str, tuple[float, ...]]]:
    rest: list[tuple[str, Json, int]] = [("", metadata, 0)]
    for looked in range(MAX_LOOKED):
        if looked >= len(rest):
            return
        path, value, depth = rest[looked]
        if isinstance(value, Mapping):
            groups = value.get("param_groups")
            if isinstance(groups, Sequence) and not isinstance(groups, str):
                group_rates = [group.get("lr") for group in groups if isinstance(group, Mapping)]
                rates = tuple(float(rate) for rate in group_rates if _is_number(rate))
                if rates and len(rates) == len(group_rates):
                    yield path, rates
                continue
        if depth < MAX_DEPTH:
            rest += _inside(path, value, depth + 1)


def _inside(path: str, value: Json, depth: int) -> list[tuple[str, Json, int]]:
    """The mappings and lists among the first items of a value, each with its path and depth."""
    items: list[tuple[str, Json]] = []
    if isinstance(value, Mapping):
        items = list(islice(value.items(), MAX_LOOKED))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        items = [(str(at), item) for at, item in enumerate(value[:MAX_LOOKED])]
    return [
        (f"{path}.{name}" if path else name, item, depth)
        for name, item in items
        if isinstance(item, Mapping | list | tuple)
    ]
