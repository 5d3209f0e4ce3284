"""How far two tensors are from each other, as numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Two elements are close where |a - b| ≤ atol + rtol · |b|, as torch.allclose has it."""

    rtol: float = 1e-5
    atol: float = 1e-8


ALLCLOSE = Tolerance()
"""torch.allclose's own"""


@dataclass(frozen=True, slots=True)
class Numbers:
    """B minus A, over the elements that are finite in both.

    `max_abs` and `mean_abs` are of the difference, `relative_l2` is its norm over A's norm (inf
    where A is all zeros and B is not), `cosine` the cosine of the angle between the two (None where
    one of them is all zeros); the norms themselves are `norm_a`, `norm_b` and `norm_difference`.

    Of all `count` elements, `changed` counts those whose values differ, `outside` those that are
    not close (see Tolerance), a NaN being equal to a NaN and an infinity to itself in both;
    `sign_flips` those above zero on one side and below it on the other, `zeros_a` and `zeros_b` the
    zeros; `nan_a` … `inf_b` what is left out of the norms, and `nan_both` the NaNs that stand at
    the same place. Complex numbers have no sign flips.
    """

    count: int
    max_abs: float
    mean_abs: float
    relative_l2: float
    cosine: float | None
    norm_a: float
    norm_b: float
    norm_difference: float
    changed: int
    outside: int
    sign_flips: int
    zeros_a: int
    zeros_b: int
    nan_a: int
    nan_b: int
    nan_both: int
    inf_a: int
    inf_b: int

    @property
    def changed_share(self) -> float:
        """Changed elements over all, from 0 to 1."""
        return self.changed / self.count if self.count else 0.0

    @property
    def close(self) -> bool:
        """Whether the two are numerically the same, within the tolerance they were measured by."""
        return self.outside == 0
