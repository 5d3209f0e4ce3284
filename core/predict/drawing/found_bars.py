"""What was found in an image as bars: objects with their scores, classes with their pixels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice

from core.predict.answer_words import class_name
from core.predict.answers import AnswerValue, FoundObjects, PixelClasses
from core.predict.drawing.class_colours import class_colour, css_colour
from core.predict.prediction_table import Bar


def found_bars(
    value: AnswerValue | None,
    names: Sequence[str],
    k: int,
    threshold: float = 0.5,
    only: Collection[int] | None = None,
) -> tuple[Bar, ...]:
    """The first k objects from the score `threshold` on, or the k classes with the most pixels,
    each in the colour in which it is drawn; `only` those of some classes, by default of all."""
    found: list[tuple[int, float]] = []
    if isinstance(value, FoundObjects):
        number = value.above(threshold)
        pairs = zip(value.labels.tolist(), value.scores.tolist(), strict=True)
        found = list(islice(pairs, number))
    elif isinstance(value, PixelClasses):
        found = list(value.shares.items())
    return tuple(
        Bar(class_name(names, index), share, colour=css_colour(class_colour(index)))
        for index, share in found
        if only is None or index in only
    )[:k]


def found_classes(values: Sequence[AnswerValue | None]) -> tuple[int, ...]:
    """The classes that were found in any image, with whatever score, by their numbers."""
    found: set[int] = set()
    for value in values:
        if isinstance(value, FoundObjects):
            found |= set(value.labels.tolist())
        elif isinstance(value, PixelClasses):
            found |= set(value.shares)
    return tuple(sorted(found))
