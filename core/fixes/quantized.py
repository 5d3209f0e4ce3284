"""The fix that makes floats of quantized tensors."""

from __future__ import annotations

from core.checkpoint.entries import Quantized, StateDict, TensorEntry
from core.checkpoint.operations import Dequantized
from core.errors import FixError
from core.fixes.computed import computed
from core.fixes.effects import effect_sentence, left_alone
from core.fixes.fix import Effect
from core.fixes.kinds.views import exchanged


def dequantize(state_dict: StateDict) -> tuple[StateDict, Effect]:
    """Quantized tensors as float32; those without scales stay. Raises FixError where a tensor's
    scales do not go with it."""
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
    return exchanged(state_dict, new), Effect(
        len(new), 0, sentence + left_alone(bare, "the file has no scales for them")
    )


def _floats(entry: TensorEntry, form: Quantized) -> TensorEntry:
    scale, zero_point = form.scale, form.zero_point
    if isinstance(scale, TensorEntry) and isinstance(zero_point, TensorEntry):
        axis = form.axis
        fits = axis is not None and -len(entry.shape) <= axis < len(entry.shape)
        if not fits or not scale.numel == zero_point.numel == entry.shape[axis or 0]:
            raise FixError(
                f"The scales of the quantized tensor `{entry.key}` do not go with its shape.",
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
