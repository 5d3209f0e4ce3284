"""The fix that merges LoRA adapters into the weights that they adapt."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from core.checkpoint import MergedLora, StateDict, TensorEntry
from core.errors import FixError
from core.fixes.base import Changed, Context, Effect, Fix
from core.fixes.computed import checked_dense, computed, is_floating, rebuilt
from core.fixes.form import Form, RealField
from core.fixes.script_part import ScriptPart
from core.wording import are, count, counted

if TYPE_CHECKING:
    import torch

    from core.tensors import merged_lora

Plans: TypeAlias = dict[str, tuple[tuple[str, ...], bool | None]]
"""The key of each adapted weight → the keys of A, B and, if the file has it, alpha; and whether B A
is transposed, None if that is unknown."""


@dataclass(frozen=True, slots=True)
class MergeLora(Fix):
    """Merge LoRA adapters into their base: W + alpha / r · B A.

    `alpha` 0 takes the file's alpha, or a scale of 1 if it has none.
    """

    json_name = "merge_lora"
    form = Form(
        "Merge LoRA adapters",
        "Adds alpha / r · B A to the base weights; 0 takes the file's own alpha, or r if it has "
        "none.",
        (RealField("alpha", "alpha", 1e6),),
    )

    alpha: float = 0.0

    def words(self) -> str:
        return "Merge the LoRA adapters" + (f" with alpha {self.alpha:g}" if self.alpha else "")

    def apply(self, state_dict: StateDict, context: Context) -> Changed:
        """Merge each adapter into its weight, and rename the weight as it is without adapters.

        PEFT's, loralib's and kohya's names are known. Raises FixError if the file contains adapters
        alone, several of them for one weight, or a kind that is more than B A.
        """
        shapes = {key: entry.shape for key, entry in state_dict.items()}
        try:
            plans = lora_plans(shapes)
        except ValueError as error:
            raise FixError(
                f"{str(error)[:1].upper()}{str(error)[1:]}.",
                "Drop the other adapters' keys in a step before this one, or merge them with the "
                "program that trained them.",
            ) from error
        if not plans and any(map(lora_part, shapes)):
            raise FixError(
                "This file contains LoRA adapters alone, without the weights that they adapt.",
                "Merge them with the program that made them, and open the file that it saves.",
            )
        if not plans:
            return state_dict, Effect(0, 0, "No LoRA adapter to merge.")
        merged: dict[str, TensorEntry] = {}
        for key, (others, transposed) in plans.items():
            parts = [checked_dense(state_dict[part_key]) for part_key in (key, *others)]
            if not all(map(is_floating, parts[:3])):
                raise FixError(
                    f"`{key}` and its adapter are not all floating-point numbers.",
                    "Merge them with the program that made them.",
                )
            operation = MergedLora(self.alpha, bool(transposed))
            merged[key] = computed(parts[0], operation, tuple(parts), parts[0].shape)
        gone = {other for others, _ in plans.values() for other in others}
        left = [key for key in state_dict if key not in gone and lora_part(key)]
        if left:
            raise FixError(
                f"`{left[0]}` is a part of an adapter that cannot be merged"
                + (f", and so are {count(len(left) - 1)} more." if left[1:] else "."),
                "Drop these keys in a step before this one, or merge them with the program that "
                "trained them.",
            )
        names = merged_names([key for key in state_dict if key not in gone], list(plans))
        entries = [merged.get(key, state_dict[key]).under(new) for key, new in names.items()]
        if len(set(names.values())) < len(names):
            raise FixError(
                "Two tensors would get one key once the adapters are merged.",
                "Drop one of them in a step before this one.",
            )
        sentence = f"{counted(len(merged), 'adapter')} merged into the weights."
        if not self.alpha:
            sentence += scale_assumed(_unscaled(plans))
        sentence += _sides_assumed(
            [key for key, (_, transposed) in plans.items() if transposed is None]
        )
        return rebuilt(state_dict, entries, names.items()), Effect(len(merged), 0, sentence)

    def script(self) -> ScriptPart:
        from core.tensors import merged_lora

        call = f"state_dict = merge_lora(state_dict, {self.alpha!r})"
        functions = lora_part, lora_plans, merged_names, merged_lora, merge_lora
        return ScriptPart((call,), functions)


def unscaled_adapters(state_dict: StateDict) -> int:
    """How many adapters could be merged but have no alpha in the file."""
    try:
        return _unscaled(lora_plans({key: entry.shape for key, entry in state_dict.items()}))
    except ValueError:
        return 0


def adapters_alone(state_dict: StateDict) -> int:
    """How many layers the adapters of a file are for that has none of these layers' weights; else
    0."""
    modules = {key.partition(".lora_")[0] for key in state_dict if lora_part(key) in ("a", "b")}
    if not modules:
        return 0
    try:
        plans = lora_plans({key: entry.shape for key, entry in state_dict.items()})
    except ValueError:
        return 0
    return 0 if plans else len(modules)


def unscaled_words(state_dict: StateDict) -> str:
    """That adapters could be merged, but for their scale, as a clause; empty if there are none."""
    adapters = unscaled_adapters(state_dict)
    if not adapters:
        return ""
    return (
        f"{counted(adapters, 'LoRA adapter')} {are(adapters)} not merged, since the file has no "
        "alpha that states the scale"
    )


def adapter_keys(state_dict: StateDict) -> frozenset[str]:
    """The keys of LoRA adapters, and of the base layers that peft keeps inside them."""
    try:
        plans = lora_plans({key: entry.shape for key, entry in state_dict.items()})
    except ValueError:
        plans = {}
    bases = {weight.removesuffix("weight") for weight in plans if ".base_layer." in f".{weight}"}
    parts = {part for others, _ in plans.values() for part in others}
    return frozenset(
        key
        for key in state_dict
        if lora_part(key) or key in parts or f"{key.rpartition('.')[0]}." in bases
    )


def _unscaled(plans: Plans) -> int:
    return sum(len(others) < 3 for others, _ in plans.values())


def scale_assumed(adapters: int) -> str:
    """A further sentence on adapters that are merged without an alpha; empty for 0."""
    if not adapters:
        return ""
    have = "has" if adapters == 1 else "have"
    return (
        f" {counted(adapters, 'adapter')} {have} no alpha in the file: a scale of 1 is assumed; "
        "set alpha if it was trained with another."
    )


def _sides_assumed(square: list[str]) -> str:
    """A further sentence on square weights whose rows may be their inputs; empty for none."""
    if not square:
        return ""
    which, their = f"`{square[0]}` is", "its rows are its outputs"
    if square[1:]:
        which = f"`{square[0]}` and {count(len(square) - 1)} more are"
        their = "their rows are their outputs"
    return f" {which} square, so it is only assumed that {their}."


def lora_part(key: str) -> str:
    """The part of an adapter that a key names: `a`, `b`, `bias` or another; empty for none."""
    if "lora_" not in key:
        return ""
    parts = key.split(".")
    for part in parts:
        if part in ("lora_A", "lora_down", "lora_embedding_A"):
            return "a" if parts[-1] != "bias" else "bias"
        if part in ("lora_B", "lora_up", "lora_embedding_B"):
            return "b" if parts[-1] != "bias" else "bias"
        if part.startswith("lora_") and not part.startswith(("lora_unet_", "lora_te")):
            return part
    return ""


def lora_plans(
    shapes: dict[str, tuple[int, ...]],
) -> dict[str, tuple[tuple[str, ...], bool | None]]:
    """Key of an adapted weight → (the keys of A, B and, if the file has it, alpha; whether B A must
    be transposed, None if the shapes do not show it). Raises ValueError for an unknown kind of
    adapter."""
    adapters: dict[str, dict[str, list[str]]] = {}
    for key in shapes:
        kind = lora_part(key)
        if kind in ("a", "b"):
            parts = key.split(".")
            at = next(index for index, part in enumerate(parts) if lora_part(part))
            adapters.setdefault(".".join(parts[:at]), {}).setdefault(kind, []).append(key)
    if not adapters:
        return {}
    by_words = {
        key.removesuffix(".weight").replace(".", "_"): key
        for key in shapes
        if key.endswith(".weight") and not lora_part(key)
    }
    plans: dict[str, tuple[tuple[str, ...], bool | None]] = {}
    # Whether a weight has its inputs first, as GPT-2's Conv1D: a bias is as long as the outputs.
    inputs_first = {}
    for key, shape in shapes.items():
        bias = shapes.get(f"{key.removesuffix('weight')}bias", ())
        if len(shape) == 2 and shape[0] != shape[1] and bias in (shape[:1], shape[1:]):
            inputs_first[key] = bias == shape[1:]
    for module, kinds in adapters.items():
        start = f"{module}." if module else ""
        flat = module.removeprefix("lora_unet_").removeprefix("lora_te_")
        names = [f"{start}base_layer.weight", f"{start}weight", by_words.get(flat, "")]
        weight = next((name for name in names if name in shapes), "")
        if not weight:
            continue
        for keys in kinds.values():
            if len(keys) > 1:
                raise ValueError(f"`{weight}` has several adapters: `{keys[0]}`, `{keys[1]}`")
        if len(kinds) < 2:
            raise ValueError(f"`{weight}` has only A or only B of an adapter")
        (a,), (b,) = kinds["a"], kinds["b"]
        rank, rows, whole = shapes[a][0], shapes[b][0], shapes[weight]
        columns, rank_of_b = math.prod(shapes[a][1:]), math.prod(shapes[b][1:])
        fits = math.prod(whole) == rows * columns and whole[:1] == (rows,)
        fits_transposed = whole == (columns, rows)
        if not rank or rank_of_b != rank or not (fits or fits_transposed):
            raise ValueError(f"the shapes of `{a}` and `{b}` do not fit that of `{weight}`")
        alpha = f"{start}alpha"
        if any(length != 1 for length in shapes.get(alpha, ())):
            raise ValueError(f"`{alpha}` is not a single number, so it cannot scale an adapter")
        others = (a, b, alpha) if alpha in shapes else (a, b)
        if "lora_embedding_A" in a.split("."):
            plans[weight] = others, fits_transposed
        elif fits and fits_transposed:
            plans[weight] = others, None
        else:
            plans[weight] = others, fits_transposed
            inputs_first[weight] = fits_transposed
    # A square weight does not show it: it is assumed to be as most of the file's other weights are.
    inputs_first_count = sum(inputs_first.values())
    outputs_first_count = len(inputs_first) - inputs_first_count
    if inputs_first_count != outputs_first_count:
        mostly_inputs_first = inputs_first_count > outputs_first_count
        for key, (part_keys, transposed) in plans.items():
            plans[key] = part_keys, mostly_inputs_first if transposed is None else transposed
    return plans


def merged_names(keys: list[str], adapted: list[str]) -> dict[str, str]:
    """Old key → new key without PEFT's wrappers of the `adapted` weights.

    Of a layer that was trained as a whole (modules_to_save), the trained tensors replace the
    original ones.
    """
    names = {}
    trained = {key.partition(".modules_to_save.")[0] for key in keys if ".modules_to_save." in key}
    wrapped = all(key.startswith("base_model.model.") for key in keys)
    inner = [
        key.removesuffix("weight") for key in adapted if f".{key}".endswith(".base_layer.weight")
    ]
    starts = {start: start.removesuffix("base_layer.") for start in inner}
    for key in keys:
        module, original, _ = key.partition(".original_module.")
        if original and module in trained:
            continue
        start = key.rpartition(".")[0] + "."
        new = starts.get(start, start) + key.rpartition(".")[2] if "." in key else key
        if ".modules_to_save." in new:
            module, _, rest = new.partition(".modules_to_save.")
            new = f"{module}.{rest.partition('.')[2]}"
        names[key] = new.removeprefix("base_model.model.") if wrapped else new
    return names


def merge_lora(state_dict: dict[str, torch.Tensor], alpha: float) -> dict[str, torch.Tensor]:
    """The weights with their adapters added, under the keys that they have without adapters."""
    plans = lora_plans({key: tuple(value.shape) for key, value in state_dict.items()})
    merged = dict(state_dict)
    for key, (others, transposed) in plans.items():
        a, b = (state_dict[part_key] for part_key in others[:2])
        own = float(state_dict[others[2]]) if others[2:] else None
        merged[key] = merged_lora(state_dict[key], a, b, alpha or own, bool(transposed))
        for part_key in others:
            del merged[part_key]
    return {new: merged[key] for key, new in merged_names(list(merged), list(plans)).items()}
