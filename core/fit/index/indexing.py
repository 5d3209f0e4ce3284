"""Indexes one architecture: its signature, and what each of its options changes in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from core.architectures import (
    OTHER_CLASSES,
    SIMPLE,
    TABLE,
    TIMM,
    Architecture,
    Signature,
    Value,
    build_without_weights,
    options_of,
    signature_of,
)
from core.architectures import (
    signature as signature_with,
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
    for option in filter(SIMPLE.__contains__, options_of(architecture)):
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
    variations.extend(_of_structure(architecture, signature))
    return IndexedModel(architecture, signature, tuple(variations)), tuple(failures)


STRUCTURE: Mapping[str, tuple[Value, ...]] = {
    "global_pool": ("avg", "token", "map"),
    "class_token": (0, 1),
    "reg_tokens": (0, OTHER_CLASSES),
    "num_reg_tokens": (0, OTHER_CLASSES),
    "no_embed_class": (0, 1),
    "qkv_bias": (0, 1),
    "qk_norm": (0, 1),
    "pre_norm": (0, 1),
    "init_values": (1, 0),
    "stem_type": ("deep", "deep_tiered"),
    "avg_down": (0, 1),
    "use_grn": (0, 1),
}
"""The options of structure by which a model is built a second time, each with its values.

Left out are those that a file never proves: what a missing tensor alone would show (`final_norm`,
`pos_embed`), what gives the same keys as another option (`fc_norm`), and what changes no key. A
layer scale is tried at 1 first, since some models have one at 0 too.
"""

POOLED = ("global_pool", "avg")
"""Without its class token timm builds a model only if that pools the other tokens."""


def _of_structure(architecture: Architecture, signature: Signature) -> Iterator[Variation]:
    """The variations by the options of structure; what timm cannot build so is left out."""
    taken = options_of(architecture)
    for option, values in STRUCTURE.items():
        if option not in taken or (option == "global_pool" and "class_token" not in taken):
            continue
        for value in values:
            base, changed = signature, _built(architecture, (option, value))
            if changed is None and (option, value) == ("class_token", 0):
                base = _built(architecture, POOLED) or signature
                changed = _built(architecture, (option, value), POOLED)
            if changed is None or changed == base:
                continue
            default = _structure_default(option, value, signature)
            yield variation(option, default, value, base, changed)
            if TABLE[option].kind in ("switch", "scale"):
                break  # the other value is the default


def _built(architecture: Architecture, *options: tuple[str, Value]) -> Signature | None:
    try:
        # A fifth of the time that `build_without_weights` takes, which initialises on meta.
        return signature_with(replace(architecture, options=tuple(sorted(options))))
    except ArchitectureError:
        return None


def _structure_default(option: str, value: Value, signature: Signature) -> Value:
    """The option's value in the model's own signature, "" for a word."""
    if isinstance(value, str):
        return ""
    if TABLE[option].kind == "size":
        registers = signature.get("reg_token")
        return registers.shape[1] if registers else 0
    return 1 - value


def _values(architecture: Architecture, option: str, model: nn.Module) -> Iterator[int]:
    """The values with which the model is built a second time."""
    if option == "num_classes":
        yield OTHER_CLASSES
        if architecture.library == TIMM and getattr(model, "num_classes", None) != 0:
            yield 0
    elif option == "in_chans":
        yield 1
    elif TABLE[option].kind == "switch":
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
    if TABLE[option].kind == "switch":
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
