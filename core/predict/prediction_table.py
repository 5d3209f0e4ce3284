"""Predictions as rows: for a chart that compares two models, and for a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO

from core.predict.agreement import SharedClasses
from core.predict.answer_words import class_name
from core.predict.answers import (
    AnswerValue,
    EmbeddingRow,
    FoundObjects,
    HeadAnswer,
    PixelClasses,
    PixelValues,
    ScoredRow,
)
from core.predict.labels import Labels
from core.predict.prediction import Prediction

COLUMNS: tuple[str, ...] = (
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

EDGES = ("left", "top", "right", "bottom")
"""A box in the pixels that the model was fed."""

FURTHER = (
    *("kind", "head", "number", *EDGES, "share"),
    *("tensor", "shape", "min", "mean", "max", "embedding"),
)
"""Columns that are there where an answer fills them."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One of a model's most probable classes, with its probability, 0 to 1.

    `other` is what the other model gives the same class; None if there is no other model, or if it
    does not have the class. `colour` is the class's own in CSS, where it has one in the image.
    """

    label: str
    probability: float
    other: float | None = None
    colour: str = ""


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
            Bar(
                class_name(labels[name].names, index),
                probability,
                other.get(classes.keys[name][index]),
            )
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

    Probabilities are 0 to 1. An image without predictions has one row with the remark. Answers of
    other kinds than classes add columns: a row is then a class, an object or a tensor, of each
    head.
    """
    rows = [
        row
        for slot, answers in predictions.items()
        for prediction in answers
        for row in _rows(prediction, labels[slot], k, {"slot": slot, "file": files[slot]})
    ]
    further = [name for name in FURTHER if any(row.get(name, "") != "" for row in rows)]
    text = StringIO()
    writer = csv.DictWriter(text, (*COLUMNS, *further), restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _rows(
    prediction: Prediction, names: Sequence[str], k: int, start: Mapping[str, str]
) -> Iterator[Mapping[str, object]]:
    start = {"image": prediction.name, **start}
    start["remark"] = prediction.trouble or ("untrained" if prediction.untrained else "")
    several = len(prediction.heads) > 1
    heads: list[tuple[Mapping[str, str], AnswerValue | None, Sequence[str]]] = [
        ({**start, **_of_head(head, several)}, head.value, _own(prediction, head, names))
        for head in prediction.heads
    ]
    top = ScoredRow(prediction.indices, prediction.probabilities)
    for cells, value, own in heads or [(start, top, names)]:
        rows = list(_cells(value, own, k)) if value is not None else []
        if not rows:
            yield cells
        for rank, row in enumerate(rows, 1):
            seconds = f"{prediction.seconds:.6f}"
            yield {**cells, "rank": rank, "model_seconds": seconds, **row}


def _own(prediction: Prediction, head: HeadAnswer, names: Sequence[str]) -> Sequence[str]:
    """The names are those of the chosen head; the classes of the others have numbers."""
    return names if head is prediction.answer else ()


def _of_head(head: HeadAnswer, several: bool) -> Mapping[str, str]:
    cells = {"head": head.name} if several else {}
    return cells if head.kind == "classes" else {**cells, "kind": head.kind}


def _cells(value: AnswerValue, names: Sequence[str], k: int) -> Iterator[Mapping[str, object]]:
    """The cells of each row of an answer."""
    match value:
        case ScoredRow(indices, probabilities, raw):
            number = {} if raw is None else {"number": f"{raw:.9g}"}
            for index, share in list(zip(indices, probabilities, strict=True))[:k]:
                yield {**_class(index, names), "probability": f"{share:.9f}", **number}
        case FoundObjects() as objects:
            for box, label, score in zip(
                objects.boxes.tolist(),
                objects.labels.tolist(),
                objects.scores.tolist(),
                strict=True,
            ):
                edges = dict(zip(EDGES, (f"{edge:.2f}" for edge in box), strict=True))
                yield {**_class(label, names), "probability": f"{score:.9f}", **edges}
        case PixelClasses(shares=shares):
            for index, share in shares.items():
                yield {**_class(index, names), "share": f"{share:.9f}"}
        case PixelValues(values, smallest, mean, largest):
            yield {"shape": _shape(values.shape), **_range(smallest, mean, largest)}
        case EmbeddingRow(values):
            yield {"embedding": " ".join(f"{each:.9g}" for each in values.tolist())}
        case summaries:
            for each in summaries:
                numbers = _range(each.smallest, each.mean, each.largest)
                yield {"tensor": each.name, "shape": _shape(each.shape), **numbers}


def _class(index: int, names: Sequence[str]) -> Mapping[str, object]:
    return {"class_index": index, "label": class_name(names, index)}


def _shape(sizes: Sequence[int]) -> str:
    return " ".join(map(str, sizes))


def _range(*numbers: float | None) -> Mapping[str, str]:
    return {
        name: "" if number is None else f"{number:.9g}"
        for name, number in zip(("min", "mean", "max"), numbers, strict=True)
    }
