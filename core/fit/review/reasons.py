"""What speaks for and against an architecture, in a few sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.architectures import Architecture, Stated
from core.fit.identify import Candidate, Hints, hinted_at
from core.fit.key_match import Match
from core.fit.lookalikes import Arithmetic
from core.wording import count, counted


@dataclass(frozen=True, slots=True)
class Reason:
    """A sentence that speaks for an architecture, or is to be looked at before it is taken."""

    sentence: str
    speaks_for: bool = True


def reasons_for(
    architecture: Architecture,
    match: Match,
    hints: Hints,
    *,
    stated: Stated | None = None,
    classes: int | None = None,
    other_classes: int | None = None,
    candidate: Candidate | None = None,
    remarks: Sequence[str] = (),
) -> tuple[Reason, ...]:
    """The keys, what the file says, the classes, and what else takes the same tensors.

    `stated` is the architecture that the file's metadata names, `classes` the number in the file's
    last layer, `other_classes` the same where the architecture has another one, `candidate` the
    identification's for this architecture, and `remarks` are sentences that no match of keys shows.
    """
    return (
        _keys(match),
        *_names(architecture, hints, stated),
        *_classes(classes, other_classes),
        *_others(candidate),
        *(Reason(remark, False) for remark in remarks),
    )


def _keys(match: Match) -> Reason:
    of = f"{count(len(match.matched))} of {count(match.total)} keys"
    return Reason(f"{of} match in name and shape", match.fits)


def _names(architecture: Architecture, hints: Hints, stated: Stated | None) -> Iterator[Reason]:
    facts = hinted_at(hints, architecture).facts
    if facts:
        yield Reason(facts[0].removesuffix("."))
    elif stated is not None and stated.architecture.name != architecture.name:
        yield Reason(f"The file says `{stated.where}` is `{stated.architecture.name}`", False)


def _classes(classes: int | None, other: int | None) -> Iterator[Reason]:
    if other is not None:
        in_file = f"The file’s last layer has {counted(other, 'class')}"
        yield Reason(f"{in_file}, the model’s another number", False)
    elif classes is not None:
        yield Reason(f"The file’s last layer has {counted(classes, 'class')}")


def _others(candidate: Candidate | None) -> Iterator[Reason]:
    """The first of those that take the same tensors and may compute something else."""
    if candidate is None or candidate.stated:
        return
    for other, relation in zip(candidate.also, candidate.relations, strict=True):
        if relation.arithmetic is not Arithmetic.SAME:
            name = f"{other.library} {other.tagged_name}"
            known = relation.arithmetic is Arithmetic.OTHER
            end = "computes something else" if known else "may compute something else"
            yield Reason(f"{name} takes the same tensors and {end}", False)
            return
