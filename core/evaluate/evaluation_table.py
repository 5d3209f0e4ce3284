"""An evaluation for programs: a CSV row for each class, and a document of all of it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from io import StringIO

from core.evaluate.evaluation import CONFIDENCE, Evaluation, Portion
from core.evaluate.paired_answers import PairedAnswers

COLUMNS = ("class_index", "label", "images", "predicted", "right", "precision", "recall", "f1")


def classes_csv(evaluation: Evaluation, names: Sequence[str]) -> bytes:
    """The classes as CSV (UTF-8, RFC 4180); a ratio of nothing is empty."""
    text = StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(_classes(evaluation, names))
    return text.getvalue().encode()


def evaluation_document(evaluation: Evaluation, names: Sequence[str]) -> dict[str, object]:
    """Everything that was found, as JSON has it; a ratio of nothing is null.

    `confusions` are the entries of the confusion matrix off its diagonal that are not 0; those on
    it are each class's `right`.
    """
    calibration = evaluation.calibration
    return {
        "images": evaluation.images,
        "accuracy": _portion(evaluation.top1),
        "top5": _portion(evaluation.top5),
        "read_as": evaluation.kind,
        "evidence": evaluation.evidence,
        "untrained": evaluation.untrained,
        "ece": calibration.ece,
        "nll": calibration.nll,
        "reliability": [
            {
                "above": each.low,
                "up_to": each.high,
                "images": each.images,
                "right": each.right,
                "probability": each.probability if each.images else None,
            }
            for each in calibration.bins
        ],
        "classes": _classes(evaluation, names),
        "confusions": [
            {"label": names[each.truth], "predicted": names[each.answer], "images": each.images}
            for each in evaluation.confusions
        ],
        "mistakes": [
            {
                "name": each.name,
                "label": names[each.truth],
                "predicted": names[each.answer],
                "probability": each.probability,
                "probability_of_label": each.of_truth,
            }
            for each in evaluation.mistakes
        ],
        "unmapped_images": evaluation.unmapped,
        "unread_images": evaluation.unread,
        "not_finite_images": evaluation.not_finite,
        "unanswered": [
            {"name": each.name, "trouble": each.trouble} for each in evaluation.unanswered
        ],
        "seconds": evaluation.seconds,
        "images_per_second": evaluation.images_per_second,
        "batch": evaluation.batch,
    }


def paired_document(paired: PairedAnswers) -> dict[str, object]:
    """How two models differ, as JSON has it."""
    return {
        "images": paired.images,
        "first_only": paired.first_only,
        "second_only": paired.second_only,
        "mcnemar_p": paired.p_value,
        "changes": [
            {"name": each.name, "right": "first" if each.by_first else "second"}
            for each in paired.changes
        ],
    }


def _portion(portion: Portion) -> Mapping[str, object]:
    return {
        "share": portion.share,
        "number": portion.number,
        "of": portion.total,
        "interval": portion.interval,
        "confidence": CONFIDENCE,
    }


def _classes(evaluation: Evaluation, names: Sequence[str]) -> list[dict[str, object]]:
    return [
        {
            "class_index": each.index,
            "label": names[each.index],
            "images": each.support,
            "predicted": each.predicted,
            "right": each.right,
            "precision": each.precision,
            "recall": each.recall,
            "f1": each.f1,
        }
        for each in evaluation.class_scores
    ]
