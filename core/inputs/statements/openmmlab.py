"""What OpenMMLab's configs state: `data_preprocessor`, the pipeline of the test, `img_norm_cfg`.

Its libraries load images with blue first, and their means are for pixels from 0 to 255
(mmpretrain/models/utils/data_preprocessor.py, mmcv/transforms/processing.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from core.inputs.preprocessing import Preprocessing
from core.inputs.statements.fields import first, flag
from core.inputs.statements.steps import TransformStep, is_steps, read_steps, steps_in
from core.inputs.statements.understood import Reading, with_mean_and_std

ELSEWHERE = frozenset(
    {
        *("type", "_scope_", "num_classes", "non_blocking", "batch_augments", "to_onehot"),
        *("pad_size_divisor", "pad_value", "seg_pad_val", "test_cfg"),
    }
)
"""Fields of a `data_preprocessor` that change nothing of an image of the usual size."""

TURNED = ("to_rgb", "bgr_to_rgb", "rgb_to_bgr")
"""Fields that turn the order of the channels, which is blue first in an image that is loaded."""

WORDS = ("data_preprocessor", "img_norm_cfg", "test_pipeline")
"""One of them is in the text of every config that states preprocessing."""

PIPELINES = (
    ("test_pipeline",),
    ("test_dataloader", "dataset", "pipeline"),
    ("val_dataloader", "dataset", "pipeline"),
    ("data", "test", "pipeline"),
    ("data", "val", "pipeline"),
)
"""Where a config has the steps of the test, those of mmpretrain 1 before those of mmcls 0."""


def read_values(entry: Mapping[str, object], otherwise: Preprocessing) -> Reading:
    """The reading of a `data_preprocessor` or an `img_norm_cfg`: mean, std and channel order."""
    named = first(entry, TURNED)
    turned = False if named is None else flag(named)
    reading = Reading(otherwise)
    if entry.get("mean") is None and entry.get("std") is None:
        reading = reading.normalised((0.0,) * 3, (1 / 255,) * 3)
    else:
        reading = with_mean_and_std(reading, entry.get("mean"), entry.get("std"), scale=255.0)
    if turned is None:
        reading = reading.lacking("to_rgb", named)
    reading = reading.in_bgr(not turned)
    return reading.without(entry, ELSEWHERE | {"mean", "std", *TURNED})


def is_project(config: Mapping[str, object]) -> bool:
    """Whether a mapping is a whole config that states preprocessing."""
    return _values(config) is not None or bool(_steps(config))


def read_project(config: Mapping[str, object], otherwise: Preprocessing) -> Reading:
    """The reading of a whole config."""
    values, steps = _values(config), _steps(config)
    if not steps:
        return read_values(values or {}, otherwise)
    reading = read_steps(steps, otherwise, openmmlab=True)
    if values is not None and not any(step.name == "Normalize" for step in steps):
        own = read_values(values, reading.preprocessing)
        lacking = (*reading.not_understood, *own.not_understood)
        return replace(own, on=own.on | reading.on, not_understood=lacking)
    return reading


def _values(config: Mapping[str, object]) -> Mapping[str, object] | None:
    places = (("data_preprocessor",), ("model", "data_preprocessor"), ("img_norm_cfg",))
    found = (_at(config, path) for path in places)
    return next((values for values in found if isinstance(values, Mapping)), None)


def _steps(config: Mapping[str, object]) -> list[TransformStep]:
    found = (steps_in(_at(config, path)) for path in PIPELINES)
    return next((steps for steps in found if is_steps(steps)), [])


def _at(config: object, path: tuple[str, ...]) -> object:
    for name in path:
        config = config.get(name) if isinstance(config, Mapping) else None
    return config
