"""Pictures through a loaded model: the k most probable classes of each."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import torch
from PIL import Image
from torch import nn

from core.errors import ImageError, LoadError
from core.inputs import Preprocessing, prepare
from core.load import LoadedModel, forward
from core.predict.classifiers import HEADLESS, not_a_classifier, require_classifier

BATCH = 8
"""Pictures in one forward pass: bounds the memory, and how long a cancel waits."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A picture's classes by falling probability: `indices` and `probabilities` (0 to 1) have
    one entry each; `classes` is how many the model knows.

    `seconds` is the model's time, a batch's shared evenly over its pictures. `trouble` is a
    sentence where the picture could not be prepared or the model gave no usable numbers
    (`indices` is then empty); `untrained` says that a part of the model was never loaded, so
    that the numbers mean nothing.
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
    images: Iterable[tuple[str, Image.Image]],
    preprocessing: Preprocessing,
    k: int = 5,
    progress: Callable[[int, int, str], None] | None = None,
    *,
    batch: int = BATCH,
) -> tuple[Prediction, ...]:
    """Classify RGB pictures given as (name, image).

    `images` is read a batch at a time, so a generator keeps few of them in memory. `k` is cut to
    the number of classes. `progress(done, total, name)` is called before each batch and may
    raise to cancel. Raises LoadError where the model does not take the pictures or its output is
    no list of classes; a single picture that cannot be prepared gets its `trouble` instead.
    """
    require_classifier(loaded.architecture)
    if getattr(loaded.model, "num_classes", None) == 0:
        raise not_a_classifier(loaded.architecture, HEADLESS)
    total = operator.length_hint(images)
    untrained = bool(untrained_keys(loaded))
    predictions: list[Prediction] = []
    for part in _batches(images, batch):
        if progress:
            progress(len(predictions), total, part[0][0])
        prepared = [_prepared(image, preprocessing) for _, image in part]
        inputs = [each for each in prepared if isinstance(each, torch.Tensor)]
        started = time.perf_counter()
        rows = iter(run(loaded, torch.stack(inputs)).cpu() if inputs else ())
        seconds = (time.perf_counter() - started) / max(1, len(inputs))
        for (name, _), each in zip(part, prepared, strict=True):
            if isinstance(each, ImageError):
                predictions.append(Prediction(name, (), (), 0.0, str(each), untrained))
            else:
                predictions.append(_prediction(name, next(rows), k, seconds, untrained))
    if progress:
        progress(len(predictions), total, "")
    return tuple(predictions)


def _prepared(image: Image.Image, preprocessing: Preprocessing) -> torch.Tensor | ImageError:
    try:
        return prepare(image, preprocessing)
    except ImageError as error:
        return error


def _batches(
    images: Iterable[tuple[str, Image.Image]], batch: int
) -> Iterator[list[tuple[str, Image.Image]]]:
    rest = iter(images)
    while part := list(islice(rest, batch)):
        yield part


def run(loaded: LoadedModel, inputs: torch.Tensor) -> torch.Tensor:
    """Probabilities, float32 [N, classes] on the model's device, of inputs [N, C, H, W].

    Raises LoadError.
    """
    model = loaded.model.eval()
    inputs = inputs.to(loaded.device, _input_dtype(model))
    try:
        with torch.inference_mode():
            output = forward(model, inputs)
    except torch.OutOfMemoryError as error:
        raise LoadError(
            f"There is not enough memory on {loaded.device} for {len(inputs)} pictures at once.",
            "Free memory on the device, or load the model on the CPU.",
        ) from error
    except Exception as error:  # a forward pass of another's code: whatever it raises is the cause
        raise LoadError(
            f"The model does not take an input of shape {_shape(inputs)}: {_first_line(error)}",
            "Change the size in the preprocessing to what the model was built for; only models "
            "that take a batch of pictures can be run here.",
        ) from error
    return logits_of(output, len(inputs)).float().softmax(1)


def _input_dtype(model: nn.Module) -> torch.dtype:
    floating = (p.dtype for p in model.parameters() if p.dtype.is_floating_point)
    return next(floating, torch.float32)


LOGITS = ("logits", "out", "output", "pred", "prediction")
"""Names that models give to their main output, where they give several."""


def logits_of(output: object, batch: int) -> torch.Tensor:
    """The [N, classes] tensor in a model's output: itself, or the main one of a dict, a tuple,
    a namedtuple or an object with a field `logits`, as models with auxiliary heads give.

    Raises LoadError.
    """
    found = _main(output)
    if found is None or found.ndim != 2 or len(found) != batch:
        what = _describe(output)
        raise LoadError(
            f"The model's output is no list of classes: it gives {what}.",
            "Charts of the most probable classes are for classifiers, which give one row of "
            "numbers a picture: run this model in a program of your own.",
        )
    return found


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
        return f"a tensor of shape {_shape(output)}"
    if isinstance(output, Mapping):
        return f"a dict of {', '.join(map(str, output)) or 'nothing'}"
    if isinstance(output, list | tuple) and output:
        return f"a {type(output).__name__} that begins with {_describe(output[0])}"
    return f"a {type(output).__name__}"


def _shape(tensor: torch.Tensor) -> str:
    return " × ".join(map(str, tensor.shape))


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
            "The model's output is not a number (NaN): its weights hold NaN or infinite values, "
            "or overflow in this dtype."
        )
    return Prediction(name, indices, probabilities, seconds, trouble, untrained, len(row))


def untrained_keys(loaded: LoadedModel) -> tuple[str, ...]:
    """The model's tensors that still have their initial values and should not: all that were not
    loaded, but for batch counters, which prediction never reads, and buffers that the model
    computes."""
    fine = frozenset(loaded.match.benign)
    return tuple(key for key in loaded.initialised if key not in fine)
