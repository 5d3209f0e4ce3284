"""The fix of dtypes."""

from __future__ import annotations

from dataclasses import replace

from core.checkpoint.entries import NUMBERLESS, Cast, StateDict, TensorEntry
from core.errors import FixError
from core.fixes.effects import effect_sentence, left_alone
from core.fixes.fix import CASTS, Effect


def cast(state_dict: StateDict, dtype: str) -> tuple[StateDict, Effect]:
    """Floating-point entries in another dtype. Raises FixError where it is none of CASTS."""
    if dtype not in CASTS:
        raise FixError(f"Tensors cannot be cast to `{dtype}`.", f"Use {', '.join(CASTS)}.")
    entries = [_with_dtype(entry, dtype) for entry in state_dict.values()]
    changed = sum(entry.dtype != state_dict[entry.key].dtype for entry in entries)
    sentence = effect_sentence(changed, f"cast to {dtype}", "tensor")
    packed = sum(_is_float(entry) and entry.dtype in NUMBERLESS for entry in entries)
    sentence += left_alone(packed, "PyTorch cannot turn their floats into others")
    return StateDict(entries, state_dict.path, state_dict.versions), Effect(changed, 0, sentence)


def _is_float(entry: TensorEntry) -> bool:
    return entry.dtype.startswith(("float", "bfloat"))


def _with_dtype(entry: TensorEntry, dtype: str) -> TensorEntry:
    if entry.dtype == dtype or entry.dtype in NUMBERLESS or not _is_float(entry):
        return entry
    cast = Cast(entry.dtype, dtype)
    return replace(entry, dtype=dtype, transforms=(*entry.transforms, cast))
