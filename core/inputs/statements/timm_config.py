"""What timm states: a model's `pretrained_cfg`, and the options of its training script.

The meaning is that of timm.data.resolve_data_config and create_transform for evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from core.inputs.preprocessing import IMAGENET, Fit, Preprocessing
from core.inputs.statements.fields import edges_of, positive, whole_of
from core.inputs.statements.understood import Reading, with_mean_and_std

FITS: Mapping[str, Fit] = {"center": "cover", "squash": "squash", "border": "pad"}
"""timm's crop modes."""

CROP_SHARE = 0.875
"""timm.data.constants.DEFAULT_CROP_PCT."""

DEFAULTS = replace(IMAGENET, interpolation="bicubic")
"""What timm does where a config does not say otherwise."""

SIZED = ("input_size", "crop_pct", "crop_mode")
"""The fields that say together how an image gets its size."""

READ = frozenset({*SIZED, "interpolation", "mean", "std"})

ELSEWHERE = frozenset(
    {
        *("url", "file", "state_dict", "hf_hub_id", "hf_hub_filename", "source", "architecture"),
        *("tag", "tags", "custom_load", "num_classes", "label_offset", "label_names"),
        *("label_descriptions", "pool_size", "test_pool_size", "first_conv", "classifier"),
        *("license", "description", "origin_url", "paper_name", "paper_ids", "notes"),
        *("test_input_size", "test_crop_pct", "min_input_size", "fixed_input_size", "in_chans"),
        *("global_pool", "num_features", "features"),
    }
)
"""Fields that are on the weights, the head or other sizes, and not on the images of an evaluation
at the usual size (timm/models/_pretrained.py)."""


def read_config(
    config: Mapping[str, object],
    otherwise: Preprocessing = DEFAULTS,
    library: Mapping[str, object] | None = None,
) -> Reading:
    """The reading of a `pretrained_cfg` or a `data_config`.

    What it leaves out is not stated, and as in `otherwise`; how its size is made is as in
    `library`, the config that timm has of the same weights. One that states a size and a share,
    and no `crop_mode`, is from before timm had it, and crops.
    """
    sizes = {name: config[name] for name in SIZED if config.get(name) is not None}
    known = {} if is_config(sizes) else library or {}
    reading = _sized(Reading(otherwise), sizes, known)
    reading = reading.interpolated("interpolation", config.get("interpolation"))
    reading = with_mean_and_std(reading, config.get("mean"), config.get("std"))
    return reading.without(config, READ | ELSEWHERE)


def is_config(entry: Mapping[str, object]) -> bool:
    """Whether a mapping has the fields of such a config."""
    return "input_size" in entry and ("crop_pct" in entry or "crop_mode" in entry)


def is_whole_file(document: Mapping[str, object]) -> bool:
    """Whether a `config.json` is such a config as a whole, as timm wrote it before 0.9."""
    return {"architecture", "input_size"} <= set(document)


CHANGE_IMAGES = ("crop_border_pixels", "tf_preprocessing", "naflex_loader", "use_test_size")
"""Options of timm's scripts that change the images, and are not done."""


def is_options(entry: Mapping[str, object]) -> bool:
    """Whether a mapping has the options of timm's train.py or validate.py."""
    return {"img_size", "input_size", "crop_pct", "interpolation"} <= set(entry)


def read_timm_options(
    options: Mapping[str, object], library: Mapping[str, object], otherwise: Preprocessing
) -> Reading:
    """The reading of timm's options, of which None states nothing.

    `library` is the config that timm has of the weights; empty if the architecture is not timm's,
    and then the rest is as in `otherwise`.
    """
    sizes = {name: options[name] for name in SIZED if options.get(name)}
    if options.get("img_size"):
        sizes.setdefault("input_size", options["img_size"])
    reading = _sized(Reading(otherwise), sizes, library)
    reading = reading.interpolated("interpolation", options.get("interpolation"))
    reading = with_mean_and_std(reading, options.get("mean"), options.get("std"))
    for name in CHANGE_IMAGES:
        if options.get(name):
            reading = reading.lacking(name, options[name])
    colours = options.get("input_img_mode")
    return reading.lacking("input_img_mode", colours) if colours not in (None, "RGB") else reading


def _sized(
    reading: Reading, stated: Mapping[str, object], library: Mapping[str, object]
) -> Reading:
    """The reading with the size, the share of it that is kept, and the way it is made."""
    if not stated:
        return reading
    crop, config = reading.preprocessing.crop, {**library, **stated}
    if "input_size" in stated:
        found = edges_of(stated["input_size"])
        if found is None:
            return reading.lacking("input_size", stated["input_size"])
        crop = found
    share = CROP_SHARE if config.get("crop_pct") is None else positive(config["crop_pct"])
    resize = whole_of(crop, share) if share else None
    if resize is None:
        return reading.sized(crop).lacking("crop_pct", config["crop_pct"])
    mode = str(config.get("crop_mode") or "center")
    if mode not in FITS:
        reading = reading.lacking("crop_mode", mode)
    return reading.sized(resize, crop, FITS.get(mode, "cover"))
