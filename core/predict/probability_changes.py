"""How far the probabilities of two models are apart on an image, in all their classes."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from core.predict.agreement import SharedClasses
from core.predict.answers import EXCLUSIVE
from core.predict.prediction import Prediction


@dataclass(frozen=True, slots=True)
class ProbabilityChange:
    """The largest absolute difference of a probability, the place in the first model's classes of
    the class that has it, and the divergence of the second model from the first in bits.

    `divergence` is KL(A‖B), the sum of a · log2(a / b): infinite where B excludes what A does not.
    """

    largest: float
    index: int
    divergence: float


def probability_change(
    predictions: Mapping[str, Prediction], classes: SharedClasses
) -> ProbabilityChange | None:
    """How far two models are apart on one image.

    None unless both have a probability for every class, of the same classes.
    """
    if len(predictions) != 2 or classes.obstacle:
        return None
    if not all(_is_whole(each) for each in predictions.values()):
        return None
    a, b = (_by_class(each, classes.keys[name]) for name, each in predictions.items())
    if a.keys() != b.keys():
        return None
    first = next(iter(predictions.values()))
    places = {classes.keys[next(iter(predictions))][index]: index for index in first.indices}
    key = max(a, key=lambda each: abs(a[each] - b[each]))
    divergence = sum(
        share * (math.log2(share / b[each]) if b[each] else math.inf)
        for each, share in a.items()
        if share
    )
    return ProbabilityChange(abs(a[key] - b[key]), places[key], max(0.0, divergence))


def _is_whole(prediction: Prediction) -> bool:
    """Whether the prediction has the probability of every class."""
    whole = len(prediction.indices) == prediction.classes > 1
    return whole and prediction.kind in EXCLUSIVE


def _by_class(prediction: Prediction, keys: Sequence[Hashable]) -> Mapping[Hashable, float]:
    pairs = zip(prediction.indices, prediction.probabilities, strict=True)
    return {keys[index]: share for index, share in pairs}
