"""What a model says of an image in words: in a few, and line by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from core.predict.answers import (
    EXCLUSIVE,
    THRESHOLD,
    EmbeddingRow,
    FoundObjects,
    HeadAnswer,
    PixelClasses,
    PixelValues,
    ScoredRow,
    TensorSummary,
)
from core.predict.prediction import Prediction
from core.wording import count, counted, listed, percent, probability_text, shape, signed, tensors

NO_ANSWER = "no answer"

MOST_NAMED = 3
"""The most names in a few words."""


def answer_summary(answer: HeadAnswer, names: Sequence[str], threshold: float = THRESHOLD) -> str:
    """What an answer says in a few words, such as `cat, 93 %` or `3 objects: 2 dog and 1 person`.

    `names` are those of its classes. A label or an object counts from `threshold` on. Empty where
    there is no answer.
    """
    match answer.value:
        case ScoredRow() as row:
            return _scored(answer, row, names, threshold)
        case EmbeddingRow(values):
            return f"an embedding of {counted(len(values), 'number')}"
        case FoundObjects() as objects:
            return _objects(objects, names, threshold)
        case PixelClasses(shares=shares):
            parts = [
                f"{class_name(names, each)} {percent(share)}" for each, share in shares.items()
            ]
            return listed(parts, MOST_NAMED)
        case PixelValues() as values:
            return f"values from {signed(values.smallest)} to {signed(values.largest)}"
        case None:
            return ""
        case summaries:
            return tensors(sum(bool(each.shape) for each in summaries))


def _scored(answer: HeadAnswer, row: ScoredRow, names: Sequence[str], threshold: float) -> str:
    if answer.kind == "labels":
        pairs = zip(row.indices, row.probabilities, strict=True)
        given = [class_name(names, each) for each, share in pairs if share >= threshold]
        return listed(given, MOST_NAMED) if given else f"no label from {percent(threshold)} on"
    first = f"{class_name(names, row.indices[0])}, {percent(row.probabilities[0], decimal=True)}"
    if answer.kind in EXCLUSIVE:
        return first
    return first if row.raw is None else f"{first} (the number is {signed(row.raw)})"


def _objects(objects: FoundObjects, names: Sequence[str], threshold: float) -> str:
    number = objects.above(threshold)
    if not number:
        return f"no object from {percent(threshold)} on"
    by_class = Counter(objects.labels[:number].tolist())
    parts = [f"{count(many)} {class_name(names, each)}" for each, many in by_class.most_common()]
    return f"{counted(number, 'object')}: {listed(parts, MOST_NAMED)}"


def class_name(names: Sequence[str], index: int) -> str:
    """The name of a class, or its number where there are not as many names."""
    return names[index] if 0 <= index < len(names) else f"class {index}"


def answer_title(prediction: Prediction, names: Sequence[str], threshold: float = THRESHOLD) -> str:
    """What a model says of an image in few words; of classes the name of the most probable one,
    since its probability stands beside it. Objects count from the score `threshold` on."""
    if prediction.indices and prediction.kind in EXCLUSIVE | {"score"}:
        return class_name(names, prediction.indices[0])
    answer = prediction.answer
    threshold = threshold if prediction.kind == "boxes" else THRESHOLD
    return NO_ANSWER if answer is None else answer_summary(answer, names, threshold) or NO_ANSWER


def read_sentence(answers: Mapping[str, tuple[HeadAnswer, int]]) -> str:
    """The kind of each model's answer with its evidence, by the model's name on screen.

    Each is given with the number of the model's heads. What is the same for all is said once.
    """
    said = {name: _said(answer, heads) for name, (answer, heads) in answers.items()}
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    return " ".join(f"{name}: {sentence}" for name, sentence in said.items())


def _said(answer: HeadAnswer, heads: int) -> str:
    kind = f"Read as `{answer.kind}`"
    if heads > 1:
        kind = f"{kind} (`{answer.name.replace('`', chr(39))}` of {counted(heads, 'head')})"
    return f"{kind}. {answer.evidence.replace('`', chr(39))}"


def answer_lines(
    answer: HeadAnswer, names: Sequence[str], k: int, threshold: float = THRESHOLD
) -> Iterator[str]:
    """What an answer says, a line for each class, object or tensor, for a terminal."""
    match answer.value:
        case ScoredRow() as row:
            raw = "" if row.raw is None else f"  (the number is {signed(row.raw)})"
            for index, share in list(zip(row.indices, row.probabilities, strict=True))[:k]:
                given = "  ✓" if answer.kind == "labels" and share >= threshold else ""
                yield f"{probability_text(share):>8}  {class_name(names, index)}{raw}{given}"
        case FoundObjects() as objects:
            number = objects.above(threshold)
            rows = zip(objects.scores, objects.labels, objects.boxes, strict=True)
            for score, label, box in list(rows)[: max(number, 1 if len(objects.scores) else 0)]:
                edges = ", ".join(f"{edge:.0f}" for edge in box.tolist())
                name = class_name(names, int(label))
                yield f"{probability_text(float(score)):>8}  {name}  ({edges})"
            rest = len(objects.scores) - max(number, 1)
            if rest > 0:
                yield f"          and {count(rest)} below {percent(threshold)}"
            elif not len(objects.scores):
                yield "no object"
        case PixelClasses(shares=shares):
            for index, share in list(shares.items())[:k]:
                yield f"{probability_text(share):>8}  {class_name(names, index)}"
            if len(shares) > k:
                yield f"          and {count(len(shares) - k)} more"
        case PixelValues(values, smallest, mean, largest):
            numbers = f"min {signed(smallest)}, mean {signed(mean)}, max {signed(largest)}"
            yield f"{shape(values.shape)} values: {numbers}"
        case EmbeddingRow(values):
            first = ", ".join(signed(value) for value in values[:k].tolist())
            more = ", …" if len(values) > k else ""
            length = signed(float(values.norm()))
            yield f"{counted(len(values), 'number')}, of length {length}: {first}{more}"
        case None:
            yield answer.trouble
        case summaries:
            yield from (_summary_line(each) for each in summaries)


SUMMARY_COLUMNS = ("tensor", "shape", "dtype", "min", "mean", "max", "NaN or infinite")


def summary_cells(summary: TensorSummary) -> tuple[str, ...]:
    """A part of an output as the cells of a table with SUMMARY_COLUMNS."""
    numbers = (summary.smallest, summary.mean, summary.largest)
    return (
        summary.name or "the output",
        shape(summary.shape) if summary.shape else "–",
        summary.dtype,
        *("–" if number is None else signed(number) for number in numbers),
        count(summary.not_finite) if summary.not_finite else "–",
    )


def _summary_line(summary: TensorSummary) -> str:
    """A part of an output in one line: `boxes  4 × 4  float32  min 0.1  mean 0.5  max 1`."""
    cells = zip(SUMMARY_COLUMNS, summary_cells(summary), strict=True)
    said = [
        text if word in ("tensor", "shape", "dtype") else f"{word} {text}"
        for word, text in cells
        if text not in ("–", "the output")
    ]
    return "  ".join(said)
