"""Aligns a state_dict with an architecture: first layer by layer, then tensor by tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from core.architectures import Signature, TensorSpec
from core.checkpoint import StateDict
from core.fit.align.alignment import AlignedPair, Alignment
from core.fit.align.assign import place
from core.fit.align.confidence import Placed
from core.fit.align.evidence import is_sorted
from core.fit.align.layer_units import Tensor, Unit, UnitMember, joined, single_units, units
from core.fit.align.recipe_from_alignment import alignment_recipe
from core.fit.key_match import match
from core.fixes import Recipe
from core.keys import BATCH_COUNTER
from core.wording import count

MOST = 100_000
"""The most keys of a side that are aligned."""

ALONE = 0.8
"""Factor on the confidence of a tensor that is paired without the others of its layer."""


def align(state_dict: StateDict, signature: Signature) -> Alignment:
    """Pair the file's keys with the architecture's, whatever their names; no tensor is read.

    Layers of the same shapes are paired by their order on both sides, by the words in their names,
    and by what these words mean elsewhere in the same file; the pairs are those that are the most
    likely together. If every key of the architecture matches already, all pairs are equal names.
    """
    if max(len(state_dict), len(signature)) > MOST:
        why = f"More than {count(MOST)} keys are too many to compare."
        return Alignment((), tuple(state_dict), tuple(signature), Recipe(), 0.0, why)
    fits = match(state_dict, signature)
    if not fits.missing_keys and not fits.mismatched:
        own = [AlignedPair(key, key, 1.0, ambiguous=False, why="same name") for key in fits.matched]
        return _alignment(own, state_dict, signature)
    file = [
        Tensor(key, entry.shape, entry.dtype.startswith(("float", "bfloat")))
        for key, entry in state_dict.items()
    ]
    wanted = [
        Tensor(key, spec.shape, spec.dtype.startswith(("float", "bfloat")))
        for key, spec in signature.items()
    ]
    shuffled = is_sorted([(key, entry.dtype) for key, entry in state_dict.items()])
    a, b = units(file), units(wanted)
    a, b = joined(a, b), joined(b, a)
    pairs = _pairs(a, b, place(a, b, shuffled=shuffled))
    # What is left: layers of which one side lacks a tensor, such as a bias, so the kinds differ.
    taken, filled = {pair.key for pair in pairs}, {pair.wanted for pair in pairs}
    a = single_units(_unpaired(file, taken))
    b = single_units(_unpaired(wanted, filled))
    pairs += [
        replace(pair, confidence=round(pair.confidence * ALONE, 3))
        for pair in _pairs(a, b, place(a, b, shuffled=shuffled))
    ]
    return _alignment(pairs, state_dict, signature)


def _unpaired(tensors: Sequence[Tensor], taken: set[str]) -> list[Tensor]:
    return [
        tensor
        for tensor in tensors
        if tensor.key not in taken and tensor.key.rpartition(".")[2] != BATCH_COUNTER
    ]


def _pairs(a: Sequence[Unit], b: Sequence[Unit], placed: Sequence[Placed]) -> list[AlignedPair]:
    # A square matrix does not show whether it is transposed: it is if all others are.
    turned = {
        a[layer.row].turned != b[layer.column].turned
        for layer in placed
        if _is_oblong(a[layer.row])
    }
    square = turned == {True}
    pairs = []
    for layer in placed:
        own, other = a[layer.row], b[layer.column]
        others = {member.slot: member for member in other.members}
        for member in own.members:
            wanted = others.get(member.slot)
            if wanted is None:
                continue
            weight = member.slot == "weight" and len(member.tensors[0].shape) == 2
            turn = weight and (own.turned != other.turned or (square and _is_square(own)))
            pairs += _member_pairs(member, wanted, layer, transposed=turn)
    return pairs


def _member_pairs(
    own: UnitMember, other: UnitMember, placed: Placed, *, transposed: bool
) -> list[AlignedPair]:
    """One pair for two tensors; for a fused tensor and its parts, one pair for each part."""
    pairs = []
    count = max(len(own.tensors), len(other.tensors))
    for part in range(count):
        key = own.tensors[min(part, len(own.tensors) - 1)]
        wanted = other.tensors[min(part, len(other.tensors) - 1)]
        shape = key.shape[::-1] if transposed else key.shape
        reshaped = count == 1 and shape != wanted.shape
        why = placed.why
        if count > 1:
            why = f"part {part + 1} of {count}, {why}"
        if transposed:
            why = f"{why}, transposed"
        if reshaped:
            why = why.replace("same shape", "same shape except for dimensions of 1", 1)
        pairs.append(
            AlignedPair(
                key.key, wanted.key, placed.confidence, placed.ambiguous, why, transposed, reshaped
            )
        )
    return pairs


def _is_oblong(unit: Unit) -> bool:
    shapes = _matrix_and_bias(unit)
    return bool(shapes) and shapes[0] != shapes[1]


def _is_square(unit: Unit) -> bool:
    shapes = _matrix_and_bias(unit)
    return bool(shapes) and shapes[0] == shapes[1]


def _matrix_and_bias(unit: Unit) -> tuple[int, ...]:
    """The shape of the layer's matrix, if the layer has a bias too; else empty."""
    shapes = {slot: shape for slot, shape, _ in unit.kind}
    weight = shapes.get("weight", ())
    return weight if len(weight) == 2 and "bias" in shapes else ()


def _alignment(
    pairs: Sequence[AlignedPair], state_dict: StateDict, signature: Signature
) -> Alignment:
    places = {key: at for at, key in enumerate(signature)}
    ordered = tuple(sorted(pairs, key=lambda pair: places[pair.wanted]))
    taken, filled = {pair.key for pair in ordered}, {pair.wanted for pair in ordered}
    left = tuple(key for key in state_dict if key not in taken)
    missing = tuple(key for key in signature if key not in filled)
    alignment = Alignment(
        ordered,
        left,
        missing,
        Recipe(),
        _confidence(ordered, signature),
        _sentence(ordered, len(left), signature),
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


def _sentence(pairs: Sequence[AlignedPair], left: int, signature: Mapping[str, TensorSpec]) -> str:
    filled = len({pair.wanted for pair in pairs})
    facts = [
        f"{count(filled)} of {count(len(signature))} keys of the model have a tensor in the file"
    ]
    unsure = len({pair.wanted for pair in pairs if pair.ambiguous})
    if unsure:
        facts.append(f"{count(unsure)} could as well be another of the same shape")
    if left:
        facts.append(f"{count(left)} of the file {'have' if left > 1 else 'has'} no place")
    return "; ".join(facts) + "."
