"""The fix of weight norm: two tensors folded into a weight, or under the names of another torch."""

from __future__ import annotations

from core.checkpoint.entries import StateDict, TensorEntry
from core.checkpoint.operations import FoldedWeightNorm
from core.fixes.computed import computed, is_floating
from core.fixes.effects import counted, left_alone
from core.fixes.fix import Effect, WeightNorm, WeightNormForm
from core.fixes.kinds.renaming import renamed
from core.fixes.rebuilt import rebuilt

PARAMETRIZATIONS = "parametrizations"


def weight_norm(fix: WeightNorm, state_dict: StateDict) -> tuple[StateDict, Effect]:
    """All pairs of g and v that are of each other's shapes, whichever names they have.

    A folded weight stands where g stood. Raises FixError where a new key is there already.
    """
    pairs = norm_pairs({key: entry.shape for key, entry in state_dict.items()})
    if fix.to != "folded":
        new = {
            old: key
            for whole, (g, v) in pairs.items()
            for old, key in zip((g, v), _names(whole, fix.to), strict=True)
        }
        return renamed(state_dict, [new.get(key, key) for key in state_dict])
    folded: dict[str, TensorEntry] = {}
    for whole, (g, v) in pairs.items():
        parts = state_dict[g], state_dict[v]
        if all(map(is_floating, parts)) and whole not in state_dict:
            dim = norm_dim(parts[0].shape, parts[1].shape)
            like = parts[1].under(whole)
            folded[g] = computed(like, FoldedWeightNorm(dim), parts, parts[1].shape)
    gone = {pairs[entry.key][1] for entry in folded.values()}
    kept = {key: folded.get(key, entry) for key, entry in state_dict.items() if key not in gone}
    names = [(key, entry.key) for key, entry in kept.items()]
    names += [(pairs[entry.key][1], entry.key) for entry in folded.values()]
    sentence = "No key of weight norm."
    if pairs:
        sentence = f"{counted(len(folded), 'weight')} folded."
        why = "they are no floats, or their weight is there already"
        sentence += left_alone(2 * (len(pairs) - len(folded)), why)
    return rebuilt(state_dict, list(kept.values()), names), Effect(len(folded), 0, sentence)


def _names(whole: str, to: WeightNormForm) -> tuple[str, str]:
    """The keys of g and v for a weight's key."""
    module, dot, name = whole.rpartition(".")
    if to == "hooked":
        return f"{whole}_g", f"{whole}_v"
    start = f"{module}{dot}{PARAMETRIZATIONS}.{name}.original"
    return f"{start}0", f"{start}1"


def norm_pairs(shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[str, str]]:
    """The keys of g and v by the key of their weight, as torch.nn.utils.weight_norm and
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
    """The dimension along which each slice of v has its own g; None where all have one, −1 where
    the shapes are of no weight norm."""
    if not g:
        return None
    for dim, length in enumerate(v):
        if g == (*(1 for _ in v[:dim]), length, *(1 for _ in v[dim + 1 :])):
            return dim
    return -1
