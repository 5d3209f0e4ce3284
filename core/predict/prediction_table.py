"""Predictions as rows: for a chart that compares two models, and for a CSV file."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO

from core.predict.prediction import Prediction

COLUMNS = (
    "picture",
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
    """A class in a chart, with its probability, 0 to 1; None if this model does not have it."""

    label: str
    probability: float | None


def bars(
    predictions: Mapping[str, Prediction], labels: Mapping[str, Sequence[str]], k: int
) -> Mapping[str, tuple[Bar, ...]]:
    """The bars of each slot for one image, with the same classes in the same order for all slots.

    The classes are the top k of every slot, sorted by the highest probability in any slot. Classes
    of two models are the same if they have the same label.
    """
    by_class = {
        slot: _by_class(prediction, labels[slot]) for slot, prediction in predictions.items()
    }
    highest = {
        name: max(known.get(name, 0.0) for known in by_class.values())
        for probabilities in by_class.values()
        for name in list(probabilities)[:k]
    }
    order = sorted(highest, key=lambda name: -highest[name])
    return {
        slot: tuple(Bar(name[0], known.get(name)) for name in order)
        for slot, known in by_class.items()
    }


def _by_class(prediction: Prediction, labels: Sequence[str]) -> Mapping[tuple[str, int], float]:
    """The probabilities by (label, how many classes before it have the same label).

    Many lists of ImageNet's classes have two cranes, a bird and a machine.
    """
    before: Counter[str] = Counter()
    names = []
    for label in labels:
        names.append((label, before[label]))
        before[label] += 1
    pairs = zip(prediction.indices, prediction.probabilities, strict=True)
    return {names[index]: probability for index, probability in pairs}


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
