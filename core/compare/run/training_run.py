"""The data of a run: several checkpoints of one training, in order."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class RunRow:
    """One tensor through a run. Each tuple has one item per checkpoint, and `changes` one per step.

    `key` is without the prefixes that only some files have. `shapes` are None where a checkpoint
    lacks the tensor. `norms` are None there too, and where the tensor has no numbers (such as a
    sparse one) or contains NaN or infinities. `changes` are the relative L2 from a checkpoint to
    the next: 0 where all values are equal, None where the shapes differ or a norm is None, and inf
    from all zeros to anything else. `nans` and `infs` count elements, None where unknown, and
    `first_nan` is the index of the first checkpoint with either. `weight` says that the tensor
    counts in RunStep.relative_l2. `damaged` are the indexes of the checkpoints in which its stored
    checksum was found not to hold.
    """

    key: str
    shapes: tuple[tuple[int, ...] | None, ...]
    norms: tuple[float | None, ...]
    changes: tuple[float | None, ...]
    nans: tuple[int | None, ...]
    infs: tuple[int | None, ...]
    first_nan: int | None
    weight: bool
    damaged: tuple[int, ...] = ()

    @property
    def lasting(self) -> bool:
        """Whether it contains infinities that never change, as a mask does, and no NaN.

        Steps that are not measured, or that lack the tensor, do not count against it.
        """
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

    `relative_l2` is the norm of the change over the norm before it, of all weights that both have
    as one vector; None where one of them is not finite or not measured. Weights are the
    floating-point and quantized tensors without BatchNorm's statistics. `shared` tensors are in
    both; `same` of them have equal values, `changed` have not, and the others were not compared. Of
    the `same`, `by_checksum` were not read: their checksums are equal.
    `new` tensors are only in the second checkpoint, `gone` ones only in the first.
    """

    relative_l2: float | None
    same: int
    changed: int
    shared: int
    new: int
    gone: int
    by_checksum: int = 0

    @property
    def still(self) -> bool:
        """Whether nothing changed."""
        return self.same == self.shared and not self.new and not self.gone


@dataclass(frozen=True, slots=True)
class Run:
    """Checkpoints in order, by their `names`; one row per tensor, one step fewer than checkpoints.

    `complete` says that everything was measured; `sentence` describes the run in plain words.
    """

    names: tuple[str, ...]
    rows: tuple[RunRow, ...]
    steps: tuple[RunStep, ...]
    sentence: str
    complete: bool


MAX_CHECKPOINTS = 8
"""The most checkpoints of one run."""
