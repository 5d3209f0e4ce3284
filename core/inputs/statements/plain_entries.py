"""What a script of one's own states in plain fields: a mapping of preprocessing, or options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.inputs.preprocessing import Fit, Preprocessing, of_size
from core.inputs.statements.channel_order import (
    BGR,
    GREY,
    OF_ORDER,
    ORDERS,
    with_channel_order,
)
from core.inputs.statements.fields import (
    channels_of,
    edges_of,
    first,
    flag,
    mapping,
    numbers,
    positive,
    whole_of,
)
from core.inputs.statements.understood import Reading, with_mean_and_std

CROP = (
    *("crop", "crop_size", "center_crop", "val_crop_size", "img_size", "image_size", "input_size"),
    *("imgsz", "image_resolution", "input_resolution"),
)
RESIZE = ("resize", "resize_size", "val_resize_size")
SHARE = ("crop_pct", "crop_ratio", "eval_crop_ratio")

OF_IMAGES = (
    *("", "image_", "img_", "norm_", "pixel_", "normalize_", "normalization_", "dataset_"),
    *("data_", "input_", "channel_", "rgb_"),
)
"""How the names of mean and std begin."""

MEAN = tuple(f"{prefix}mean" for prefix in OF_IMAGES)
STD = tuple(f"{prefix}std" for prefix in OF_IMAGES)
WAY = ("interpolation", "resample", "val_interpolation", "resize_interpolation")
FIT = ("fit", "crop_mode", "resize_mode")
NORMALISED = ("normalize", "normalization", "normalise", "norm", "do_normalize")
SWITCHED_ON = ("to_tensor", "totensor", "antialias")
"""What is always done: a file may say that it is not."""

READ = frozenset(
    {*CROP, "size", *RESIZE, *SHARE, *MEAN, *STD, *WAY, *FIT, *OF_ORDER, *NORMALISED, *SWITCHED_ON}
)

ELSEWHERE = frozenset(
    {
        *("name", "type", "description", "version", "class", "num_classes", "classes"),
        *("batch_size", "num_workers", "dtype"),
    }
)
"""Fields that change nothing of one image."""

FITS: Mapping[str, Fit] = {
    "cover": "cover",
    "center": "cover",
    "crop": "cover",
    "shortest": "cover",
    "squash": "squash",
    "stretch": "squash",
    "pad": "pad",
    "border": "pad",
    "letterbox": "pad",
}


def read_entry(stated: Mapping[str, object], otherwise: Preprocessing) -> Reading:
    """The reading of a mapping that is on preprocessing alone, so that every field is."""
    entry = _spelled(stated)
    reading = _sized(Reading(otherwise), entry)
    reading = reading.interpolated("interpolation", first(entry, WAY))
    for names in (WAY, SHARE, FIT):
        reading = _without_others(reading, entry, names)
    reading = with_channel_order(_normalised(reading, entry), entry)
    for name in SWITCHED_ON:
        if entry.get(name) is not None and flag(entry[name]) is not True:
            reading = reading.lacking(name, entry[name])
    return reading.without(entry, READ | ELSEWHERE, off_is_nothing=False)


def read_open_clip(stated: Mapping[str, object], otherwise: Preprocessing) -> Reading:
    """The reading of open_clip's `preprocess_cfg`, whose size of two numbers is that of the crop
    unless it says otherwise (open_clip/transform.py, PreprocessCfg)."""
    entry = {"resize_mode": "shortest", **stated}
    if entry["resize_mode"] != "longest":
        entry.pop("fill_color", None)  # only what is longer than the image is filled
    return read_entry(entry, otherwise)


def _spelled(entry: Mapping[str, object]) -> Mapping[str, object]:
    """The entry with the names of its fields as they are listed here."""
    return {str(name).lower().replace("-", "_"): value for name, value in entry.items()}


def _without_others(reading: Reading, entry: Mapping[str, object], names: Sequence[str]) -> Reading:
    """The reading with those fields named that state another value than the first of them."""
    known = first(entry, names)
    for name in names:
        if entry.get(name) is not None and not _is_same(entry[name], known):
            reading = reading.lacking(name, entry[name])
    return reading


def _is_same(value: object, other: object) -> bool:
    return value == other or (numbers(value) != () and numbers(value) == numbers(other))


def _normalised(reading: Reading, entry: Mapping[str, object]) -> Reading:
    """The reading with mean and std, which may be in a mapping of their own."""
    for name in NORMALISED:
        own = entry.get(name)
        inner = mapping(own)
        if inner is not None:
            beside = {key: entry[key] for key in (*MEAN, *STD) if entry.get(key) is not None}
            entry = {**beside, **_spelled(inner)}
            reading = reading.without(entry, {*MEAN, *STD}, off_is_nothing=False)
            for key, value in beside.items():
                if not _is_same(value, entry[key]):
                    reading = reading.lacking(key, value)
            break
        if flag(own) is False:
            return reading.normalised((0.0,), (1.0,))
        if own is not None and flag(own) is None:
            reading = reading.lacking(name, own)
    for names in (MEAN, STD):
        reading = _without_others(reading, entry, names)
    return with_mean_and_std(reading, first(entry, MEAN), first(entry, STD))


def _sized(reading: Reading, entry: Mapping[str, object]) -> Reading:
    """The reading with the size to which an image is resized, and that of the crop."""
    stated = {name: entry[name] for name in (*CROP, *RESIZE, "size") if entry.get(name) is not None}
    found = {name: edges for name, value in stated.items() if (edges := edges_of(value))}
    cropped = next((name for name in (*CROP, "size") if name in found), "")
    whole = next((name for name in (*RESIZE, "size") if name in found), "")
    crop, resize = found.get(cropped), found.get(whole)
    for name, value in stated.items():
        unused = found.get(name) not in (crop, resize) or name not in found
        channels = channels_of(value)
        if unused or channels not in (None, reading.preprocessing.channels):
            reading = reading.lacking(name, value)
    share = first(entry, SHARE)
    if share is not None:
        edges, part = crop or reading.preprocessing.crop, positive(share)
        enlarged = whole_of(edges, part) if part else None
        if enlarged is None or (whole and whole != cropped and enlarged != resize):
            reading = reading.lacking("crop_pct", share)
        else:
            crop, resize, whole = edges, enlarged, ""
    fit = first(entry, FIT)
    known = FITS.get(str(fit).lower()) if fit is not None else None
    if fit is not None and known is None:
        reading = reading.lacking("crop_mode", fit)
    if crop is None and resize is None:
        if known is None:
            return reading
        sizes = reading.preprocessing
        return reading.sized(sizes.resize, sizes.crop, known)
    # torchvision's Resize and transformers change the proportions to those of two numbers.
    usual: Fit = "squash" if _is_pair(stated.get(whole)) else "cover"
    return reading.sized(resize or crop or (0, 0), crop, known or usual)


def _is_pair(value: object) -> bool:
    if isinstance(value, Mapping):
        return "shortest_edge" not in value
    return len(numbers(value)) == 2


ALONE = frozenset(
    {*CROP, *RESIZE, *SHARE, *MEAN, *STD, *BGR, *GREY, *ORDERS}
    | {"interpolation", "crop_mode", "resize_mode", "to_rgb", "antialias"}
) - {"crop", "resize", "center_crop", "mode", "channels"}
"""Names that are on images among options of every kind."""

UNSURE = ("resize", "crop", "center_crop")
"""Names that may be on images: two sizes are."""


def read_options(stated: Mapping[str, object], otherwise: Preprocessing) -> Reading:
    """The reading of options of every kind, of which only those with such a name are on images.

    A size alone does not say how images are resized to it: that is as in `otherwise`.
    """
    options = _spelled(stated)
    entry = {name: options[name] for name in ALONE if options.get(name) is not None}
    pair = {name: options[name] for name in ("resize", "crop") if edges_of(options.get(name))}
    if len(pair) == 2:
        entry |= pair
    if "image_mean" in entry and edges_of(options.get("size")):
        entry["size"] = options["size"]  # it stands beside transformers' own names
    reading = read_entry(entry, otherwise)
    cropped = any(edges_of(entry.get(name)) for name in CROP)
    if cropped and {*RESIZE, *SHARE, *FIT, "size"}.isdisjoint(entry):
        kept = of_size(otherwise, reading.preprocessing.crop)
        reading = reading.sized(kept.resize, kept.crop, kept.fit)
    return _unsure(reading, options, entry)


def _unsure(
    reading: Reading, options: Mapping[str, object], entry: Mapping[str, object]
) -> Reading:
    """The reading with the options named that are probably on images, but do not say enough."""
    for name in UNSURE:
        value = options.get(name)
        if value is not None and name not in entry and not isinstance(value, Mapping):
            reading = reading.lacking(name, value)
    for name in NORMALISED:
        if flag(options.get(name)) is False:
            reading = reading.lacking(name, options[name])
    if str(options.get("backend")).lower() == "tensor":
        # torchvision's reference scripts resize a tensor then, and not Pillow's image.
        reading = reading.lacking("backend", options["backend"])
    return reading
