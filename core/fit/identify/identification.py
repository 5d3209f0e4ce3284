"""The words of identifying: what a file says of itself, what it seems to be."""

from __future__ import annotations

from dataclasses import dataclass

from core.architectures import Architecture
from core.fit.key_match import Mismatch
from core.fixes import Recipe


@dataclass(frozen=True, slots=True)
class Hints:
    """What a file says beside its tensors.

    `names` are pairs of where a name stands and the name: (`arch`, `resnet50d`); `classes` the
    qualified names of a whole model's classes; `file_name` what the file is called; `twins` the
    paths of the file's other state_dicts that hold tensors of the same shapes, such as an average.
    """

    names: tuple[tuple[str, str], ...] = ()
    classes: tuple[str, ...] = ()
    file_name: str = ""
    twins: tuple[str, ...] = ()


NO_HINTS = Hints()


@dataclass(frozen=True, slots=True)
class Candidate:
    """An architecture that a state_dict may be for, and what makes it fit.

    `also` are the others that the file is for as well, after the same recipe, `adapted` those
    whose input convolution must take other channels for that. `recipe` is what brings its keys to
    the architecture's; the coverages are the shares, 0 to 1, of the architecture's keys and
    parameters that the file then fills. `missing_keys`, `unexpected_keys` and `mismatched` are what
    remains after the recipe, `left_out` the file's keys that it leaves out, `evidence` sentences on
    why this one. `renamed` says that the file has its tensors under names of its own, so that they
    were told by shapes.
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

    @property
    def fits(self) -> bool:
        """Whether nothing remains: no key missing, unexpected or of another shape."""
        return not (self.missing_keys or self.unexpected_keys or self.mismatched)


@dataclass(frozen=True, slots=True)
class Identification:
    """The candidates, the best one first; a sentence that says it all; a guess of the family.

    `known` says that the best candidate explains the file: without it the candidates are only the
    nearest.
    """

    candidates: tuple[Candidate, ...]
    sentence: str
    family: str
    known: bool
