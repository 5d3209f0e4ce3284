"""What an evaluation found: accuracy, classes, confusions, calibration, the worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

CONFIDENCE = 0.95
"""How sure an interval is."""

Indices = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Portion:
    """So many of so many images, with Wilson's score interval of the share (Wilson, 1927: Probable
    inference, the law of succession, and statistical inference), without continuity correction."""

    number: int
    total: int

    @property
    def share(self) -> float:
        """The part, 0 to 1."""
        return self.number / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Where the share of all such images is, with 95 % confidence."""
        found = binomtest(self.number, self.total).proportion_ci(CONFIDENCE, "wilson")
        return float(found.low), float(found.high)


@dataclass(frozen=True, slots=True)
class ClassScore:
    """How right a model is on one class: of its `support` images, and of those `predicted` as it.

    A ratio is None where it would be of none.
    """

    index: int
    support: int
    predicted: int
    right: int

    @property
    def precision(self) -> float | None:
        """The share of the images predicted as the class that are of it."""
        return self.right / self.predicted if self.predicted else None

    @property
    def recall(self) -> float | None:
        """The share of the class's images that are predicted as it."""
        return self.right / self.support if self.support else None

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 0 where no image is right."""
        return 2 * self.right / (self.support + self.predicted)


@dataclass(frozen=True, slots=True)
class Confusion:
    """So many images of one class that were predicted as another."""

    truth: int
    answer: int
    images: int


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The images whose answer has a probability above `low` and up to `high`.

    `probability` is the mean of the answers' probabilities, 0 without images.
    """

    low: float
    high: float
    images: int
    right: int
    probability: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How well probabilities tell how often an answer is right.

    `nll` is the mean negative log-likelihood of the true classes, in nats.
    """

    bins: tuple[ReliabilityBin, ...]
    nll: float

    @property
    def ece(self) -> float:
        """The expected calibration error: the mean of |accuracy − probability| over the bins,
        weighted by their images (Guo et al., 2017: On calibration of modern neural networks,
        equation 3)."""
        total = sum(each.images for each in self.bins)
        gaps = (abs(each.right - each.images * each.probability) for each in self.bins)
        return sum(gaps) / total


@dataclass(frozen=True, slots=True)
class Mistake:
    """An image whose answer is wrong, with the probabilities of the answer and of the truth."""

    name: str
    truth: int
    answer: int
    probability: float
    of_truth: float


@dataclass(frozen=True, slots=True)
class Unanswered:
    """An image without an answer, and a sentence that says why."""

    name: str
    trouble: str


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's answers to labelled images.

    `truths` and `answers` have a class for each image that was given, in their order; −1 for one
    whose label is no class of the model, and for one without an answer. `in_top5` counts the images
    whose class is among the five most probable. `kind` and `evidence` say how the output was read.
    `unread` images could not be decoded, of `not_finite` ones the output is NaN or infinite;
    `unanswered` names the first of both. `mistakes` are the wrong answers with the highest
    probabilities, the highest first. `seconds` are those of the whole work, reading and decoding
    included; `batch` is how many images the last forward passes took. `untrained`: a part of the
    model was never loaded.
    """

    classes: int
    truths: Indices
    answers: Indices
    in_top5: int
    kind: Literal["classes", "probabilities"]
    evidence: str
    calibration: Calibration
    mistakes: tuple[Mistake, ...]
    unread: int
    not_finite: int
    unanswered: tuple[Unanswered, ...]
    seconds: float
    batch: int
    untrained: bool

    @cached_property
    def answered(self) -> npt.NDArray[np.bool_]:
        """Of each image that was given, whether there is an answer."""
        answered: npt.NDArray[np.bool_] = self.answers >= 0
        return answered

    @cached_property
    def right(self) -> npt.NDArray[np.bool_]:
        """Of each image that was given, whether the answer is its class."""
        right: npt.NDArray[np.bool_] = self.answered & (self.answers == self.truths)
        return right

    @property
    def images(self) -> int:
        """How many images have an answer: those that all figures are of."""
        return int(self.answered.sum())

    @property
    def unmapped(self) -> int:
        """How many images were left out because their label is no class of the model."""
        return int((self.truths < 0).sum())

    @property
    def images_per_second(self) -> float:
        """The pace of the whole work."""
        return self.images / self.seconds

    @property
    def top1(self) -> Portion:
        """How many answers are right."""
        return Portion(int(self.right.sum()), self.images)

    @property
    def top5(self) -> Portion:
        """Of how many images the class is among the five most probable."""
        return Portion(self.in_top5, self.images)

    @cached_property
    def class_scores(self) -> tuple[ClassScore, ...]:
        """The classes that have an image or were predicted, in their order."""
        numbers = [
            np.bincount(which, minlength=self.classes)
            for which in (
                self.truths[self.answered],
                self.answers[self.answered],
                self.answers[self.right],
            )
        ]
        support, predicted, right = (each.tolist() for each in numbers)
        return tuple(
            ClassScore(index, support[index], predicted[index], right[index])
            for index in range(self.classes)
            if support[index] or predicted[index]
        )

    @cached_property
    def confusions(self) -> tuple[Confusion, ...]:
        """Which classes were taken for which, the most usual first: the confusion matrix without
        its diagonal and its zeros."""
        wrong = self.answered & ~self.right
        pairs = np.stack([self.truths[wrong], self.answers[wrong]])
        found, numbers = np.unique(pairs, axis=1, return_counts=True)
        order = np.argsort(-numbers, kind="stable")
        return tuple(
            Confusion(int(found[0, place]), int(found[1, place]), int(numbers[place]))
            for place in order.tolist()
        )

    def confusion_matrix(self, classes: Sequence[int]) -> npt.NDArray[np.int64]:
        """How many images of each of some classes (rows) were predicted as each of them (columns).

        A matrix of all classes of a large head may not fit into memory.
        """
        places = np.full(self.classes, -1)
        places[list(classes)] = np.arange(len(classes))
        rows, columns = places[self.truths[self.answered]], places[self.answers[self.answered]]
        within = (rows >= 0) & (columns >= 0)
        matrix = np.zeros((len(classes), len(classes)), np.int64)
        np.add.at(matrix, (rows[within], columns[within]), 1)
        return matrix
