"""Fixes that keep the elements: transpose, add or remove dimensions of 1, untie storages."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core.architectures import squeezed
from core.checkpoint import Joined, StateDict, TensorEntry, Transposed, ties
from core.fixes.base import Changed, Context, Effect, Fix, Syntax
from core.fixes.computed import checked_dense, computed, exchanged, is_dense, is_strided
from core.fixes.effects import effect_sentence, keys_words, left_alone, where_words
from core.fixes.form import ANY_PATTERN, PATTERN, SYNTAX, Form
from core.fixes.script_part import SHAPES, ScriptPart, exchanging, matches
from core.fixes.selection import globbed, matching

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Transpose(Fix):
    """Transpose matrices: GPT-2's Conv1D stores weights transposed relative to nn.Linear."""

    json_name = "transpose"
    form = Form(
        "Transpose",
        "Exchanges rows and columns: GPT-2's Conv1D stores them the other way round than Linear.",
        (PATTERN, SYNTAX),
    )

    pattern: str
    syntax: Syntax = "glob"

    def words(self) -> str:
        return f"Transpose {keys_words(self.pattern, self.syntax)}"

    def apply(self, state_dict: StateDict, context: Context) -> Changed:
        """Transpose the matrices whose keys match; other tensors are unchanged.

        Raises FixError if one of them is quantized or sparse.
        """
        keys = matching(self.pattern, self.syntax, state_dict, context.patience)
        new = {
            key: transposed_dense(checked_dense(entry))
            for key, entry in state_dict.items()
            if key in keys and len(entry.shape) == 2
        }
        return exchanged(state_dict, new), Effect(
            len(new), 0, effect_sentence(len(new), "transposed", "matrix")
        )

    def script(self) -> ScriptPart:
        matrix = f"value.dim() == 2 and {matches(self.pattern, self.syntax)}"
        return ScriptPart(exchanging(f"value.T if {matrix} else value"))


@dataclass(frozen=True, slots=True)
class Reshape(Fix):
    """Add or remove dimensions of 1 to get the signature's shape: 1 × 1 convolution ↔ linear."""

    json_name = "reshape"
    form = Form(
        "Add or remove dimensions of 1",
        "Makes the model's shape: a 1 × 1 convolution into a linear layer, or back.",
        (ANY_PATTERN,),
    )

    pattern: str = "*"

    def words(self) -> str:
        where = where_words(self.pattern).rstrip()
        return "Add or remove dimensions of 1" + (f" in {where}" if where else "")

    def apply(self, state_dict: StateDict, context: Context) -> Changed:
        """Reshape the tensors whose shape differs from the signature's in dimensions of 1 alone."""
        wanted = context.wanted
        keys = globbed(self.pattern, state_dict, context.patience)
        fitting = {
            key: wanted[key].shape
            for key, entry in state_dict.items()
            if key in keys
            and key in wanted
            and entry.shape != wanted[key].shape
            and squeezed(entry.shape) == squeezed(wanted[key].shape)
        }
        new = {
            key: reshaped(state_dict[key], shape)
            for key, shape in fitting.items()
            if is_dense(state_dict[key])
        }
        sentence = effect_sentence(len(new), "reshaped")
        return exchanged(state_dict, new), Effect(
            len(new), 0, sentence + left_alone(len(fitting) - len(new), "they are not dense")
        )

    def script(self) -> ScriptPart:
        call = f"state_dict = reshape(state_dict, shapes, {self.pattern!a})"
        return ScriptPart((SHAPES, call), (reshape,), needs_model=True)


@dataclass(frozen=True, slots=True)
class Untie(Fix):
    """Give each key its own storage where several keys share one."""

    json_name = "untie"
    form = Form(
        "Untie shared storages",
        "Gives each key its own storage where several share one, as safetensors requires.",
    )

    def words(self) -> str:
        return "Untie shared storages"

    def apply(self, state_dict: StateDict, context: Context) -> Changed:
        """Copy all but the first of the keys that are one tensor in the file."""
        new = {
            key: computed(state_dict[key], Joined(), (state_dict[key],), state_dict[key].shape)
            for group in ties(state_dict)
            for key in group[1:]
        }
        return exchanged(state_dict, new), Effect(len(new), 0, effect_sentence(len(new), "untied"))

    def script(self) -> ScriptPart:
        return ScriptPart(("state_dict = untie(state_dict)",), (untie,))


def transposed_dense(entry: TensorEntry) -> TensorEntry:
    """A dense matrix transposed; a strided one keeps its bytes."""
    if not is_strided(entry):
        return computed(entry, Transposed(), (entry,), entry.shape[::-1])
    return replace(entry, shape=entry.shape[::-1], stride=entry.stride[::-1])


def reshaped(entry: TensorEntry, shape: tuple[int, ...]) -> TensorEntry:
    """A dense tensor in a shape that differs from its own in dimensions of 1 alone."""
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


# In scripts: repeats `squeezed` of core/architectures/tensor_spec.py.
def reshape(
    state_dict: dict[str, torch.Tensor], shapes: dict[str, torch.Size], pattern: str
) -> dict[str, torch.Tensor]:
    """The tensors whose shapes differ from the model's in dimensions of 1 alone, in its shapes."""
    result = dict(state_dict)
    for key, value in state_dict.items():
        shape = shapes.get(key, value.shape)
        long, wanted = (
            [length for length in sizes if length != 1] for sizes in (value.shape, shape)
        )
        if long == wanted and fnmatch.fnmatchcase(key, pattern):
            result[key] = value.reshape(shape)
    return result


def untie(state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state_dict with a copy for each key after the first of those that share a tensor."""
    seen, result = set(), {}
    for key, value in state_dict.items():
        place = None
        if value.layout == torch.strided and not value.is_quantized and value.numel():
            place = value.data_ptr(), value.shape, value.stride(), value.dtype
        result[key] = value.clone() if place in seen else value
        seen |= {place} - {None}
    return result
