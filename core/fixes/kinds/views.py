"""Fixes that show the same elements in another shape: transposes, and dimensions of 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.checkpoint.entries import StateDict, TensorEntry
from core.checkpoint.operations import Joined, Transposed
from core.fixes.computed import checked_dense, computed, is_dense, is_strided
from core.fixes.effects import effect_sentence, left_alone
from core.fixes.fix import Effect, Reshape, Transpose
from core.fixes.kinds.filtering import globbed, matching, wanted_by
from core.patterns import Patience
from core.signature import Signature


def transpose(
    fix: Transpose, state_dict: StateDict, patience: Patience
) -> tuple[StateDict, Effect]:
    """The matrices that the pattern finds, their rows as columns; other tensors stay.

    Raises FixError where one is quantized or sparse.
    """
    keys = matching(fix, state_dict, patience)
    new = {
        key: transposed(checked_dense(entry))
        for key, entry in state_dict.items()
        if key in keys and len(entry.shape) == 2
    }
    return exchanged(state_dict, new), Effect(
        len(new), 0, effect_sentence(len(new), "transposed", "matrix")
    )


def reshape(
    fix: Reshape, state_dict: StateDict, signature: Signature | None, patience: Patience
) -> tuple[StateDict, Effect]:
    """Tensors whose shape is the signature's but for dimensions of 1, in the signature's shape.

    Raises FixError without a signature.
    """
    wanted = wanted_by(signature)
    keys = globbed(fix.pattern, state_dict, patience)
    fitting = {
        key: wanted[key].shape
        for key, entry in state_dict.items()
        if key in keys
        and key in wanted
        and entry.shape != wanted[key].shape
        and _without_ones(entry.shape) == _without_ones(wanted[key].shape)
    }
    new = {
        key: reshaped(state_dict[key], shape)
        for key, shape in fitting.items()
        if is_dense(state_dict[key])
    }
    sentence = effect_sentence(len(new), "got the shape that is wanted")
    return exchanged(state_dict, new), Effect(
        len(new), 0, sentence + left_alone(len(fitting) - len(new), "they are not dense")
    )


def exchanged(state_dict: StateDict, new: dict[str, TensorEntry]) -> StateDict:
    """The state_dict with other tensors under some of its keys."""
    if not new:
        return state_dict
    entries = [new.get(key, entry) for key, entry in state_dict.items()]
    return StateDict(entries, state_dict.path, state_dict.versions)


def transposed(entry: TensorEntry) -> TensorEntry:
    """A dense matrix with its two dimensions exchanged, the same bytes where it is strided."""
    if not is_strided(entry):
        return computed(entry, Transposed(), (entry,), entry.shape[::-1])
    return replace(entry, shape=entry.shape[::-1], stride=entry.stride[::-1])


def reshaped(entry: TensorEntry, shape: tuple[int, ...]) -> TensorEntry:
    """A dense tensor in a shape that differs in dimensions of 1."""
    if not is_strided(entry):
        return computed(entry, Joined(), (entry,), shape)
    steps = [step for step, length in zip(entry.stride, entry.shape, strict=True) if length != 1]
    stride: list[int] = []
    inner = 1
    for length in reversed(shape):
        step = inner if length == 1 else steps.pop()
        stride.insert(0, step)
        inner = step * length
    return replace(entry, shape=shape, stride=tuple(stride))


def _without_ones(shape: Sequence[int]) -> list[int]:
    return [length for length in shape if length != 1]
