"""What the models say of the images, and how far two of them agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.inputs import Preprocessing
from core.predict import Labels, Prediction, SharedClasses, agreement, shared_classes
from core.predict.answers import AnswerKind
from pages.components.predict.image_tray import TrayImage


@dataclass(frozen=True, slots=True)
class Answer:
    """One model's answer: its file's name, its preprocessing, a prediction per image, and the names
    of its classes. `told` is the same for the same model, run and read in the same way."""

    file: str
    preprocessing: Preprocessing
    predictions: tuple[Prediction, ...]
    labels: Labels
    told: str = ""


@dataclass(frozen=True, slots=True)
class Results:
    """The answers of one model or of two, by its name on screen, such as `A`.

    `same` says of each image whether two models agree; None if that is not known.
    """

    images: Sequence[TrayImage]
    answers: Mapping[str, Answer]
    classes: SharedClasses
    same: tuple[bool | None, ...]

    @property
    def predictions(self) -> Mapping[str, tuple[Prediction, ...]]:
        """Each model's predictions in the order of the images."""
        return {name: answer.predictions for name, answer in self.answers.items()}

    @property
    def labels(self) -> Mapping[str, Labels]:
        """The names of each model's classes."""
        return {name: answer.labels for name, answer in self.answers.items()}

    @property
    def kinds(self) -> frozenset[AnswerKind]:
        """The kinds of the answers to the images that were run."""
        rows = self.predictions.values()
        return frozenset(each.kind for row in rows for each in row if each.heads)

    @property
    def fed(self) -> Mapping[str, tuple[Preprocessing, Labels]]:
        """What each model was fed, and the names of its classes."""
        return {name: (each.preprocessing, each.labels) for name, each in self.answers.items()}


def gathered(images: Sequence[TrayImage], answers: Mapping[str, Answer]) -> Results:
    """The answers with what they have in common."""
    classes = shared_classes({name: answer.labels for name, answer in answers.items()})
    predictions = {name: answer.predictions for name, answer in answers.items()}
    return Results(images, answers, classes, agreement(predictions, classes))
