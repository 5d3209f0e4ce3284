"""The sums over a part of a pair of tensors, to be added up to the numbers of the pair."""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.compare.tensor_numbers import Numbers


@dataclass(frozen=True, slots=True)
class PartialSums:
    """B minus A over some of the elements; the other fields are as in Numbers.

    `finite` counts the elements that are finite in both, and `absolute` is the sum of the
    magnitudes of their differences. The norms are kept in place of sums of squares, which would
    overflow beyond 1e154 and vanish below 1e-162. `cosine` is kept in place of a sum of products;
    it is 0 where a norm is 0.
    """

    finite: int = 0
    max_abs: float = 0.0
    absolute: float = 0.0
    norm_a: float = 0.0
    norm_b: float = 0.0
    norm_difference: float = 0.0
    cosine: float = 0.0
    changed: int = 0
    outside: int = 0
    sign_flips: int = 0
    zeros_a: int = 0
    zeros_b: int = 0
    nan_a: int = 0
    nan_b: int = 0
    nan_both: int = 0
    inf_a: int = 0
    inf_b: int = 0

    def __add__(self, other: PartialSums) -> PartialSums:
        norm_a = math.hypot(self.norm_a, other.norm_a)
        norm_b = math.hypot(self.norm_b, other.norm_b)
        return PartialSums(
            self.finite + other.finite,
            max(self.max_abs, other.max_abs),
            self.absolute + other.absolute,
            norm_a,
            norm_b,
            math.hypot(self.norm_difference, other.norm_difference),
            self._share_of(norm_a, norm_b) + other._share_of(norm_a, norm_b),
            self.changed + other.changed,
            self.outside + other.outside,
            self.sign_flips + other.sign_flips,
            self.zeros_a + other.zeros_a,
            self.zeros_b + other.zeros_b,
            self.nan_a + other.nan_a,
            self.nan_b + other.nan_b,
            self.nan_both + other.nan_both,
            self.inf_a + other.inf_a,
            self.inf_b + other.inf_b,
        )

    def _share_of(self, norm_a: float, norm_b: float) -> float:
        if not self.cosine:
            return 0.0
        return self.cosine * (self.norm_a / norm_a) * (self.norm_b / norm_b)

    def numbers(self, count: int) -> Numbers:
        """The numbers of a pair of `count` elements, where this part is all of it."""
        return Numbers(
            count=count,
            max_abs=self.max_abs,
            mean_abs=self.absolute / self.finite if self.finite else 0.0,
            relative_l2=_ratio(self.norm_difference, self.norm_a),
            cosine=self._valid_cosine(),
            norm_a=self.norm_a,
            norm_b=self.norm_b,
            norm_difference=self.norm_difference,
            changed=self.changed,
            outside=self.outside,
            sign_flips=self.sign_flips,
            zeros_a=self.zeros_a,
            zeros_b=self.zeros_b,
            nan_a=self.nan_a,
            nan_b=self.nan_b,
            nan_both=self.nan_both,
            inf_a=self.inf_a,
            inf_b=self.inf_b,
        )

    def _valid_cosine(self) -> float | None:
        if not (self.norm_a and self.norm_b and math.isfinite(self.cosine)):
            return None
        return max(-1.0, min(1.0, self.cosine))


def _ratio(part: float, whole: float) -> float:
    if whole == 0:
        return math.inf if part else 0.0
    return part / whole
