"""What a list of transforms states, one step after the other: torchvision's, and OpenMMLab's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from core.inputs.preprocessing import IMAGENET, Preprocessing
from core.inputs.statements.fields import edges_of, first, flag, mapping, numbers, positive
from core.inputs.statements.understood import (
    INTERPOLATION,
    SIZE,
    VALUES,
    Reading,
    with_mean_and_std,
)


@dataclass(frozen=True, slots=True)
class TransformStep:
    """One transform: its class without the modules, its arguments, and whose it is."""

    name: str
    fields: Mapping[str, object]
    albumentations: bool = False


MOST_STEPS = 64
"""Steps that are read of one list."""

NAMES = ("class", "type", "name", "_target_", "__class_fullname__", "transform")
"""Keys under which a step has its name: Loupe's own for a pickled object, OpenMMLab's, Hydra's,
albumentations'."""

TO_UNIT = ("ToTensor", "ConvertImageDtype", "ConvertDtype", "ToDtype")
"""torchvision's steps to values from 0 to 1; ToDtype only with `scale=True`."""

TO_TENSOR = frozenset({"ToTensor", "PILToTensor", "ToImage", "ToImageTensor", "MaybeToTensor"})
"""Steps from a Pillow image to a tensor, which is resized in another way."""

OF_INTEGERS = frozenset({"PILToTensor", "ToImage", "ToImageTensor", "ToTensorV2", "ImageToTensor"})
"""Steps to a tensor whose values are those of the image, from 0 to 255."""

CV2 = ("nearest", "bilinear", "bicubic", "area", "lanczos4")
"""The order of OpenCV's interpolations (cv2.INTER_NEAREST is 0), which albumentations takes."""

ALBUMENTATIONS = frozenset({"SmallestMaxSize", "LongestMaxSize", "PadIfNeeded", "ToTensorV2"})
"""Steps that only albumentations has."""

ITS_FIELDS = frozenset({"max_pixel_value", "always_apply", "height", "width", "p"})
"""Arguments that only albumentations' steps of an evaluation have."""

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

FIELDS: Mapping[str, frozenset[str]] = {
    "Normalize": frozenset({"mean", "std", "inplace", "to_rgb", "max_pixel_value"}),
    "CenterCrop": frozenset(
        {"size", "crop_size", "height", "width", "efficientnet_style", "interpolation"}
    ),
    "Resize": frozenset(
        {
            *("size", "scale", "max_size", "height", "width", "interpolation", "keep_ratio"),
            *("antialias", "backend", "edge", "mask_interpolation"),
        }
    ),
    "LoadImageFromFile": frozenset(
        {"to_float32", "imdecode_backend", "file_client_args", "backend_args", "ignore_empty"}
    ),
    "ToPILImage": frozenset(),
}
"""The arguments of steps that are done, or change nothing of one RGB image; each other is named.
Pillow's resizing antialiases whatever `antialias` says."""

USUAL: Mapping[str, object] = {
    **{"color_type": "color", "mode": "RGB", "normalization": "standard", "backend": "cv2"},
    **{"crop_padding": 32, "clip_border": True, "auto_pad": True, "pad_cfg": None},
    **{"p": 1, "always_apply": True},
}
"""Arguments with their values that change nothing either."""


def steps_in(value: object) -> list[TransformStep]:
    """The steps of a list of transforms, or of an object around one; empty if there are none."""
    steps = list(islice(_steps(value, 4), MOST_STEPS))
    if any(each.albumentations or each.name in ALBUMENTATIONS for each in steps):
        return [replace(each, albumentations=True) for each in steps]
    return steps


def _steps(value: object, depth: int) -> Iterator[TransformStep]:
    if isinstance(value, Mapping):
        whole = mapping(value.get("transform"))  # around albumentations' Compose in its to_dict()
        inner = value.get("transforms") if whole is None else whole
        if isinstance(inner, list | tuple | Mapping) and depth:
            yield from _steps(inner, depth - 1)
        elif (name := _name(value)) is not None:
            # albumentations and some configs keep the arguments in a mapping of their own.
            own = mapping(value.get("params")) or mapping(value.get("kwargs")) or {}
            rest = {key: each for key, each in value.items() if key not in (*NAMES, "params")}
            fields = {**rest, **own}
            yield TransformStep(name, fields, _is_albumentations(value, name, fields))
        elif depth < 4 or all(str(key)[:1].isupper() for key in value):
            yield from (_by_name(str(key), each) for key, each in value.items())
    elif isinstance(value, list | tuple) and depth:
        for item in value[:MOST_STEPS]:
            yield from _steps(item, depth - 1)
    elif isinstance(value, str) and depth < 4:
        yield TransformStep(value, {})


def _by_name(name: str, stated: object) -> TransformStep:
    """A step whose arguments stand under its name, and not beside it."""
    fields = mapping(stated)
    if fields is None:
        fields = {} if stated is None else _named(name, stated)
    return TransformStep(name.rpartition(".")[2], fields, _is_albumentations({}, name, fields))


def _named(name: str, stated: object) -> Mapping[str, object]:
    """Arguments that stand without their names."""
    if name in ("Resize", "CenterCrop"):
        return {"size": stated}
    if name == "Normalize" and isinstance(stated, list | tuple) and len(stated) == 2:
        return {"mean": stated[0], "std": stated[1]}
    return {"arguments": stated}


def _is_albumentations(
    value: Mapping[str, object], name: str, fields: Mapping[str, object]
) -> bool:
    """Whether a step that torchvision and OpenMMLab have too is albumentations'."""
    full = next((str(value[key]) for key in NAMES if isinstance(value.get(key), str)), "")
    return (
        "__class_fullname__" in value
        or full.split(".")[0] in ("albumentations", "A")
        or (name in ("Resize", "CenterCrop", "Normalize") and not ITS_FIELDS.isdisjoint(fields))
    )


def _name(value: Mapping[str, object]) -> str | None:
    named = next((value[key] for key in NAMES if isinstance(value.get(key), str)), None)
    if not isinstance(named, str) or not re.fullmatch(r"[A-Za-z_][\w.]*", named):
        return None
    return named.rpartition(".")[2]


KNOWN = frozenset(
    {
        *("Resize", "ResizeEdge", "CenterCrop", "Normalize", PRESET),
        *("SmallestMaxSize", *TO_UNIT, *NO_CHANGE),
    }
)
"""Names that only a step has."""


def is_steps(steps: Sequence[TransformStep]) -> bool:
    """Whether these are steps: something else may have a name too."""
    return any(step.name in KNOWN for step in steps)


def read_steps(
    steps: Sequence[TransformStep], otherwise: Preprocessing, *, openmmlab: bool = False
) -> Reading:
    """The reading of all steps: a complete statement, so what no step does is not done.

    OpenMMLab's steps load images with blue first, and values from 0 to 255. Steps of which none
    makes a tensor say nothing on its values: those are as in `otherwise`.
    """
    nothing = replace(IMAGENET, mean=(0.0,) * 3, std=(1.0,) * 3, fit="keep", bgr=otherwise.bgr)
    reading = Reading(nothing, {INTERPOLATION, VALUES})
    reading = reading.in_bgr(True) if openmmlab else reading
    names = [step.name for step in steps]
    scale: float | None = 255.0 if openmmlab else None
    for number, step in enumerate(steps):
        name, fields = step.name, step.fields
        if name in ("Normalize", "CenterCrop") and name in names[:number]:
            reading = reading.lacking("a second", name)
        elif name in TO_UNIT:
            scale = 1.0 if flag(fields.get("scale", name != "ToDtype")) else scale or 255.0
        elif name == "Normalize":
            reading = _normalised(reading, step, scale, openmmlab=openmmlab)
        elif name in ("Resize", "ResizeEdge", "SmallestMaxSize"):
            reading = _resized(reading, step, openmmlab=openmmlab)
            if not TO_TENSOR.isdisjoint(names[:number]):
                reading = reading.lacking(name, "of a tensor")
        elif name == "CenterCrop":
            reading = _cropped(reading, fields)
        elif name == PRESET:
            reading, scale = _preset(reading, fields), 1.0
        elif name not in NO_CHANGE:
            reading = reading.lacking("step", name)
        reading = _other_fields(reading, step)
    if "Normalize" not in names and scale != 1:
        if scale is None and OF_INTEGERS.isdisjoint(names):
            reading = _without_values(reading, otherwise)
        else:
            reading = reading.normalised((0.0,) * 3, (1 / 255,) * 3)
    if reading.preprocessing.fit == "cover" and {"CenterCrop", PRESET}.isdisjoint(names):
        reading = reading.lacking("steps", "without a crop after the shorter edge")
    return reading if SIZE in reading.on else reading.lacking("steps", "without a size")


def _other_fields(reading: Reading, step: TransformStep) -> Reading:
    """The reading with the arguments named that are not done."""
    known = FIELDS.get(step.name)
    if known is None:
        return reading
    unusual = {name: each for name, each in step.fields.items() if USUAL.get(name) != each}
    other = Reading(reading.preprocessing).without(unusual, known)
    lacking = tuple(f"{step.name} {each}" for each in other.not_understood)
    return replace(reading, not_understood=(*reading.not_understood, *lacking))


def _without_values(reading: Reading, otherwise: Preprocessing) -> Reading:
    fed = replace(reading.preprocessing, mean=otherwise.mean, std=otherwise.std)
    reading = replace(reading, preprocessing=fed, on=reading.on - {VALUES})
    return reading.lacking("steps", "without one to a tensor")


def _preset(reading: Reading, fields: Mapping[str, object]) -> Reading:
    """The reading of torchvision's preset, which is a whole list by itself."""
    resize, crop = edges_of(fields.get("resize_size")), edges_of(fields.get("crop_size"))
    if resize is None or crop is None:
        return reading.lacking(PRESET, dict(fields))
    reading = reading.sized(resize, crop).interpolated("interpolation", fields.get("interpolation"))
    return with_mean_and_std(reading, fields.get("mean"), fields.get("std"), scale=1.0)


def _normalised(
    reading: Reading, step: TransformStep, scale: float | None, *, openmmlab: bool
) -> Reading:
    """The reading with a Normalize; where no step before it says on which scale the values are,
    its own numbers do."""
    mean, std = step.fields.get("mean"), step.fields.get("std")
    if step.albumentations:
        most = positive(step.fields.get("max_pixel_value", 255.0))
        if most is None:
            return reading.lacking("max_pixel_value", step.fields["max_pixel_value"])
        # It takes mean · most from a pixel and divides by std · most.
        return with_mean_and_std(reading, mean, std, scale=255.0 / most)
    reading = with_mean_and_std(reading, mean, std, scale=scale)
    if not openmmlab:
        return reading
    turned = flag(step.fields.get("to_rgb", True))
    if turned is None:
        return reading.lacking("to_rgb", step.fields["to_rgb"])
    return reading.in_bgr(not turned)


def _cropped(reading: Reading, fields: Mapping[str, object]) -> Reading:
    stated = first(fields, ("crop_size", "size"))
    edges = edges_of(fields if stated is None else stated)
    if edges is None or fields.get("efficientnet_style"):
        return reading.lacking("CenterCrop", dict(fields))
    done = reading.preprocessing
    if SIZE not in reading.on:
        return reading.sized(edges, edges, "keep")
    return reading.sized(done.resize, edges, done.fit)


def _resized(reading: Reading, step: TransformStep, *, openmmlab: bool) -> Reading:
    name, fields = step.name, step.fields
    stated = first(fields, ("size", "scale", "max_size"))
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
    if step.albumentations or (openmmlab and fields.get("backend") != "pillow"):
        reading = reading.lacking(name, "by OpenCV, which does not antialias")
    reading = reading.sized(edges, edges, "cover" if shorter else "squash")
    way = fields.get("interpolation")
    if step.albumentations and len(numbers(way)) == 1 and way in range(len(CV2)):
        way = CV2[int(numbers(way)[0])]
    return reading.interpolated("interpolation", "bilinear" if way is None else way)
