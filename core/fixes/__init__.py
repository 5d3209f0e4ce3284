"""Fixes: single changes of a state_dict, to its keys, shapes, dtypes and numbers.

A fix is a small frozen value, such as `StripPrefix("module.")`. It knows its words (`words`), what
it makes of a StateDict (`apply`, which reads no tensor and needs no torch), how a script does the
same in plain PyTorch (`script`), and which fields its form has (`form`). `KINDS` lists all kinds.
A `Recipe` is a list of fixes; core.recipe applies, writes and reads recipes.
"""

from core.fixes.base import MAX_KEY, MAX_TEXT, Context, Effect, Fix, Recipe, Step, shapes_unknown
from core.fixes.computed import computed
from core.fixes.effects import checked_text
from core.fixes.form import (
    ChoiceField,
    ClassesField,
    Field,
    PartsField,
    RealField,
    SwitchField,
    TableField,
    TextField,
    WholeField,
)
from core.fixes.kinds.batch_norm import FOLDED_VARIANCE, AddBatchStatistics
from core.fixes.kinds.dtypes import CastDtype, Dequantize
from core.fixes.kinds.filtering import Drop, DropMismatched, Keep, kept
from core.fixes.kinds.fused import ZEROS, Fuse, Split
from core.fixes.kinds.heads import SelectClasses
from core.fixes.kinds.input_channels import AdaptInput
from core.fixes.kinds.lora import (
    MergeLora,
    adapter_keys,
    adapters_alone,
    scale_assumed,
    unscaled_adapters,
    unscaled_words,
)
from core.fixes.kinds.positions import ResamplePositions, Resampling
from core.fixes.kinds.pruning import ApplyMasks
from core.fixes.kinds.renaming import AddPrefix, KeyFix, Rename, RenameTable, StripPrefix, renamed
from core.fixes.kinds.views import Reshape, Transpose, Untie
from core.fixes.kinds.weight_norm import WeightNorm
from core.fixes.script_part import Function, ScriptPart, literal
from core.fixes.table import KINDS

__all__ = [
    "FOLDED_VARIANCE",
    "KINDS",
    "MAX_KEY",
    "MAX_TEXT",
    "ZEROS",
    "AdaptInput",
    "AddBatchStatistics",
    "AddPrefix",
    "ApplyMasks",
    "CastDtype",
    "ChoiceField",
    "ClassesField",
    "Context",
    "Dequantize",
    "Drop",
    "DropMismatched",
    "Effect",
    "Field",
    "Fix",
    "Function",
    "Fuse",
    "Keep",
    "KeyFix",
    "MergeLora",
    "PartsField",
    "RealField",
    "Recipe",
    "Rename",
    "RenameTable",
    "ResamplePositions",
    "Resampling",
    "Reshape",
    "ScriptPart",
    "SelectClasses",
    "Split",
    "Step",
    "StripPrefix",
    "SwitchField",
    "TableField",
    "TextField",
    "Transpose",
    "Untie",
    "WeightNorm",
    "WholeField",
    "adapter_keys",
    "adapters_alone",
    "checked_text",
    "computed",
    "kept",
    "literal",
    "renamed",
    "scale_assumed",
    "shapes_unknown",
    "unscaled_adapters",
    "unscaled_words",
]
