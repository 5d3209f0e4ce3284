"""Fixes of dtypes: cast floating-point tensors, and dequantize."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core.checkpoint import (
    NUMBERLESS,
    Cast,
    Dequantized,
    Quantized,
    StateDict,
    TensorEntry,
    is_float_dtype,
)
from core.errors import FixError
from core.fixes.base import Changed, Context, Effect, Fix
from core.fixes.computed import computed, exchanged
from core.fixes.effects import effect_sentence, left_alone
from core.fixes.form import ChoiceField, Form
from core.fixes.script_part import ScriptPart, exchanging

if TYPE_CHECKING:
    import torch

CASTS = ("float32", "float16", "bfloat16", "float64")
"""The dtypes to which CastDtype casts, by torch's names."""


@dataclass(frozen=True, slots=True)
class CastDtype(Fix):
    """Cast floating-point tensors to another dtype when they are read."""

    json_name = "cast_dtype"
    keeps_names = True
    form = Form(
        "Cast to a dtype",
        "Changes floating-point tensors when they are read.",
        (ChoiceField("dtype", "dtype", CASTS, folded=True),),
    )

    dtype: str

    def words(self) -> str:
        return f"Cast to {self.dtype}"

    def apply(self, state_dict: StateDict, context: Context) -> Changed:
        """Cast the floating-point entries. Raises FixError if the dtype is not in CASTS."""
        if self.dtype not in CASTS:
            raise FixError(f"Tensors cannot be cast to `{self.dtype}`.", f"Use {', '.join(CASTS)}.")
        entries = [_with_dtype(entry, self.dtype) for entry in state_dict.values()]
        changed = sum(entry.dtype != state_dict[entry.key].dtype for entry in entries)
        sentence = effect_sentence(changed, f"cast to {self.dtype}", "tensor")
        packed = sum(is_float_dtype(entry.dtype) and entry.dtype in NUMBERLESS for entry in entries)
        sentence += left_alone(packed, "PyTorch cannot convert their dtype")
        cast = StateDict(entries, state_dict.path, state_dict.versions)
        return cast, Effect(changed, 0, sentence)

    def script(self) -> ScriptPart:
        cast = f"value.to(torch.{self.dtype}) if value.is_floating_point() else value"
        return ScriptPart(exchanging(cast))


def _with_dtype(entry: TensorEntry, dtype: str) -> TensorEntry:
    if entry.dtype == dtype or entry.dtype in NUMBERLESS or not is_float_dtype(entry.dtype):
        return entry
    cast = Cast(entry.dtype, dtype)
    return replace(entry, dtype=dtype, transforms=(*entry.transforms, cast))


@dataclass(frozen=True, slots=True)
class Dequantize(Fix):
    """Make quantized tensors float32 when they are read."""

    json_name = "dequantize"
    form = Form("Dequantize", "Makes quantized tensors float32 when they are read.")

    def words(self) -> str:
        return "Dequantize"

    def apply(self, state_dict: StateDict, context: Context) -> Changed:
        """Quantized tensors as float32; those without scales are unchanged.

        Raises FixError if a tensor's scales do not match its shape.
        """
        new = {
            key: _floats(entry, entry.form)
            for key, entry in state_dict.items()
            if isinstance(entry.form, Quantized)
        }
        bare = sum(
            entry.form is None and entry.dtype.startswith(("qint", "quint"))
            for entry in state_dict.values()
        )
        sentence = effect_sentence(len(new), "dequantized", "tensor")
        sentence += left_alone(bare, "the file has no scales for them")
        return exchanged(state_dict, new), Effect(len(new), 0, sentence)

    def script(self) -> ScriptPart:
        return ScriptPart(("state_dict = dequantize(state_dict)",), (dequantize,))


def _floats(entry: TensorEntry, form: Quantized) -> TensorEntry:
    scale, zero_point = form.scale, form.zero_point
    if isinstance(scale, TensorEntry) and isinstance(zero_point, TensorEntry):
        axis = form.axis
        fits = axis is not None and -len(entry.shape) <= axis < len(entry.shape)
        if not fits or not scale.numel == zero_point.numel == entry.shape[axis or 0]:
            raise FixError(
                f"The scales of the quantized tensor `{entry.key}` do not match its shape.",
                "The file is damaged: get it again from where it came from.",
            )
        parts = entry, scale, zero_point
        return computed(entry, Dequantized(axis), parts, entry.shape, "float32")
    if isinstance(scale, TensorEntry) or isinstance(zero_point, TensorEntry):
        raise FixError(
            f"The quantized tensor `{entry.key}` has one scale and several zero points, or the "
            "other way round.",
            "The file is damaged: get it again from where it came from.",
        )
    operation = Dequantized(None, float(scale), int(zero_point))
    return computed(entry, operation, (entry,), entry.shape, "float32")


def dequantize(state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Quantized tensors as float32."""
    return {
        key: value.dequantize() if value.is_quantized else value
        for key, value in state_dict.items()
    }
