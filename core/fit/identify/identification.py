"""What an identification takes and returns: Hints, Candidates and the Identification."""

from __future__ import annotations

from dataclasses import dataclass

from core.architectures import Architecture
from core.fit.fitness import Doubt
from core.fit.key_match import Mismatch
from core.fit.lookalikes import Arithmetic, Relation
from core.fixes import Recipe, ResamplePositions


@dataclass(frozen=True, slots=True)
class Hints:
    """What a file says of its model besides the tensors.

    `names` are pairs of a place in the metadata and the name there: (`arch`, `resnet50d`).
    `classes` are the qualified names of a pickled model's classes. `twins` are the paths of the
    file's other state_dicts with tensors of the same shapes, such as an average, `near_twins` those
    of nearly the same, such as a copy without the head, and `path` is that of its own.
    """

    names: tuple[tuple[str, str], ...] = ()
    classes: tuple[str, ...] = ()
    file_name: str = ""
    twins: tuple[str, ...] = ()
    near_twins: tuple[str, ...] = ()
    path: str = ""


NO_HINTS = Hints()


@dataclass(frozen=True, slots=True)
class Candidate:
    """An architecture that a state_dict may be for, and the recipe that makes it fit.

    `also` are other architectures that the file fits equally well after the same recipe; `adapted`
    are those that need other channels in the input convolution for that. The coverages are the
    shares, 0 to 1, of the architecture's keys and parameters that match after the recipe.
    `missing_keys`, `unexpected_keys` and `mismatched` remain after the recipe, and `left_out` are
    the file's keys that the recipe drops. `evidence` are sentences that say why it is a candidate.
    `saved` says what saved the model or where it is, such as `from DataParallel`; empty if unknown.
    `renamed`: the file has other key names, so the tensors were matched by their shapes. `doubts`
    say why it is no fit although all keys match; `unsure` are the file's keys for which another
    pair would be as likely. `relative` says of the first candidate that the file is a deeper or
    wider network, if it is. `relations` say of each of `also` whether it computes the same, and
    `stated` whether the file says that it is for none of those that do not. `unlike` is a sentence
    if the code that saved the file computes something else than the architecture; else empty.
    `input_channels` are those of the file's input convolutions and of the model's, where the recipe
    adapts them.
    """

    architecture: Architecture
    also: tuple[Architecture, ...]
    recipe: Recipe
    coverage_keys: float
    coverage_parameters: float
    missing_keys: tuple[str, ...]
    unexpected_keys: tuple[str, ...]
    mismatched: tuple[Mismatch, ...]
    evidence: tuple[str, ...] = ()
    adapted: tuple[Architecture, ...] = ()
    left_out: tuple[str, ...] = ()
    renamed: bool = False
    saved: str = ""
    doubts: tuple[Doubt, ...] = ()
    unsure: tuple[str, ...] = ()
    relative: str = ""
    relations: tuple[Relation, ...] = ()
    stated: bool = False
    unlike: str = ""
    input_channels: tuple[tuple[int, int], ...] = ()

    @property
    def fits(self) -> bool:
        """Whether all keys match after the recipe, and nothing is in doubt."""
        differ = self.missing_keys or self.unexpected_keys or self.mismatched
        return not (differ or self.doubts or self.unsure)

    @property
    def is_proved(self) -> bool:
        """Whether the file proves that it is this architecture, and that it computes the same.

        Shapes alone do not show a stride or a kind of pooling, so the names must be the model's
        own. No other architecture of the same tensors may compute something else, unless the file
        says that it is not for that one.
        """
        other_code = self.renamed or self.unlike
        other_numbers = self.input_channels or any(
            isinstance(step.fix, ResamplePositions) for step in self.recipe.steps
        )
        alike = all(relation.arithmetic is Arithmetic.SAME for relation in self.relations)
        return self.fits and not (other_code or other_numbers) and (self.stated or alike)


@dataclass(frozen=True, slots=True)
class Identification:
    """The candidates, the best first, a summary in one sentence, and the family by the layers.

    `known`: the best candidate explains the file. Otherwise the candidates are only the nearest.
    """

    candidates: tuple[Candidate, ...]
    sentence: str
    family: str
    known: bool

    @property
    def sure(self) -> Candidate | None:
        """The first candidate if the file proves it, and no other one fits with as few repairs."""
        if not self.known or not self.candidates[0].is_proved:
            return None
        best, *others = self.candidates
        steps = len(best.recipe.steps)
        rivals = [other for other in others if other.fits and len(other.recipe.steps) <= steps]
        return None if rivals else best

    def proves(self, architecture: Architecture) -> bool:
        """Whether it is the sure one, or computes the same with the same tensors."""
        best = self.sure
        if best is None:
            return False
        related = zip(best.also, best.relations, strict=True)
        same = [other for other, each in related if each.arithmetic is Arithmetic.SAME]
        return architecture in (best.architecture, *same)
