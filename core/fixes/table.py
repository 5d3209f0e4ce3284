"""All kinds of fixes, in the order in which the Fit page and error messages list them."""

from __future__ import annotations

from core.fixes.base import Fix
from core.fixes.kinds import (
    batch_norm,
    dtypes,
    filtering,
    fused,
    heads,
    input_channels,
    lora,
    positions,
    pruning,
    renaming,
    views,
    weight_norm,
)

KINDS: tuple[type[Fix], ...] = (
    renaming.StripPrefix,
    renaming.AddPrefix,
    filtering.Keep,
    filtering.Drop,
    renaming.Rename,
    renaming.RenameTable,
    filtering.DropMismatched,
    dtypes.CastDtype,
    heads.SelectClasses,
    input_channels.AdaptInput,
    positions.ResamplePositions,
    fused.Split,
    fused.Fuse,
    views.Transpose,
    views.Reshape,
    weight_norm.WeightNorm,
    pruning.ApplyMasks,
    batch_norm.AddBatchStatistics,
    lora.MergeLora,
    dtypes.Dequantize,
    views.Untie,
)
