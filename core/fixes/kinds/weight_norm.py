"""The fix of weight norm: folds its two tensors into a weight, or renames them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from core.checkpoint import FoldedWeightNorm, StateDict, TensorEntry
from core.fixes.base import Changed, Context, Effect, Fix
from core.fixes.computed import computed, is_floating, with_products
from core.fixes.effects import left_alone
from core.fixes.form import ChoiceField, Form
from core.fixes.kinds.renaming import renamed
from core.fixes.script_part import ScriptPart
from core.wording import counted

if TYPE_CHECKING:
    import torch

    from core.tensors import folded_weight_norm

PARAMETRIZATIONS = "parametrizations"

WeightNormForm: TypeAlias = Literal["folded", "parametrized", "hooked"]
"""The result of WeightNorm: one weight, or two tensors under the new or the old names."""

WORDS: dict[WeightNormForm, str] = {
    "folded": "Fold weight norm into the weights",
    "parametrized": "Rename weight norm to `parametrizations`",
    "hooked": "Rename weight norm to `weight_g` and `weight_v`",
}


@dataclass(frozen=True, slots=True)
class WeightNorm(Fix):
    """Fold weight norm into the weight, or rename its two tensors.

    `hooked` are `weight_g` and `weight_v` of `torch.nn.utils.weight_norm`, `parametrized` the
    `parametrizations.weight.original0` and `original1` of `torch.nn.utils.parametrizations`.
    """

    json_name = "weight_norm"
    form = Form(
        "Weight norm",
        "Folds `weight_g` and `weight_v` into one weight, or renames them.",
        (ChoiceField("to", "Result", tuple(WORDS)),),
    )

    to: WeightNormForm = "folded"

    def words(self) -> str:
        return WORDS[self.to]

    def apply(self, state_dict: StateDict, context: Context) -> Changed:
        """Fold or rename all pairs of g and v whose shapes match, under either names.

        A folded weight is in the place of g. Raises FixError if a new key exists already.
        """
        pairs = norm_pairs({key: entry.shape for key, entry in state_dict.items()})
        if self.to != "folded":
            new = {
                old: key
                for whole, (g, v) in pairs.items()
                for old, key in zip((g, v), _names(whole, self.to), strict=True)
            }
            return renamed(state_dict, [new.get(key, key) for key in state_dict])
        folded: dict[str, tuple[TensorEntry, str]] = {}
        for whole, (g, v) in pairs.items():
            parts = state_dict[g], state_dict[v]
            if all(map(is_floating, parts)) and whole not in state_dict:
                dim = norm_dim(parts[0].shape, parts[1].shape)
                like = parts[1].under(whole)
                folded[g] = computed(like, FoldedWeightNorm(dim), parts, parts[1].shape), v
        sentence = "No weight norm to fold."
        if pairs:
            sentence = f"{counted(len(folded), 'weight')} folded."
            why = "they are not floats, or their weight exists already"
            sentence += left_alone(2 * (len(pairs) - len(folded)), why)
        return with_products(state_dict, folded), Effect(len(folded), 0, sentence)

    def script(self) -> ScriptPart:
        if self.to != "folded":
            call = f"state_dict = rename_weight_norm(state_dict, {self.to!a})"
            return ScriptPart((call,), (norm_dim, norm_pairs, rename_weight_norm))
        from core.tensors import folded_weight_norm

        functions = norm_dim, norm_pairs, folded_weight_norm, fold_weight_norm
        return ScriptPart(("state_dict = fold_weight_norm(state_dict)",), functions)


def _names(whole: str, to: WeightNormForm) -> tuple[str, str]:
    """The keys of g and v for a weight's key."""
    module, dot, name = whole.rpartition(".")
    if to == "hooked":
        return f"{whole}_g", f"{whole}_v"
    start = f"{module}{dot}{PARAMETRIZATIONS}.{name}.original"
    return f"{start}0", f"{start}1"


# In scripts: repeats PARAMETRIZATIONS.
def norm_pairs(shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[str, str]]:
    """Key of a weight → the keys of its g and v, as torch.nn.utils.weight_norm and
    torch.nn.utils.parametrizations.weight_norm name them."""
    pairs = {}
    for g, shape in shapes.items():
        v = whole = ""
        parts = g.split(".")
        if g.endswith("_g"):
            v, whole = f"{g[:-2]}_v", g[:-2]
        elif parts[-3:-2] == ["parametrizations"] and parts[-1] == "original0":
            v, whole = f"{g[:-1]}1", ".".join([*parts[:-3], parts[-2]])
        if v in shapes and len(shapes[v]) > 1 and norm_dim(shape, shapes[v]) != -1:
            pairs[whole] = g, v
    return pairs


def norm_dim(g: tuple[int, ...], v: tuple[int, ...]) -> int | None:
    """The dimension along which each slice of v has its own g; None if g is one number, −1 if the
    shapes are not those of weight norm."""
    if not g:
        return None
    for dim, length in enumerate(v):
        if g == (*(1 for _ in v[:dim]), length, *(1 for _ in v[dim + 1 :])):
            return dim
    return -1


def fold_weight_norm(state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state_dict with one weight in place of weight norm's two tensors."""
    floats = {key: value for key, value in state_dict.items() if value.is_floating_point()}
    pairs = norm_pairs({key: tuple(value.shape) for key, value in floats.items()})
    wholes = {g: (whole, v) for whole, (g, v) in pairs.items() if whole not in state_dict}
    folded = {v for _, v in wholes.values()}
    result = {}
    for key, value in state_dict.items():
        if key in wholes:
            whole, v = wholes[key]
            other = state_dict[v]
            result[whole] = folded_weight_norm(
                value, other, norm_dim(tuple(value.shape), tuple(other.shape))
            )
        elif key not in folded:
            result[key] = value
    return result


# In scripts: repeats `_names`.
def rename_weight_norm(state_dict: dict[str, torch.Tensor], to: str) -> dict[str, torch.Tensor]:
    """The state_dict with weight norm's tensors named as by a hook, or by a parametrization."""
    names = {}
    for whole, (g, v) in norm_pairs({key: tuple(x.shape) for key, x in state_dict.items()}).items():
        module, dot, name = whole.rpartition(".")
        start = f"{module}{dot}parametrizations.{name}.original"
        hooked = to == "hooked"
        names[g], names[v] = (f"{whole}_g", f"{whole}_v") if hooked else (f"{start}0", f"{start}1")
    return {names.get(key, key): value for key, value in state_dict.items()}
