"""The architectures that take the same tensors as another one, and what each computes, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from core.architectures import Architecture
from core.fit.index import Index, same_tensors
from core.fit.lookalikes import Arithmetic, Relation, relation
from core.wording import count, listed

Related = tuple[Architecture, Relation]

NAMED = 3
"""The most architectures of a kind that a sentence names."""

NAMED_DIFFERENCES = 4
"""The most differences of an architecture that a sentence names."""

ENDS = {
    Arithmetic.SAME: ("and computes the same", "and compute the same"),
    Arithmetic.OTHER: ("and computes something else", "and compute something else"),
    Arithmetic.UNKNOWN: (
        "; whether it computes the same is not known",
        "; whether they compute the same is not known",
    ),
}


UNEXPLAINED = "its outputs differ, and which setting makes them differ is not known"
"""Of an architecture whose outputs were measured to differ, for a reason without a name."""


def related_to(architecture: Architecture, others: Iterable[Architecture]) -> list[Related]:
    """Each of the others with what it computes, compared with the architecture."""
    return [(other, relation(architecture, other)) for other in others]


def other_arithmetic(architecture: Architecture, index: Index) -> tuple[Related, ...]:
    """The architectures that take the tensors of this one and compute something else.

    They have its options. Empty if the index does not know the signature with these options.
    """
    related = related_to(architecture, same_tensors(index, architecture))
    return tuple(pair for pair in related if pair[1].arithmetic is Arithmetic.OTHER)


def equivalents_words(related: Sequence[Related], has: tuple[str, str]) -> Iterator[str]:
    """A sentence for those that compute the same, for those that do not, and for the unknown.

    `has` says what they have in common with the best candidate, of one and of several:
    `has the same keys and shapes`.
    """
    for arithmetic, ends in ENDS.items():
        chosen = [pair for pair in related if pair[1].arithmetic is arithmetic]
        if chosen:
            several = len(chosen) > 1
            yield f"{_names(chosen)} {has[several]} {ends[several]}.".replace(" ;", ";")


def other_arithmetic_words(related: Sequence[Related], stated: bool) -> str:
    """A sentence on the likeliest architecture that computes something else; empty if none does.

    `stated`: the file says that it is not for one of these, which needs no sentence.
    """
    others = [pair for pair in related if pair[1].arithmetic is Arithmetic.OTHER]
    if stated or not others:
        return ""
    (architecture, relation), *more = others
    differences = _differences(relation)
    text = f"{_name(architecture)} takes the same tensors and computes something else"
    text += f": {differences or UNEXPLAINED}"
    if more:
        text += f"; so {'does' if len(more) == 1 else 'do'} {count(len(more))} more"
    return f"{text}. Nothing in the file says which."


def relation_words(relation: Relation) -> str:
    """A relation as a label: `other arithmetic: padding SAME, BatchNorm eps 0.001`."""
    match relation.arithmetic:
        case Arithmetic.SAME:
            images = _images(relation)
            return f"the same arithmetic, {images}" if images else "the same arithmetic"
        case Arithmetic.OTHER:
            names = _differences(relation)
            return f"other arithmetic: {names}" if names else "other arithmetic"
        case Arithmetic.UNKNOWN:
            return "arithmetic not compared"


def _names(related: Sequence[Related]) -> str:
    names = [_with_details(*pair) for pair in related[:NAMED]]
    more = len(related) - NAMED
    return listed([*names, *([f"{count(more)} more"] if more > 0 else [])], NAMED + 1)


def _with_details(architecture: Architecture, relation: Relation) -> str:
    same = relation.arithmetic is Arithmetic.SAME
    details = _images(relation) if same else _differences(relation)
    if relation.arithmetic is Arithmetic.OTHER:
        details = details or UNEXPLAINED
    return f"{_name(architecture)} ({details})" if details else _name(architecture)


def _images(relation: Relation) -> str:
    """What the default weights of the other one expect of an image, where that differs."""
    images = ", ".join(relation.preprocessing)
    return f"its weights take images of {images}" if images else ""


def _differences(relation: Relation) -> str:
    return ", ".join(relation.differences[:NAMED_DIFFERENCES])


def _name(architecture: Architecture) -> str:
    return f"{architecture.library} {architecture.tagged_name}"
