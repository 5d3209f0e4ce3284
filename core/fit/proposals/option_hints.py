"""Which options of the architecture would suit the file better than any fix, by a match."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.architectures import Signature, input_weights
from core.fit.key_match import Match, Mismatch
from core.fit.proposals.proposal import listed_keys
from core.wording import are, count

AUXILIARY = (
    ("AuxLogits.", "aux_logits"),  # torchvision's inception_v3
    ("aux1.", "aux_logits"),  # torchvision's googlenet
    ("aux2.", "aux_logits"),
    ("aux_classifier.", "aux_loss"),  # torchvision's segmentation models
)
"""Prefixes of auxiliary heads, and the option that gives a model such a head."""

POSITIONS = ("pos_embed", "position_embed", "relative_position", "positional_embedding")
"""Parts of the keys of position embeddings, which are made for one image size."""


def options_sentence(match: Match, signature: Signature) -> str:
    """Which options to set instead, in sentences; empty if none would help."""
    return " ".join(
        (
            *_auxiliary(match),
            *_classes(match, signature),
            *_sizes(match, signature),
            *_pooling(match),
            *lost_or_left_off(match),
        )
    )


def _auxiliary(match: Match) -> Iterator[str]:
    for keys, value, what in (
        (match.unexpected_keys, 1, "to load the file's auxiliary heads too; only training needs"),
        (match.missing_keys, 0, "since the file has no auxiliary heads; only training needs"),
    ):
        options = dict.fromkeys(
            option for prefix, option in AUXILIARY if any(key.startswith(prefix) for key in keys)
        )
        for option in options:
            yield f"Set {option}={value} {what} them."


def _pooling(match: Match) -> Iterator[str]:
    """timm's norm after pooling where the model has the one before it, or the reverse."""
    unexpected, missing = (
        {key.removesuffix(NORM) for key in keys if key.endswith(NORM)}
        for keys in (match.unexpected_keys, match.missing_keys)
    )
    for own, wanted, value, what in (
        ("fc_", "", "avg", "the patch tokens instead of the class token"),
        ("", "fc_", "token", "the class token instead of the patch tokens"),
    ):
        if own in unexpected and wanted in missing:
            yield (
                f"The file has `{own}norm` where the model has `{wanted}norm`: set "
                f"global_pool={value}, if the architecture has that option, which pools {what}. "
                "That is another function under almost the same keys, so no key is renamed."
            )


NORM = "norm.weight"


IN_A_VIT = "blocks.0.norm1.weight"
"""A key of timm's ViTs, and of none of its Swins."""


def lost_or_left_off(match: Match) -> Iterator[str]:
    """The options by which timm's ViTs lack a tensor that the file lacks too: it may be lost."""
    if IN_A_VIT not in match.matched:
        return
    pooled = any(key.endswith(NORM) for key in match.unexpected_keys)
    for key, what, option in (
        (NORM, "a norm after its last block", "final_norm=0"),
        ("pos_embed", "`pos_embed`", "pos_embed=none"),
    ):
        if key in match.missing_keys and not (key == NORM and pooled):
            yield (
                f"If the model was trained without {what}, set {option}, if the architecture has "
                "that option: nothing in the file says whether it is lost."
            )


def _classes(match: Match, signature: Signature) -> Iterator[str]:
    head = head_of(match.mismatched, signature)
    if head is not None:
        yield (
            f"The file's head has {count(head.file_shape[0])} classes, the model's "
            f"{count(head.model_shape[0])}: set num_classes={head.file_shape[0]} to load the whole "
            "head. The tensors do not say which row is which class, so no rows are selected."
        )


def head_of(mismatched: Sequence[Mismatch], signature: Signature) -> Mismatch | None:
    """The mismatch of the last layer's weight, if it differs in the number of rows alone."""
    last = last_weight(signature)
    for mismatch in mismatched:
        if mismatch.key == last and not mismatch.reason and mismatch.file_shape[:1]:
            return mismatch if mismatch.file_shape[1:] == mismatch.model_shape[1:] else None
    return None


def last_weight(signature: Signature) -> str | None:
    """The key of the last weight with two dimensions or more; None if there is none."""
    weights = (
        key
        for key, spec in reversed(list(signature.items()))
        if spec.kind == "parameter" and len(spec.shape) >= 2 and key.endswith("weight")
    )
    return next(weights, None)


def other_channels(mismatched: Sequence[Mismatch], signature: Signature) -> list[Mismatch]:
    """The mismatches of convolutions that take the image and differ in its channels alone."""
    inputs = input_weights(signature)
    return [
        mismatch
        for mismatch in mismatched
        if not mismatch.reason
        and mismatch.key in inputs
        and len(mismatch.file_shape) == len(mismatch.model_shape)
        and mismatch.file_shape[1] != mismatch.model_shape[1]
        and (mismatch.file_shape[0], mismatch.file_shape[2:])
        == (mismatch.model_shape[0], mismatch.model_shape[2:])
    ]


def other_positions(mismatched: Sequence[Mismatch]) -> list[Mismatch]:
    """The mismatches of position embeddings and tables of relative positions."""
    return [
        mismatch
        for mismatch in mismatched
        if not mismatch.reason and mismatch.file_shape and _is_position(mismatch.key)
    ]


def _is_position(key: str) -> bool:
    return any(name in key for name in POSITIONS)


def _sizes(match: Match, signature: Signature) -> Iterator[str]:
    channels = other_channels(match.mismatched, signature)
    if len(channels) == 1:
        number = channels[0].file_shape[1]
        yield f"Set in_chans={number} instead, if the architecture has that option."
    positions = other_positions(match.mismatched)
    if positions:
        yield (
            f"{listed_keys(mismatch.key for mismatch in positions)} {are(len(positions))} for "
            "another image size: set img_size (timm) or image_size (torchvision) to the file's "
            "size to load them unchanged."
        )
