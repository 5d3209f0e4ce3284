"""Aligns a state_dict with an architecture: first layer by layer, then tensor by tensor."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from core.architectures import Signature, TensorSpec
from core.checkpoint import Derived, StateDict, is_float_dtype
from core.fit.align.alignment import AlignedPair, Alignment
from core.fit.align.assign import pair_layers
from core.fit.align.confidence import LayerPair
from core.fit.align.evidence import is_jumbled, is_sorted
from core.fit.align.layers import (
    Layer,
    LayerTensor,
    Tensor,
    joined,
    layers_of,
    single_layers,
    with_units,
)
from core.fit.align.norm_values import norms_by_values
from core.fit.align.recipe_from_alignment import alignment_recipe
from core.fit.key_match import Match, match
from core.fit.matrix_layout import square_layouts
from core.fit.one_module import filled_by_projection, layer_path, torn_by_names
from core.fixes import Recipe, RenameTable
from core.keys import BATCH_COUNTER, STATISTICS, dotted
from core.wording import are, count, counted, have

MAX_KEYS = 100_000
"""The most keys of a side that are aligned."""

SINGLE = 0.8
"""Factor on the confidence of a tensor that is paired without the others of its layer."""


def align(state_dict: StateDict, signature: Signature) -> Alignment:
    """Pair the file's keys with the architecture's, whatever their names; no tensor is read.

    Layers of the same shapes are paired by their order on both sides, by the words in their names,
    and by what these words mean elsewhere in the same file; the pairs are those that are the most
    likely together. If every key of the architecture matches already, all pairs are equal names.
    Keys without dots are read with dots between their parts.
    """
    names = dotted(state_dict)
    if not names or _is_filled(match(state_dict, signature)):
        return _aligned(state_dict, signature)
    entries = [entry.under(names[key]) for key, entry in state_dict.items()]
    found = _aligned(StateDict(entries, state_dict.path, state_dict.versions), signature)
    own = {name: key for key, name in names.items()}
    return replace(
        found,
        pairs=tuple(replace(pair, key=own[pair.key]) for pair in found.pairs),
        unpaired=tuple(own[key] for key in found.unpaired),
        recipe=_after_renaming(names, found.recipe),
    )


def _is_filled(now: Match) -> bool:
    return not now.missing_keys and not now.mismatched


def _after_renaming(names: Mapping[str, str], recipe: Recipe) -> Recipe:
    """The recipe after a renaming of all keys; both as one table if that is all that changes."""
    first, *others = [step.fix for step in recipe.steps] or [RenameTable(())]
    if not isinstance(first, RenameTable):
        return Recipe.of((RenameTable(tuple(names.items())), first, *others))
    further = dict(first.table)
    table = tuple((key, further.get(name, name)) for key, name in names.items())
    return Recipe.of((RenameTable(table), *others))


def _aligned(state_dict: StateDict, signature: Signature) -> Alignment:
    if max(len(state_dict), len(signature)) > MAX_KEYS:
        why = f"More than {count(MAX_KEYS)} keys are too many to compare."
        return Alignment((), tuple(state_dict), Recipe(), 0.0, why)
    fits = match(state_dict, signature)
    if _is_filled(fits):
        own = [AlignedPair(key, key, 1.0, ambiguous=False, why="same name") for key in fits.matched]
        return _alignment(own, state_dict, signature)
    norms = norms_by_values(state_dict, signature)
    file = [
        Tensor(key, entry.shape, is_float_dtype(entry.dtype), norms.get(key))
        for key, entry in state_dict.items()
    ]
    a = layers_of(file)
    # A file without any statistics has BatchNorms all the same, of a weight and a bias.
    has_none = STATISTICS.isdisjoint(member.leaf for layer in a for member in layer.members)
    without = STATISTICS if has_none else frozenset[str]()
    wanted = [
        Tensor(key, spec.shape, is_float_dtype(spec.dtype))
        for key, spec in signature.items()
        if _leaf(key) not in without
    ]
    # By the names in the file: a repair renames, and puts what it fused where it likes.
    in_file = [
        (entry.origin or entry.key, entry.dtype)
        for entry in state_dict.values()
        if not isinstance(entry.form, Derived)
    ]
    shuffled = is_sorted(in_file) or is_jumbled(a)
    b = with_units(layers_of(wanted))
    if not shuffled:
        a = with_units(a)
    a, b = joined(a, b), joined(b, a)
    pairs = _pairs(a, b, pair_layers(a, b, shuffled=shuffled))
    # What is left: layers of which one side lacks a tensor, such as a bias, so the kinds differ.
    taken, filled = {pair.key for pair in pairs}, {pair.wanted for pair in pairs}
    a = single_layers(_unpaired(file, taken))
    b = single_layers(_unpaired(wanted, filled))
    pairs += [
        replace(pair, confidence=round(pair.confidence * SINGLE, 3))
        for pair in _pairs(a, b, pair_layers(a, b, shuffled=shuffled))
    ]
    return _alignment(_sound(pairs), state_dict, signature)


def _sound(pairs: Sequence[AlignedPair]) -> list[AlignedPair]:
    """The pairs without those that would fill a layer from several, or a head by a projection.

    If more than half of a layer's tensors are from one module, that module's pairs stay.
    """
    by_layer: dict[str, list[AlignedPair]] = {}
    for pair in pairs:
        by_layer.setdefault(layer_path(pair.wanted), []).append(pair)
    kept = []
    for of_layer in by_layer.values():
        sources = {pair.wanted: pair.key for pair in of_layer}
        if filled_by_projection(sources):
            continue
        if len(sources) == len(of_layer) and torn_by_names(sources):
            numbers = Counter(layer_path(pair.key) for pair in of_layer)
            most, number = numbers.most_common(1)[0]
            if 2 * number <= len(of_layer):
                continue
            kept += [pair for pair in of_layer if layer_path(pair.key) == most]
        else:
            kept += of_layer
    return kept


def _leaf(key: str) -> str:
    return key.rpartition(".")[2]


def _unpaired(tensors: Sequence[Tensor], taken: set[str]) -> list[Tensor]:
    return [
        tensor
        for tensor in tensors
        if tensor.key not in taken and _leaf(tensor.key) != BATCH_COUNTER
    ]


def _pairs(
    a: Sequence[Layer], b: Sequence[Layer], layer_pairs: Sequence[LayerPair]
) -> list[AlignedPair]:
    turned = {
        a[pair.row].path: a[pair.row].inputs_first != b[pair.column].inputs_first
        for pair in layer_pairs
        if _is_oblong(a[pair.row])
    }
    squares = [a[pair.row].path for pair in layer_pairs if _is_square(a[pair.row])]
    turned_squares = {path for path, turn in square_layouts(turned, squares).items() if turn}
    pairs = []
    for pair in layer_pairs:
        own, other = a[pair.row], b[pair.column]
        others = {member.leaf: member for member in other.members}
        differ = own.inputs_first != other.inputs_first or own.path in turned_squares
        for member in own.members:
            wanted = others.get(member.leaf)
            if wanted is None:
                continue
            is_matrix = member.leaf == "weight" and len(member.tensors[0].shape) == 2
            pairs += _member_pairs(member, wanted, pair, transposed=is_matrix and differ)
    return [pair for pair in pairs if not _pools_otherwise(pair)]


POOLED_NORM = re.compile(
    r"(?:^|\.)(?:(?:fc|gap|(?:avg_?)?pool(?:ed|ing|er)?)_?|pooler\.)(?:norm|ln|layernorm)$"
)
"""Names of a norm of pooled tokens, such as timm's `fc_norm` and BEiT's `pooler.layernorm`. Renamed
to the `norm` that a model has before it pools, it loads, and the model then pools otherwise
(timm/models/vision_transformer.py)."""

HEAD_NORM = re.compile(r"(?:^|\.)head\.norm$")
"""Names of a norm in a head: some models have it before they pool, and some after that."""


def _pools_otherwise(pair: AlignedPair) -> bool:
    modules = [key.rpartition(".")[0] for key in (pair.key, pair.wanted)]
    pooled = [POOLED_NORM.search(module) is not None for module in modules]
    return pooled[0] != pooled[1] and not any(map(HEAD_NORM.search, modules))


def _member_pairs(
    own: LayerTensor, other: LayerTensor, layer_pair: LayerPair, *, transposed: bool
) -> list[AlignedPair]:
    """One pair for two tensors; for a fused tensor and its parts, one pair for each part."""
    pairs = []
    count = max(len(own.tensors), len(other.tensors))
    for part in range(count):
        key = own.tensors[min(part, len(own.tensors) - 1)]
        wanted = other.tensors[min(part, len(other.tensors) - 1)]
        shape = key.shape[::-1] if transposed else key.shape
        reshaped = count == 1 and shape != wanted.shape
        reasons = [
            *([f"part {part + 1} of {count}"] if count > 1 else []),
            "same shape except for dimensions of 1" if reshaped else "same shape",
            *layer_pair.reasons,
            *(["transposed"] if transposed else []),
        ]
        pairs.append(
            AlignedPair(
                key.key,
                wanted.key,
                layer_pair.confidence,
                layer_pair.ambiguous,
                ", ".join(reasons),
                transposed,
                reshaped,
            )
        )
    return pairs


def _is_oblong(layer: Layer) -> bool:
    shapes = _matrix_and_bias(layer)
    return bool(shapes) and shapes[0] != shapes[1]


def _is_square(layer: Layer) -> bool:
    shapes = _matrix_and_bias(layer)
    return bool(shapes) and shapes[0] == shapes[1]


def _matrix_and_bias(layer: Layer) -> tuple[int, ...]:
    """The shape of the layer's matrix, or of one of its parts, if it has a bias too; else empty."""
    shapes = {member.leaf: member.tensors[0].shape for member in layer.members}
    weight = shapes.get("weight", ())
    return weight if len(weight) == 2 and "bias" in shapes else ()


def _alignment(
    pairs: Sequence[AlignedPair], state_dict: StateDict, signature: Signature
) -> Alignment:
    places = {key: at for at, key in enumerate(signature)}
    ordered = tuple(sorted(pairs, key=lambda pair: places[pair.wanted]))
    taken = {pair.key for pair in ordered}
    unpaired = tuple(key for key in state_dict if key not in taken)
    alignment = Alignment(
        ordered,
        unpaired,
        Recipe(),
        _confidence(ordered, signature),
        _sentence(ordered, len(unpaired), signature),
    )
    return replace(alignment, recipe=alignment_recipe(alignment))


def _confidence(pairs: Sequence[AlignedPair], signature: Mapping[str, TensorSpec]) -> float:
    """The mean confidence over the architecture's elements; one without a tensor counts 0."""
    total = sum(spec.numel for spec in signature.values())
    by_key: dict[str, float] = {}
    for pair in pairs:
        by_key[pair.wanted] = min(pair.confidence, by_key.get(pair.wanted, 1.0))
    sure = sum(signature[key].numel * confidence for key, confidence in by_key.items())
    return round(sure / total, 3) if total else 0.0


def _sentence(
    pairs: Sequence[AlignedPair], unpaired: int, signature: Mapping[str, TensorSpec]
) -> str:
    filled = len({pair.wanted for pair in pairs})
    facts = [
        f"{count(filled)} of {count(len(signature))} keys of the model have a tensor in the file"
    ]
    unsure = len({pair.wanted for pair in pairs if pair.ambiguous})
    if unsure:
        facts.append(
            f"{count(unsure)} of them {are(unsure)} ambiguous: another tensor would be as likely"
        )
    if unpaired:
        facts.append(f"{counted(unpaired, 'key')} of the file {have(unpaired)} no counterpart")
    return "; ".join(facts) + "."
