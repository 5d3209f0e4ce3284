"""Heads of a file that a repaired model does not get: what they take, and how many outputs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from core.architectures import Shape
from core.checkpoint import StateDict, TensorEntry
from core.keys import MAX_STARTS, names_follower, names_projection, starts
from core.wording import count, counted

HEADLIKE = re.compile(
    r"(?:^|[._])(?:heads?|fc|classif\w*|cls|linear|logits?|output|out|final|\d+)(?=[._\d]|$)"
)
"""Words in the path of a head next to a backbone: `head`, `classifier`, the `1` of a Sequential."""


@dataclass(frozen=True, slots=True)
class LeftOutHead:
    """Layers of a file that can be the head of a network, and that the model does not get.

    `module` is the outermost module that has nothing else, such as `classifier`. Its first matrix
    has as many inputs as the network has `features`, each further one as many as the one before has
    outputs, and the last one has `outputs` rows. `projection`: it is one of a self-supervised
    training, whose outputs are no classes.
    """

    module: str
    features: int
    outputs: int
    projection: bool

    def sentence(self, own: str | None) -> str:
        """What is left out, where `own` is the head that the model gets; None if it has none."""
        outputs = counted(self.outputs, "output")
        left_out = f"`{self.module}.*` is left out"
        if self.projection:
            return (
                f"{left_out}: it reads like a projection of self-supervised training, whose "
                f"{outputs} are no classes."
            )
        predicts = (
            "what is left of the network gives features, but no classes"
            if own is None
            else f"`{own}` predicts other classes"
        )
        return (
            f"{left_out}: it can make {outputs} of the {count(self.features)} features. If it is "
            f"the head that was trained, {predicts}."
        )


def left_out_heads(
    state_dict: StateDict, left_out: Iterable[str], features: int
) -> tuple[LeftOutHead, ...]:
    """The modules among the `left_out` keys that can be a head, in the file's order.

    A module counts if it has a name that heads or projections have, and its matrices lead from the
    `features` to the outputs. A copy that follows another module, such as `momentum_classifier`,
    does not. No tensor is read.
    """
    gone = set(left_out)
    followed = any(map(names_follower, state_dict))
    found = (
        _head(module, weights, features, followed=followed)
        for module, weights in _modules(state_dict, gone).items()
        if (HEADLIKE.search(_last(module)) or names_projection(module))
        and not names_follower(module)
    )
    return tuple(head for head in found if head is not None)


def _head(
    module: str, weights: Mapping[str, TensorEntry], features: int, *, followed: bool
) -> LeftOutHead | None:
    """The module as a head; None if its matrices are no chain from the features."""
    matrices = [*_matrices(entry.shape for entry in weights.values())]
    width = features
    for inputs, outputs in matrices:
        if inputs != width:
            return None
        width = outputs
    if not matrices:
        return None
    # Beside a copy that follows it, as in MoCo and DINO, a head of several layers is a projection
    # whatever its name.
    projection = names_projection(module) or (followed and len(matrices) > 1)
    return LeftOutHead(module, features, width, projection)


def _matrices(shapes: Iterable[Shape]) -> Iterator[tuple[int, int]]:
    """The (inputs, outputs) of each matrix; a larger kernel has no inputs, so it ends a chain."""
    for shape in shapes:
        if len(shape) > 1:
            yield (shape[1] if set(shape[2:]) <= {1} else 0), shape[0]


def _modules(state_dict: StateDict, gone: set[str]) -> dict[str, dict[str, TensorEntry]]:
    """The outermost modules whose keys are all among the gone ones, each with its tensors."""
    staying = {front for key in state_dict if key not in gone for front in _fronts(key)}
    modules: dict[str, dict[str, TensorEntry]] = {}
    for key in state_dict:
        module = next((front for front in _fronts(key) if front not in staying), None)
        if key in gone and module is not None:
            modules.setdefault(module, {})[key] = state_dict[key]
    return modules


def _last(module: str) -> str:
    return module.rpartition(".")[2]


def _fronts(key: str) -> Sequence[str]:
    """The modules around a tensor, the outermost first: `a`, `a.b` of `a.b.weight`.

    Of a path of very many parts, only the first.
    """
    return [key[: start - 1] for start in starts(key, MAX_STARTS)[1:]]
