"""What a list of transforms states, one step after the other: torchvision's, and OpenMMLab's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from core.inputs.preprocessing import IMAGENET
from core.inputs.statements.fields import edges_of, mapping, numbers
from core.inputs.statements.understood import (
    INTERPOLATION,
    SIZE,
    VALUES,
    Reading,
    with_mean_and_std,
)

Step = tuple[str, Mapping[str, object]]

MOST_STEPS = 64
"""Steps that are read of one list."""

NAMES = ("class", "type", "name", "_target_", "__class_fullname__", "transform")
"""Keys under which a step has its name: Loupe's own for a pickled object, OpenMMLab's, Hydra's,
albumentations'."""

TO_FLOAT = ("ToTensor", "ConvertImageDtype", "ToDtype", "ConvertDtype")
"""torchvision's steps from integers to values from 0 to 1."""

TO_TENSOR = frozenset({"ToTensor", "PILToTensor", "ToImage", "ToImageTensor", "MaybeToTensor"})
"""Steps from a Pillow image to a tensor, which is resized in another way."""

PRESET = "ImageClassification"
"""torchvision's preset for classifiers."""

NO_CHANGE = frozenset(
    {
        *("LoadImageFromFile", "PackInputs", "PackClsInputs", "Collect", "ImageToTensor"),
        *("ToPILImage", "ToImage", "PILToTensor", "ToImageTensor", "ToPureTensor", "Identity"),
        *("Compose", "Sequential", "RGB", "MaybeToTensor", "ToTensor", "ToTensorV2", "ToRGB"),
    }
)
"""Steps that load, pack or convert, and leave the values as they are."""


def steps_in(value: object) -> list[Step]:
    """The steps of a list of transforms, or of an object around one; empty if there are none."""
    return list(islice(_steps(value, 4), MOST_STEPS))


def _steps(value: object, depth: int) -> Iterator[Step]:
    if isinstance(value, Mapping):
        inner = value.get("transforms")
        if isinstance(inner, list | tuple) and depth:
            yield from _steps(inner, depth - 1)
        elif (name := _name(value)) is not None:
            # albumentations and some configs keep the arguments in a mapping of their own.
            own = mapping(value.get("params")) or mapping(value.get("kwargs")) or {}
            rest = {key: each for key, each in value.items() if key not in (*NAMES, "params")}
            yield name, {**rest, **own}
    elif isinstance(value, list | tuple) and depth:
        for item in value[:MOST_STEPS]:
            yield from _steps(item, depth - 1)


def _name(value: Mapping[str, object]) -> str | None:
    named = next((value[key] for key in NAMES if isinstance(value.get(key), str)), None)
    if not isinstance(named, str) or not re.fullmatch(r"[A-Za-z_][\w.]*", named):
        return None
    return named.rpartition(".")[2]


KNOWN = frozenset(
    {
        *("Resize", "ResizeEdge", "CenterCrop", "Normalize", PRESET),
        *("SmallestMaxSize", *TO_FLOAT, *NO_CHANGE),
    }
)
"""Names that only a step has."""


def is_steps(steps: Sequence[Step]) -> bool:
    """Whether these are steps: something else may have a name too."""
    return any(name in KNOWN for name, _ in steps)


def read_steps(steps: Sequence[Step], *, openmmlab: bool = False) -> Reading:
    """The reading of all steps: a complete statement, so what no step does is not done.

    OpenMMLab's steps load images with blue first, and values from 0 to 255.
    """
    nothing = replace(IMAGENET, mean=(0.0,) * 3, std=(1.0,) * 3, fit="keep", bgr=openmmlab)
    reading, unit = Reading(nothing, {INTERPOLATION, VALUES}), False
    names = [name for name, _ in steps]
    for number, (name, fields) in enumerate(steps):
        if name in ("Normalize", "CenterCrop") and name in names[:number]:
            reading = reading.lacking("a second", name)
        elif name in TO_FLOAT and fields.get("scale", name != "ToDtype") is not False:
            unit = True
        elif name == "Normalize":
            reading = _normalised(reading, fields, unit=unit, openmmlab=openmmlab)
        elif name in ("Resize", "ResizeEdge", "SmallestMaxSize"):
            reading = _resized(reading, name, fields, openmmlab=openmmlab)
            if not TO_TENSOR.isdisjoint(names[:number]):
                reading = reading.lacking(name, "of a tensor")
        elif name == "CenterCrop":
            reading = _cropped(reading, fields)
        elif name == PRESET:
            reading, unit = _preset(reading, fields), True
        elif name not in NO_CHANGE and name not in TO_FLOAT:
            reading = reading.lacking("step", name)
    if not unit and "Normalize" not in names:
        reading = reading.normalised((0.0,) * 3, (1 / 255,) * 3)
    if reading.preprocessing.fit == "cover" and {"CenterCrop", PRESET}.isdisjoint(names):
        reading = reading.lacking("steps", "without a crop after the shorter edge")
    return reading if SIZE in reading.on else reading.lacking("steps", "without a size")


def _preset(reading: Reading, fields: Mapping[str, object]) -> Reading:
    """The reading of torchvision's preset, which is a whole list by itself."""
    resize, crop = edges_of(fields.get("resize_size")), edges_of(fields.get("crop_size"))
    if resize is None or crop is None:
        return reading.lacking(PRESET, dict(fields))
    reading = reading.sized(resize, crop).interpolated("interpolation", fields.get("interpolation"))
    return with_mean_and_std(reading, fields.get("mean"), fields.get("std"), scale=1.0)


def _normalised(
    reading: Reading, fields: Mapping[str, object], *, unit: bool, openmmlab: bool
) -> Reading:
    mean, std = fields.get("mean"), fields.get("std")
    if openmmlab:
        reading = with_mean_and_std(reading, mean, std, scale=255.0)
        return reading.in_bgr(not fields.get("to_rgb", True))
    # albumentations' Normalize divides by the largest value itself.
    itself = fields.get("max_pixel_value") == 255
    return with_mean_and_std(reading, mean, std, scale=1.0 if unit or itself else 255.0)


def _cropped(reading: Reading, fields: Mapping[str, object]) -> Reading:
    stated = _first(fields, "crop_size", "size")
    edges = edges_of(fields if stated is None else stated)
    if edges is None or fields.get("efficientnet_style"):
        return reading.lacking("CenterCrop", dict(fields))
    done = reading.preprocessing
    if SIZE not in reading.on:
        return reading.sized(edges, edges, "keep")
    return reading.sized(done.resize, edges, done.fit)


def _resized(
    reading: Reading, name: str, fields: Mapping[str, object], *, openmmlab: bool
) -> Reading:
    stated = _first(fields, "size", "scale", "max_size")
    parts = numbers(stated)
    shorter = name != "Resize" or (len(parts) == 1 and not openmmlab)
    if openmmlab and len(parts) == 2:
        if -1 in parts:  # mmcls 0 writes the shorter edge as (256, -1)
            stated, shorter = max(parts), True
        elif "scale" in fields:  # mmcv writes (width, height)
            stated = parts[::-1]
    edges = edges_of(fields if stated is None else stated)
    unlike = fields.get("keep_ratio") or fields.get("edge", "short") != "short"
    if edges is None or SIZE in reading.on or unlike:
        return reading.lacking(name, dict(fields))
    if fields.get("max_size") and name == "Resize":
        reading = reading.lacking("max_size", fields["max_size"])
    if (
        (openmmlab and fields.get("backend") != "pillow")
        or "height" in fields
        or name == "SmallestMaxSize"
    ):
        reading = reading.lacking(name, "by OpenCV, which does not antialias")
    reading = reading.sized(edges, edges, "cover" if shorter else "squash")
    return reading.interpolated("interpolation", fields.get("interpolation") or "bilinear")


def _first(fields: Mapping[str, object], *names: str) -> object:
    return next((fields[name] for name in names if fields.get(name) is not None), None)
