"""The facts on a tensor's elements that the checks need, collected block by block in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.health.float_bits import EXTREME, Bits, FloatBits, float_bits, number_at

NEAR_ZERO = 1e-8
"""The variance below which BatchNorm divides by its eps alone: a thousandth of its 1e-5 changes
sqrt(variance + eps) by less than a thousandth (torch/nn/modules/batchnorm.py)."""


@dataclass(frozen=True, slots=True)
class Channels:
    """Where a weight's output channels are: along dimension `axis`, 0 or 1, of its `shape`."""

    axis: int
    shape: tuple[int, ...]

    @property
    def number(self) -> int:
        """How many output channels there are."""
        return self.shape[self.axis]

    @property
    def run(self) -> int:
        """How many consecutive elements are of one channel."""
        return prod(self.shape[self.axis + 1 :])


@dataclass(frozen=True, slots=True)
class ElementFacts:
    """What the elements of a tensor, or of a part of it, are.

    `nan`, `inf` and `extreme` count elements: of complex ones, those with NaN in either part, the
    other ones with an infinity, and the other ones of a magnitude above EXTREME. `largest` is the
    largest magnitude of a finite number (of a complex one's parts) where some are extreme, and
    `zero` says that all are zero, -0.0 included. `value` is the finite number, or real and
    imaginary part, that all elements are equal to, else None. `dead` counts output channels that
    are zero throughout. Of variances, `negative` are below 0 and `near_zero` from 0 to NEAR_ZERO.
    """

    numel: int
    nan: int = 0
    inf: int = 0
    extreme: int = 0
    largest: float = 0.0
    zero: bool = True
    value: tuple[float, ...] | None = None
    dead: int = 0
    negative: int = 0
    near_zero: int = 0

    def __add__(self, other: ElementFacts) -> ElementFacts:
        """The facts on two parts of a tensor that divide no output channel."""
        if not (self.numel and other.numel):
            return self if self.numel else other
        return ElementFacts(
            self.numel + other.numel,
            self.nan + other.nan,
            self.inf + other.inf,
            self.extreme + other.extreme,
            max(self.largest, other.largest),
            self.zero and other.zero,
            self.value if self.value == other.value else None,
            self.dead + other.dead,
            self.negative + other.negative,
            self.near_zero + other.near_zero,
        )


class FactsCollector:
    """Collects the facts on elements that come in C order, as the bits of their numbers."""

    def __init__(
        self,
        dtype: str,
        channels: Channels | None = None,
        *,
        parts: int = 1,
        variances: bool = False,
    ) -> None:
        """`dtype` is in BY_BITS. `parts` are the numbers of an element, 2 of a complex one.
        For these and for `variances`, which are looked at one by one, it is float64.

        `channels` are those of the whole tensor, of which the elements may be the last ones, from
        the begin of a channel on; None where dead ones are not looked for.
        """
        self._dtype = dtype
        self._bits = float_bits(dtype)
        self._parts = parts
        self._variances = variances
        self._numbers = self._nan = self._inf = self._extreme = 0
        self._largest = 0
        self._first: Bits | None = None
        self._constant = self._zero = True
        self._negative = self._near_zero = 0
        self._dead: _DeadRows | _DeadColumns | None = None
        if channels is not None:
            self._dead = (_DeadColumns if channels.axis else _DeadRows)(channels, parts)

    def add(self, bits: Bits, effective: Bits | None = None) -> None:
        """Add the next elements; `effective` are those that count for dead channels, if they are
        others."""
        if not bits.size:
            return
        # No magnitude is above the bits of all of them together, which one quick step gives. They
        # are below 2 where all weights are, so that most blocks need no second look.
        together = int(np.bitwise_or.reduce(bits)) & self._bits.magnitude
        self._zero = self._zero and together == 0
        if together > self._bits.extreme or self._parts > 1:
            self._add_large(bits)
        self._add_constant(bits)
        if self._variances:
            self._add_variances(bits)
        if self._dead is not None:
            self._dead.add(bits if effective is None else effective)
        self._numbers += bits.size

    def facts(self) -> ElementFacts:
        """The facts on the elements so far."""
        finite = not (self._nan or self._inf)
        value = None
        if self._first is not None and self._constant and finite:
            value = tuple(number_at(int(bits), self._dtype) for bits in self._first)
        return ElementFacts(
            self._numbers // self._parts,
            self._nan,
            self._inf,
            self._extreme,
            number_at(self._largest, self._dtype) if self._extreme else 0.0,
            self._zero,
            value,
            0 if self._dead is None else self._dead.number(),
            self._negative,
            self._near_zero,
        )

    def _add_large(self, bits: Bits) -> None:
        """Count what is not finite or extreme among elements that may be either."""
        largest = _largest_magnitude(bits, self._bits)
        if largest >= self._bits.not_finite:
            bits = self._add_not_finite(bits)
            largest = _largest_magnitude(bits, self._bits) if bits.size else 0
        if largest > self._bits.extreme or self._parts > 1:
            self._extreme += self._count_extreme(bits)
        self._largest = max(self._largest, largest)

    def _add_not_finite(self, bits: Bits) -> Bits:
        """Count what is not finite; returns the finite elements."""
        magnitudes = bits & bits.dtype.type(self._bits.magnitude)
        finite = magnitudes < self._bits.not_finite
        infinite = np.zeros_like(finite)
        if self._bits.infinity is not None:
            infinite = magnitudes == self._bits.infinity
        nan = ~finite & ~infinite
        if self._parts > 1:
            nan, infinite = _of_pairs(nan), _of_pairs(infinite)
            infinite &= ~nan
            finite = ~nan & ~infinite
        self._nan += int(np.count_nonzero(nan)) // self._parts
        self._inf += int(np.count_nonzero(infinite)) // self._parts
        rest: Bits = bits[finite]
        return rest

    def _count_extreme(self, bits: Bits) -> int:
        """How many of some finite elements are above EXTREME."""
        if self._parts > 1:  # complex: their parts are float64
            pairs = bits.view(np.float64).reshape(-1, self._parts)
            return int(np.count_nonzero(np.hypot(pairs[:, 0], pairs[:, 1]) > EXTREME))
        magnitudes = bits & bits.dtype.type(self._bits.magnitude)
        return int(np.count_nonzero(magnitudes > self._bits.extreme))

    def _add_constant(self, bits: Bits) -> None:
        if self._first is None:
            self._first = bits[: self._parts].copy()
        if self._constant and self._parts > 1:  # 1 + 0j equals 1 - 0j, whose bits are others
            pairs = bits.view(np.float64).reshape(-1, self._parts)
            self._constant = bool((pairs == self._first.view(np.float64)).all())
        elif self._constant:
            self._constant = bool((bits == self._first).all())

    def _add_variances(self, bits: Bits) -> None:
        values = bits.view(np.float64)
        self._negative += int(np.count_nonzero(values < 0))
        self._near_zero += int(np.count_nonzero((values >= 0) & (values < NEAR_ZERO)))


def _largest_magnitude(bits: Bits, how: FloatBits) -> int:
    """The largest magnitude, as bits: that of the positive numbers is the largest signed integer,
    and that of the negative ones the largest unsigned one."""
    largest, positive = int(bits.max()), int(bits.view(how.code.replace("u", "i")).max())
    return max(positive, largest & how.magnitude if largest > how.magnitude else 0)


def _of_pairs(parts: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of each real and imaginary part, whether one of the two of its number is true."""
    of_numbers: NDArray[np.bool_] = parts[::2] | parts[1::2]
    return of_numbers.repeat(2)


def _nonzero(bits: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each number is neither 0.0 nor -0.0, whose bits are the sign alone."""
    mostly: NDArray[np.bool_] = (bits << bits.dtype.type(1)) != 0
    return mostly


class _DeadRows:
    """Counts rows of zeros, for output channels along the first dimension.

    A row whose first number is not zero needs no further look, so that most numbers are not read
    again.
    """

    def __init__(self, channels: Channels, parts: int) -> None:
        self._row = channels.run * parts
        self._at = 0
        self._alive = False
        self._dead = 0

    def add(self, bits: Bits) -> None:
        begun = min(-self._at % self._row, bits.size)
        if begun:
            self._alive = self._alive or bool(_nonzero(bits[:begun]).any())
            if (self._at + begun) % self._row == 0:
                self._dead += not self._alive
        whole = (bits.size - begun) // self._row * self._row
        rows = bits[begun : begun + whole].reshape(-1, self._row)
        suspects = np.flatnonzero(~_nonzero(rows[:, 0]))
        if suspects.size:
            self._dead += int(np.count_nonzero(~_nonzero(rows[suspects]).any(1)))
        rest = bits[begun + whole :]
        if rest.size:
            self._alive = bool(_nonzero(rest).any())
        self._at += bits.size

    def number(self) -> int:
        return self._dead


class _DeadColumns:
    """Counts output channels of zeros along the second dimension, which come again in each row."""

    def __init__(self, channels: Channels, parts: int) -> None:
        self._run = channels.run * parts
        self._alive = np.zeros(channels.number, np.bool_)
        self._at = 0

    def add(self, bits: Bits) -> None:
        if not self._alive.all():
            places = self._at + np.flatnonzero(_nonzero(bits))
            self._alive[places // self._run % self._alive.size] = True
        self._at += bits.size

    def number(self) -> int:
        return int(np.count_nonzero(~self._alive))
