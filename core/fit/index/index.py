"""The signatures of many architectures, and how each changes with its options.

Models have most of their keys and shapes in common. So an index has one table of keys and one of
shapes, and a signature is stored as numbers into these tables. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar, overload

import numpy as np
import numpy.typing as npt

from core.architectures import Architecture, Signature, TensorSpec, Value

Integers = npt.NDArray[np.int32]

Kind = tuple[str, Literal["parameter", "buffer"]]
"""A tensor's dtype, and whether it is trained."""


@dataclass(frozen=True, slots=True)
class Variation:
    """How a model's signature changes with the value of one option, by a second build.

    `default` is the option's value in the model's own signature, `value` that in the second build;
    booleans are 1 or 0, and the default of a word is "", since the model need not say it. `shapes`
    are the second build's shapes of the keys whose shapes differ, `gone` the keys that only the
    model's own signature has, `added` those that only the second has.
    """

    option: str
    default: Value
    value: Value
    shapes: Mapping[str, tuple[int, ...]]
    gone: tuple[str, ...]
    added: Mapping[str, TensorSpec]


@dataclass(frozen=True, slots=True)
class IndexedModel:
    """An architecture without options, its signature, and what its options change."""

    architecture: Architecture
    signature: Signature
    variations: tuple[Variation, ...] = ()


@dataclass(frozen=True, slots=True)
class PackedSignature:
    """A signature as numbers, in its own order: entry i has the key `keys[key_ids[i]]`, the shape
    `shapes[shape_ids[i]]`, and the dtype and kind `kinds[kind_ids[i]]` of its index. int32."""

    key_ids: Integers
    shape_ids: Integers
    kind_ids: Integers


@dataclass(frozen=True, slots=True)
class PackedDifference:
    """What a variation changes, as numbers into the tables of its index.

    `changed` are the keys of `Variation.shapes`, and `shape_ids` their new shapes.
    """

    changed: Integers
    shape_ids: Integers
    gone: Integers
    added: PackedSignature


@dataclass(frozen=True, slots=True)
class PackedVariation:
    """A Variation whose changes are `differences[difference]` of its index."""

    option: str
    default: Value
    value: Value
    difference: int


@dataclass(frozen=True, slots=True)
class Index:
    """Architectures with their signatures; equal signatures are stored once.

    `versions` are those of the libraries. Model i is `architectures[i]` and has the signature
    `signatures[signature_ids[i]]`; `keys`, `shapes` and `kinds` are the tables into which the
    signatures' numbers point. `failures` are the keys of architectures that could not be built,
    each with a sentence that says why.
    """

    versions: Mapping[str, str]
    architectures: tuple[Architecture, ...]
    signature_ids: Integers
    keys: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    kinds: tuple[Kind, ...]
    signatures: tuple[PackedSignature, ...]
    differences: tuple[PackedDifference, ...]
    variations: tuple[tuple[PackedVariation, ...], ...]
    failures: tuple[tuple[str, str], ...] = ()
    _specs: dict[int, TensorSpec] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """By the numbers of a shape and a kind. The signatures have 600,000 tensors, but few specs:
    shared, these take no time and no memory, and the garbage collector need not look at them."""

    def __len__(self) -> int:
        """How many architectures there are."""
        return len(self.architectures)

    @property
    def models(self) -> Sequence[IndexedModel]:
        """Every model in the order of `architectures`; each is decoded when it is read."""
        return _Models(self)

    def signature(self, number: int) -> Signature:
        """The signature `signatures[number]` by its keys."""
        return _unpack(self, self.signatures[number])


class _Models(Sequence[IndexedModel]):
    def __init__(self, index: Index) -> None:
        self._index = index

    def __len__(self) -> int:
        return len(self._index)

    @overload
    def __getitem__(self, number: int) -> IndexedModel: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[IndexedModel]: ...
    def __getitem__(self, number: int | slice) -> IndexedModel | Sequence[IndexedModel]:
        if isinstance(number, slice):
            return [self[at] for at in range(*number.indices(len(self)))]
        index = self._index
        return IndexedModel(
            index.architectures[number],
            index.signature(int(index.signature_ids[number])),
            tuple(_variation(index, packed) for packed in index.variations[number]),
        )


def _unpack(index: Index, packed: PackedSignature) -> Signature:
    keys, specs = index.keys, index._specs
    spec_ids = (packed.shape_ids * len(index.kinds) + packed.kind_ids).tolist()
    for spec in set(spec_ids).difference(specs):
        shape, kind = divmod(spec, len(index.kinds))
        specs[spec] = TensorSpec(index.shapes[shape], *index.kinds[kind])
    return {
        keys[key]: specs[spec] for key, spec in zip(packed.key_ids.tolist(), spec_ids, strict=True)
    }


def _variation(index: Index, packed: PackedVariation) -> Variation:
    difference = index.differences[packed.difference]
    changed = zip(difference.changed.tolist(), difference.shape_ids.tolist(), strict=True)
    return Variation(
        packed.option,
        packed.default,
        packed.value,
        {index.keys[key]: index.shapes[shape] for key, shape in changed},
        tuple(index.keys[key] for key in difference.gone.tolist()),
        _unpack(index, difference.added),
    )


def variation(
    option: str, default: Value, value: Value, base: Signature, other: Signature
) -> Variation:
    """How `other`, the signature with `option` at `value`, differs from `base`.

    A key whose dtype or kind differs is both gone and added.
    """
    same = {
        key
        for key, spec in base.items()
        if key in other and (other[key].dtype, other[key].kind) == (spec.dtype, spec.kind)
    }
    return Variation(
        option,
        default,
        value,
        {key: other[key].shape for key in base if key in same and other[key] != base[key]},
        tuple(key for key in base if key not in same),
        {key: spec for key, spec in other.items() if key not in same},
    )


def make_index(
    versions: Mapping[str, str],
    models: Iterable[IndexedModel],
    failures: Iterable[tuple[str, str]] = (),
) -> Index:
    """An index of these models, in their order."""
    nothing = integers([])
    empty = Index(dict(versions), (), nothing, (), (), (), (), (), (), tuple(failures))
    return with_models(empty, models)


def with_models(index: Index, models: Iterable[IndexedModel]) -> Index:
    """The index with these models after its own, such as those of a server's owner."""
    tables = _Tables(index)
    architectures = list(index.architectures)
    signature_ids, variations = index.signature_ids.tolist(), list(index.variations)
    for model in models:
        architectures.append(model.architecture)
        signature_ids.append(tables.signatures.number(tables.numbers(model.signature)))
        variations.append(tuple(map(tables.variation, model.variations)))
    return Index(
        index.versions,
        tuple(architectures),
        integers(signature_ids),
        tuple(tables.keys),
        tuple(tables.shapes),
        tuple(tables.kinds),
        tuple(_packed(numbers) for numbers in tables.signatures),
        tuple(
            PackedDifference(integers(changed), integers(shapes), integers(gone), _packed(added))
            for changed, shapes, gone, added in tables.differences
        ),
        tuple(variations),
        index.failures,
    )


def integers(numbers: Sequence[int]) -> Integers:
    """The numbers as an array of int32."""
    return np.array(numbers, dtype=np.int32)


def _packed(numbers: _Numbers) -> PackedSignature:
    return PackedSignature(*map(integers, numbers))


def _numbers(packed: PackedSignature) -> _Numbers:
    return _tuple(packed.key_ids), _tuple(packed.shape_ids), _tuple(packed.kind_ids)


def _tuple(numbers: Integers) -> tuple[int, ...]:
    return tuple(numbers.tolist())


_Numbers = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
_Value = TypeVar("_Value")


class _Table(Generic[_Value]):
    """Values numbered in the order in which they first came."""

    def __init__(self, values: Iterable[_Value] = ()) -> None:
        self._numbers: dict[_Value, int] = {value: number for number, value in enumerate(values)}

    def __iter__(self) -> Iterator[_Value]:
        return iter(self._numbers)

    def number(self, value: _Value) -> int:
        return self._numbers.setdefault(value, len(self._numbers))


class _Tables:
    """The tables of an index while it grows."""

    def __init__(self, index: Index) -> None:
        self.keys = _Table(index.keys)
        self.shapes = _Table(index.shapes)
        self.kinds = _Table(index.kinds)
        self.signatures = _Table(_numbers(each) for each in index.signatures)
        self.differences = _Table(
            (
                _tuple(each.changed),
                _tuple(each.shape_ids),
                _tuple(each.gone),
                _numbers(each.added),
            )
            for each in index.differences
        )

    def numbers(self, signature: Signature) -> _Numbers:
        return (
            self._keys(signature),
            tuple(self.shapes.number(tuple(spec.shape)) for spec in signature.values()),
            tuple(self.kinds.number((spec.dtype, spec.kind)) for spec in signature.values()),
        )

    def variation(self, variation: Variation) -> PackedVariation:
        difference = (
            self._keys(variation.shapes),
            tuple(self.shapes.number(tuple(shape)) for shape in variation.shapes.values()),
            self._keys(variation.gone),
            self.numbers(variation.added),
        )
        number = self.differences.number(difference)
        return PackedVariation(variation.option, variation.default, variation.value, number)

    def _keys(self, keys: Iterable[str]) -> tuple[int, ...]:
        return tuple(map(self.keys.number, keys))
