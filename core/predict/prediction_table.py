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
    """A class in a chart: its probability from 0 to 1, None where this model does not give it."""

    label: str
    probability: float | None


def bars(
    predictions: Mapping[str, Prediction], labels: Mapping[str, Sequence[str]], k: int
) -> Mapping[str, tuple[Bar, ...]]:
    """Each slot's bars for one picture: the same classes in the same order for all slots, so that
    the charts can be read across.

    The classes are the k most probable of each slot, by the highest probability that any slot
    gives them; classes of two models are the same where they have the same label.
    """
    by_class = {slot: _by_class(each, labels[slot]) for slot, each in predictions.items()}
    highest = {
        name: max(known.get(name, 0.0) for known in by_class.values())
        for each in by_class.values()
        for name in list(each)[:k]
    }
    order = sorted(highest, key=lambda name: -highest[name])
    return {
        slot: tuple(Bar(name[0], known.get(name)) for name in order)
        for slot, known in by_class.items()
    }


def _by_class(prediction: Prediction, labels: Sequence[str]) -> Mapping[tuple[str, int], float]:
    """Probabilities by (label, how many classes of that label come before it): many lists of
    ImageNet's classes have two cranes, a bird and a machine."""
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
    """All slots' predictions as CSV (UTF-8, RFC 4180), a row a picture, slot and rank.

    Probabilities go from 0 to 1. A picture without predictions has one row with the remark.
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
