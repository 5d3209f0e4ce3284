"""How a dimension depends on an option, and which option a dimension means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt

from core.architectures import Shape, Signature
from core.fit.index.index import Variation


@dataclass(frozen=True, slots=True)
class Law:
    """dimension = ((slope · option + intercept) // divisor) ^ power + more, in whole numbers.

    Power 1 is for classes and channels, power 2 for the tokens of a grid and for tables of relative
    positions. `more` are tokens before those of the grid.
    """

    slope: int
    intercept: int
    divisor: int
    power: int = 1
    more: int = 0

    def option(self, dimension: int) -> int | None:
        """The option that gives this dimension; None if no whole number above 0 does."""
        root: int = dimension - self.more
        if self.power == 2:
            if root < 0 or isqrt(root) ** 2 != root:
                return None
            root = isqrt(root)
        value, rest = divmod(root * self.divisor - self.intercept, self.slope)
        return value if rest == 0 and value > 0 else None

    def dimension(self, option: int) -> int:
        """The dimension that this option gives."""
        power: int = ((self.slope * option + self.intercept) // self.divisor) ** self.power
        return power + self.more


def law(points: Sequence[tuple[int, int]]) -> Law | None:
    """The law through all points (option, dimension); None if there is none.

    A line is tried first, and goes through any two points: a square needs a third one to be seen.
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
            edge = _line(roots) or _patches(roots)
            if edge is not None:
                return Law(edge.slope, edge.intercept, edge.divisor, 2, more)
    return None


def _patches(points: Sequence[tuple[int, int]]) -> Law | None:
    """The law of a grid whose patches leave out a margin of the image: 27 of 14 pixels in 384.

    None unless exactly one patch size gives the edges of all grids.
    """
    if any(edge <= 0 for _, edge in points):
        return None
    smallest = max(pixels // (edge + 1) for pixels, edge in points) + 1
    largest = min(pixels // edge for pixels, edge in points)
    return Law(1, 0, smallest) if smallest == largest else None


MOST_TOKENS = 18
"""The most tokens before a grid's: a class token, a distillation token, up to 16 registers."""


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
    """The laws of one option, by its variations: (key, axis) → law.

    Each variation gives a point (option, dimension). The shapes in `base` are a point too, unless
    the default is 0 classes, which means another thing than a size. Switches and words have no law.
    """
    points_of: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for variation in variations:
        default, value = variation.default, variation.value
        if not (isinstance(default, int) and isinstance(value, int)):
            continue
        known: Mapping[str, Shape] = {
            **variation.shapes,
            **{key: spec.shape for key, spec in variation.added.items()},
        }
        for key, shape in known.items():
            spec = base.get(key)
            if spec is not None and len(spec.shape) != len(shape):
                continue
            for axis, length in enumerate(shape):
                if spec is not None and spec.shape[axis] == length:
                    continue
                points = points_of.setdefault((key, axis), [])
                if (
                    spec is not None
                    and (default or variation.option != "num_classes")
                    and (default, spec.shape[axis]) not in points
                ):
                    points.append((default, spec.shape[axis]))
                points.append((value, length))
    solved = {
        place: law(sorted(set(points))) or _multiple(points) for place, points in points_of.items()
    }
    return {place: rule for place, rule in solved.items() if rule is not None}


def _multiple(points: Sequence[tuple[int, int]]) -> Law | None:
    """The law of a dimension that is known at one value only, if it is a multiple of that value."""
    value, dimension = points[0]
    if len(set(points)) > 1 or value <= 0 or dimension % value:
        return None
    return Law(dimension // value, 0, 1)
