"""Which preprocessing a model gets, and which others it may be."""

from __future__ import annotations

from dataclasses import replace

from core.architectures import Architecture, signature
from core.errors import ImageError
from core.inputs.channel_count import input_channels
from core.inputs.library import (
    Offer,
    OpenedFile,
    distinct,
    timm_config_of,
    timm_offers,
    torchvision_offers,
)
from core.inputs.preprocessing import IMAGENET, Preprocessing, of_size, with_channels
from core.inputs.statements import stated_preprocessing
from core.wording import listed

CHECKPOINT = "checkpoint"
"""The name of the choice that the checkpoint itself states."""


def preprocessing_choices(
    architecture: Architecture, file: OpenedFile | None = None
) -> tuple[Offer, ...]:
    """What a model may be fed, the most likely first.

    That is what the checkpoint states, else what the architecture's library states for the file's
    own weights, else for its usual weights, which is a guess where the library has several recipes;
    else ImageNet's usual values, as a guess. The number of channels is that of `input_channels`.
    Raises ArchitectureError if the architecture cannot be built.
    """
    offers = _library_offers(architecture, file)
    channels = input_channels(architecture)
    stated = None
    if file is not None:
        likely = replace(offers[0].preprocessing, channels=channels)
        library = timm_config_of(architecture, file)
        stated = stated_preprocessing(file.metadata, likely, file.configs, library)
    if stated is not None:
        if len(stated.mean) > channels > 1:
            lacking = f"mean and std of {len(stated.mean)} channels"
            stated = replace(stated, not_understood=(*stated.not_understood, lacking))
        offers = (Offer(CHECKPOINT, stated), *offers)
    return distinct(
        replace(offer, preprocessing=with_channels(offer.preprocessing, channels))
        for offer in offers
    )


def default_preprocessing(
    architecture: Architecture, file: OpenedFile | None = None
) -> Preprocessing:
    """The first of `preprocessing_choices`."""
    return preprocessing_choices(architecture, file)[0].preprocessing


def _library_offers(architecture: Architecture, file: OpenedFile | None) -> tuple[Offer, ...]:
    """At least one: ImageNet's usual values, if the library has none."""
    signature(architecture)
    offers: tuple[Offer, ...] = ()
    if architecture.library == "torchvision":
        offers = torchvision_offers(architecture, file)
    elif architecture.library == "timm":
        offers = timm_offers(architecture, file)
    size = architecture.size("img_size") or architecture.size("image_size")
    usual = of_size(IMAGENET, (size, size)) if size else IMAGENET
    return offers or (Offer("imagenet", usual),)


def chosen_preprocessing(choices: tuple[Offer, ...], name: str) -> Offer:
    """The choice with that name, in any case. Raises ImageError if there is none."""
    for choice in choices:
        if name.lower() in (each.lower() for each in (choice.name, *choice.also)):
            return choice
    names = listed([each for choice in choices for each in (choice.name, *choice.also)], 12)
    raise ImageError(f"There is no preprocessing called {name[:80]!r}.", f"Choose one of {names}.")
