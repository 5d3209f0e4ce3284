"""What options of the network would suit the file better than any fix, read from a match."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.architectures import Signature
from core.fit.key_match import Match, Mismatch
from core.fit.proposals.proposal import listed, thin

AUXILIARY = (
    ("AuxLogits.", "aux_logits"),  # torchvision's inception_v3
    ("aux1.", "aux_logits"),  # torchvision's googlenet
    ("aux2.", "aux_logits"),
    ("aux_classifier.", "aux_loss"),  # torchvision's segmentation networks
)
"""Where auxiliary heads stand, and the option that gives a network one."""

POSITIONS = ("pos_embed", "position_embed", "relative_position", "positional_embedding")
"""In the keys of embeddings that belong to one size of image."""


def options_sentence(found: Match, signature: Signature) -> str:
    """Which options to set instead, in sentences; empty where none would help."""
    return " ".join((*_auxiliary(found), *_classes(found, signature), *_sizes(found)))


def _auxiliary(found: Match) -> Iterator[str]:
    for keys, value, what in (
        (found.unexpected_keys, 1, "to load the file's auxiliary heads too; only training needs"),
        (found.missing_keys, 0, "since the file has no auxiliary heads; only training needs"),
    ):
        options = dict.fromkeys(
            option for prefix, option in AUXILIARY if any(key.startswith(prefix) for key in keys)
        )
        for option in options:
            yield f"Set {option}={value} {what} them."


def _classes(found: Match, signature: Signature) -> Iterator[str]:
    head = head_of(found.mismatched, signature)
    if head is not None:
        yield (
            f"The file's head has {thin(head.found[0])} classes, the network's "
            f"{thin(head.wanted[0])}: set num_classes={head.found[0]} to load it whole. Which rows "
            "are which classes is not in the tensors, so none are chosen from it."
        )


def head_of(mismatched: Sequence[Mismatch], signature: Signature) -> Mismatch | None:
    """The mismatch of the last layer's weight, where the number of its rows is all that differs."""
    last = last_weight(signature)
    for one in mismatched:
        if one.key == last and not one.reason and one.found[:1]:
            return one if one.found[1:] == one.wanted[1:] else None
    return None


def last_weight(signature: Signature) -> str | None:
    """The key of the last layer's weight."""
    weights = (
        key
        for key, spec in reversed(list(signature.items()))
        if spec.kind == "parameter" and len(spec.shape) >= 2 and key.endswith("weight")
    )
    return next(weights, None)


def other_channels(mismatched: Sequence[Mismatch]) -> list[Mismatch]:
    """Convolutions that differ in the number of their input channels alone."""
    return [
        one
        for one in mismatched
        if not one.reason
        and one.key.endswith("weight")
        and not _is_position(one.key)
        and len(one.found) == len(one.wanted) > 2
        and one.found[1] != one.wanted[1]
        and (one.found[0], one.found[2:]) == (one.wanted[0], one.wanted[2:])
    ]


def other_positions(mismatched: Sequence[Mismatch]) -> list[Mismatch]:
    """Position embeddings and tables of relative positions of another size."""
    return [one for one in mismatched if not one.reason and one.found and _is_position(one.key)]


def _is_position(key: str) -> bool:
    return any(name in key for name in POSITIONS)


def _sizes(found: Match) -> Iterator[str]:
    channels = other_channels(found.mismatched)
    if len(channels) == 1:
        yield f"Or set in_chans={channels[0].found[1]}, where the network has that option."
    positions = other_positions(found.mismatched)
    if positions:
        yield (
            f"{listed([one.key for one in positions])} belong to images of another size: set "
            "img_size (timm) or image_size (torchvision) to the file's, to keep them as they are."
        )
