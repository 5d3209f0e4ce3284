"""What timm states: a model's `pretrained_cfg`, and the options of its training script.

The meaning is that of timm.data.resolve_data_config and create_transform for evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from core.inputs.preprocessing import IMAGENET, Fit, Preprocessing
from core.inputs.statements.fields import edges_of, positive, whole_of
from core.inputs.statements.understood import COMPLETE, Reading, with_mean_and_std

FITS: Mapping[str, Fit] = {"center": "cover", "squash": "squash", "border": "pad"}
"""timm's crop modes."""

CROP_SHARE = 0.875
"""timm.data.constants.DEFAULT_CROP_PCT."""

DEFAULTS = replace(IMAGENET, interpolation="bicubic")
"""What timm does where a config does not say otherwise."""

READ = frozenset({"input_size", "crop_pct", "crop_mode", "interpolation", "mean", "std"})

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


def read_config(config: Mapping[str, object]) -> Reading:
    """The reading of a `pretrained_cfg` or a `data_config`: a complete statement."""
    reading = Reading(DEFAULTS, COMPLETE)
    reading = _sized(reading, config.get("input_size"), config)
    reading = reading.interpolated("interpolation", config.get("interpolation"))
    reading = with_mean_and_std(reading, config.get("mean"), config.get("std"))
    return reading.without(config, READ | ELSEWHERE)


def is_config(entry: Mapping[str, object]) -> bool:
    """Whether a mapping has the fields of such a config."""
    return "input_size" in entry and ("crop_pct" in entry or "crop_mode" in entry)


CHANGE_IMAGES = ("crop_border_pixels", "tf_preprocessing", "naflex_loader", "use_test_size")
"""Options of timm's scripts that change the images, and are not done."""


def is_options(entry: Mapping[str, object]) -> bool:
    """Whether a mapping has the options of timm's train.py or validate.py."""
    return {"img_size", "input_size", "crop_pct", "interpolation"} <= set(entry)


def read_timm_options(
    options: Mapping[str, object], config: Mapping[str, object], otherwise: Preprocessing
) -> Reading:
    """The reading of timm's options, of which None states nothing.

    `config` is the architecture's own `pretrained_cfg`; empty if it is not timm's, and then the
    rest is as in `otherwise`.
    """
    reading = Reading(otherwise)
    asked = options.get("input_size") or options.get("img_size")
    if asked or options.get("crop_pct") or options.get("crop_mode"):
        stated = {**config, **{name: options[name] for name in READ if options.get(name)}}
        known = asked or config.get("input_size") or list(otherwise.crop)
        reading = _sized(reading, known, stated)
    reading = reading.interpolated("interpolation", options.get("interpolation"))
    reading = with_mean_and_std(reading, options.get("mean"), options.get("std"))
    for name in CHANGE_IMAGES:
        if options.get(name):
            reading = reading.lacking(name, options[name])
    colours = options.get("input_img_mode")
    return reading.lacking("input_img_mode", colours) if colours not in (None, "RGB") else reading


def _sized(reading: Reading, stated: object, config: Mapping[str, object]) -> Reading:
    """The reading with the size, the share of it that is kept, and the way it is made."""
    crop = DEFAULTS.crop if stated is None else edges_of(stated)
    if crop is None:
        return reading.lacking("input_size", stated)
    share = CROP_SHARE if config.get("crop_pct") is None else positive(config["crop_pct"])
    resize = whole_of(crop, share) if share else None
    if resize is None:
        return reading.sized(crop).lacking("crop_pct", config["crop_pct"])
    mode = str(config.get("crop_mode") or "center")
    if mode not in FITS:
        reading = reading.lacking("crop_mode", mode)
    return reading.sized(resize, crop, FITS.get(mode, "cover"))
