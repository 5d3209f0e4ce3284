"""Ideas on tensors that are there under the right key, in another shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from glob import escape

from core.architectures import Signature
from core.checkpoint import StateDict
from core.fit.key_match import Match, Mismatch
from core.fit.proposals.option_hints import options_sentence, other_channels, other_positions
from core.fit.proposals.proposal import Idea, counted, listed
from core.fixes import (
    MAX_TEXT,
    AdaptInput,
    AddBatchStatistics,
    ResamplePositions,
    Resampling,
    Reshape,
    Transpose,
)
from core.keys import BATCH_COUNTER, STATISTICS

MAX_SHAPE = 8
"""Dimensions of a shape that is told."""

MAX_FIXES = 8
"""Fixes of one idea."""


def shape_ideas(now: Match, state_dict: StateDict, signature: Signature) -> Iterator[Idea]:
    """What makes shapes fit without leaving a tensor out."""
    mismatched = [one for one in now.mismatched if not one.reason]
    channels = other_channels(mismatched)
    if channels:
        one = channels[0]
        pattern = escape(one.key) if len(channels) == 1 else "*"
        why = (
            f"`{one.key}` takes {counted(one.found[1], 'channel')}, the network's "
            f"{counted(one.wanted[1], 'channel')}: its filters are summed or "
            "repeated, as timm does."
        )
        yield Idea((AdaptInput(pattern),), f"{why} {options_sentence(now, signature)}".strip())
    positions = other_positions(mismatched)
    if positions:
        vision = any(one.key.endswith("pos_embedding") for one in positions)
        method: Resampling = "torchvision" if vision else "timm"
        why = (
            f"{listed([one.key for one in positions])} "
            f"{'is' if len(positions) == 1 else 'are'} of {_shape(positions[0].found)}, "
            f"{_shape(positions[0].wanted)} is wanted, for images of another size: resampled as "
            f"{method} does."
        )
        yield Idea((ResamplePositions(method=method),), why)
    squeezed = [one for one in mismatched if _without_ones(one.found) == _without_ones(one.wanted)]
    if squeezed:
        why = (
            f"{listed([one.key for one in squeezed])} of the file and of the network differ in "
            f"dimensions of 1 alone: {_shape(squeezed[0].found)}, and {_shape(squeezed[0].wanted)}."
        )
        yield Idea((Reshape(),), why)
    turned = [one for one in mismatched if len(one.found) == 2 and one.found == one.wanted[::-1]]
    if turned:
        yield from _transposing(turned, state_dict, signature)


def _transposing(
    turned: Sequence[Mismatch], state_dict: StateDict, signature: Signature
) -> Iterator[Idea]:
    """Transpose the matrices that are turned, and square ones under the same names."""
    keys = {one.key for one in turned}
    names = {_name(key) for key in keys}
    straight = {
        _name(key)
        for key, entry in state_dict.items()
        if key in signature and entry.shape == signature[key].shape and len(set(entry.shape)) == 2
    }
    alike = [
        key
        for key, entry in state_dict.items()
        if key in keys
        or (_name(key) in names - straight and len(entry.shape) == 2 and len(set(entry.shape)) == 1)
    ]
    square = [key for key in alike if key not in keys]
    why = f"{listed(sorted(keys))} have rows and columns exchanged, as GPT-2's Conv1D keeps them."
    if square:
        why += f" {listed(square)} are square, and go with them by their names."
    patterns = [f"*{escape(name)}" for name in sorted(names - straight)]
    by_name = tuple(Transpose(pattern) for pattern in patterns)
    one_by_one = tuple(Transpose(escape(key)) for key in alike)
    for fixes in (by_name, one_by_one):
        if 0 < len(fixes) <= MAX_FIXES and all(len(fix.pattern) <= MAX_TEXT for fix in fixes):
            yield Idea(fixes, why)
            break


def _name(key: str) -> str:
    """The last two parts of a key, such as `.c_proj.weight`, which say what a tensor is for."""
    return "." + ".".join(key.split(".")[-2:])


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)


def statistics_idea(now: Match, state_dict: StateDict) -> Idea | None:
    """BatchNorm's defaults, where the file has the layers and lacks what they measured."""
    lacking = [
        key
        for key in now.missing_keys
        if key.rpartition(".")[2] in STATISTICS - {BATCH_COUNTER}
        and f"{key.rpartition('.')[0]}.weight" in state_dict
    ]
    if not lacking:
        return None
    why = (
        f"{listed(lacking)} {'is' if len(lacking) == 1 else 'are'} not in the file. The defaults "
        "were never measured: until data has run through the network in training, what it predicts "
        "means little."
    )
    return Idea((AddBatchStatistics(),), why)


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape[:MAX_SHAPE])) or "scalar"
