"""The names of what a model answers with: those of its classes, else of its library's weights."""

from __future__ import annotations

from collections.abc import Collection

from core.architectures import Architecture
from core.predict.answers import SCORED, AnswerKind, library_categories
from core.predict.labels import Labels

NAMELESS = Labels((), "none, because these answers have no classes", guessed=True)
"""The names where a model answers without classes."""


def answer_labels(
    labels: Labels, architecture: Architecture, kinds: Collection[AnswerKind]
) -> Labels:
    """The names for answers of these kinds, where `labels` are those for as many classes.

    Numbers become the categories of torchvision's own weights, if these have as many: of COCO or
    VOC for its detectors and its segmentation models. A score alone is called one.
    """
    if not labels.numbered:
        return labels
    if set(kinds) == {"score"}:
        return Labels(("score",), "none, because the model gives one score", numbered=True)
    categories = library_categories(architecture)
    if SCORED & set(kinds) or len(categories) != len(labels.names):
        return labels
    source = f"guessed: the names of torchvision's own weights for {architecture.name}"
    return Labels(categories, source, guessed=True)
