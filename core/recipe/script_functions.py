"""The fixes of tensors as plain PyTorch: functions on a dict of tensors.

A recipe's script carries the source of those that it calls, as it stands here and in
core/checkpoint/derived.py, so they use torch and the standard library, and nothing of Loupe. They
change the dict that they are given as core/fixes changes a StateDict, and what that refuses, they
may leave as it is.
"""

from __future__ import annotations

import fnmatch
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch

from core.checkpoint.derived import (
    adapted_channels,
    chosen_rows,
    folded_weight_norm,
    merged_lora,
    resampled_grid,
    resampled_table,
)
from core.fixes import (
    AdaptInput,
    AddBatchStatistics,
    Dequantize,
    Fix,
    Fuse,
    MergeLora,
    ResamplePositions,
    Reshape,
    SelectClasses,
    Split,
    Untie,
    WeightNorm,
)
from core.fixes.kinds.batch_norm import missing_statistics
from core.fixes.kinds.inputs import input_plans
from core.fixes.kinds.lora import lora_part, lora_plans, merged_names
from core.fixes.kinds.positions import position_plan, prefix_tokens
from core.fixes.kinds.weight_norm import norm_dim, norm_pairs

Functions = tuple[Callable[..., Any], ...]


def functions_of(fixes: Sequence[Fix]) -> list[str]:
    """The source of the functions that the calls of these fixes need, each once."""
    needed = dict.fromkeys(each for fix in fixes for each in _code(fix)[0])
    return [inspect.getsource(each) for each in needed]


def call_of(fix: Fix) -> str:
    """The expression that gives the state_dict after the fix."""
    return _code(fix)[1]


def _code(fix: Fix) -> tuple[Functions, str]:
    match fix:
        case AdaptInput(pattern, in_chans):
            given = f"{{}}, {pattern!a}, {in_chans}" if in_chans else f"shapes, {pattern!a}, 0"
            needed: Functions = adapted_channels, input_plans, adapt_input
            return needed, f"adapt_input(state_dict, {given})"
        case ResamplePositions(pattern, method):
            planning: Functions = prefix_tokens, position_plan
            needed = *planning, resampled_grid, resampled_table, resample_positions
            return needed, f"resample_positions(state_dict, shapes, {pattern!a}, {method!a})"
        case Reshape(pattern):
            return (reshape,), f"reshape(state_dict, shapes, {pattern!a})"
        case SelectClasses(pattern, rows):
            needed = chosen_rows, select_classes
            return needed, f"select_classes(state_dict, {pattern!a}, {rows!a})"
        case WeightNorm("folded"):
            needed = norm_dim, norm_pairs, folded_weight_norm, fold_weight_norm
            return needed, "fold_weight_norm(state_dict)"
        case WeightNorm(to):
            needed = norm_dim, norm_pairs, rename_weight_norm
            return needed, f"rename_weight_norm(state_dict, {to!a})"
        case AddBatchStatistics():
            needed = missing_statistics, add_batch_statistics
            return needed, "add_batch_statistics(state_dict, model.state_dict())"
        case MergeLora(alpha):
            needed = lora_part, lora_plans, merged_names, merged_lora, merge_lora
            return needed, f"merge_lora(state_dict, {alpha!r})"
        case Split(fused, parts):
            return (split,), f"split(state_dict, {fused!a}, {parts!a})"
        case Fuse(parts, fused):
            return (fuse,), f"fuse(state_dict, {parts!a}, {fused!a})"
        case Dequantize():
            return (dequantize,), "dequantize(state_dict)"
        case Untie():
            return (untie,), "untie(state_dict)"
    raise AssertionError("a fix of keys has code of its own")


def reshape(
    state_dict: dict[str, torch.Tensor], shapes: dict[str, torch.Size], pattern: str
) -> dict[str, torch.Tensor]:
    """The wanted shapes for the tensors that differ from them in dimensions of 1."""
    made = dict(state_dict)
    for key, value in state_dict.items():
        shape = shapes.get(key, value.shape)
        same = [each for each in shape if each != 1] == [each for each in value.shape if each != 1]
        if same and fnmatch.fnmatchcase(key, pattern):
            made[key] = value.reshape(shape)
    return made


def split(
    state_dict: dict[str, torch.Tensor], fused: str, parts: tuple[str, ...]
) -> dict[str, torch.Tensor]:
    """Equal parts along the first dimension in the place of the tensors with `fused` in the key."""
    made = {}
    for key, value in state_dict.items():
        at = f".{key}.".rfind(f".{fused}.")
        if at < 0:
            made[key] = value
            continue
        pieces = value.chunk(len(parts)) if value.dim() else [value] * len(parts)
        for part, piece in zip(parts, pieces, strict=True):
            made[key[:at] + part + key[at + len(fused) :]] = piece
    return made


def fuse(
    state_dict: dict[str, torch.Tensor], parts: tuple[str, ...], fused: str
) -> dict[str, torch.Tensor]:
    """Tensors joined along the first dimension, where all parts are there."""
    wholes = {}
    for key in state_dict:
        for part in parts:
            at = f".{key}.".rfind(f".{part}.")
            keys = [key[:at] + each + key[at + len(part) :] for each in parts]
            if at >= 0 and all(each in state_dict for each in keys):
                wholes[key] = key[:at] + fused + key[at + len(part) :], keys
    made = {}
    for key, value in state_dict.items():
        whole, keys = wholes.get(key, (key, []))
        values = [state_dict[each] for each in keys]
        if whole not in made:
            made[whole] = torch.cat(values) if values and value.dim() else value
    return made


def dequantize(state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Quantized tensors as float32."""
    return {
        key: value.dequantize() if value.is_quantized else value
        for key, value in state_dict.items()
    }


def untie(state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies in the place of all but the first of the keys that show the same elements."""
    seen, made = set(), {}
    for key, value in state_dict.items():
        place = None
        if value.layout == torch.strided and not value.is_quantized and value.numel():
            place = value.data_ptr(), value.shape, value.stride(), value.dtype
        made[key] = value.clone() if place in seen else value
        seen |= {place} - {None}
    return made


def adapt_input(
    state_dict: dict[str, torch.Tensor],
    shapes: dict[str, torch.Size],
    pattern: str,
    in_chans: int,
) -> dict[str, torch.Tensor]:
    """The input convolutions' weights for images with other channels."""
    held = {
        key: tuple(value.shape)
        for key, value in state_dict.items()
        if fnmatch.fnmatchcase(key, pattern)
    }
    wanted = {key: tuple(shape) for key, shape in shapes.items()}
    made = dict(state_dict)
    for key, (channels, base) in input_plans(held, wanted, in_chans, pattern != "*").items():
        if state_dict[key].is_floating_point():
            made[key] = adapted_channels(state_dict[key], channels, base)
    return made


def resample_positions(
    state_dict: dict[str, torch.Tensor], shapes: dict[str, torch.Size], pattern: str, method: str
) -> dict[str, torch.Tensor]:
    """Positions for the wanted sizes; what the model computes itself is left out."""
    tokens = prefix_tokens({key: tuple(value.shape) for key, value in state_dict.items()})
    made = dict(state_dict)
    for key, value in state_dict.items():
        held, wanted = tuple(value.shape), tuple(shapes.get(key, value.shape))
        if held == wanted or not fnmatch.fnmatchcase(key, pattern):
            continue
        plan = position_plan(key, held, wanted, tokens)
        if plan == "dropped":
            del made[key]
        elif isinstance(plan, tuple) and value.is_floating_point():
            layout, old, new, apart = plan
            if layout == "table":
                made[key] = resampled_table(value, old, new, apart)
            else:
                made[key] = resampled_grid(value, old, new, apart, layout, method)
    return made


def select_classes(
    state_dict: dict[str, torch.Tensor], pattern: str, rows: tuple[int, ...]
) -> dict[str, torch.Tensor]:
    """The rows of a head's weight and bias, one for each class."""
    made = dict(state_dict)
    for key, value in state_dict.items():
        if fnmatch.fnmatchcase(key, pattern) and value.dim() and value.is_floating_point():
            made[key] = chosen_rows(value, rows)
    return made


def fold_weight_norm(state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """One weight in the place of weight norm's two tensors."""
    floats = {key: value for key, value in state_dict.items() if value.is_floating_point()}
    pairs = norm_pairs({key: tuple(value.shape) for key, value in floats.items()})
    wholes = {g: (whole, v) for whole, (g, v) in pairs.items() if whole not in state_dict}
    folded = {v for _, v in wholes.values()}
    made = {}
    for key, value in state_dict.items():
        if key in wholes:
            whole, v = wholes[key]
            other = state_dict[v]
            made[whole] = folded_weight_norm(
                value, other, norm_dim(tuple(value.shape), tuple(other.shape))
            )
        elif key not in folded:
            made[key] = value
    return made


def rename_weight_norm(state_dict: dict[str, torch.Tensor], to: str) -> dict[str, torch.Tensor]:
    """Weight norm's two tensors under the names of a hook, or of a parametrization."""
    names = {}
    for whole, (g, v) in norm_pairs({key: tuple(x.shape) for key, x in state_dict.items()}).items():
        module, dot, name = whole.rpartition(".")
        start = f"{module}{dot}parametrizations.{name}.original"
        hooked = to == "hooked"
        names[g], names[v] = (f"{whole}_g", f"{whole}_v") if hooked else (f"{start}0", f"{start}1")
    return {names.get(key, key): value for key, value in state_dict.items()}


def add_batch_statistics(
    state_dict: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """BatchNorm's statistics at their defaults, where they are wanted and not there."""
    missing = missing_statistics(list(state_dict), list(wanted))
    last = {key.rpartition(".")[0]: key for key in state_dict}
    after: dict[str | None, list[str]] = {}
    for key in missing:
        after.setdefault(last.get(key.rpartition(".")[0]), []).append(key)
    made = {}
    for held in [*state_dict, None]:
        if held is not None:
            made[held] = state_dict[held]
        for key in after.get(held, []):
            start = torch.ones_like if key.endswith("running_var") else torch.zeros_like
            made[key] = start(wanted[key])
    return made


def merge_lora(state_dict: dict[str, torch.Tensor], alpha: float) -> dict[str, torch.Tensor]:
    """Each adapted weight with its adapter in it, under the name that it has without one."""
    plans = lora_plans({key: tuple(value.shape) for key, value in state_dict.items()})
    merged = dict(state_dict)
    for key, (others, transposed) in plans.items():
        a, b = (state_dict[each] for each in others[:2])
        own = float(state_dict[others[2]]) if others[2:] else None
        merged[key] = merged_lora(state_dict[key], a, b, alpha or own, bool(transposed))
        for each in others:
            del merged[each]
    return {new: merged[key] for key, new in merged_names(list(merged), list(plans)).items()}
