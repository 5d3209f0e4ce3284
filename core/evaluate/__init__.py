"""How right a classifier is on images whose classes are known.

`labelled_images` lists the images of a folder, a zip or a CSV without reading them, and
`map_classes` says which of the model's classes each label is. `evaluate` runs a LoadedModel on them
and returns an Evaluation: accuracy, the classes, confusions, calibration, the worst mistakes.
`paired_answers` compares two of the same images, `classes_csv` and `evaluation_document` write them
down. Needs torch.
"""

from core.evaluate.evaluating import BATCH, class_count, evaluate
from core.evaluate.evaluation import (
    Calibration,
    ClassScore,
    Confusion,
    Evaluation,
    Mistake,
    Portion,
    ReliabilityBin,
    Unanswered,
)
from core.evaluate.evaluation_table import classes_csv, evaluation_document, paired_document
from core.evaluate.image_sets import ImageSet, LabelledImage, labelled_images
from core.evaluate.meant_classes import MeantClasses, map_classes
from core.evaluate.paired_answers import ChangedAnswer, PairedAnswers, paired_answers

__all__ = [
    "BATCH",
    "Calibration",
    "ChangedAnswer",
    "ClassScore",
    "Confusion",
    "Evaluation",
    "ImageSet",
    "LabelledImage",
    "MeantClasses",
    "Mistake",
    "PairedAnswers",
    "Portion",
    "ReliabilityBin",
    "Unanswered",
    "class_count",
    "classes_csv",
    "evaluate",
    "evaluation_document",
    "labelled_images",
    "map_classes",
    "paired_answers",
    "paired_document",
]
