"""The fix of pruning: multiplies each tensor with the mask that torch.nn.utils.prune keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.checkpoint import Masked, StateDict, is_float_dtype
from core.fixes.base import Changed, Context, Effect, Fix
from core.fixes.computed import computed, is_floating, with_products
from core.fixes.effects import left_alone
from core.fixes.form import Form
from core.fixes.script_part import ScriptPart
from core.wording import counted

if TYPE_CHECKING:
    import torch

    from core.tensors import masked


@dataclass(frozen=True, slots=True)
class ApplyMasks(Fix):
    """Multiply pruned tensors with their masks, as torch.nn.utils.prune does before each forward.

    It stores `weight_orig` and `weight_mask` in place of `weight`; other tensors may be pruned too.
    """

    json_name = "apply_masks"
    form = Form(
        "Pruning masks",
        "Multiplies `weight_orig` with `weight_mask`, which torch.nn.utils.prune keeps apart.",
        (),
    )

    def words(self) -> str:
        return "Apply the pruning masks"

    def apply(self, state_dict: StateDict, context: Context) -> Changed:
        """Multiply all pairs of one shape; each product is in the place of the first of the pair.

        The original must be of floats, and the mask of floats or booleans.
        """
        pairs = mask_pairs({key: entry.shape for key, entry in state_dict.items()})
        products = {}
        for whole, (original, mask) in pairs.items():
            parts = state_dict[original], state_dict[mask]
            of_numbers = is_float_dtype(parts[1].dtype) or parts[1].dtype == "bool"
            plain = is_floating(parts[0]) and of_numbers and parts[1].form is None
            if plain and whole not in state_dict:
                like = parts[0].under(whole)
                products[original] = computed(like, Masked(), parts, parts[0].shape), mask
        sentence = "No pruning mask to apply."
        if pairs:
            sentence = f"{counted(len(products), 'mask')} applied."
            why = "they are not floats, or their product exists already"
            sentence += left_alone(2 * (len(pairs) - len(products)), why)
        return with_products(state_dict, products), Effect(len(products), 0, sentence)

    def script(self) -> ScriptPart:
        from core.tensors import masked

        return ScriptPart(
            ("state_dict = apply_masks(state_dict)",), (mask_pairs, masked, apply_masks)
        )


def mask_pairs(shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[str, str]]:
    """Key of a pruned tensor → the keys of its original and its mask, which have one shape."""
    pairs = {}
    for original, shape in shapes.items():
        if original.endswith("_orig"):
            whole = original[: -len("_orig")]
            if shapes.get(f"{whole}_mask") == shape:
                pairs[whole] = original, f"{whole}_mask"
    return pairs


def apply_masks(state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state_dict with one tensor in place of each pruned one and its mask."""
    floats = {
        key: value
        for key, value in state_dict.items()
        if value.is_floating_point() or (key.endswith("_mask") and str(value.dtype) == "torch.bool")
    }
    pairs = mask_pairs({key: tuple(value.shape) for key, value in floats.items()})
    wholes = {first: (whole, mask) for whole, (first, mask) in pairs.items()}
    wholes = {first: pair for first, pair in wholes.items() if pair[0] not in state_dict}
    masks = {mask for _, mask in wholes.values()}
    result = {}
    for key, value in state_dict.items():
        if key in wholes:
            whole, mask = wholes[key]
            result[whole] = masked(value, state_dict[mask])
        elif key not in masks:
            result[key] = value
    return result
