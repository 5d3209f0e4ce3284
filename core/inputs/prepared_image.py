"""The preprocessing of a model's images: size, crop and normalisation, and who states them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from PIL import Image
from torchvision.transforms import functional as F  # noqa: N812
from torchvision.transforms.functional import InterpolationMode

from core.architectures import Architecture, Signature, signature
from core.errors import ImageError
from core.inputs.images import MAX_PIXELS

Fit = Literal["cover", "squash", "pad"]

INTERPOLATIONS = ("bilinear", "bicubic", "lanczos", "nearest", "box", "hamming")
"""torchvision's and timm's names of interpolations; all of them antialias PIL images."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How an image becomes a tensor.

    `resize` and `crop` are (height, width) in pixels. `mean` and `std` have one value for each
    channel, on a scale from 0 to 1. `fit` says how an image is resized: "cover" keeps its
    proportions, and the longer edge exceeds `resize`; "squash" changes the proportions; "pad" keeps
    them and pads with the mean colour. `source` says in words where the values come from;
    `guessed`: neither the file nor the model states them.
    """

    resize: tuple[int, int]
    crop: tuple[int, int]
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: int
    source: str
    fit: Fit = "cover"
    guessed: bool = False


FROM_CHECKPOINT = "the checkpoint's own"
"""How a `source` begins that is a key of the checkpoint's metadata."""

IMAGENET = Preprocessing(
    resize=(256, 256),
    crop=(224, 224),
    interpolation="bilinear",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    channels=3,
    source="guessed: ImageNet's usual values, as neither the model nor the file states any",
    guessed=True,
)
"""The values that most classifiers were trained with; torchvision's ImageClassification preset."""


def prepare(image: Image.Image, preprocessing: Preprocessing) -> torch.Tensor:
    """The RGB image as a float32 tensor [channels, height, width].

    The result equals that of torchvision's or timm's own evaluation transform. One channel is grey
    (ITU-R 601 luma); for more than three, the colours are repeated. Raises ImageError if an image
    is so thin that resizing would fill the memory.
    """
    if preprocessing.channels == 1:
        image = image.convert("L")
    pixels = F.pil_to_tensor(_crop(_resize(image, preprocessing), preprocessing))
    if preprocessing.channels not in (1, 3):
        pixels = pixels[torch.arange(preprocessing.channels) % 3]
    values = F.convert_image_dtype(pixels, torch.float32)
    normalised: torch.Tensor = F.normalize(
        values, list(preprocessing.mean), list(preprocessing.std)
    )
    return normalised


def _resize(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    height, width = _resized(image, preprocessing)
    if height * width > MAX_PIXELS:
        raise ImageError(
            f"The image is too long and thin: {image.width} × {image.height} pixels.",
            "Crop it to what the model should see.",
        )
    interpolation = InterpolationMode(preprocessing.interpolation)
    resized: Image.Image = F.resize(image, [height, width], interpolation)
    return resized


def _resized(image: Image.Image, preprocessing: Preprocessing) -> tuple[int, int]:
    """The height and width of the resized image, before it is cropped."""
    height, width = preprocessing.resize
    if preprocessing.fit == "squash":
        return height, width
    if preprocessing.fit == "cover" and height == width:
        # torchvision's Resize with one number rounds the longer edge down.
        shorter, longer = sorted((image.height, image.width))
        over = int(height * longer / shorter)
        return (over, height) if image.height >= image.width else (height, over)
    # timm's ResizeKeepRatio (timm/data/transforms.py) rounds both edges to the nearest.
    choose = max if preprocessing.fit == "pad" else min
    ratio = choose(image.height / height, image.width / width)
    return max(1, round(image.height / ratio)), max(1, round(image.width / ratio))


def _crop(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    height, width = preprocessing.crop
    if preprocessing.fit == "pad":
        # timm's CenterCropOrPad: the border has the colour that normalises to zero.
        lacking_w, lacking_h = max(0, width - image.width), max(0, height - image.height)
        left, top = lacking_w // 2, lacking_h // 2
        fill = tuple(round(255 * value) for value in preprocessing.mean[:3])
        border = [left, top, lacking_w - left, lacking_h - top]
        image = F.pad(image, border, fill=fill if len(fill) > 1 else fill[0])
    cropped: Image.Image = F.center_crop(image, [height, width])
    return cropped


def default_preprocessing(
    architecture: Architecture, metadata: Mapping[str, object] | None = None
) -> Preprocessing:
    """The preprocessing that a model expects.

    It is what the checkpoint's metadata states, else what the architecture's library states, else
    ImageNet's usual values, as a guess. The number of channels is that of `input_channels`. Raises
    ArchitectureError if the architecture cannot be built.
    """
    known = signature(architecture)
    if architecture.library == "torchvision":
        default = _torchvision(architecture, known)
    elif architecture.library == "timm":
        default = _timm(architecture.tagged_name)
    else:
        default = IMAGENET
    size = architecture.size("img_size") or architecture.size("image_size")
    default = _of_size(default, size) if size else default
    stated = stated_preprocessing(metadata, default) if metadata else None
    return with_channels(stated or default, input_channels(architecture))


def _of_size(preprocessing: Preprocessing, size: int) -> Preprocessing:
    """The same preprocessing for square images of another size, cropped in proportion."""
    height, width = (
        round(size * resize / crop)
        for resize, crop in zip(preprocessing.resize, preprocessing.crop, strict=True)
    )
    return replace(preprocessing, resize=(height, width), crop=(size, size))


TRANSFORM_INPUT = ("googlenet", "inception_v3", "quantized_googlenet", "quantized_inception_v3")
"""torchvision's models whose ImageNet weights are built with `transform_input=True`: the model
itself converts ImageNet's normalisation to mean and std of 0.5 (torchvision/models/inception.py).
No state_dict says so, and a model that is built without the weights does not do it."""


def _torchvision(architecture: Architecture, known: Signature) -> Preprocessing:
    """The preprocessing of the model's weights in torchvision, of those for the model's size."""
    from torchvision.models import get_model_weights

    try:
        weights = get_model_weights(architecture.name)
    except ValueError:
        return IMAGENET
    if any(len(getattr(entry.transforms(), "crop_size", ())) != 1 for entry in weights):
        return IMAGENET  # a preset for videos, or for images of any size
    size = _fixed_size(known)
    fitting = [entry for entry in weights if size in (None, entry.transforms().crop_size[0])]
    chosen = weights.DEFAULT if weights.DEFAULT in fitting or not fitting else fitting[0]
    recipe = chosen.transforms()
    resize, crop = recipe.resize_size[0], recipe.crop_size[0]
    mean, std, remark = tuple(recipe.mean), tuple(recipe.std), ""
    if architecture.name in TRANSFORM_INPUT and dict(architecture.options).get(
        "num_classes", 1000
    ) == len(chosen.meta["categories"]):
        mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
        remark = ", normalised as its transform_input does"
    return Preprocessing(
        resize=(resize, resize),
        crop=(crop, crop),
        interpolation=recipe.interpolation.value,
        mean=mean,
        std=std,
        channels=3,
        source=f"torchvision's own recipe for {chosen}{remark}",
    )


def _fixed_size(known: Signature) -> int | None:
    """The height, and width, that a torchvision VisionTransformer takes; None for other models."""
    positions, patches = known.get("encoder.pos_embedding"), known.get("conv_proj.weight")
    if positions is None or patches is None:
        return None
    patches_an_edge = math.isqrt(int(positions.shape[1]) - 1)
    return patches_an_edge * int(patches.shape[2])


def _timm(name: str) -> Preprocessing:
    from timm import get_pretrained_cfg
    from timm.data import resolve_data_config

    known = get_pretrained_cfg(name)
    if known is None:
        return IMAGENET
    config = resolve_data_config(pretrained_cfg=known.to_dict())
    _, height, width = config["input_size"]
    share = config["crop_pct"]
    return Preprocessing(
        resize=(math.floor(height / share), math.floor(width / share)),
        crop=(height, width),
        interpolation=config["interpolation"],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        channels=3,
        source=f"timm's data config for {known.architecture}"
        + (f".{known.tag}" if known.tag else ""),
        fit=_TIMM_FITS.get(config["crop_mode"], "cover"),
    )


_TIMM_FITS: Mapping[str, Fit] = {"center": "cover", "squash": "squash", "border": "pad"}


def input_channels(architecture: Architecture) -> int:
    """The number of input channels of a model: its option's, else its library's default.

    An own model has those of its first convolution, or 3 if it has none. Raises ArchitectureError.
    """
    asked = architecture.size("in_chans")
    if asked:
        return asked
    if architecture.library == "torchvision":
        return 3
    if architecture.library == "timm":
        from timm import get_pretrained_cfg

        known = get_pretrained_cfg(architecture.tagged_name)
        return int(known.input_size[0]) if known else 3
    return next(
        (
            spec.shape[1]
            for key, spec in signature(architecture).items()
            if key.rpartition(".")[2] == "weight"
            and spec.kind == "parameter"
            and len(spec.shape) == 4
        ),
        3,
    )


def with_channels(preprocessing: Preprocessing, channels: int) -> Preprocessing:
    """The same preprocessing for another number of channels.

    Mean and std are averaged for one channel, and repeated for more channels than they have.
    """
    mean, std = preprocessing.mean, preprocessing.std
    if channels == 1:
        mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
    else:
        mean = tuple(mean[i % len(mean)] for i in range(channels))
        std = tuple(std[i % len(std)] for i in range(channels))
    return replace(preprocessing, channels=channels, mean=mean, std=std)


STATED = (
    "preprocessing",
    "preprocess",
    "preprocessor",
    "preprocessor_config",
    "data_config",
    "pretrained_cfg",
    "img_norm_cfg",
    "normalization",
    "normalize",
    "transform",
    "transforms",
)
"""Metadata keys under which training scripts keep their preprocessing: timm's `data_config` and
`pretrained_cfg`, transformers' `preprocessor_config`, OpenMMLab's `img_norm_cfg`."""

DEPTH = 3
"""How many levels deep in the metadata such a key is searched."""

MAX_EDGE = 4096
"""The largest edge in pixels that a checkpoint's metadata may state."""


def stated_preprocessing(
    metadata: Mapping[str, object], otherwise: Preprocessing
) -> Preprocessing | None:
    """The preprocessing that a checkpoint's metadata states, with `otherwise` for the rest.

    None if it states neither a size nor a mean with a standard deviation.
    """
    for path, entry in _stated_entries(metadata, "", DEPTH):
        stated = _from_entry(entry, otherwise)
        if stated:
            return replace(stated, source=f"{FROM_CHECKPOINT} {path}", guessed=False)
    return None


def _stated_entries(
    tree: Mapping[str, object], path: str, depth: int
) -> Iterator[tuple[str, Mapping[str, object]]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            where = f"{path}.{key}" if path else str(key)
            if str(key).lower() in STATED:
                yield where, value
            elif depth > 1:
                yield from _stated_entries(value, where, depth - 1)


def _from_entry(entry: Mapping[str, object], otherwise: Preprocessing) -> Preprocessing | None:
    crop = _first_size(entry, ("crop", "crop_size", "img_size", "image_size", "input_size", "size"))
    resize = _first_size(entry, ("resize", "resize_size", "size"))
    share = entry.get("crop_pct")
    if crop and isinstance(share, float | int) and 0 < share <= 1:
        resize = (math.floor(crop[0] / share), math.floor(crop[1] / share))
    mean = _numbers(entry.get("mean", entry.get("image_mean")))
    std = _numbers(entry.get("std", entry.get("image_std")))
    if mean and std and len(mean) == len(std) and min(std) > 0:
        if max(mean) > 1:  # stated on a scale from 0 to 255
            mean, std = tuple(v / 255 for v in mean), tuple(v / 255 for v in std)
        stated = replace(otherwise, mean=mean, std=std)
    elif crop or resize:
        stated = otherwise
    else:
        return None
    size = crop or resize
    if size:
        stated = replace(stated, resize=resize or size, crop=size, fit="cover")
    way = entry.get("interpolation", entry.get("resample"))
    if isinstance(way, int) and 0 <= way < len(_PILLOW_RESAMPLING):
        way = _PILLOW_RESAMPLING[way]
    return replace(stated, interpolation=way) if way in INTERPOLATIONS else stated


_PILLOW_RESAMPLING = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""The order of PIL.Image.Resampling, which transformers writes as a number."""


def _first_size(entry: Mapping[str, object], names: Sequence[str]) -> tuple[int, int] | None:
    sizes = (_size(entry[name]) for name in names if name in entry)
    return next((size for size in sizes if size), None)


def _size(value: object) -> tuple[int, int] | None:
    """A size as (height, width); None if it is not one, or too large.

    It may be 64, [64], [64, 48], [3, 64, 48], {"height": 64, "width": 48} or {"shortest_edge": 64}.
    """
    if isinstance(value, Mapping):
        edge = value.get("shortest_edge")
        value = [edge] if edge else [value.get("height"), value.get("width")]
    parts = _numbers(value)
    if not parts or any(not 1 <= part <= MAX_EDGE or part != int(part) for part in parts):
        return None
    return int(parts[-2] if len(parts) > 1 else parts[0]), int(parts[-1])


def _numbers(value: object) -> tuple[float, ...]:
    values = value if isinstance(value, list | tuple) else (value,)
    numbers = [v for v in values if isinstance(v, int | float) and math.isfinite(v)]
    return tuple(map(float, numbers)) if len(numbers) == len(values) else ()
