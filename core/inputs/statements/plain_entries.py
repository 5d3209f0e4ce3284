"""What a script of one's own states in plain fields: a mapping of preprocessing, or options."""

from __future__ import annotations

from collections.abc import Mapping

from core.inputs.preprocessing import Fit, Preprocessing, of_size
from core.inputs.statements.fields import edges_of, first, mapping, positive, whole_of
from core.inputs.statements.understood import Reading, with_mean_and_std

CROP = ("crop", "crop_size", "center_crop", "val_crop_size", "img_size", "image_size", "input_size")
RESIZE = ("resize", "resize_size", "val_resize_size")
SHARE = ("crop_pct", "crop_ratio", "eval_crop_ratio")
MEAN, STD = ("mean", "image_mean"), ("std", "image_std")
WAY = ("interpolation", "resample")
FIT = ("fit", "crop_mode", "resize_mode")
BGR = ("bgr", "to_bgr", "swap_rb")
ORDER = ("channel_order", "color_order", "channels", "color_mode", "color_space", "mode")
NORMALISED = ("normalize", "normalization", "normalise", "norm")

READ = frozenset(
    {*CROP, "size", *RESIZE, *SHARE, *MEAN, *STD, *WAY, *FIT, *BGR, *ORDER, *NORMALISED, "to_rgb"}
)

ELSEWHERE = frozenset(
    {
        *("name", "type", "description", "version", "class", "num_classes", "classes", "in_chans"),
        *("num_channels", "batch_size", "num_workers", "to_tensor", "totensor", "antialias"),
        "dtype",
    }
)
"""Fields that change nothing of one image."""

FITS: Mapping[str, Fit] = {
    "cover": "cover",
    "center": "cover",
    "crop": "cover",
    "squash": "squash",
    "stretch": "squash",
    "pad": "pad",
    "border": "pad",
    "letterbox": "pad",
}


def read_entry(entry: Mapping[str, object], otherwise: Preprocessing) -> Reading:
    """The reading of a mapping that is on preprocessing alone, so that every field is."""
    reading = _sized(Reading(otherwise), entry)
    reading = reading.interpolated("interpolation", first(entry, WAY))
    reading = _ordered(_normalised(reading, entry), entry)
    return reading.without(entry, READ | ELSEWHERE, off_is_nothing=False)


def _normalised(reading: Reading, entry: Mapping[str, object]) -> Reading:
    """The reading with mean and std, which may be in a mapping of their own."""
    for name in NORMALISED:
        own = entry.get(name)
        if own is False:
            return reading.normalised((0.0,), (1.0,))
        inner = mapping(own)
        if inner is not None:
            reading = with_mean_and_std(reading, first(inner, MEAN), first(inner, STD))
            return reading.without(inner, {*MEAN, *STD}, off_is_nothing=False)
        if own not in (None, True):
            reading = reading.lacking(name, own)
    return with_mean_and_std(reading, first(entry, MEAN), first(entry, STD))


def _sized(reading: Reading, entry: Mapping[str, object]) -> Reading:
    stated = {name: entry[name] for name in (*CROP, "size") if entry.get(name) is not None}
    whole = {name: entry[name] for name in (*RESIZE, "size") if entry.get(name) is not None}
    crop = next((found for value in stated.values() if (found := edges_of(value))), None)
    resize = next((found for value in whole.values() if (found := edges_of(value))), None)
    for name, value in {**stated, **whole}.items():
        if edges_of(value) is None:
            reading = reading.lacking(name, value)
    share = first(entry, SHARE)
    if share is not None:
        resize = whole_of(crop, part) if crop and (part := positive(share)) else None
        if resize is None:
            reading = reading.lacking("crop_pct", share)
    fit = first(entry, FIT)
    known = FITS.get(str(fit).lower()) if fit is not None else "cover"
    if known is None:
        reading = reading.lacking("crop_mode", fit)
    edges = crop or resize
    return reading.sized(resize or edges, edges, known or "cover") if edges else reading


def _ordered(reading: Reading, entry: Mapping[str, object]) -> Reading:
    """The reading with the order of the channels, where the entry says something on it."""
    if "to_rgb" in entry:
        return reading.in_bgr(not entry["to_rgb"])
    if any(entry.get(name) is True for name in BGR):
        return reading.in_bgr(True)
    for name in ORDER:
        order = entry.get(name)
        if isinstance(order, str) and order.lower() in ("rgb", "bgr"):
            reading = reading.in_bgr(order.lower() == "bgr")
        elif order is not None and not isinstance(order, int):
            reading = reading.lacking(name, order)
    return reading


OPTIONS = frozenset(
    {*CROP, *RESIZE, *SHARE, *MEAN, *STD, *BGR}
    | {"interpolation", "crop_mode", "resize_mode", "to_rgb", "channel_order", "color_order"}
) - {"crop", "resize"}
"""Names that are on images among options of every kind."""


def read_options(options: Mapping[str, object], otherwise: Preprocessing) -> Reading:
    """The reading of options of every kind, of which only those with such a name are on images.

    A size alone does not say how images are resized to it: that is as in `otherwise`.
    """
    entry = {name: options[name] for name in OPTIONS if options.get(name) is not None}
    if {*MEAN, *STD}.isdisjoint(entry) and {*CROP, *RESIZE}.isdisjoint(entry):
        return Reading(otherwise)
    if "image_mean" in entry and edges_of(options.get("size")):
        entry["size"] = options["size"]  # it stands beside transformers' own names
    reading = read_entry(entry, otherwise)
    alone = edges_of(first(entry, CROP))
    if alone and not {*RESIZE, *SHARE, *FIT, "size"} & set(entry):
        kept = of_size(otherwise, alone)
        return reading.sized(kept.resize, kept.crop, kept.fit)
    return reading
