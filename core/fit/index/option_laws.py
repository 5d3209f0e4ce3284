"""Options solved for from shapes: how a dimension depends on an option, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt

from core.architectures import Shape, Signature
from core.fit.index.index import Variation


@dataclass(frozen=True, slots=True)
class Law:
    """dimension = (slope · option + intercept) ^ power / divisor, in whole numbers.

    Power 1: classes and channels; 2: tokens of a grid, or a table of relative positions. A grid's
    tokens may have some others before them, which is `more`.
    """

    slope: int
    intercept: int
    divisor: int
    power: int = 1
    more: int = 0

    def option(self, dimension: int) -> int | None:
        """The option that gives this dimension; None where no whole number does."""
        root: int = dimension - self.more
        if self.power == 2:
            if root < 0 or isqrt(root) ** 2 != root:
                return None
            root = isqrt(root)
        value, rest = divmod(root * self.divisor - self.intercept, self.slope)
        return value if rest == 0 and value > 0 else None

    def dimension(self, option: int) -> int:
        """The dimension that this option gives."""
        whole: int = ((self.slope * option + self.intercept) // self.divisor) ** self.power
        return whole + self.more


def law(points: Sequence[tuple[int, int]]) -> Law | None:
    """The law through points (option, dimension), two or more of different options.

    Two points always have a line; a square needs a third to be told from one. None where no law
    goes through all of them.
    """
    if len(points) < 2:
        return None
    line = _line(points)
    if line is not None:
        return line
    for more in range(MOST_TOKENS):
        roots = [(x, isqrt(y - more)) for x, y in points if y >= more]
        if len(roots) == len(points) and all(
            root * root == y - more for (_, root), (_, y) in zip(roots, points, strict=True)
        ):
            found = _line(roots) or _patches(roots)
            if found is not None:
                return Law(found.slope, found.intercept, found.divisor, 2, more)
    return None


def _patches(points: Sequence[tuple[int, int]]) -> Law | None:
    """The law of a grid whose patches leave a margin of the image out, as 27 of 14 pixels do of
    384; None where no size of a patch, or more than one, gives all of the grids."""
    if any(edge <= 0 for _, edge in points):
        return None
    smallest = max(pixels // (edge + 1) for pixels, edge in points) + 1
    largest = min(pixels // edge for pixels, edge in points)
    return Law(1, 0, smallest) if smallest == largest else None


MOST_TOKENS = 18
"""Tokens before those of a grid: a class token, a distilled one, up to 16 registers."""


def _line(points: Sequence[tuple[int, int]]) -> Law | None:
    (x0, y0), (x1, y1) = points[0], points[1]
    slope, divisor = y1 - y0, x1 - x0
    if slope == 0 or divisor == 0:
        return None
    if divisor < 0:
        slope, divisor = -slope, -divisor
    intercept = y0 * divisor - slope * x0
    if all(y * divisor == slope * x + intercept for x, y in points):
        return Law(slope, intercept, divisor)
    return None


def laws(base: Signature, variations: Iterable[Variation]) -> dict[tuple[str, int], Law]:
    """For one option's variations: (key, dimension) → its law, where it has one.

    The default's own shapes are a point too, once the default is known (it is not 0, or the
    option is one of those that 0 means something for).
    """
    found: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for one in variations:
        known: Mapping[str, Shape] = {
            **one.shapes,
            **{key: spec.shape for key, spec in one.added.items()},
        }
        for key, shape in known.items():
            spec = base.get(key)
            if spec is not None and len(spec.shape) != len(shape):
                continue
            for axis, length in enumerate(shape):
                if spec is not None and spec.shape[axis] == length:
                    continue
                points = found.setdefault((key, axis), [])
                if (
                    spec is not None
                    and one.default
                    and (one.default, spec.shape[axis]) not in points
                ):
                    points.append((one.default, spec.shape[axis]))
                points.append((one.value, length))
    solved = {
        place: law(sorted(set(points))) or _multiple(points) for place, points in found.items()
    }
    return {place: each for place, each in solved.items() if each is not None}


def _multiple(points: Sequence[tuple[int, int]]) -> Law | None:
    """The law of a dimension that is known at one value only, and is a multiple of it there."""
    value, dimension = points[0]
    if len(set(points)) > 1 or value <= 0 or dimension % value:
        return None
    return Law(dimension // value, 0, 1)
