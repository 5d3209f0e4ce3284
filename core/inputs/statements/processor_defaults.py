"""What transformers' image processors do where their file leaves a field out.

The values are those of the classes in transformers/models/*/image_processing_*.py.
"""

from __future__ import annotations

from collections.abc import Mapping

Fields = Mapping[str, object]

NEAREST, LANCZOS, BILINEAR, BICUBIC = range(4)
"""Members of PIL.Image.Resampling."""

HALF: Fields = {"image_mean": (0.5,) * 3, "image_std": (0.5,) * 3}
IMAGENET: Fields = {"image_mean": (0.485, 0.456, 0.406), "image_std": (0.229, 0.224, 0.225)}
OPENAI: Fields = {
    "image_mean": (0.48145466, 0.4578275, 0.40821073),
    "image_std": (0.26862954, 0.26130258, 0.27577711),
}


def _square(edge: int) -> Fields:
    return {"size": {"height": edge, "width": edge}}


def _shorter(edge: int) -> Fields:
    return {"size": {"shortest_edge": edge}}


def _cropped(edge: int) -> Fields:
    return {"do_center_crop": True, "crop_size": {"height": edge, "width": edge}}


def _kind(*parts: Fields, **fields: object) -> Fields:
    """The defaults of a class: these, and otherwise those that most classes have."""
    usual = {"do_resize": True, "resample": BICUBIC, "do_rescale": True, "do_normalize": True}
    merged: dict[str, object] = {**usual, "rescale_factor": 1 / 255}
    for part in (*parts, fields):
        merged.update(part)
    return merged


CLIP = _kind(_shorter(224), _cropped(224), OPENAI)
MOBILENET = _kind(_shorter(256), _cropped(224), HALF, resample=BILINEAR)

DEFAULTS: Mapping[str, Fields] = {
    "Beit": _kind(_square(224), HALF, crop_size={"height": 224, "width": 224}),
    "Bit": CLIP,
    "Blip": _kind(_square(384), OPENAI),
    "CLIP": CLIP,
    "Chameleon": _kind(
        *(_shorter(512), _cropped(512)),
        **{"image_mean": (1.0,) * 3, "image_std": (1.0,) * 3},
        **{"resample": LANCZOS, "rescale_factor": 0.0078},
    ),
    "ChineseCLIP": CLIP,
    "ConvNext": _kind(_shorter(384), HALF, crop_pct=224 / 256),
    "DPT": _kind(_square(384), HALF),
    "DeiT": _kind(_square(256), _cropped(224), HALF),
    "EfficientNet": _kind(
        *(_square(346), HALF),
        **{"crop_size": {"height": 289, "width": 289}, "include_top": True},
    ),
    "Flava": _kind(_square(224), _cropped(224), OPENAI),
    "Levit": _kind(_shorter(224), _cropped(224), IMAGENET),
    "Llava": CLIP,
    "MobileNetV1": MOBILENET,
    "MobileNetV2": MOBILENET,
    "MobileViT": _kind(
        *(_shorter(224), _cropped(256), HALF), do_normalize=False, do_flip_channel_order=True
    ),
    "OwlViT": _kind(_square(768), OPENAI, crop_size={"height": 768, "width": 768}),
    "PoolFormer": _kind(_shorter(224), _cropped(224), IMAGENET, crop_pct=0.9),
    "Pvt": _kind(_square(224), IMAGENET),
    "RTDetr": _kind(_square(640), IMAGENET, resample=BILINEAR, do_normalize=False),
    "Sam2": _kind(_square(1024), IMAGENET, resample=BILINEAR),
    "Sam3": _kind(_square(1008), HALF, resample=BILINEAR),
    "Sapiens2": _kind(
        IMAGENET,
        **{"size": {"height": 1024, "width": 768}, "resample": BILINEAR},
        **{"crop_size": {"height": 224, "width": 224}},
    ),
    "SegGpt": _kind(_square(448), IMAGENET),
    "Segformer": _kind(_square(512), IMAGENET, resample=BILINEAR),
    "Siglip": _kind(_square(224), HALF),
    "Tipsv2": _kind(_square(448), resample=BILINEAR, do_normalize=False),
    "ViT": _kind(_square(224), HALF, resample=BILINEAR),
}
"""By the part of the class's name before `ImageProcessor`. These classes resize, crop in the
middle, rescale and normalise, in this order, and do nothing else."""
