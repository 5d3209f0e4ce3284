"""The signature of an architecture by the index: what a build gives, without one.

To build a model, its library must be imported, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from core.architectures import (
    OTHER_CLASSES,
    Architecture,
    Signature,
    TensorSpec,
    Value,
    option_of,
)
from core.fit.index.index import Index, IndexedModel, Variation

if TYPE_CHECKING:
    from core.architectures import Architecture


def known_signature(index: Index, architecture: Architecture) -> Signature | None:
    """The architecture's signature; None where only a build can say it.

    The index was made by builds: without options, and with some values of single options. It is
    taken at its word for these, and for any number of classes where both builds have each length
    that differs at the same multiple of their classes. All else is left to a build: other options,
    several of them, and values that add keys, whose places the index does not say.
    """
    if len(architecture.options) > 1 or architecture.tag:
        return None
    plain = (architecture.library, architecture.name)
    for number, other in enumerate(index.architectures):
        if (other.library, other.name, other.options) == (*plain, ()):
            model = index.models[number]
            if not architecture.options:
                return model.signature
            return _with_option(model, *architecture.options[0])
    return None


def same_tensors(index: Index, architecture: Architecture) -> tuple[Architecture, ...]:
    """The other architectures with the signature of this one, each with the options of this one.

    Empty where the index does not know the signature with these options.
    """
    own = known_signature(index, architecture)
    plain = known_signature(index, Architecture(architecture.library, architecture.name))
    if own is None or plain is None:
        return ()
    as_many = (
        replace(other, options=architecture.options)
        for other, number in zip(index.architectures, index.signature_ids.tolist(), strict=True)
        if len(index.signatures[number].key_ids) == len(plain)
    )
    return tuple(
        other for other in as_many if other != architecture and known_signature(index, other) == own
    )


def known_names(index: Index) -> Mapping[str, frozenset[str]]:
    """The names of each library's architectures, those included that cannot be built."""
    keys = {architecture.key for architecture in index.architectures}
    keys |= {key for key, _ in index.failures if "?" not in key}
    pairs = [key.split(":", 1) for key in keys]
    return {
        library: frozenset(name for of, name in pairs if of == library)
        for library in index.versions
    }


def _with_option(model: IndexedModel, option: str, value: Value) -> Signature | None:
    if not option_of(model.architecture, option).is_value(value):
        return None
    variations = [each for each in model.variations if each.option == option]
    for variation in variations:
        if variation.added:
            continue
        if variation.value == value:
            return _reshaped(model.signature, variation, variation.shapes)
        if not isinstance(value, int):
            continue
        if option == "num_classes" and variation.value == OTHER_CLASSES and value > 0:
            shapes = _shapes_of_classes(model.signature, variation, value)
            return None if shapes is None else _reshaped(model.signature, variation, shapes)
    return None


def _reshaped(
    signature: Signature, variation: Variation, shapes: Mapping[str, tuple[int, ...]]
) -> Signature:
    """The signature with these shapes, without the keys that the variation lacks."""
    gone = set(variation.gone)
    return {
        key: TensorSpec(shapes[key], spec.dtype, spec.kind) if key in shapes else spec
        for key, spec in signature.items()
        if key not in gone
    }


def _shapes_of_classes(
    signature: Signature, variation: Variation, classes: int
) -> Mapping[str, tuple[int, ...]] | None:
    """The shapes with so many classes; None where a length is not a multiple of the classes.

    `variation` is a build with OTHER_CLASSES, and `signature` one with its default.
    """
    other_classes, default = variation.value, variation.default
    if variation.gone or not (isinstance(default, int) and isinstance(other_classes, int)):
        return None
    if default <= 0:
        return None
    shapes: dict[str, tuple[int, ...]] = {}
    for key, other in variation.shapes.items():
        shape = signature[key].shape
        if len(shape) != len(other):
            return None
        lengths: list[int] = []
        for length, changed in zip(shape, other, strict=True):
            times, rest = divmod(changed, other_classes)
            if length == changed:
                lengths.append(length)
            elif rest == 0 and times * default == length:
                lengths.append(times * classes)
            else:
                return None
        shapes[key] = tuple(lengths)
    return shapes
