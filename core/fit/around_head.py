"""Layers that a file has next to a model's head, and that the model does not get."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from core.architectures import Shape, Signature
from core.checkpoint import StateDict
from core.fit.proposals.removals import modules_of
from core.keys import OUTPUT_MODULES, names_beside_head, names_projection, network_prefix

MAX_LAYERS = 4
"""The most matrices of a module that is looked at: one of more is another network."""


@dataclass(frozen=True, slots=True)
class HeadNeighbour:
    """A module that is left out, such as `bottleneck.*`, and stands before the head or after it.

    `head` is the layer of the file that the model's head is from.
    """

    module: str
    head: str
    after: bool

    @property
    def sentence(self) -> str:
        """What the module may do in the network."""
        place = (
            f"may take the outputs of `{self.head}`"
            if self.after
            else f"may stand between the network and its head `{self.head}`"
        )
        return f"`{self.module}*` {place}."


def head_neighbours(
    state_dict: StateDict, taken: Mapping[str, str], signature: Signature, left: Collection[str]
) -> Iterator[HeadNeighbour]:
    """The modules among the `left` keys that lead from the head's inputs to themselves, such as a
    norm or a layer as wide as the features, and those that take as many inputs as it has outputs.

    If the head is beside the network, they are also those that give as many outputs as the head has
    inputs, such as an LSTM. The shapes say that much. So a head without them would get inputs that
    it was not trained for. `taken` maps keys of the file to the model's. Projections, decoders and
    the like are no such modules, by their names.
    """
    own = output_weight(taken, signature)
    if own is None:
        return
    outputs, features = signature[taken[own]].shape
    beside = not own.startswith(network_prefix(taken))
    for module in modules_of(left, taken) if left else ():
        if not module.endswith(".") or names_beside_head(module) or names_projection(module):
            continue
        weights = {
            key: state_dict[key].shape
            for key in left
            if key.startswith(module) and key.rpartition(".")[2].startswith("weight")
        }
        matrices = {key: shape for key, shape in weights.items() if len(shape) != 1}
        kernels = any(len(shape) != 2 for shape in matrices.values())
        if len(matrices) > MAX_LAYERS or (kernels and not beside):
            continue
        norm = not matrices and (features,) in weights.values()
        given = {_outputs(key, shape) for key, shape in matrices.items()}
        wanted = {shape[1] for shape in matrices.values()}
        head = own.removesuffix(".weight")
        if norm or (features in given and (beside or features in wanted)):
            yield HeadNeighbour(module, head, after=False)
        elif outputs in wanted - given:
            yield HeadNeighbour(module, head, after=True)


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
