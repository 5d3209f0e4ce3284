"""What each head of a model says of one image, as values that can be shown and written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from core.predict.answers.answer_kinds import EXCLUSIVE, AnswerKind
from core.predict.answers.found_objects import FoundObjects
from core.predict.answers.output_parts import dense
from core.predict.answers.output_reading import NO_CLASS, OutputHead

NOT_A_NUMBER = (
    "The model's output is not a number (NaN): its weights contain NaN or infinite values, or "
    "overflow in this dtype."
)


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """The highest of a row's numbers from 0 to 1, the highest first, with their places in the row.

    `raw` is the number that the model returned, where that is one alone and not the score itself.
    `entropy` is that of all the row's numbers in bits, where they are probabilities of one class.
    """

    indices: tuple[int, ...]
    probabilities: tuple[float, ...]
    raw: float | None = None
    entropy: float | None = None

    @property
    def margin(self) -> float | None:
        """How much more probable the first class is than the second; None for one alone."""
        if len(self.probabilities) < 2 or self.entropy is None:
            return None
        return self.probabilities[0] - self.probabilities[1]


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingRow:
    """An image's embedding: float32 [numbers]."""

    values: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class PixelClasses:
    """The class of each pixel, [height, width], and the share of each class that is there, the
    largest first."""

    classes: torch.Tensor
    shares: Mapping[int, float]


@dataclass(frozen=True, slots=True, eq=False)
class PixelValues:
    """A value for each pixel, float32 [height, width], with the least, the mean and the largest."""

    values: torch.Tensor
    smallest: float
    mean: float
    largest: float


@dataclass(frozen=True, slots=True)
class TensorSummary:
    """A part of an output in words and numbers: of a tensor the shape, the dtype and the range of
    its finite values (None if there are none), of another value its type as `dtype`."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    smallest: float | None = None
    mean: float | None = None
    largest: float | None = None
    not_finite: int = 0


AnswerValue = (
    ScoredRow | EmbeddingRow | FoundObjects | PixelClasses | PixelValues | tuple[TensorSummary, ...]
)


@dataclass(frozen=True, slots=True, eq=False)
class HeadAnswer:
    """What one head says of one image.

    `name` is empty for the only one. `outputs` is the number of classes, labels or numbers; 0 where
    that says nothing. `value` is None if there is no answer, and `trouble` then says why.
    """

    name: str
    kind: AnswerKind
    evidence: str
    outputs: int
    value: AnswerValue | None
    trouble: str = ""


def answers_of(head: OutputHead, k: int) -> tuple[HeadAnswer, ...]:
    """What a head says of each image; `k` is the most of a row's numbers that are kept."""
    values = head.values
    if isinstance(values, Mapping):
        summaries = tuple(_summary(name, value) for name, value in values.items())
        return (_answer(head, summaries),)
    if isinstance(values, tuple):
        return tuple(_answer(head, each if _are_finite(each) else None) for each in values)
    if head.kind == "embedding":
        return tuple(
            _answer(head, EmbeddingRow(row.clone()) if _finite(row) else None) for row in values
        )
    if head.kind == "pixels":
        return tuple(_answer(head, _pixel_classes(each)) for each in values)
    if head.kind == "map":
        return tuple(_answer(head, _pixel_values(each)) for each in values)
    scored = scored_rows(head)
    return tuple(
        _answer(head, _top(row, raw, head, k) if _finite(row) else None)
        for row, raw in zip(scored, values, strict=True)
    )


def scored_rows(head: OutputHead) -> torch.Tensor:
    """The numbers from 0 to 1 of each image, float32 [N, outputs], of a head of rows."""
    assert isinstance(head.values, torch.Tensor)
    if head.activated:
        return head.values
    return head.values.softmax(1) if head.kind == "classes" else head.values.sigmoid()


def _answer(head: OutputHead, value: AnswerValue | None) -> HeadAnswer:
    trouble = NOT_A_NUMBER if value is None else ""
    return HeadAnswer(head.name, head.kind, head.evidence, head.outputs, value, trouble)


def _are_finite(objects: FoundObjects) -> bool:
    return _finite(objects.boxes) and _finite(objects.scores)


def _finite(row: torch.Tensor) -> bool:
    return bool(row.isfinite().all())


def _top(row: torch.Tensor, raw: torch.Tensor, head: OutputHead, k: int) -> ScoredRow:
    top = row.topk(min(k, len(row)))
    alone = float(raw[0]) if head.kind == "score" and not head.activated else None
    entropy = None
    if head.kind in EXCLUSIVE:
        # Of the numbers in float64: thousands of small ones add up. 0 · log 0 counts as 0.
        entropy = max(0.0, torch.special.entr(row.double()).sum().item() / math.log(2))
    return ScoredRow(tuple(top.indices.tolist()), tuple(top.values.tolist()), alone, entropy)


def _pixel_classes(classes: torch.Tensor) -> PixelClasses | None:
    if bool((classes == NO_CLASS).any()):
        return None
    numbers = torch.bincount(classes.flatten().long())
    order = numbers.argsort(descending=True, stable=True).tolist()
    shares = {each: numbers[each].item() / classes.numel() for each in order if numbers[each]}
    return PixelClasses(classes.clone(), shares)


def _pixel_values(values: torch.Tensor) -> PixelValues | None:
    if not _finite(values):
        return None
    smallest, largest = values.aminmax()
    mean = values.double().mean().item()
    return PixelValues(values.clone(), smallest.item(), mean, largest.item())


def _summary(name: str, value: object) -> TensorSummary:
    if not isinstance(value, torch.Tensor):
        return TensorSummary(name, (), type(value).__name__)
    dtype = str(value.dtype).removeprefix("torch.")
    plain = dense(value)
    if plain is None:
        return TensorSummary(name, (), dtype)
    if value.is_complex():
        return TensorSummary(name, tuple(value.shape), dtype)
    numbers = plain.detach().double().cpu()
    finite = numbers[numbers.isfinite()]
    if not finite.numel():
        return TensorSummary(name, tuple(value.shape), dtype, not_finite=numbers.numel())
    return TensorSummary(
        name,
        tuple(value.shape),
        dtype,
        finite.min().item(),
        finite.mean().item(),
        finite.max().item(),
        numbers.numel() - finite.numel(),
    )


def settled(heads: Sequence[OutputHead]) -> OutputHead:
    """Of one head, as it was read from several batches, the reading that is right for all."""
    return min(heads, key=lambda head: head.rank)
