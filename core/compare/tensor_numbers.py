"""How far two tensors are from each other, as numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Two elements are close where |a - b| ≤ atol + rtol · |b|, as in torch.allclose."""

    rtol: float = 1e-5
    atol: float = 1e-8


ALLCLOSE = Tolerance()
"""The defaults of torch.allclose."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """B minus A, over the elements that are finite in both.

    `max_abs` and `mean_abs` are the largest and the mean magnitude of the difference. `relative_l2`
    is its norm over A's norm (inf where A is all zeros and B is not). `cosine` is that of the angle
    between A and B (None where one of them is all zeros). The norms are `norm_a`, `norm_b` and
    `norm_difference`.

    The other fields count elements, of `count` in all: `changed` those whose values differ;
    `outside` those that are not close (see Tolerance); `sign_flips` those that are positive on one
    side and negative on the other; `zeros_a` and `zeros_b` the zeros; `nan_a` to `inf_b` those that
    are not finite; `nan_both` those that are NaN in both. For `changed` and `outside`, a NaN equals
    a NaN and an infinity equals itself. Complex numbers have no sign flips.

    `damaged` are the sides, "A" or "B", whose checksum was found not to hold when they were read.
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
    damaged: tuple[str, ...] = ()

    @property
    def changed_share(self) -> float:
        """Changed elements over all elements, from 0 to 1."""
        return self.changed / self.count if self.count else 0.0

    @property
    def close(self) -> bool:
        """Whether every element is within the tolerance that the pair was measured with."""
        return self.outside == 0
