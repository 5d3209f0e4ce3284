"""What a file holds besides its tensors that a person wants to know first, one line each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from core.checkpoint import Checkpoint, StateDict
from core.inputs import IMAGENET, Preprocessing, stated_preprocessing
from core.inspect import optimizer_words, stated_metrics, stated_step
from core.predict.fed import mean_std_words
from core.predict.labels import labels_in
from core.wording import THIN, count, size, tensors

FEW_CLASSES = 4
"""Names of classes that a line has in full; of more it has the first and the last."""

NEVER_STATED = replace(IMAGENET, resize=(-1, -1), crop=(-1, -1), interpolation="", mean=(), std=())
"""Values that no file states: what equals them was not stated."""


@dataclass(frozen=True, slots=True)
class FileContent:
    """One thing that a file holds: its name, and what it is in words."""

    name: str
    words: str


def file_contents(checkpoint: Checkpoint, state_dict: StateDict) -> tuple[FileContent, ...]:
    """The state_dict, and the classes, the preprocessing, the optimizer, the epoch and the metrics
    that the file holds. What it does not hold has no line."""
    metadata = checkpoint.metadata
    contents = {
        "state_dict": f"{tensors(len(state_dict))}, {size(state_dict.nbytes)}",
        "classes": _class_words(labels_in(checkpoint) or ()),
        "preprocessing": preprocessing_words(metadata),
        "optimizer": optimizer_words(checkpoint),
    }
    if step := stated_step(metadata):
        contents[step.name] = step.words
    contents |= {metric.name: metric.words for metric in stated_metrics(metadata)}
    if checkpoint.torch_version:
        contents["PyTorch"] = checkpoint.torch_version
    return tuple(FileContent(name, words) for name, words in contents.items() if words)


def preprocessing_words(metadata: Mapping[str, object]) -> str:
    """The preprocessing that a file's metadata states, and nothing that it does not; may be empty:
    `64 px, bilinear, mean/std 0.5`."""
    stated = stated_preprocessing(metadata, NEVER_STATED)
    if stated is None:
        return ""
    parts = []
    if stated.crop != NEVER_STATED.crop:
        parts.append(_size_words(stated))
    if stated.interpolation:
        parts.append(stated.interpolation)
    if stated.mean:
        parts.append(mean_std_words(stated))
    return ", ".join(parts)


def _size_words(stated: Preprocessing) -> str:
    height, width = stated.crop
    return f"{height}{THIN}px" if height == width else f"{height} × {width}{THIN}px"


def _class_words(names: tuple[str, ...]) -> str:
    if len(names) <= FEW_CLASSES:
        return ", ".join(names)
    return f"{names[0]} … {names[-1]} ({count(len(names))})"
