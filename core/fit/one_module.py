"""Whether each layer of a model gets its tensors from one module of the file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from core.architectures import Signature
from core.checkpoint import Derived, Joined, StateDict, TensorEntry
from core.keys import (
    BATCH_COUNTER,
    BIASES_APART,
    FUSED_BESIDE_Q,
    FUSED_LAYERS,
    OUTPUT_MODULES,
    STATISTICS,
    leaf,
    names_projected_outputs,
    names_slow_copy,
    without_wrappers,
)

_FUSED_NAMES = frozenset(BIASES_APART).union(
    *FUSED_BESIDE_Q, *(names for wholes, parts in FUSED_LAYERS for names in (wholes, *parts))
)
"""What fused layers and their parts are called: of these, a layer may have tensors of several."""

_INSIDE = (".parametrizations.", ".base_layer.")
"""Modules inside a layer that have its weight, as torch's parametrizations and PEFT insert them."""


@dataclass(frozen=True, slots=True)
class TornLayer:
    """A layer of a model, such as `fc`, and the modules of the file that its tensors are from."""

    layer: str
    modules: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The layer and the modules in words."""
        modules = " and ".join(f"`{module}`" for module in self.modules)
        return f"`{self.layer}` would get its tensors from {modules}, which are different layers."


def torn_layers(state_dict: StateDict, signature: Signature) -> tuple[TornLayer, ...]:
    """The layers of a model that a repaired state_dict fills from several modules of its file.

    The `origin` of each entry says where in the file it is from. A weight of one layer and the bias
    of another compute nothing that was trained. Not torn are layers that a fix fused or split, the
    parts of a weight norm or a LoRA, and a tensor that is filled with a number.
    """
    sources = {key: tuple(origins_of(state_dict[key])) for key in signature if key in state_dict}
    return _torn(sources)


def torn_by_names(sources: Mapping[str, str]) -> frozenset[str]:
    """The torn layers of a renaming, which maps keys of the model to keys of the file."""
    return frozenset(torn.layer for torn in _torn({key: (own,) for key, own in sources.items()}))


def filled_by_projection(sources: Mapping[str, str]) -> bool:
    """Whether a renaming gives a projection of the file to a model's head.

    A projection can have the shape of a head, but its outputs are no classes. `sources` maps keys
    of the model to keys of the file.
    """
    return any(
        names_projected_outputs(own) and not names_projected_outputs(key)
        for key, own in sources.items()
        if not OUTPUT_MODULES.isdisjoint(key.split("."))
    )


def origins_of(entry: TensorEntry) -> Iterator[str]:
    """The keys in the file that an entry is made of; none for one that is filled with a number."""
    form = entry.form
    if not isinstance(form, Derived):
        yield entry.origin or entry.key
        return
    # Of several parts, only those that are joined are layers: else the first is the weight, and
    # the others its norm, scales or adapters.
    for part in form.parts if isinstance(form.operation, Joined) else form.parts[:1]:
        yield from origins_of(part)


def origins(state_dict: StateDict, signature: Signature) -> dict[str, str]:
    """The model's keys that a repaired state_dict has, each with its first key in the file."""
    return {key: next(origins_of(state_dict[key]), "") for key in signature if key in state_dict}


def _torn(sources: Mapping[str, tuple[str, ...]]) -> tuple[TornLayer, ...]:
    layers: dict[str, dict[frozenset[str], None]] = {}
    statistics: list[tuple[str, frozenset[str]]] = []
    for key, own in sources.items():
        if own and leaf(key) and not key.endswith(BATCH_COUNTER):
            modules = frozenset(map(layer_path, own))
            if key.rpartition(".")[2] in STATISTICS:
                statistics.append((layer_path(key), modules))
            else:
                layers.setdefault(layer_path(key), {})[modules] = None
    # An average over training may have no buffers: then the statistics are those of the weights.
    for layer, modules in statistics:
        of = layers.setdefault(layer, {})
        others = [path for known in of for path in known]
        if not all(_is_of_another_copy(path, others) for path in modules):
            of[modules] = None
    return tuple(
        TornLayer(layer, tuple(dict.fromkeys(path for modules in of for path in sorted(modules))))
        for layer, of in layers.items()
        if len(of) > 1 and not _is_fused(frozenset[str]().union(*of), of)
    )


def _is_of_another_copy(path: str, others: Collection[str]) -> bool:
    """Whether a module is a layer of the weights of which the others are an average."""
    ends = {other.partition(".")[2] for other in others} - {""}
    averages = all(map(names_slow_copy, others))
    return path.partition(".")[2] in ends or (bool(others) and averages)


def _is_fused(paths: frozenset[str], of: Mapping[frozenset[str], None]) -> bool:
    """Whether the modules are a fused layer and its parts, side by side in one module."""
    parts = {path.rpartition(".")[2] for path in paths}
    beside = len({path.rpartition(".")[0] for path in paths}) == 1
    return beside and (parts <= _FUSED_NAMES or any(len(modules) > 1 for modules in of))


@lru_cache(maxsize=1 << 14)
def layer_path(key: str) -> str:
    """The layer that a key's tensor belongs to: `attn.in_proj` for `module.attn.in_proj_weight`.

    The parts that wrappers add are left out.
    """
    key = without_wrappers(key)
    for inside in _INSIDE:
        if inside in key:
            return key.partition(inside)[0]
    module, dot, last = key.rpartition(".")
    known = leaf(key)
    if known and last.lower().endswith(f"_{known}"):
        return f"{module}{dot}{last[: -len(known) - 1]}"
    return module
