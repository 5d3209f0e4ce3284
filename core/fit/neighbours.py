"""Layers that a file has next to a network or its head, and that the model does not get."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from core.architectures import Shape, Signature
from core.checkpoint import StateDict, is_float_dtype
from core.fit.proposals.removals import modules_of
from core.keys import (
    OUTPUT_MODULES,
    leaf,
    names_beside_head,
    names_projection,
    network_prefix,
)

MAX_LAYERS = 4
"""The most matrices of a module that is looked at: one of more is another network."""

MAX_PLANES = 16
"""The most input channels of a convolution that makes an image for the network; one that draws an
image from features has more."""

OF_CLASSES = re.compile(
    r"(?:class|cls|pos|label|loss)_?(?:weight|count|freq|prior|balance)\w*|prior\w*", re.IGNORECASE
)
"""Names of numbers about the classes, which a loss takes and no layer."""

TAKES_EMBEDDINGS = re.compile(
    r"(?:^|[._])(?:cent(?:er|re)s?|\w*face|\w*margin\w*|metric\w*|prototypes?|kernel)(?=[._]|$)",
    re.IGNORECASE,
)
"""Names of the classifier of a loss that takes an embedding, and not the outputs of a head."""

CHANGES_FEATURES = re.compile(
    r"(?:^|[._])(?:att(?:n|ention)?|gates?|gating|pool(?:ing)?|emb(?:ed)?(?:ding)?s?|film|scale"
    r"|shift|alpha|beta|gamma|modulat\w*|adapt\w*|fusion|fuse|mix\w*|quer(?:y|ies)|keys?|values?)"
    r"(?=[._\d]|$)",
    re.IGNORECASE,
)
"""Words for what weighs, shifts or joins features before a head."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A module or tensor that is left out, such as `bottleneck.*`, and what it may do."""

    module: str
    may: str

    @property
    def sentence(self) -> str:
        """What it may do in the network."""
        name = f"{self.module}*" if self.module.endswith(".") else self.module
        return f"`{name}` may {self.may}."


def neighbours(
    state_dict: StateDict, taken: Mapping[str, str], signature: Signature, left: Collection[str]
) -> Iterator[Neighbour]:
    """The modules among the `left` keys that may be computed before the network, between it and its
    head, or after the head. `taken` maps keys of the file to the model's.

    The shapes say that much: a norm or a small convolution that gives the image's channels; a norm
    or a layer as wide as the features; what takes as many inputs as the head has outputs. So does a
    place next to the network in a Sequential. If the head is beside the network, it is also what
    gives as many outputs as the head has inputs, such as an LSTM. A head without such a module
    would get inputs that it was not trained for. Projections, decoders and the like are no such
    modules, by their names.
    """
    if not left:
        return
    own = output_weight(taken, signature)
    head = "" if own is None else f"{own.removesuffix('.weight')}."
    root = network_prefix([key for key in taken if not (head and key.startswith(head))])
    beside = own is not None and not own.startswith(root)
    if own is not None and beside and CHANGES_FEATURES.search(own):
        yield Neighbour(head, "weigh features, and give no classes")
    channels = next((spec.shape[1] for spec in signature.values() if len(spec.shape) > 3), None)
    for module, keys in modules_of(left, taken).items():
        shapes = _shapes(module, keys, state_dict)
        matrices = {key: shape for key, shape in shapes.items() if len(shape) != 1}
        if not shapes or len(matrices) > MAX_LAYERS or OF_CLASSES.search(module):
            continue
        named = names_beside_head(module) or names_projection(module)
        if own is not None:
            outputs, features = signature[taken[own]].shape
            layer = _Head(head[:-1], outputs, features, beside)
            yield from _around_head(module, shapes, layer, named=named)
        if not named:
            place = _Place(root, channels, ends=own is not None and not beside)
            yield from _around_network(module, matrices or shapes, place)


@dataclass(frozen=True, slots=True)
class _Head:
    """The layer of the file that a model's head is from; `beside`: it is outside the network."""

    name: str
    outputs: int
    features: int
    beside: bool


def _around_head(
    module: str, shapes: Mapping[str, Shape], head: _Head, *, named: bool
) -> Iterator[Neighbour]:
    """A module between the network and its head, or after the head. `named`: its name is that of
    another part."""
    outputs, features, beside = head.outputs, head.features, head.beside
    matrices = {key: shape for key, shape in shapes.items() if len(shape) != 1}
    given = {_outputs(key, shape) for key, shape in matrices.items()}
    wanted = {shape[1] for shape in matrices.values()}
    embedded = any(map(TAKES_EMBEDDINGS.search, shapes))
    if embedded and any(outputs in shape and features not in shape for shape in matrices.values()):
        yield Neighbour(module, f"take the outputs of `{head.name}`")
    kernels = any(len(shape) != 2 for shape in matrices.values())
    if named or (kernels and not beside):
        return
    vector = not matrices and (features,) in shapes.values()
    changes = CHANGES_FEATURES.search(module) and features in given | wanted
    if vector or (features in given and (beside or features in wanted)) or (beside and changes):
        yield Neighbour(module, f"stand between the network and its head `{head.name}`")
    elif not embedded and (
        (outputs in wanted and features not in wanted)
        or (not matrices and (outputs,) in shapes.values())
    ):
        yield Neighbour(module, f"take the outputs of `{head.name}`")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the file has the network: below `prefix`, and with an image of so many `channels`.

    `ends`: its head is in it. Else what follows the network may be its head, or before that.
    """

    prefix: str
    channels: int | None
    ends: bool


def _around_network(
    module: str, shapes: Mapping[str, Shape], network: _Place
) -> Iterator[Neighbour]:
    """A module that may be before the whole network, or beside it in a Sequential."""
    prefix = network.prefix
    own, other = (re.fullmatch(r"(|.*[^s.]\.)(\d+)\.", path) for path in (prefix, module))
    if own and other and own[1] == other[1]:
        side = "before" if int(other[2]) < int(own[2]) else "after"
        if side == "before" or network.ends:
            yield Neighbour(module, f"be computed {side} `{prefix}*`, since it stands {side} it")
    elif module.startswith(prefix[:-1].rpartition(".")[0]):
        forms = {len(shape) for shape in shapes.values()}
        small = all(shape[1:2] <= (MAX_PLANES,) for shape in shapes.values())
        if (
            forms <= {1, 4}
            and {shape[0] for shape in shapes.values()} == {network.channels}
            and small
        ):
            yield Neighbour(module, "change the image before the network gets it")


def _shapes(module: str, keys: Iterable[str], state_dict: StateDict) -> dict[str, Shape]:
    """The shapes of the weights among a module's keys, or of the tensor that `module` names."""
    return {
        key: state_dict[key].shape
        for key in keys
        if (key == module or _is_weight(key))
        and state_dict[key].shape
        and is_float_dtype(state_dict[key].dtype)
    }


def _is_weight(key: str) -> bool:
    last = key.rpartition(".")[2]
    return last.startswith("weight") or leaf(key) == "weight"


def _outputs(key: str, shape: Shape) -> int:
    """How many outputs the layer of a weight has: of LSTM and GRU as many as it feeds back."""
    return shape[1] if key.rpartition(".")[2].startswith("weight_hh") else shape[0]


def output_weight(taken: Mapping[str, str], signature: Signature) -> str | None:
    """The key in the file of the matrix that gives the model's outputs; None without a head."""
    origins = {new: own for own, new in taken.items()}
    weights = [
        key
        for key, spec in signature.items()
        if len(spec.shape) == 2 and not OUTPUT_MODULES.isdisjoint(key.split("."))
    ]
    return origins.get(weights[-1]) if weights else None
