"""The candidates for a file side by side, with what tells them apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from core.architectures import Architecture
from core.fit.identify import (
    UNEXPLAINED,
    Candidate,
    Hints,
    Identification,
    hinted_at,
)
from core.fit.lookalikes import Arithmetic, Relation, relation
from core.fit.proposals import title_of
from core.fixes import Recipe
from core.wording import percent

NEAREST = 3
"""The most candidates that are set side by side where none fits."""

NAMED_DIFFERENCES = 4
"""The most differences in arithmetic that a choice names."""


@dataclass(frozen=True, slots=True)
class Choice:
    """An architecture that a file may be for, and the recipe that makes it fit.

    `alike` take the same tensors and compute the same. `fits` says whether every key matches after
    the recipe, `matches` how many do, in words, and `repair` what the recipe does; it is empty
    without steps. `arithmetic` says what it computes unlike the other choices, and `facts` what in
    the file speaks for it.
    """

    architecture: Architecture
    recipe: Recipe
    fits: bool
    matches: str
    alike: tuple[Architecture, ...] = ()
    repair: str = ""
    arithmetic: str = ""
    facts: tuple[str, ...] = ()


def choices_of(identified: Identification, hints: Hints) -> tuple[Choice, ...]:
    """What a person may choose from: all that fit, or else the nearest; the best first."""
    fitting = [candidate for candidate in identified.candidates if candidate.fits]
    shown = fitting or identified.candidates[:NEAREST]
    return tuple(choice for candidate in shown for choice in _choices(candidate, hints))


def _choices(candidate: Candidate, hints: Hints) -> Iterator[Choice]:
    """The candidate with those that compute the same, then each of those that may not."""
    first = candidate.architecture
    related = [*zip(candidate.also, candidate.relations, strict=True)]
    alike = [other for other, each in related if each.arithmetic is Arithmetic.SAME]
    others = [pair for pair in related if pair[1].arithmetic is not Arithmetic.SAME]
    unlike = [other for other, each in others if each.arithmetic is Arithmetic.OTHER]
    if not candidate.fits:  # what it computes matters once its tensors are there
        yield _choice(candidate, first, hints, tuple(alike), "")
        return
    own = ", ".join(relation(unlike[0], first).differences[:NAMED_DIFFERENCES]) if unlike else ""
    yield _choice(candidate, first, hints, tuple(alike), own)
    for other, each in others:
        yield _choice(candidate, other, hints, (), _arithmetic(each))


def _choice(
    candidate: Candidate,
    architecture: Architecture,
    hints: Hints,
    alike: tuple[Architecture, ...],
    arithmetic: str,
) -> Choice:
    fixes = tuple(step.fix for step in candidate.recipe.steps)
    share = f"{percent(candidate.coverage_keys, decimal=True)} of its keys match"
    return Choice(
        architecture,
        candidate.recipe,
        candidate.fits,
        "every key matches" if candidate.coverage_keys == 1 else share,
        alike,
        title_of(fixes) if fixes else "",
        arithmetic,
        hinted_at(hints, architecture).facts,
    )


def _arithmetic(compared: Relation) -> str:
    if compared.arithmetic is Arithmetic.UNKNOWN:
        return "whether it computes the same is not known"
    return ", ".join(compared.differences[:NAMED_DIFFERENCES]) or UNEXPLAINED
