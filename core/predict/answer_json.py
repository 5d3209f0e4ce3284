"""What a model says of an image as JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.predict.answer_words import class_name
from core.predict.answers import (
    EmbeddingRow,
    FoundObjects,
    HeadAnswer,
    PixelClasses,
    PixelValues,
    ScoredRow,
    TensorSummary,
)


def answer_json(answer: HeadAnswer, names: Sequence[str], k: int) -> Mapping[str, object]:
    """An answer with its kind, the evidence for that, and all that it says; of classes the first k.

    Of masks and maps it has the area and the range, not the pixels.
    """
    head = {"head": answer.name} if answer.name else {}
    return {
        **head,
        "kind": answer.kind,
        "evidence": answer.evidence,
        **_value(answer, names, k),
    }


def _value(answer: HeadAnswer, names: Sequence[str], k: int) -> Mapping[str, object]:
    match answer.value:
        case ScoredRow() as row:
            pairs = list(zip(row.indices, row.probabilities, strict=True))[:k]
            top = [
                {"label": class_name(names, index), "index": index, "probability": share}
                for index, share in pairs
            ]
            further = {"number": row.raw, "entropy_bits": row.entropy, "margin": row.margin}
            return {"top": top} | {
                name: number for name, number in further.items() if number is not None
            }
        case EmbeddingRow(values):
            return {"embedding": values.tolist()}
        case FoundObjects() as objects:
            return {
                "objects": [_object(objects, each, names) for each in range(len(objects.boxes))]
            }
        case PixelClasses(classes, shares):
            found = [
                {"label": class_name(names, index), "index": index, "share": share}
                for index, share in shares.items()
            ]
            return {"shape": [*classes.shape], "classes": found}
        case PixelValues(values, smallest, mean, largest):
            return {"shape": [*values.shape], "min": smallest, "mean": mean, "max": largest}
        case None:
            return {}
        case summaries:
            return {"tensors": [_summary(each) for each in summaries]}


def _object(objects: FoundObjects, place: int, names: Sequence[str]) -> Mapping[str, object]:
    index = int(objects.labels[place])
    found: dict[str, object] = {
        "label": class_name(names, index),
        "index": index,
        "score": float(objects.scores[place]),
        "box": objects.boxes[place].tolist(),
    }
    if objects.masks:
        found["mask_pixels"] = int(objects.masks[place].pixels.sum())
    if objects.keypoints is not None:
        found["keypoints"] = objects.keypoints[place].tolist()
    return found


def _summary(summary: TensorSummary) -> Mapping[str, object]:
    return {
        "name": summary.name,
        "shape": [*summary.shape],
        "dtype": summary.dtype,
        "min": summary.smallest,
        "mean": summary.mean,
        "max": summary.largest,
        "not_finite": summary.not_finite,
    }
