"""The fix of an input convolution: adapts its weight to images with other channels."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.checkpoint import AdaptedChannels, StateDict
from core.errors import FixError
from core.fixes.base import Changed, Context, Effect, Fix
from core.fixes.computed import check_growth, checked_dense, computed, exchanged, is_floating
from core.fixes.effects import left_alone, where_words
from core.fixes.form import ANY_PATTERN, Form, WholeField
from core.fixes.script_part import SHAPES, ScriptPart
from core.fixes.selection import globbed
from core.wording import count, counted

if TYPE_CHECKING:
    import torch

    from core.tensors import adapted_channels

MAX_CHANNELS = 1 << 16
"""The most channels of an image."""


@dataclass(frozen=True, slots=True)
class AdaptInput(Fix):
    """Give an input convolution another number of channels, as timm's `adapt_input_conv` does.

    `pattern` is a glob for the keys of its weight. `in_chans` 0 takes the signature's channels.
    With `in_chans`, the pattern `*` means the one weight that most likely takes the image.
    """

    json_name = "adapt_input"
    keeps_names = True
    form = Form(
        "Adapt the input's channels",
        "Sums or repeats the input convolution's channels, as timm does; 0 means the model's "
        "number.",
        (ANY_PATTERN, WholeField("in_chans", "Channels", MAX_CHANNELS)),
    )

    pattern: str = "*"
    in_chans: int = 0

    def words(self) -> str:
        to = counted(self.in_chans, "channel") if self.in_chans else "the model's channels"
        return f"Adapt the input convolution {where_words(self.pattern)}to {to}"

    def apply(self, state_dict: StateDict, context: Context) -> Changed:
        """Adapt the weights of the input convolutions; other tensors are unchanged.

        A weight of integers is unchanged too, and the effect says so. Raises FixError if neither
        `in_chans` nor a signature says how many channels, or a named tensor is quantized or sparse.
        """
        if not 0 <= self.in_chans <= MAX_CHANNELS:
            raise FixError(
                f"No image has {count(self.in_chans)} channels.",
                f"Choose 1 to {count(MAX_CHANNELS)}.",
            )
        shapes = {}
        if not self.in_chans:
            shapes = {key: spec.shape for key, spec in context.wanted.items()}
        keys = globbed(self.pattern, state_dict, context.patience)
        own = {key: entry.shape for key, entry in state_dict.items() if key in keys}
        plans = input_plans(own, shapes, self.in_chans, self.pattern != "*")
        new = {}
        for key, (channels, base) in plans.items():
            entry = checked_dense(state_dict[key])
            if not is_floating(entry):
                continue
            blocks = entry.shape[1] // base if channels == 1 else channels
            shape = (entry.shape[0], blocks, *entry.shape[2:])
            new[key] = computed(entry, AdaptedChannels(channels, base), (entry,), shape)
        check_growth(state_dict, new)
        changes = [
            f"`{key}` adapted from {count(state_dict[key].shape[1])} to "
            f"{counted(entry.shape[1], 'channel')}"
            for key, entry in new.items()
        ]
        sentence = f"{changes[0]}." if changes else "No input convolution to adapt."
        if len(changes) > 1:
            sentence = f"{changes[0]}, and {count(len(changes) - 1)} more."
        sentence += left_alone(len(plans) - len(new), "they are not plain floats")
        return exchanged(state_dict, new), Effect(len(new), 0, sentence)

    def script(self) -> ScriptPart:
        from core.tensors import adapted_channels

        functions = adapted_channels, input_plans, adapt_input
        if self.in_chans:
            given = f"{{}}, {self.pattern!a}, {self.in_chans}"
            return ScriptPart((f"state_dict = adapt_input(state_dict, {given})",), functions)
        call = f"state_dict = adapt_input(state_dict, shapes, {self.pattern!a}, 0)"
        return ScriptPart((SHAPES, call), functions, needs_model=True)


def input_plans(
    shapes: dict[str, tuple[int, ...]],
    wanted: dict[str, tuple[int, ...]],
    in_chans: int,
    named: bool,
) -> dict[str, tuple[int, int]]:
    """The input convolutions: key → (channels that an image is to have, channels that it has now).

    With `in_chans`, they are the `named` weights, else the one that most likely takes the image: 3
    channels before few before many, and outer modules before inner ones. Without, they are the
    weights whose shape differs from `wanted` in the second dimension alone; if not `named`, only
    those that differ as the first one does.
    """
    weights = {
        key: shape
        for key, shape in shapes.items()
        if 3 <= len(shape) <= 5 and shape[1] and (named or key.rpartition(".")[2] == "weight")
    }
    plans = {}
    if in_chans:

        def unlikely(key: str) -> tuple[int, int]:
            """A sort key: how unusual its channels are for an image, then how deep it lies."""
            channels = weights[key][1]
            # More than 16 input channels are rarely an image's.
            return (channels != 3) + (channels > 16), key.count(".")

        for key in list(weights) if named else sorted(weights, key=unlikely)[:1]:
            channels = weights[key][1]
            # RGB in blocks of pixels: each block is summed by itself.
            blocks = in_chans == 1 and channels > 3 and channels % 3 == 0
            if channels != in_chans:
                plans[key] = (1, 3) if blocks else (in_chans, channels)
        return plans
    pair = None
    for key, shape in wanted.items():
        stored = weights.get(key, shape)
        if stored == shape or (shape[:1], shape[2:]) != (stored[:1], stored[2:]):
            continue
        change = channels, goal = stored[1], shape[1]
        pair = pair or change
        # Beyond 64 it is a layer's width, not an image's channels.
        if not named and (pair != change or max(change) > 64):
            continue
        # Blocks of 2 × 2, 4 × 4 pixels and so on, as TResNet's stem takes them.
        side = round(goal**0.5)
        blocks = goal == side * side > 1 and channels == 3 * goal
        plans[key] = (1, 3) if blocks else (goal, channels)
    return plans


def adapt_input(
    state_dict: dict[str, torch.Tensor],
    shapes: dict[str, torch.Size],
    pattern: str,
    in_chans: int,
) -> dict[str, torch.Tensor]:
    """The state_dict with its input convolutions adapted to images with other channels."""
    inputs = {
        key: tuple(value.shape)
        for key, value in state_dict.items()
        if fnmatch.fnmatchcase(key, pattern)
    }
    wanted = {key: tuple(shape) for key, shape in shapes.items()}
    result = dict(state_dict)
    for key, (channels, base) in input_plans(inputs, wanted, in_chans, pattern != "*").items():
        if state_dict[key].is_floating_point():
            result[key] = adapted_channels(state_dict[key], channels, base)
    return result
