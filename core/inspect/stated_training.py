"""What a file states of its training: the epoch, the metrics and the optimizer's options."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from core.checkpoint import Checkpoint
from core.wording import counted, listed, size, small, tensors

STEPS = ("epoch", "global_step", "step", "iteration", "iter")
"""Metadata keys that count a training's steps, the one that people go by first."""

NESTED = ("meta", "metrics", "results", "scores")
"""Metadata keys of the dicts that such numbers are also in: OpenMMLab's `meta`, and a script's own
dict of results. Others have options, such as `loss: 0.1` for the loss's weight."""

METRICS = frozenset(
    (
        *("acc", "accuracy", "auc", "bleu", "dice", "f", "fid", "iou", "loss", "mae", "map"),
        *("metric", "miou", "mse", "perplexity", "ppl", "prec", "precision", "psnr", "recall"),
        *("rmse", "score", "ssim", "top", "wer"),
    )
)
"""The last words of a metric's name, without its digits: `best_acc1`, `val_loss`, `metric`."""

MOST_METRICS = 4
"""The most metrics that are returned."""

MOST_RATES = 2
"""The most learning rates that a line names."""

DEPTH = 3
"""How many levels deep in the metadata an optimizer's `param_groups` are searched."""


@dataclass(frozen=True, slots=True)
class StatedNumber:
    """A number as the file states it: the name there, and the number in words."""

    name: str
    words: str


def stated_step(metadata: Mapping[str, object]) -> StatedNumber | None:
    """The epoch that a file states, else its step or iteration; None if it states none."""
    found = dict(_numbers(metadata))
    for name in STEPS:
        number = found.get(name)
        if isinstance(number, int) and number >= 0:
            return StatedNumber(name, str(number))
    return None


def stated_metrics(metadata: Mapping[str, object]) -> tuple[StatedNumber, ...]:
    """The metrics that a file states, in its order and under its names."""
    metrics = (
        StatedNumber(name, small(number, 6))
        for name, number in _numbers(metadata)
        if _is_metric(name)
    )
    return tuple(metrics)[:MOST_METRICS]


def optimizer_words(checkpoint: Checkpoint) -> str:
    """What a file has of its optimizer: the learning rates, and the tensors of its state; empty if
    it has nothing."""
    groups = [*_param_groups(checkpoint.metadata, DEPTH)]
    states = [
        state_dict
        for path, state_dict in checkpoint.state_dicts.items()
        if checkpoint.roles[path] == "optimizer"
    ]
    if not groups and not states:
        return ""
    rates = dict.fromkeys(
        small(rate, 3)
        for group in groups
        if isinstance(rate := group.get("lr"), int | float) and not isinstance(rate, bool)
    )
    parts = [f"lr {listed([*rates], MOST_RATES)}"] if rates else []
    if len(groups) > 1:
        parts.append(counted(len(groups), "group"))
    number = sum(map(len, states))
    nbytes = size(sum(state_dict.nbytes for state_dict in states))
    return ", ".join([*parts, f"{tensors(number)}, {nbytes}" if number else "no tensors"])


def _numbers(metadata: Mapping[str, object]) -> Iterator[tuple[str, int | float]]:
    """The numbers at the top of the metadata and in the dicts that have a training's numbers."""
    nested = (metadata[name] for name in NESTED if name in metadata)
    for part in (metadata, *nested):
        if isinstance(part, Mapping):
            for name, number in part.items():
                if isinstance(number, int | float) and not isinstance(number, bool):
                    yield name, number


def _is_metric(name: str) -> bool:
    words = re.findall(r"[a-z]+", name.lower())
    return bool(words) and words[-1] in METRICS


def _param_groups(value: object, depth: int) -> Iterator[Mapping[str, object]]:
    """The options of an optimizer's groups, wherever the metadata has them."""
    below: Iterable[object] = value if isinstance(value, list | tuple) else ()
    if isinstance(value, Mapping):
        groups = value.get("param_groups")
        if isinstance(groups, list | tuple):
            yield from (group for group in groups if isinstance(group, Mapping))
            return
        below = value.values()
    if depth:
        for each in below:
            yield from _param_groups(each, depth - 1)
