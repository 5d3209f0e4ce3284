"""Ideas on tensors that have the right key and another shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from glob import escape

from core.architectures import Signature, squeezed
from core.checkpoint import StateDict
from core.fit.key_match import Match, Mismatch
from core.fit.proposals.option_hints import options_sentence, other_channels, other_positions
from core.fit.proposals.proposal import Idea, listed_keys
from core.fixes import (
    FOLDED_VARIANCE,
    MAX_TEXT,
    AdaptInput,
    AddBatchStatistics,
    ResamplePositions,
    Resampling,
    Reshape,
    Transpose,
)
from core.keys import BATCH_COUNTER, STATISTICS, folded_scales
from core.wording import are, counted, have
from core.wording import shape as shape_words

MAX_SHAPE = 8
"""The most dimensions of a shape that are written; a file may state any number."""

MAX_FIXES = 8
"""The most fixes of one idea."""


def shape_ideas(now: Match, state_dict: StateDict, signature: Signature) -> Iterator[Idea]:
    """Ideas that change shapes into the model's, without dropping a tensor."""
    mismatched = [mismatch for mismatch in now.mismatched if not mismatch.reason]
    channels = other_channels(mismatched, signature)
    if channels:
        first = channels[0]
        why = (
            f"`{first.key}` takes {counted(first.file_shape[1], 'channel')}, the model's "
            f"{counted(first.model_shape[1], 'channel')}: its filters are summed or "
            "repeated, as timm does."
        )
        # One by one: the pattern `*` would adapt layers of another width too.
        fixes = tuple(AdaptInput(escape(mismatch.key)) for mismatch in channels[:MAX_FIXES])
        yield Idea(fixes, f"{why} {options_sentence(now, signature)}".strip())
    positions = other_positions(mismatched)
    if positions:
        # torchvision's ViT names it `encoder.pos_embedding`, timm's models `pos_embed`.
        vision = any(mismatch.key.endswith("pos_embedding") for mismatch in positions)
        method: Resampling = "torchvision" if vision else "timm"
        why = (
            f"{listed_keys(mismatch.key for mismatch in positions)} "
            f"{have(len(positions))} the shape {_shape(positions[0].file_shape)} in "
            f"the file and {_shape(positions[0].model_shape)} in the model, for another image "
            f"size: resampled as {method} does."
        )
        yield Idea((ResamplePositions(method=method),), why)
    other_ones = [
        mismatch
        for mismatch in mismatched
        if squeezed(mismatch.file_shape) == squeezed(mismatch.model_shape)
    ]
    if other_ones:
        why = (
            f"{listed_keys(mismatch.key for mismatch in other_ones)} "
            f"{'differs' if len(other_ones) == 1 else 'differ'} from the model's in dimensions of "
            f"1 alone: {_shape(other_ones[0].file_shape)} in the file, "
            f"{_shape(other_ones[0].model_shape)} in the model."
        )
        yield Idea((Reshape(),), why)
    transposed = [
        mismatch
        for mismatch in mismatched
        if len(mismatch.file_shape) == 2 and mismatch.file_shape == mismatch.model_shape[::-1]
    ]
    if transposed:
        yield from _transposing(transposed, state_dict, signature)


def _transposing(
    transposed: Sequence[Mismatch], state_dict: StateDict, signature: Signature
) -> Iterator[Idea]:
    """Transpose these matrices, and square ones under the same names."""
    keys = {mismatch.key for mismatch in transposed}
    names = {_name(key) for key in keys}
    straight = {
        _name(key)
        for key, entry in state_dict.items()
        if key in signature
        and entry.shape == signature[key].shape
        and len(entry.shape) == len(set(entry.shape)) == 2
    }
    squares = [
        key
        for key, entry in state_dict.items()
        if key in signature and len(entry.shape) == 2 and len(set(entry.shape)) == 1
    ]
    # Where no matrix is the model's way round, the square ones are not either.
    square = [key for key in squares if not straight or _name(key) in names - straight]
    names |= {_name(key) for key in square}
    alike = [key for key in state_dict if key in keys or key in square]
    why = (
        f"{listed_keys(sorted(keys))} {are(len(keys))} transposed, as GPT-2's Conv1D stores "
        "weights."
    )
    if square:
        why += (
            f" {listed_keys(square)} {are(len(square))} square, and transposed too, as the "
            "others are."
        )
    named = sorted(names - straight)
    inside = [name for name in named if any(key.endswith(name) for key in alike)]
    outermost = [key for key in alike if f".{key}" in named]  # `*.head.weight` is no `head.weight`
    patterns = [*(f"*{escape(name)}" for name in inside), *map(escape, outermost)]
    by_name = tuple(Transpose(pattern) for pattern in patterns)
    one_by_one = tuple(Transpose(escape(key)) for key in alike)
    for fixes in (by_name, one_by_one):
        if 0 < len(fixes) <= MAX_FIXES and all(len(fix.pattern) <= MAX_TEXT for fix in fixes):
            yield Idea(fixes, why)
            break


def _name(key: str) -> str:
    """The last two parts of a key, such as `.c_proj.weight`, which say what a tensor is for."""
    return "." + ".".join(key.split(".")[-2:])


def statistics_idea(now: Match, state_dict: StateDict) -> Idea | None:
    """Default statistics for BatchNorm layers that are in the file without their statistics.

    None for folded ones, which have no statistics to measure.
    """
    if next(folded_ideas(now, state_dict), None) is not None:
        return None
    lacking = [
        key
        for key in now.missing_keys
        if key.rpartition(".")[2] in STATISTICS - {BATCH_COUNTER}
        and f"{key.rpartition('.')[0]}.weight" in state_dict
    ]
    if not lacking:
        return None
    why = (
        f"{listed_keys(lacking)} {are(len(lacking))} not in the file. The defaults "
        "were never measured: predictions mean little until data has run through the model in "
        "training mode."
    )
    return Idea((AddBatchStatistics(),), why)


def folded_ideas(now: Match, state_dict: StateDict) -> Iterator[Idea]:
    """The statistics that change nothing, where names show that all BatchNorms were folded."""
    lacking = {
        key.rpartition(".")[0] for key in now.missing_keys if key.rpartition(".")[2] in STATISTICS
    }
    if not lacking:
        return
    scales = folded_scales([entry.origin or entry.key for entry in state_dict.values()])
    for module in lacking if scales else ():
        weight = state_dict.get(f"{module}.weight")
        if weight is None or (weight.origin or weight.key) not in scales:
            return
    if scales:
        why = (
            f"{listed_keys(sorted(scales))} {are(len(scales))} the scale of a BatchNorm whose "
            "statistics were folded into it and its bias: Detectron calls an AffineChannel so. "
            "With a mean of 0 "
            f"and a variance of {FOLDED_VARIANCE}, BatchNorm's default eps of 1e-5 makes the "
            "divisor 1, and the scale and the bias alone count."
        )
        yield Idea((AddBatchStatistics(FOLDED_VARIANCE),), why)


def _shape(shape: tuple[int, ...]) -> str:
    return shape_words(shape[:MAX_SHAPE])
