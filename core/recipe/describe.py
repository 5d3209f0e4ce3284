"""A fix in a few words."""

from __future__ import annotations

from collections.abc import Sequence

from core.fixes.fix import (
    AdaptInput,
    AddBatchStatistics,
    AddPrefix,
    CastDtype,
    Dequantize,
    Drop,
    DropMismatched,
    Fix,
    Fuse,
    Keep,
    MergeLora,
    Rename,
    RenameTable,
    ResamplePositions,
    Reshape,
    SelectClasses,
    Split,
    StripPrefix,
    Syntax,
    Transpose,
    Untie,
    WeightNorm,
)


def describe(fix: Fix) -> str:
    """The fix in a few words that begin with a verb, with keys in backticks."""
    match fix:
        case StripPrefix(prefix, anywhere):
            return f"Strip `{prefix}`" + (" wherever it stands" if anywhere else "")
        case AddPrefix(prefix):
            return f"Add `{prefix}`"
        case Keep(pattern, syntax):
            return f"Keep only {_pattern_words(pattern, syntax)}"
        case Drop(pattern, syntax):
            return f"Drop {_pattern_words(pattern, syntax)}"
        case Rename(pattern, ""):
            return f"Cut out `{pattern}`"
        case Rename(pattern, replacement):
            return f"Rename `{pattern}` to `{replacement}`"
        case DropMismatched():
            return "Drop what has another shape"
        case CastDtype(dtype):
            return f"Cast to {dtype}"
        case RenameTable(table):
            return f"Rename {len(table):,} keys by a table"
        case SelectClasses(pattern, rows):
            return f"Make `{pattern}` a head of {len(rows):,} classes"
        case AdaptInput(pattern, in_chans):
            to = f"{in_chans:,} channels" if in_chans else "the wanted channels"
            return f"Adapt the input convolution {_where(pattern)}to {to}"
        case ResamplePositions(pattern, method):
            return f"Resample position embeddings {_where(pattern)}as {method} does"
        case Split(fused, parts):
            return f"Split `{fused}` into {_listed(parts)}"
        case Fuse(parts, fused):
            return f"Fuse {_listed(parts)} into `{fused}`"
        case Transpose(pattern, syntax):
            return f"Transpose {_pattern_words(pattern, syntax)}"
        case Reshape(pattern):
            return f"Add or remove dimensions of 1{_where(pattern).rstrip() and f' in `{pattern}`'}"
        case WeightNorm("folded"):
            return "Fold weight norm into the weights"
        case WeightNorm("parametrized"):
            return "Rename weight norm to `parametrizations`"
        case WeightNorm():
            return "Rename weight norm to `weight_g` and `weight_v`"
        case AddBatchStatistics():
            return "Add BatchNorm's default statistics"
        case MergeLora(alpha):
            return "Merge the LoRA adapters" + (f" with alpha {alpha:g}" if alpha else "")
        case Dequantize():
            return "Dequantize"
        case Untie():
            return "Untie shared storages"


def _where(pattern: str) -> str:
    return "" if pattern == "*" else f"`{pattern}` "


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(f"`{part}`" for part in parts)


def _pattern_words(pattern: str, syntax: Syntax) -> str:
    return f"`{pattern}`" if syntax == "glob" else f"keys with the regex `{pattern}`"
