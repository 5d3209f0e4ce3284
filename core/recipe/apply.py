"""A recipe applied to a state_dict, a step after the other."""

from __future__ import annotations

from core.checkpoint.entries import StateDict
from core.fixes.fix import (
    AdaptInput,
    AddBatchStatistics,
    AddPrefix,
    Applied,
    CastDtype,
    Dequantize,
    Drop,
    DropMismatched,
    Effect,
    Fix,
    Fuse,
    Keep,
    MergeLora,
    Recipe,
    Rename,
    RenameTable,
    ResamplePositions,
    Reshape,
    SelectClasses,
    Split,
    StripPrefix,
    Transpose,
    Untie,
    WeightNorm,
)
from core.fixes.kinds.batch_norm import add_batch_statistics
from core.fixes.kinds.dtypes import cast
from core.fixes.kinds.filtering import kept, matching, of_shapes
from core.fixes.kinds.fused import fuse, split
from core.fixes.kinds.heads import select_classes
from core.fixes.kinds.inputs import adapt_input
from core.fixes.kinds.lora import merge_lora
from core.fixes.kinds.positions import resample_positions
from core.fixes.kinds.renaming import new_keys, renamed
from core.fixes.kinds.views import reshape, transpose
from core.fixes.kinds.weight_norm import weight_norm
from core.fixes.quantized import dequantize
from core.fixes.ties import untie
from core.patterns import Patience
from core.signature import Signature


def apply_recipe(
    recipe: Recipe,
    state_dict: StateDict,
    signature: Signature | None = None,
    patience: Patience | None = None,
) -> Applied:
    """Apply the steps that are switched on; no tensor is read, and the input stays as it is.

    Every entry keeps the file's key as its `origin`. Raises FixError where two keys would
    become one, a pattern cannot be used, a step that goes by the signature has none, or tensors
    are not of the form that it takes; also where the patterns take longer than `patience`, all of
    them together.
    """
    effects = []
    patience = patience or Patience()
    for step in recipe.steps:
        if step.enabled:
            state_dict, effect = _apply(step.fix, state_dict, signature, patience)
        else:
            effect = Effect(0, 0, "Switched off.")
        effects.append(effect)
    return Applied(state_dict, tuple(effects))


def _apply(
    fix: Fix, state_dict: StateDict, signature: Signature | None, patience: Patience
) -> tuple[StateDict, Effect]:
    match fix:
        case StripPrefix() | AddPrefix() | Rename() | RenameTable():
            return renamed(state_dict, new_keys(fix, list(state_dict), patience))
        case Keep():
            return kept(state_dict, matching(fix, state_dict, patience))
        case Drop():
            return kept(state_dict, state_dict.keys() - matching(fix, state_dict, patience))
        case DropMismatched():
            return of_shapes(state_dict, signature)
        case CastDtype(dtype):
            return cast(state_dict, dtype)
        case Transpose():
            return transpose(fix, state_dict, patience)
        case Reshape():
            return reshape(fix, state_dict, signature, patience)
        case Split():
            return split(fix, state_dict)
        case Fuse():
            return fuse(fix, state_dict)
        case AdaptInput():
            return adapt_input(fix, state_dict, signature, patience)
        case ResamplePositions():
            return resample_positions(fix, state_dict, signature, patience)
        case SelectClasses():
            return select_classes(fix, state_dict, patience)
        case WeightNorm():
            return weight_norm(fix, state_dict)
        case AddBatchStatistics():
            return add_batch_statistics(state_dict, signature)
        case MergeLora():
            return merge_lora(fix, state_dict)
        case Dequantize():
            return dequantize(state_dict)
        case Untie():
            return untie(state_dict)
