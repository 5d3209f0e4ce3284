"""Heads of a file that a repaired model does not get: what they take, and how many outputs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from core.architectures import Shape
from core.checkpoint import StateDict
from core.fit.proposals.removals import modules_of
from core.keys import names_follower, names_projected_outputs
from core.wording import are, counted, listed

HEADLIKE = re.compile(
    r"(?:^|[._])(?:heads?|fc|classif\w*|cls|linear|logits?|output|out|final|\d+)(?=[._\d]|$)"
)
"""Words in the path of a head next to a backbone: `head`, `classifier`, the `1` of a Sequential."""


MARGIN = re.compile(
    r"(?:arc|cos|sphere)_?face|(?:arc_?|add_?|large_?)?margin(?:_?product)?|metric(?:_fc)?"
)
"""Words for the classifier of a loss with a margin, such as ArcFace: its rows are classes too."""

MOST_NAMED = 3
"""The most heads that a sentence names."""


@dataclass(frozen=True, slots=True)
class LeftOutHead:
    """Layers of a file that can be the head of a network, and that the model does not get.

    `module` is the outermost module that has nothing else, such as `classifier`. Its first matrix
    has as many inputs as the network has features, each further one as many as the one before has
    outputs, and the last one has `outputs` rows. `projection`: its outputs are no classes.
    """

    module: str
    outputs: int
    projection: bool


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
        last = _last(path)
        named = HEADLIKE.search(last) or MARGIN.fullmatch(last) or names_projected_outputs(path)
        if module != path and named and not names_follower(path):
            heads.append(_head(path, [state_dict[key].shape for key in keys], features, state_dict))
    return tuple(head for head in heads if head is not None)


def left_out_heads_words(heads: Sequence[LeftOutHead], own: str | None) -> Iterator[str]:
    """What heads are left out, and what that means where `own` is the head that the model gets.

    One sentence on those of classes, and one on projections; `own` is None if the model has none.
    """
    classifiers = [head for head in heads if not head.projection]
    if classifiers:
        one = len(classifiers) == 1
        if own is None:
            can = f"can be {'the head' if one else 'heads'}"
            then = "what is left of the network gives features, but no classes"
        else:
            can = f"{'' if one else 'one of them '}can be the head that was trained"
            then = f"then `{own}` predicts other classes"
        yield f"{_left_out(classifiers)} and {can}: {then}."
    projections = [head for head in heads if head.projection]
    if projections:
        one = len(projections) == 1
        reads = "it reads like a projection" if one else "they read like projections"
        yield f"{_left_out(projections)}: {reads}, whose outputs are no classes."


def _left_out(heads: Sequence[LeftOutHead]) -> str:
    names = [f"`{head.module}.*` ({counted(head.outputs, 'output')})" for head in heads]
    return f"{listed(names, MOST_NAMED)} {are(len(names))} left out"


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
    return LeftOutHead(module, width, projection)


def _matrices(shapes: Iterable[Shape]) -> Iterator[tuple[int, int]]:
    """The (inputs, outputs) of each matrix; a larger kernel has no inputs, so it ends a chain."""
    for shape in shapes:
        if len(shape) > 1:
            yield (shape[1] if set(shape[2:]) <= {1} else 0), shape[0]


def _last(module: str) -> str:
    return module.rpartition(".")[2]
