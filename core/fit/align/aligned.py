"""A state_dict whose names are not the architecture's, tensor by tensor in its places."""

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

MOST = 100_000
"""Keys on a side beyond which nothing is aligned."""

ALONE = 0.8
"""What is left of a confidence where a tensor was paired without the others of its layer."""


def align(state_dict: StateDict, signature: Signature) -> Alignment:
    """Pair the file's tensors with the places of the architecture, whatever their names.

    Layers of the same shapes are paired by the order in which both sides list them, by the words of
    their names, and by what those words mean elsewhere in the same file, so that all pairs together
    are the most likely ones; no tensor is read. Keys that fit already stay.
    """
    if max(len(state_dict), len(signature)) > MOST:
        why = f"More than {MOST:,} keys are too many to compare.".replace(",", "\u2009")
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
    taken, filled = {pair.key for pair in pairs}, {pair.wanted for pair in pairs}
    a = single_units(_open(file, taken))
    b = single_units(_open(wanted, filled))
    pairs += [
        replace(pair, confidence=round(pair.confidence * ALONE, 3))
        for pair in _pairs(a, b, place(a, b, shuffled=shuffled))
    ]
    return _alignment(pairs, state_dict, signature)


def _open(tensors: Sequence[Tensor], taken: set[str]) -> list[Tensor]:
    return [
        one
        for one in tensors
        if one.key not in taken and one.key.rpartition(".")[2] != BATCH_COUNTER
    ]


def _pairs(a: Sequence[Unit], b: Sequence[Unit], placed: Sequence[Placed]) -> list[AlignedPair]:
    turned = {a[one.row].turned != b[one.column].turned for one in placed if _oblong(a[one.row])}
    square = turned == {True}
    pairs = []
    for one in placed:
        own, other = a[one.row], b[one.column]
        others = {member.slot: member for member in other.members}
        for member in own.members:
            wanted = others.get(member.slot)
            if wanted is None:
                continue
            weight = member.slot == "weight" and len(member.tensors[0].shape) == 2
            turn = weight and (own.turned != other.turned or (square and _is_square(own)))
            pairs += _members(member, wanted, one, transposed=turn)
    return pairs


def _members(
    own: UnitMember, other: UnitMember, placed: Placed, *, transposed: bool
) -> list[AlignedPair]:
    """The tensors of a member, all parts of the one with all of the other."""
    found = []
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
            why = f"{why}, rows and columns exchanged"
        if reshaped:
            why = why.replace("same shape", "same shape but for dimensions of 1", 1)
        found.append(
            AlignedPair(
                key.key, wanted.key, placed.confidence, placed.ambiguous, why, transposed, reshaped
            )
        )
    return found


def _oblong(unit: Unit) -> bool:
    shapes = _matrix_and_bias(unit)
    return bool(shapes) and shapes[0] != shapes[1]


def _is_square(unit: Unit) -> bool:
    shapes = _matrix_and_bias(unit)
    return bool(shapes) and shapes[0] == shapes[1]


def _matrix_and_bias(unit: Unit) -> tuple[int, ...]:
    """The shape of the matrix of a layer that has a bias too, else nothing."""
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
    found = Alignment(
        ordered,
        left,
        missing,
        Recipe(),
        _confidence(ordered, signature),
        _sentence(ordered, len(left), signature),
    )
    return replace(found, recipe=alignment_recipe(found))


def _confidence(pairs: Sequence[AlignedPair], signature: Mapping[str, TensorSpec]) -> float:
    total = sum(spec.numel for spec in signature.values())
    by_key: dict[str, float] = {}
    for pair in pairs:
        by_key[pair.wanted] = min(pair.confidence, by_key.get(pair.wanted, 1.0))
    sure = sum(signature[key].numel * confidence for key, confidence in by_key.items())
    return round(sure / total, 3) if total else 0.0


def _sentence(pairs: Sequence[AlignedPair], left: int, signature: Mapping[str, TensorSpec]) -> str:
    filled = len({pair.wanted for pair in pairs})
    told = [f"{filled:,} of {len(signature):,} wanted tensors have one in the file"]
    unsure = len({pair.wanted for pair in pairs if pair.ambiguous})
    if unsure:
        told.append(f"{unsure:,} could as well be another of the same shape")
    if left:
        told.append(f"{left:,} of the file {'have' if left > 1 else 'has'} no place")
    return ("; ".join(told) + ".").replace(",", "\u2009")
