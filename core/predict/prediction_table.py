"""Predictions as rows: for a chart that compares two models, and for a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO

from core.predict.agreement import SharedClasses
from core.predict.labels import Labels
from core.predict.prediction import Prediction

COLUMNS = (
    "image",
    "slot",
    "file",
    "rank",
    "class_index",
    "label",
    "probability",
    "model_seconds",
    "remark",
)


@dataclass(frozen=True, slots=True)
class Bar:
    """One of a model's most probable classes, with its probability, 0 to 1.

    `other` is what the other model gives the same class; None if there is no other model, or if it
    does not have the class.
    """

    label: str
    probability: float
    other: float | None = None


def bars(
    predictions: Mapping[str, Prediction],
    labels: Mapping[str, Labels],
    classes: SharedClasses,
    k: int,
) -> Mapping[str, tuple[Bar, ...]]:
    """The k most probable classes of one image for each model, the most probable first."""
    given = {
        name: {
            classes.keys[name][index]: probability
            for index, probability in zip(each.indices, each.probabilities, strict=True)
        }
        for name, each in predictions.items()
    }
    found = {}
    for name, each in predictions.items():
        others = [other for other_name, other in given.items() if other_name != name]
        other = others[0] if others and not classes.obstacle else {}
        found[name] = tuple(
            Bar(labels[name].names[index], probability, other.get(classes.keys[name][index]))
            for index, probability in zip(each.indices[:k], each.probabilities, strict=False)
        )
    return found


def predictions_csv(
    predictions: Mapping[str, Sequence[Prediction]],
    labels: Mapping[str, Sequence[str]],
    files: Mapping[str, str],
    k: int,
) -> bytes:
    """All slots' predictions as CSV (UTF-8, RFC 4180), one row for each image, slot and rank.

    Probabilities are 0 to 1. An image without predictions has one row with the remark.
    """
    text = StringIO()
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    for slot, row in predictions.items():
        for prediction in row:
            start = (prediction.name, slot, files[slot])
            remark = prediction.trouble or ("untrained" if prediction.untrained else "")
            if not prediction.indices:
                rows.writerow((*start, "", "", "", "", "", remark))
            top = zip(prediction.indices[:k], prediction.probabilities, strict=False)
            for rank, (index, probability) in enumerate(top, 1):
                figures = (f"{probability:.9f}", f"{prediction.seconds:.6f}")
                rows.writerow((*start, rank, index, labels[slot][index], *figures, remark))
    return text.getvalue().encode()
