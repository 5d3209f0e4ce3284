"""Classifies images with a loaded model: the k most probable classes of each image."""

from __future__ import annotations

import operator
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

import torch
from PIL import Image
from torch import nn

from core.errors import ImageError, LoadError
from core.inputs import Preprocessing, prepare
from core.load import LoadedModel, forward
from core.predict.classifiers import HEADLESS, not_a_classifier, require_classifier
from core.progress import Report, ignore
from core.wording import shape as shape_words

BATCH = 8
"""Images in one forward pass: this bounds the memory, and how long a cancel waits."""

UNTRAINED = "Part of this model keeps its initial values, so its outputs mean nothing."
"""What a person must know of an `untrained` prediction."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """An image's most probable classes, the most probable first.

    `indices` and `probabilities` (0 to 1) have one item for each class shown; `classes` is the
    number of all classes. `seconds` is the time of the forward pass, a batch's divided by its
    images. `trouble` is a sentence if the image could not be prepared, or the output is not finite;
    `indices` is then empty. `untrained`: a part of the model was never loaded, so the numbers mean
    nothing.
    """

    name: str
    indices: tuple[int, ...]
    probabilities: tuple[float, ...]
    seconds: float
    trouble: str = ""
    untrained: bool = False
    classes: int = 0


def predict(
    loaded: LoadedModel,
    images: Iterable[tuple[str, Image.Image | ImageError]],
    preprocessing: Preprocessing,
    k: int = 5,
    progress: Report = ignore,
    *,
    batch: int = BATCH,
) -> tuple[Prediction, ...]:
    """Classify RGB images, given as (name, image).

    Each image is prepared before the next one is asked for, so a generator keeps one of them in
    memory. An error in its place becomes the prediction's `trouble`, as does one in preparing it.
    `k` is at most the number of classes. `progress(done, total, name)` is called before each batch,
    and may raise to cancel. Raises LoadError if the model cannot take the images, or its output is
    not one score for each class.
    """
    require_classifier(loaded.architecture)
    if getattr(loaded.model, "num_classes", None) == 0:
        raise not_a_classifier(loaded.architecture, HEADLESS)
    total = operator.length_hint(images)
    untrained = bool(untrained_keys(loaded))
    predictions: list[Prediction] = []
    prepared = ((name, _prepared(image, preprocessing)) for name, image in images)
    while part := list(islice(prepared, batch)):
        progress(len(predictions), total, part[0][0])
        inputs = [values for _, values in part if isinstance(values, torch.Tensor)]
        started = time.perf_counter()
        rows = iter(run(loaded, torch.stack(inputs)).cpu() if inputs else ())
        seconds = (time.perf_counter() - started) / max(1, len(inputs))
        for name, values in part:
            if isinstance(values, ImageError):
                predictions.append(Prediction(name, (), (), 0.0, str(values), untrained))
            else:
                predictions.append(_prediction(name, next(rows), k, seconds, untrained))
    progress(len(predictions), total, "")
    return tuple(predictions)


def _prepared(
    image: Image.Image | ImageError, preprocessing: Preprocessing
) -> torch.Tensor | ImageError:
    if isinstance(image, ImageError):
        return image
    try:
        return prepare(image, preprocessing)
    except ImageError as error:
        return error


def run(loaded: LoadedModel, inputs: torch.Tensor) -> torch.Tensor:
    """The probabilities of inputs [N, C, H, W]: float32 [N, classes] on the model's device.

    Raises LoadError.
    """
    model = loaded.model.eval()
    inputs = inputs.to(loaded.device, _input_dtype(model))
    try:
        with torch.inference_mode():
            output = forward(model, inputs)
    except torch.OutOfMemoryError as error:
        raise LoadError(
            f"There is not enough memory on {loaded.device} for {len(inputs)} images at once.",
            "Free memory on the device, or load the model on the CPU.",
        ) from error
    except Exception as error:  # a forward pass of another's code: whatever it raises is the cause
        raise LoadError(
            f"The model does not take an input of shape {shape_words(inputs.shape)}: "
            f"{_first_line(error)}",
            "Change the size in the preprocessing to what the model was built for; only models "
            "that take a batch of images can be run here.",
        ) from error
    return logits_of(output, len(inputs)).float().softmax(1)


def _input_dtype(model: nn.Module) -> torch.dtype:
    floating = (p.dtype for p in model.parameters() if p.dtype.is_floating_point)
    return next(floating, torch.float32)


LOGITS = ("logits", "out", "output", "pred", "prediction")
"""Names of the main output in models that return several."""


def logits_of(output: object, batch: int) -> torch.Tensor:
    """The tensor [N, classes] in a model's output, for `batch` images (N).

    The output is that tensor itself, or a dict, a tuple, a namedtuple or an object with a field
    `logits`, as models with auxiliary heads return. Raises LoadError.
    """
    logits = _main(output)
    if logits is None or logits.ndim != 2 or len(logits) != batch:
        what = _describe(output)
        raise LoadError(
            f"The model's output is not one score for each class: it returns {what}.",
            "Charts of the most probable classes are for classifiers, which return one row of "
            "numbers for each image: run this model in a program of your own.",
        )
    return logits


def _main(output: object) -> torch.Tensor | None:
    if isinstance(output, torch.Tensor):
        return output
    for name in LOGITS:
        part = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if isinstance(part, torch.Tensor):
            return part
    if isinstance(output, list | tuple) and output and isinstance(output[0], torch.Tensor):
        return output[0]
    return None


def _describe(output: object) -> str:
    if isinstance(output, torch.Tensor):
        return f"a tensor of shape {shape_words(output.shape)}"
    if isinstance(output, Mapping):
        return f"a dict of {', '.join(map(str, output)) or 'nothing'}"
    if isinstance(output, list | tuple) and output:
        return f"a {type(output).__name__} that begins with {_describe(output[0])}"
    return f"a {type(output).__name__}"


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".") + "."


def _prediction(
    name: str, row: torch.Tensor, k: int, seconds: float, untrained: bool
) -> Prediction:
    trouble, indices, probabilities = "", (), ()
    if row.isfinite().all():
        top = row.topk(min(k, len(row)))
        indices, probabilities = tuple(top.indices.tolist()), tuple(top.values.tolist())
    else:
        trouble = (
            "The model's output is not a number (NaN): its weights contain NaN or infinite values, "
            "or overflow in this dtype."
        )
    return Prediction(name, indices, probabilities, seconds, trouble, untrained, len(row))


def untrained_keys(loaded: LoadedModel) -> tuple[str, ...]:
    """The keys of tensors that should have been loaded and still have their initial values.

    Batch counters, which inference does not read, and buffers that the model computes are not
    among them.
    """
    benign = frozenset(loaded.match.benign)
    return tuple(key for key in loaded.initialised if key not in benign)
