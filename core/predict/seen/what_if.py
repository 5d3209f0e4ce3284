"""What a model says of an image under its preprocessing, and under each usual mistake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from core.errors import ImageError
from core.inputs import Preprocessing, prepare
from core.load import LoadedModel
from core.predict.answers import EXCLUSIVE, THRESHOLD, AnswerKind, ToldOutputs
from core.predict.image_models import require_image_model
from core.predict.prediction import run, untrained_keys
from core.predict.seen.seen_image import SeenImage, seen_image
from core.predict.seen.usual_mistakes import UsualMistake, usual_mistakes
from core.progress import Report, ignore


@dataclass(frozen=True, slots=True)
class TopClass:
    """The most probable class, with its probability, 0 to 1."""

    index: int
    probability: float


@dataclass(frozen=True, slots=True)
class MistakenAnswer:
    """What the model says under a mistake.

    `top` is None if its output has a NaN or an infinity. `of_right` is the probability that it
    gives the class which is the answer without the mistake; None if there is no such answer.
    `changes`: the most probable class is another, or of labels, others are found.
    """

    mistake: UsualMistake
    top: TopClass | None
    of_right: float | None
    changes: bool


@dataclass(frozen=True, slots=True)
class SkippedMistake:
    """A mistake that was not run.

    Its tensor is the right one; or that of another mistake, `same_as`; or the image is too long
    and thin for it (`too_large`).
    """

    name: str
    same_as: str = ""
    too_large: bool = False


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What the model sees of an image, its answer `right`, and its answers under the mistakes.

    `right` is None if the output has a NaN or an infinity. `untrained`: a part of the model was
    never loaded, so the answers mean nothing.
    """

    seen: SeenImage
    right: TopClass | None
    answers: tuple[MistakenAnswer, ...]
    skipped: tuple[SkippedMistake, ...]
    untrained: bool


def what_if(
    loaded: LoadedModel,
    image: Image.Image,
    preprocessing: Preprocessing,
    progress: Report = ignore,
    *,
    told: ToldOutputs | None = None,
    kinds: Mapping[str, AnswerKind] | None = None,
    head: str = "",
) -> WhatIf:
    """Run the model once, on the image as it should be and under every usual mistake.

    `image` is RGB; `told`, `kinds` and `head` say how the output is read, as in `predict`.
    `progress(done, total, name)` is called before each mistake is prepared and before the forward
    pass, and may raise to cancel. Raises ImageError if the image cannot be prepared, and LoadError
    as `predict` does, or if the answer names no class.
    """
    require_image_model(loaded.architecture)
    right = prepare(image, preprocessing)
    mistakes, tensors, skipped = _tensors(image, right, preprocessing, progress)
    progress(len(mistakes), len(mistakes) + 1, "running the model")
    probabilities, kind = run(loaded, torch.stack([right, *tensors]), told, kinds, head)
    top = _top(probabilities[0])
    # Of labels, those that are found are the answer; of one class of several, the first alone.
    found = None if kind in EXCLUSIVE else probabilities[0] >= THRESHOLD
    return WhatIf(
        seen_image(right, preprocessing),
        top,
        tuple(
            _answer(mistake, row, top, found)
            for mistake, row in zip(mistakes, probabilities[1:], strict=True)
        ),
        skipped,
        bool(untrained_keys(loaded)),
    )


def _tensors(
    image: Image.Image, right: torch.Tensor, preprocessing: Preprocessing, progress: Report
) -> tuple[Sequence[UsualMistake], Sequence[torch.Tensor], tuple[SkippedMistake, ...]]:
    """The mistakes that make a difference with their tensors, and those that make none."""
    mistakes: list[UsualMistake] = []
    tensors: list[torch.Tensor] = []
    skipped = []
    possible = list(usual_mistakes(image, right, preprocessing))
    for number, (mistake, compute) in enumerate(possible):
        progress(number, len(possible) + 1, mistake.name)
        try:
            tensor = compute()
        except ImageError:
            skipped.append(SkippedMistake(mistake.name, too_large=True))
            continue
        same = [
            each.name
            for each, other in zip(mistakes, tensors, strict=True)
            if torch.equal(tensor, other)
        ]
        if same or torch.equal(tensor, right):
            skipped.append(SkippedMistake(mistake.name, "".join(same[:1])))
        else:
            mistakes.append(mistake)
            tensors.append(tensor)
    return mistakes, tensors, tuple(skipped)


def _top(row: torch.Tensor) -> TopClass | None:
    if not row.isfinite().all():
        return None
    probability, index = row.max(0)
    return TopClass(int(index), float(probability))


def _answer(
    mistake: UsualMistake,
    row: torch.Tensor,
    right: TopClass | None,
    found: torch.Tensor | None,
) -> MistakenAnswer:
    top = _top(row)
    of_right = float(row[right.index]) if top and right else None
    changes = right is not None and (top is None or top.index != right.index)
    if right is not None and found is not None:
        changes = changes or not torch.equal(row >= THRESHOLD, found)
    return MistakenAnswer(mistake, top, of_right, changes)
