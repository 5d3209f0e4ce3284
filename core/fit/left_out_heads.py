"""Heads of a file that a repaired model does not get: what they take, and how many outputs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from core.architectures import Shape
from core.checkpoint import StateDict
from core.fit.proposals.removals import modules_of
from core.keys import names_follower, names_projected_outputs
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
    outputs, and the last one has `outputs` rows. `projection`: its outputs are no classes.
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
            return f"{left_out}: it reads like a projection, whose {outputs} are no classes."
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
    gone = frozenset(left_out)
    left = [key for key in state_dict if key in gone]
    heads = []
    for module, keys in modules_of(left, (key for key in state_dict if key not in gone)).items():
        path = module.removesuffix(".")
        named = HEADLIKE.search(_last(path)) or names_projected_outputs(path)
        if module != path and named and not names_follower(path):
            heads.append(_head(path, [state_dict[key].shape for key in keys], features, state_dict))
    return tuple(head for head in heads if head is not None)


def _head(
    module: str, shapes: Sequence[Shape], features: int, state_dict: StateDict
) -> LeftOutHead | None:
    """The module as a head; None if its matrices are no chain from the features."""
    matrices = [*_matrices(shapes)]
    width = features
    for inputs, outputs in matrices:
        if inputs != width:
            return None
        width = outputs
    if not matrices:
        return None
    # Beside a copy that follows it, as in MoCo and DINO, a head of several layers is a projection
    # whatever its name.
    projection = names_projected_outputs(module) or (
        len(matrices) > 1 and any(map(names_follower, state_dict))
    )
    return LeftOutHead(module, features, width, projection)


def _matrices(shapes: Iterable[Shape]) -> Iterator[tuple[int, int]]:
    """The (inputs, outputs) of each matrix; a larger kernel has no inputs, so it ends a chain."""
    for shape in shapes:
        if len(shape) > 1:
            yield (shape[1] if set(shape[2:]) <= {1} else 0), shape[0]


def _last(module: str) -> str:
    return module.rpartition(".")[2]
