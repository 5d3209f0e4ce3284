"""What a transformers image processor states: `preprocessor_config.json`, or its `to_dict()`.

What a field means depends on the class of the processor, so only those classes are understood
whose code (transformers/models/*/image_processing_*.py) does nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from core.inputs.preprocessing import IMAGENET, RESIZED_AS_TENSORS, Preprocessing
from core.inputs.statements.fields import edges_of, numbers, positive, whole_of
from core.inputs.statements.processor_defaults import DEFAULTS
from core.inputs.statements.understood import COMPLETE, INTERPOLATION, VALUES, Reading

KEEPS_PROPORTIONS = frozenset(
    {
        *("Bit", "Chameleon", "ChineseCLIP", "CLIP", "ConvNext", "Levit", "Llava", "MobileNetV1"),
        *("MobileNetV2", "MobileViT", "PoolFormer"),
    }
)
"""Those for which a size of one number is the shorter edge's (`default_to_square = False`)."""

READ = frozenset(
    {
        *("do_resize", "size", "resample", "do_center_crop", "crop_size", "do_rescale"),
        *("rescale_factor", "do_normalize", "image_mean", "image_std", "do_flip_channel_order"),
        *("rescale_offset", "include_top", "crop_pct", "default_to_square"),
        *("image_processor_type", "feature_extractor_type"),
    }
)

ELSEWHERE = frozenset(
    {
        *("processor_class", "auto_map", "do_convert_rgb", "data_format", "input_data_format"),
        *("return_tensors", "device", "disable_grouping", "do_reduce_labels", "reduce_labels"),
        *("return_codebook_pixels", "backend", "_processor_class", "total_mask_patches", "format"),
        *("do_convert_annotations", "keypoint_heatmap_downscale_factor", "keypoint_heatmap_sigma"),
    }
)
"""Fields that change nothing of an RGB image that stands alone."""


def is_processor(entry: Mapping[str, object]) -> bool:
    """Whether a mapping has the fields of an image processor."""
    return not {"image_processor_type", "feature_extractor_type"}.isdisjoint(entry) or (
        "do_resize" in entry and "do_normalize" in entry
    )


def read_processor(stated: Mapping[str, object], otherwise: Preprocessing) -> Reading:
    """The reading of an image processor: a complete statement if its class is known, which does
    what the file leaves out. Of another class that is named, and is as in `otherwise`."""
    kind = _kind(stated)
    reading, entry = Reading(replace(IMAGENET, as_tensor=True, bgr=otherwise.bgr), COMPLETE), stated
    if kind in DEFAULTS:
        entry = {**DEFAULTS[kind], **stated}
    else:
        reading, entry = _of_unknown_class(stated, otherwise)
    reading = _sized(reading, entry, kind)
    if "resample" in entry:
        reading = _resampled(reading, entry["resample"])
    if VALUES in reading.on:
        reading = _scaled(reading, entry, kind)
    return reading.without(entry, READ | ELSEWHERE | _unused(entry))


def _of_unknown_class(
    stated: Mapping[str, object], otherwise: Preprocessing
) -> tuple[Reading, Mapping[str, object]]:
    """The reading before any field of a class is read whose defaults are not known, and the fields
    with what most classes do."""
    named = stated.get("image_processor_type") or stated.get("feature_extractor_type")
    reading = Reading(replace(otherwise, as_tensor=True), COMPLETE)
    reading = reading.lacking("image_processor_type", named or "none")
    usual = {"do_normalize": "image_mean" in stated, "do_center_crop": "crop_size" in stated}
    for name in (
        "resample",
        "do_normalize",
        *(["do_center_crop"] if "crop_size" in stated else []),
    ):
        if name not in stated:
            reading = reading.lacking(name, "is left out")
    if "resample" not in stated:
        reading = replace(reading, on=reading.on - {INTERPOLATION})
    if "do_normalize" not in stated and "image_mean" not in stated:
        reading = replace(reading, on=reading.on - {VALUES})
    return reading, {**usual, **stated}


def _resampled(reading: Reading, stated: object) -> Reading:
    if stated is None:
        return reading.lacking("resample", None)
    reading = reading.interpolated("resample", stated)
    way = reading.preprocessing.interpolation
    if way not in RESIZED_AS_TENSORS:
        return reading.lacking("resample", f"{way} on a tensor")
    return reading


def _kind(entry: Mapping[str, object]) -> str:
    named = entry.get("image_processor_type") or entry.get("feature_extractor_type") or ""
    name = str(named)
    for ending in ("Fast", "Pil", "ImageProcessor", "FeatureExtractor"):
        name = name.removesuffix(ending)
    return name


def _unused(entry: Mapping[str, object]) -> frozenset[str]:
    """Fields without an effect, because what they belong to is switched off or has one value."""
    unused = set()
    if not entry.get("pad_size"):
        unused.add("do_pad")  # to the largest image of a batch, and all have one size
    if not entry.get("do_pad"):
        unused |= {"pad_size", "size_divisor"}
    if entry.get("ensure_multiple_of") == 1:
        unused.add("ensure_multiple_of")
    # Only images for Flava's codebook and masks are made with these.
    unused |= {name for name in entry if name.startswith(("codebook_", "mask_", "input_size_"))}
    unused |= {name for name in entry if name.startswith("do_codebook_")}
    return frozenset(unused)


def _sized(reading: Reading, entry: Mapping[str, object], kind: str) -> Reading:
    """The reading with the size to which an image is resized, and that of the crop."""
    crop = edges_of(entry.get("crop_size")) if entry.get("do_center_crop") else None
    if entry.get("do_center_crop") and crop is None:
        return reading.lacking("crop_size", entry.get("crop_size"))
    if not entry.get("do_resize", True):
        if crop is None:
            return reading.lacking("do_resize", False)
        return reading.sized(crop, crop, "keep")
    stated = entry.get("size")
    edges = edges_of(stated)
    if edges is None or _has_other_edges(stated):
        return reading.lacking("size", stated)
    if not _covers(entry, kind):
        return reading.sized(edges, crop, "squash")
    if kind == "ConvNext":
        # image_processing_convnext.py: from 384 pixels on, all of the image is squashed.
        if edges[0] >= 384:
            return reading.sized(edges, crop, "squash")
        crop = crop or edges
    edges = _enlarged(edges, entry, kind) or edges
    if crop is None:
        return reading.sized(edges).lacking("do_center_crop", False)
    return reading.sized(edges, crop)


def _has_other_edges(stated: object) -> bool:
    return isinstance(stated, Mapping) and not (
        set(stated) <= {"height", "width"} or set(stated) == {"shortest_edge"}
    )


def _covers(entry: Mapping[str, object], kind: str) -> bool:
    """Whether the proportions are kept; PoolFormer keeps them whatever its size says."""
    stated = entry.get("size")
    if isinstance(stated, Mapping):
        return "shortest_edge" in stated or (kind == "PoolFormer" and bool(entry.get("crop_pct")))
    return len(numbers(stated)) == 1 and kind in KEEPS_PROPORTIONS


def _enlarged(
    edges: tuple[int, int], entry: Mapping[str, object], kind: str
) -> tuple[int, int] | None:
    """The size of the resized image, of which these classes keep a share."""
    if kind == "Levit":
        # image_processing_levit.py multiplies in this order, before it rounds down.
        return int((256 / 224) * edges[0]), int((256 / 224) * edges[1])
    share = positive(entry.get("crop_pct", 224 / 256 if kind == "ConvNext" else None))
    return whole_of(edges, share) if share and kind in ("ConvNext", "PoolFormer") else None


def _scaled(reading: Reading, entry: Mapping[str, object], kind: str) -> Reading:
    """The reading with rescaling and normalisation as mean and std for values from 0 to 1."""
    if entry.get("do_flip_channel_order"):
        reading = reading.in_bgr(True)
    factor = 1.0
    if entry.get("do_rescale", True):
        stated = positive(entry.get("rescale_factor", 1 / 255))
        if stated is None:
            return reading.lacking("rescale_factor", entry.get("rescale_factor"))
        factor = stated
    # A pixel p becomes factor · p + offset, and then (· − mean) ÷ std; in p ÷ 255 that is one step.
    offset = -1.0 if entry.get("rescale_offset") and entry.get("do_rescale", True) else 0.0
    mean: tuple[float, ...] = (0.0,) * 3
    std: tuple[float, ...] = (1.0,) * 3
    if entry.get("do_normalize"):
        mean, std = _three(entry.get("image_mean")), _three(entry.get("image_std"))
        if not mean or not std or min(std) <= 0:
            lacking = reading.lacking("image_mean", entry.get("image_mean"))
            return lacking.lacking("image_std", entry.get("image_std"))
    top: tuple[float, ...] = (1.0,) * 3
    if kind == "EfficientNet" and entry.get("include_top"):
        # image_processing_efficientnet.py divides by std once more, and takes no mean.
        top = _three(entry.get("image_std")) or top
    scale = factor * 255
    return reading.normalised(
        tuple((m - offset) / scale for m in mean),
        tuple(s * t / scale for s, t in zip(std, top, strict=True)),
    )


def _three(value: object) -> tuple[float, ...]:
    values = numbers(value)
    return values * 3 if len(values) == 1 else values if len(values) == 3 else ()
