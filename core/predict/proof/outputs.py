"""Runs a model on random inputs of a fixed seed, and compares the outputs of two models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch

from core.errors import LoadError
from core.inputs import RandomInputs, output_tensors
from core.load import LoadedModel
from core.predict.answers import logits_of

SEED = 0
"""The seed of the inputs, the same for every proof."""

IMAGES = 2
"""Images in the batch: two show whether the outputs depend on the image at all."""

TOLERANCE = 1e-4
"""The largest difference that counts as rounding, relative to the largest output.

Two models that compute the same may add the same float32 numbers in another order. Each addition
rounds by up to 6e-8 (half of torch.finfo(torch.float32).eps), and a network of a hundred layers
adds some thousands of times one after the other: their roundings partly cancel."""

TELLS_APART = 10
"""How many times larger than the tolerance the outputs of two images must differ. Otherwise equal
outputs say little, since another image would have given them too."""

Verdict: TypeAlias = Literal["same outputs", "other outputs", "not compared"]


@dataclass(frozen=True, slots=True)
class Outputs:
    """The tensors in a model's output, in their order, and one row of scores for each image.

    `scores` is None unless the model returns one score for each of several classes.
    """

    tensors: tuple[torch.Tensor, ...]
    scores: torch.Tensor | None

    @property
    def numel(self) -> int:
        """The number of all elements."""
        return sum(tensor.numel() for tensor in self.tensors)

    @property
    def not_finite(self) -> int:
        """How many elements are NaN or infinite."""
        return sum(int((~tensor.isfinite()).sum()) for tensor in self.tensors)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of each tensor."""
        return tuple(tuple(tensor.shape) for tensor in self.tensors)


@dataclass(frozen=True, slots=True)
class OutputComparison:
    """What comparing the outputs of two models says.

    `difference` is the largest absolute difference of two elements, and `tolerance` what counts as
    rounding; both are None if nothing was measured, and `reason` then says why. `agreeing` is the
    number of `images` whose most probable class is the same, None if the models do not classify.
    """

    verdict: Verdict
    reason: str = ""
    difference: float | None = None
    tolerance: float | None = None
    agreeing: int | None = None
    images: int = 0


def run_seeded(loaded: LoadedModel, inputs: RandomInputs) -> Outputs:
    """One forward pass in eval mode, without gradients. Raises LoadError if it fails."""
    try:
        with torch.inference_mode():
            output = loaded.model.eval()(*inputs.arguments)
    except Exception as error:  # a forward pass of another's code: whatever it raises is the cause
        cause = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise LoadError(
            f"{loaded.architecture.title} does not run on {inputs.what}: {cause}",
            "Run it in a program of your own.",
        ) from error
    return Outputs(tuple(output_tensors(output)), _scores(output))


def _scores(output: object) -> torch.Tensor | None:
    try:
        scores = logits_of(output, IMAGES)
    except LoadError:
        return None
    return scores if scores.shape[1] > 1 else None


def compare_outputs(source: Outputs, target: Outputs) -> OutputComparison:
    """Whether the outputs of two models on the same inputs are the same but for rounding."""
    if source.shapes != target.shapes:
        return OutputComparison("not compared", "their outputs have other shapes")
    if not source.numel:
        return OutputComparison("not compared", "their outputs are empty")
    if source.not_finite or target.not_finite:
        return OutputComparison("not compared", "their outputs are not all finite numbers")
    pairs = [(a.double(), b.double()) for a, b in zip(source.tensors, target.tensors, strict=True)]
    pairs = [(a, b) for a, b in pairs if a.numel()]
    # Each tensor has its own scale: a small one must not hide behind the rounding of a large one.
    worst = max(pairs, key=lambda pair: _difference(*pair) / (_largest(pair[0]) or 1.0))
    difference, tolerance = _difference(*worst), TOLERANCE * _largest(worst[0])
    agreeing = None
    if source.scores is not None and target.scores is not None:
        agreeing = int((source.scores.argmax(1) == target.scores.argmax(1)).sum())
    if difference > tolerance:
        return OutputComparison("other outputs", "", difference, tolerance, agreeing, IMAGES)
    if not any(_depends_on_the_image(tensor) for tensor, _ in pairs):
        return OutputComparison(
            "not compared",
            "the outputs hardly depend on the image, so this says little",
            difference,
            tolerance,
            agreeing,
            IMAGES,
        )
    return OutputComparison("same outputs", "", difference, tolerance, agreeing, IMAGES)


def _difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


def _largest(tensor: torch.Tensor) -> float:
    return float(tensor.abs().max())


def _depends_on_the_image(tensor: torch.Tensor) -> bool:
    """Whether the outputs of the two images differ clearly.

    A detector's outputs have no dimension of images: each image has tensors of its own.
    """
    if tensor.ndim < 2 or len(tensor) != IMAGES:
        return True
    return _difference(tensor[0], tensor[1]) > TELLS_APART * TOLERANCE * _largest(tensor)
