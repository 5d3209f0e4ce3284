"""Groups tensors into layers: the weight, bias and statistics that belong together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias

from core.architectures import Shape, squeezed
from core.fit.align.norm_values import NORM_LEAVES
from core.keys import (
    BATCH_COUNTER,
    FUSED_PARTS,
    FUSED_WORD,
    LEAVES,
    MAX_STARTS,
    SYNONYMS,
    leaf,
    starts,
    words,
)

Kind: TypeAlias = tuple[tuple[str, Shape, bool], ...]
"""For each tensor its leaf word, its shape without dimensions of 1, and whether it is of floats."""

WHOLE_NORMS = (
    {"weight", "bias"},
    {"weight", "bias", "running_mean", "running_var"},
    {"bias", "running_mean", "running_var"},
)
"""What a norm has."""

FUSED_AS: Mapping[tuple[str, ...], str] = dict(
    zip(FUSED_PARTS, ("qkv", "gate_up", "gate_up"), strict=True)
)
"""The name of the fused layer, by the names of its parts."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """What an alignment uses of a tensor, of the file or of the architecture.

    `place` is the path of its layer and its leaf word where more than the key says so.
    """

    key: str
    shape: Shape
    floating: bool
    place: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class LayerTensor:
    """One tensor of a layer, such as its weight; the parts of it if the layer is made of parts.

    `leaf` is what the last part of the key means: `weight`, `bias` and so on.
    """

    leaf: str
    tensors: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """The tensors of one layer, in the order of the file; `path` is the layer's name.

    `inputs_first`: the matrix has its inputs as rows, as the length of its bias shows. `unit` is
    the path of the convolution that a norm follows, for both of them; empty for others, or if the
    order of the layers is not known.
    """

    path: str
    members: tuple[LayerTensor, ...]
    kind: Kind
    inputs_first: bool = False
    unit: str = ""

    @property
    def exact(self) -> tuple[Shape, ...]:
        """The shapes as they are."""
        return tuple(member.tensors[0].shape for member in self.members)

    @property
    def is_matrix(self) -> bool:
        """Whether one of its tensors has two or more dimensions longer than 1."""
        return any(len(shape) > 1 for _, shape, _ in self.kind)


def layers_of(tensors: Iterable[Tensor]) -> list[Layer]:
    """The layers, in the order of their first tensors.

    A tensor that is alone in its module, such as `ls1.gamma` or `layer_scale1.lambda1`, is named by
    the module: what it is called there says nothing more.
    """
    by_path: dict[str, dict[str, Tensor]] = {}
    tensors = [*tensors]
    norms = _norms(tensor.key for tensor in tensors)
    below = Counter(
        tensor.key[:start] for tensor in tensors for start in starts(tensor.key, MAX_STARTS)[1:]
    )
    for tensor in tensors:
        path, word = norms.get(tensor.key) or tensor.place or _split(tensor.key)
        module, dot, _ = path.rpartition(".")
        if path == tensor.key and below[module + dot] == 1:
            path = module
        if word in by_path.get(path, {}):
            path = tensor.key
        by_path.setdefault(path, {})[word] = tensor
    return [
        layer_of(path, [LayerTensor(word, (tensor,)) for word, tensor in members.items()])
        for path, members in by_path.items()
    ]


def with_units(layers: Sequence[Layer]) -> list[Layer]:
    """The layers, which are in the model's order, each norm as one unit with what it follows.

    It follows a convolution beside it, or several of a module without norms, in a module that
    begins with a matrix: where a norm is first, as in a transformer's block, it precedes its layer.
    """
    first: dict[str, Layer] = {}
    norms: Counter[str] = Counter()
    for layer in layers:
        for start in starts(layer.path, MAX_STARTS):
            first.setdefault(layer.path[:start], layer)
            norms[layer.path[:start]] += not layer.is_matrix
    units: dict[str, str] = {}
    for before, layer in pairwise(layers):
        module = layer.path[: layer.path.rfind(".") + 1]
        if layer.is_matrix or not before.is_matrix or not before.path.startswith(module):
            continue
        unit, inside, _ = before.path[len(module) :].partition(".")
        unit = module + unit
        # What is deeper than MAX_STARTS modules was not counted.
        counted = module in first and (not inside or f"{unit}." in first)
        if counted and first[module].is_matrix and not norms[f"{unit}."]:
            units[layer.path] = unit
    followed = {*units.values()}
    for layer in layers:
        fronts = (layer.path[: start - 1] for start in starts(layer.path, MAX_STARTS)[1:])
        own = next((front for front in (*fronts, layer.path) if front in followed), "")
        units.setdefault(layer.path, own)
    return [replace(layer, unit=units[layer.path]) for layer in layers]


def single_layers(tensors: Iterable[Tensor]) -> list[Layer]:
    """Each tensor as a layer of its own."""
    return [
        layer_of(tensor.key, [LayerTensor((tensor.place or _split(tensor.key))[1], (tensor,))])
        for tensor in tensors
    ]


def _norms(keys: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The keys of norms that are named as NORM_LEAVES has it, each with its path and leaf word."""
    modules: dict[str, dict[str, str]] = defaultdict(dict)
    for key in keys:
        module, _, last = key.rpartition(".")
        modules[module][last] = NORM_LEAVES.get(last, leaf(key))
    return {
        f"{module}.{last}": (module, word)
        for module, names in modules.items()
        if module
        and {"mean", "scale"} & names.keys()
        and {*names.values()} - {BATCH_COUNTER} in WHOLE_NORMS
        for last, word in names.items()
    }


def _split(key: str) -> tuple[str, str]:
    """The layer's path and the tensor's leaf word, `weight` where the name says nothing."""
    known = leaf(key)
    if not known:
        return key, "weight"
    module, dot, last = key.rpartition(".")
    if last.lower().endswith(f"_{known}"):  # MultiheadAttention's `in_proj_weight`
        return f"{module}{dot}{last[: -len(known) - 1]}", known
    return module, known


def layer_of(path: str, members: Sequence[LayerTensor]) -> Layer:
    """A layer of these tensors, with its kind."""
    ordered = sorted(members, key=lambda member: (member.leaf not in LEAVES, member.leaf))
    shapes = {member.leaf: _fused_shape(member) for member in ordered}
    weight, bias = shapes.get("weight", ()), shapes.get("bias", ())
    # Old files lack batch counters, so these do not make a kind.
    seen = [member for member in ordered if member.leaf != BATCH_COUNTER or len(ordered) == 1]
    inputs_first = len(weight) == 2 and len(bias) == 1 and weight[0] != bias[0] == weight[1]
    if inputs_first:
        shapes["weight"] = weight[::-1]
    kind = tuple(
        (member.leaf, squeezed(shapes[member.leaf]), member.tensors[0].floating) for member in seen
    )
    return Layer(path, tuple(ordered), kind, inputs_first)


def _fused_shape(member: LayerTensor) -> Shape:
    """The shape of the member's parts joined along the first dimension."""
    shape = member.tensors[0].shape
    return shape if len(member.tensors) == 1 else (shape[0] * len(member.tensors), *shape[1:])


def joined(own: Sequence[Layer], others: Sequence[Layer]) -> list[Layer]:
    """The layers, with q, k and v (or gate and up) as one where the other side has them fused."""
    wanted = {layer.kind for layer in others if FUSED_WORD.search(layer.path.lower())}
    here, there = (Counter(layer.kind for layer in side) for side in (own, others))
    families: dict[tuple[tuple[str, ...], str], dict[str, Layer]] = {}
    for layer in own:
        parent, _, step = layer.path.rpartition(".")
        for names in FUSED_AS:
            word = _part(step, names)
            if word and all(member.tensors[0].shape for member in layer.members):
                families.setdefault((names, parent), {})[word] = layer
    at = {layer.path: index for index, layer in enumerate(own)}
    places: dict[str, Layer | None] = {}
    for (names, parent), siblings in families.items():
        parts = [siblings[name] for name in names if name in siblings]
        if len(parts) < len(names) or len({(part.kind, part.exact) for part in parts}) > 1:
            continue
        if parts[0].inputs_first or here[parts[0].kind] <= there[parts[0].kind]:
            continue
        members = [
            LayerTensor(alike[0].leaf, tuple(member.tensors[0] for member in alike))
            for alike in zip(*(part.members for part in parts), strict=True)
        ]
        whole = layer_of(f"{parent}.{FUSED_AS[names]}".removeprefix("."), members)
        if whole.kind in wanted:
            places.update({part.path: None for part in parts})
            places[min((part.path for part in parts), key=at.__getitem__)] = whole
    exchanged = [places.get(layer.path, layer) for layer in own]
    return [layer for layer in exchanged if layer is not None]


def _part(step: str, names: tuple[str, ...]) -> str:
    """Which of the names a part of a path means; empty if none, or more than one."""
    named = SYNONYMS.get(step.lower(), step.lower())
    if named in names:
        return named
    common = words(step) & set(names)
    return next(iter(common)) if len(common) == 1 else ""
