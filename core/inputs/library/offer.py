"""A preprocessing that a library states for some weights of an architecture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from core.inputs.preprocessing import Preprocessing


@dataclass(frozen=True, slots=True)
class Offer:
    """A preprocessing, by the name with which a person chooses it; `also` are the names of other
    weights that it is for."""

    name: str
    preprocessing: Preprocessing
    also: tuple[str, ...] = ()


def distinct(offers: Iterable[Offer]) -> tuple[Offer, ...]:
    """The offers in their order, those that do the same to an image as one."""
    by_recipe: dict[tuple[object, ...], Offer] = {}
    for offer in offers:
        recipe = offer.preprocessing.recipe
        first = by_recipe.get(recipe)
        by_recipe[recipe] = (
            offer if first is None else replace(first, also=(*first.also, offer.name, *offer.also))
        )
    return tuple(by_recipe.values())
