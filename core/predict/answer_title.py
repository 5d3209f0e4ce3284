"""The title of what a model says of an image, on the page."""

from __future__ import annotations

from collections.abc import Sequence

from core.predict.answer_words import answer_summary, class_name
from core.predict.answers import EXCLUSIVE, SCORED
from core.predict.prediction import Prediction

NO_ANSWER = "no answer"


def answer_title(prediction: Prediction, names: Sequence[str]) -> str:
    """What a model says of an image in few words; of classes the name of the most probable one,
    since its probability stands beside it."""
    if prediction.indices and prediction.kind in EXCLUSIVE | (SCORED - {"labels"}):
        return class_name(names, prediction.indices[0])
    answer = prediction.answer
    return NO_ANSWER if answer is None else answer_summary(answer, names) or NO_ANSWER
