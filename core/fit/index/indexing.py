"""Indexes one architecture: its signature, and what each of its options changes in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from core.architectures import (
    OTHER_CLASSES,
    SWITCHES,
    TIMM,
    Architecture,
    Signature,
    build_without_weights,
    options_of,
    signature_of,
)
from core.errors import ArchitectureError
from core.fit.index.index import IndexedModel, Variation, variation

if TYPE_CHECKING:
    from torch import nn

Failure = tuple[str, str]
"""An architecture's key, and why it cannot be built."""


def index_model(architecture: Architecture) -> tuple[IndexedModel, tuple[Failure, ...]]:
    """The model with its variations, and the variations that cannot be built.

    A variation that changes nothing is left out. Raises ArchitectureError if the architecture
    itself cannot be built.
    """
    model = build_without_weights(architecture)
    signature = signature_of(model)
    variations: list[Variation] = []
    failures: list[Failure] = []
    for option in options_of(architecture):
        for value in _values(architecture, option, model):
            other = replace(architecture, options=((option, value),))
            try:
                changed = signature_of(build_without_weights(other))
            except ArchitectureError as error:
                failures.append((other.key, error.problem))
                continue
            if changed == signature:
                continue
            default = _default(option, value, model, signature, changed)
            if default is None or not _is_default(architecture, option, default, signature):
                failures.append((other.key, f"What {option} is by default is not known."))
                continue
            variations.append(variation(option, default, value, signature, changed))
    return IndexedModel(architecture, signature, tuple(variations)), tuple(failures)


def _values(architecture: Architecture, option: str, model: nn.Module) -> Iterator[int]:
    """The values with which the model is built a second time."""
    if option == "num_classes":
        yield OTHER_CLASSES
        if architecture.library == TIMM and getattr(model, "num_classes", None) != 0:
            yield 0
    elif option == "in_chans":
        yield 1
    elif option in SWITCHES:
        yield from (0, 1)
    else:
        size = _size(model)
        if size is not None:
            # A multiple of the size is divisible by every patch, stride and window that divides it.
            yield from (2 * size, 3 * size)


def _size(model: nn.Module) -> int | None:
    """The edge in pixels of the square images that the model states; None if it states none."""
    configured = getattr(model, "pretrained_cfg", {}).get("input_size", ())
    for stated in (
        getattr(getattr(model, "patch_embed", None), "img_size", None),
        getattr(model, "image_size", None),
        getattr(model, "img_size", None),
        tuple(configured[1:]),
    ):
        if isinstance(stated, int):
            return stated
        if isinstance(stated, tuple | list) and len(stated) == 2 and stated[0] == stated[1]:
            return int(stated[0])
    return None


def _is_default(architecture: Architecture, option: str, value: int, signature: Signature) -> bool:
    """Whether setting the option to this value leaves the signature as it is without the option."""
    try:
        model = build_without_weights(replace(architecture, options=((option, value),)))
    except ArchitectureError:
        return False
    return signature_of(model) == signature


def _default(
    option: str,
    value: int,
    model: nn.Module,
    base: Signature,
    other: Signature,
) -> int | None:
    """The option's value in the model's own signature; None if it is unknown."""
    if option in SWITCHES:
        return 1 - value
    if option == "num_classes":
        stated = getattr(model, "num_classes", None)
        return stated if isinstance(stated, int) else _proportion(base, other, value)
    if option == "in_chans":
        return _proportion(base, other, value)
    return _size(model)


def _proportion(base: Signature, other: Signature, value: int) -> int | None:
    """The option's value in `base`, if `other` has it at `value`, by proportion.

    A dimension that is n · `value` in `other` is n times the wanted value in `base`; the most
    frequent answer is taken.
    """
    answers: Counter[int] = Counter()
    for key, spec in base.items():
        for ours, theirs in zip(spec.shape, other[key].shape if key in other else (), strict=False):
            if ours != theirs and theirs % value == 0 and ours % (theirs // value) == 0:
                answers[ours // (theirs // value)] += 1
    return answers.most_common(1)[0][0] if answers else None
