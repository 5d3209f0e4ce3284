"""The title of what a model says of an image, on the page."""

from __future__ import annotations

from collections.abc import Sequence

from core.predict.answer_words import answer_summary, class_name
from core.predict.answers import EXCLUSIVE, THRESHOLD
from core.predict.prediction import Prediction

NO_ANSWER = "no answer"


def answer_title(prediction: Prediction, names: Sequence[str], threshold: float = THRESHOLD) -> str:
    """What a model says of an image in few words; of classes the name of the most probable one,
    since its probability stands beside it. Objects count from the score `threshold` on."""
    if prediction.indices and prediction.kind in EXCLUSIVE | {"score"}:
        return class_name(names, prediction.indices[0])
    answer = prediction.answer
    threshold = threshold if prediction.kind == "boxes" else THRESHOLD
    return NO_ANSWER if answer is None else answer_summary(answer, names, threshold) or NO_ANSWER
