"""The words of a run: several checkpoints of one training, one after another."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class RunRow:
    """One tensor through a run; each tuple has an item a checkpoint, and `changes` one a step.

    `key` is without the prefixes that only some files have. `shapes` are None where a checkpoint
    lacks the tensor. `norms` are None there, where it has no numbers, as a sparse one, and where it
    holds a NaN or an infinity. `changes` are the relative L2 from a checkpoint to the next: 0 where
    all values are the same, None where the shapes differ or a norm is None, and inf from all zeros
    to something else. `nans` and `infs` count elements, None where that is not known, and
    `first_nan` is the index of the first checkpoint with either. `weight`: see RunStep.
    """

    key: str
    shapes: tuple[tuple[int, ...] | None, ...]
    norms: tuple[float | None, ...]
    changes: tuple[float | None, ...]
    nans: tuple[int | None, ...]
    infs: tuple[int | None, ...]
    first_nan: int | None
    weight: bool

    @property
    def lasting(self) -> bool:
        """Whether it holds infinities that never change, as a mask does, and no NaN; steps that are
        not measured, or that lack the tensor, don't tell otherwise."""
        there = [at for at, shape in enumerate(self.shapes) if shape is not None]
        known = {self.infs[at] for at in there if self.infs[at] is not None}
        if self.first_nan is None or any(self.nans) or len(there) < 2 or len(known) > 1:
            return False
        return all(
            self.changes[a] == 0
            for a, b in pairwise(there)
            if b == a + 1 and self.infs[a] is not None and self.infs[b] is not None
        )


@dataclass(frozen=True, slots=True)
class RunStep:
    """From a checkpoint to the next.

    `relative_l2` is the norm of the change of all weights that both have over the norm that they
    had; None where one of them is not finite, or not measured. Weights are the floating-point and
    the quantized tensors but BatchNorm's statistics. Of the `shared` tensors, `same` have equal
    values and `changed` have not; the others were not compared. `new` and `gone` are in one only.
    """

    relative_l2: float | None
    same: int
    changed: int
    shared: int
    new: int
    gone: int

    @property
    def still(self) -> bool:
        """Whether nothing changed."""
        return self.same == self.shared and not self.new and not self.gone


@dataclass(frozen=True, slots=True)
class Run:
    """Checkpoints in order, by `names`: a row a tensor, and one step fewer than checkpoints.

    `complete` says that all was measured; `sentence` tells the run in plain words.
    """

    names: tuple[str, ...]
    rows: tuple[RunRow, ...]
    steps: tuple[RunStep, ...]
    sentence: str
    complete: bool


MAX_CHECKPOINTS = 8
"""Checkpoints of one run at most."""
