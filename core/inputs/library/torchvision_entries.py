"""The preprocessing of torchvision's weights: each entry of a model has its own."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from core.architectures import Architecture, Signature, signature
from core.inputs.library.known_weights import OpenedFile, Weights, weights_of
from core.inputs.library.offer import Offer, distinct
from core.inputs.preprocessing import Preprocessing, of_size
from core.wording import count

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

TRANSFORM_INPUT = ("googlenet", "inception_v3", "quantized_googlenet", "quantized_inception_v3")
"""torchvision's models whose ImageNet weights are built with `transform_input=True`: the model
itself converts ImageNet's normalisation to mean and std of 0.5 (torchvision/models/inception.py).
No state_dict says so, and a model that is built without the weights does not do it."""


def torchvision_offers(architecture: Architecture, file: OpenedFile | None) -> tuple[Offer, ...]:
    """The preprocessing of each of the model's weights, those of the file first, else the usual.

    Empty for models that are no image classifiers.
    """
    entries = _entries(architecture)
    if not entries:
        return ()
    told = weights_of(file, [Weights((str(e), e.name), e.url) for e in entries])
    fitting = [entry for entry in entries if _fits(entry, signature(architecture))] or entries
    first = entries[told.number] if told else fitting[0]
    offers = distinct(
        offer for entry in _first(first, fitting) for offer in _offers(architecture, entry)
    )
    guessed = not (told and told.certain) and _differ(architecture, fitting)
    source = f"torchvision's own recipe for {first}"
    if guessed:
        how = f", {told.how}" if told else ""
        source = f"guessed: {first.name}{how}, of torchvision's {count(len(offers))} recipes"
    elif told and told.certain:
        source += f", {told.how}"
    if architecture.name in TRANSFORM_INPUT:
        source += ", normalised as its transform_input does"
    default = replace(offers[0].preprocessing, source=source, guessed=guessed)
    return replace(offers[0], preprocessing=default), *offers[1:]


def _entries(architecture: Architecture) -> list[WeightsEnum]:
    """The entries of a classifier, the default one first."""
    from torchvision.models import get_model_weights

    try:
        weights = get_model_weights(architecture.name)
    except ValueError:
        return []
    if any(len(getattr(entry.transforms(), "crop_size", ())) != 1 for entry in weights):
        return []  # a preset for videos, or for images of any size
    return _first(weights.DEFAULT, list(weights))


def _first(entry: WeightsEnum, entries: list[WeightsEnum]) -> list[WeightsEnum]:
    return [entry, *(each for each in entries if each is not entry)]


def _fits(entry: WeightsEnum, known: Signature) -> bool:
    return _fixed_size(known) in (None, entry.transforms().crop_size[0])


def _fixed_size(known: Signature) -> int | None:
    """The height, and width, that a torchvision VisionTransformer takes; None for other models."""
    positions, patches = known.get("encoder.pos_embedding"), known.get("conv_proj.weight")
    if positions is None or patches is None:
        return None
    patches_an_edge = math.isqrt(int(positions.shape[1]) - 1)
    return patches_an_edge * int(patches.shape[2])


def _offers(architecture: Architecture, entry: WeightsEnum) -> list[Offer]:
    """The entry's own preprocessing; for a model that may convert its input, both ways."""
    recipe = entry.transforms()
    resize, crop = recipe.resize_size[0], recipe.crop_size[0]
    own = Preprocessing(
        resize=(resize, resize),
        crop=(crop, crop),
        interpolation=recipe.interpolation.value,
        mean=tuple(recipe.mean),
        std=tuple(recipe.std),
        channels=3,
        source=f"torchvision's own recipe for {entry}",
    )
    size = architecture.size("image_size")
    own = of_size(own, (size, size)) if size else own
    offers = [Offer(entry.name, own)]
    if architecture.name in TRANSFORM_INPUT:
        half = replace(
            own,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            source=f"{own.source}, normalised as its transform_input does",
        )
        offers.insert(0, Offer(f"{entry.name}-transform_input", half))
    return offers


def _differ(architecture: Architecture, entries: list[WeightsEnum]) -> bool:
    """Whether the weights were fed otherwise, or the model may be one that does not convert.

    One with other classes than its weights was trained by somebody, with the weights' own
    conversion or without.
    """
    recipes = {_offers(architecture, entry)[0].preprocessing.recipe for entry in entries}
    classes = architecture.size("num_classes")
    trained = classes not in (None, len(entries[0].meta["categories"]))
    return len(recipes) > 1 or (trained and architecture.name in TRANSFORM_INPUT)
