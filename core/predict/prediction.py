"""Runs a loaded model on images: the k most probable classes of each, or what else it answers."""

from __future__ import annotations

import operator
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import torch
from PIL import Image
from torch import nn

from core.errors import ImageError, LoadError
from core.inputs import Preprocessing
from core.load import LoadedModel, forward, is_out_of_memory, parameter_dtype
from core.predict.answers import (
    NAMED,
    WITH_CLASSES,
    AnswerKind,
    HeadAnswer,
    OutputHead,
    OutputReading,
    ScoredRow,
    ToldOutputs,
    answers_of,
    read_output,
    scored_rows,
    settled,
    told_outputs,
)
from core.predict.image_models import require_image_model
from core.predict.whole_image import prepare_image
from core.progress import Report, ignore
from core.wording import counted
from core.wording import shape as shape_words

BATCH = 8
"""Images in one forward pass: this bounds the memory, and how long a cancel waits."""

UNTRAINED = "Part of this model keeps its initial values, so its outputs mean nothing."
"""What a person must know of an `untrained` prediction."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of an image: its most probable classes, or another kind of answer.

    `indices` and `probabilities` (0 to 1) have one item for each class shown, the most probable
    first; `classes` is the number of all classes. They are empty and 0 where the answer is of a
    kind without classes. `seconds` is the time of the forward pass, a batch's divided by its
    images. `trouble` is a sentence if the image could not be prepared, or the output is not finite;
    `indices` is then empty. `untrained`: a part of the model was never loaded, so the numbers mean
    nothing. `heads` are the answers of all the model's heads, the main one first; `chosen` is the
    place of the one that is told here. An image that was not run has none. `fed` is the (height,
    width) of what the model was fed of it.
    """

    name: str
    indices: tuple[int, ...]
    probabilities: tuple[float, ...]
    seconds: float
    trouble: str = ""
    untrained: bool = False
    classes: int = 0
    heads: tuple[HeadAnswer, ...] = field(default=(), compare=False)
    chosen: int = 0
    fed: tuple[int, int] = (0, 0)

    @property
    def answer(self) -> HeadAnswer | None:
        """The answer of the chosen head; None if the image was not run."""
        return self.heads[self.chosen] if self.heads else None

    @property
    def head(self) -> str:
        """The name of the chosen head; empty if it is the only one."""
        return "" if self.answer is None else self.answer.name

    @property
    def kind(self) -> AnswerKind:
        """The kind of the answer."""
        answer = self.answer
        return answer.kind if answer is not None else "classes"

    def of_head(self, name: str) -> Prediction:
        """The prediction as another of the model's heads has it; the same if there is none of that
        name."""
        places = [place for place, head in enumerate(self.heads) if head.name == name]
        return _told(replace(self, chosen=places[0])) if places else self


def predict(
    loaded: LoadedModel,
    images: Iterable[tuple[str, Image.Image | ImageError]],
    preprocessing: Preprocessing,
    k: int = 5,
    progress: Report = ignore,
    *,
    batch: int = BATCH,
    told: ToldOutputs | None = None,
    kinds: Mapping[str, AnswerKind] | None = None,
) -> tuple[Prediction, ...]:
    """Run a model on RGB images, given as (name, image).

    Each image is prepared before the next one is asked for, so a generator keeps one of them in
    memory. An error in its place becomes the prediction's `trouble`, as does one in preparing it.
    `k` is at most the number of classes. `progress(done, total, name)` is called before each batch,
    and may raise to cancel. `told` is what is known of the outputs, by default what the library
    says; `kinds` are the kinds that a person chose for heads, by the head's name, that of the main
    one by an empty name. Raises LoadError if the model cannot take the images, or its output is not
    of such a kind.
    """
    require_image_model(loaded.architecture)
    if told is None:
        told = told_outputs(loaded.architecture, loaded.model)
    total = operator.length_hint(images)
    untrained = bool(untrained_keys(loaded))
    read = _Read(loaded, told, kinds or {}, k)
    predictions: list[Prediction] = []
    prepared = ((name, _prepared(image, preprocessing)) for name, image in images)
    while part := list(islice(prepared, batch)):
        progress(len(predictions), total, part[0][0])
        inputs = [values for _, values in part if isinstance(values, torch.Tensor)]
        started = time.perf_counter()
        read.run(inputs)
        seconds = (time.perf_counter() - started) / max(1, len(inputs))
        for name, values in part:
            if isinstance(values, ImageError):
                predictions.append(Prediction(name, (), (), 0.0, str(values), untrained))
            else:
                fed = (values.shape[-2], values.shape[-1])
                predictions.append(Prediction(name, (), (), seconds, "", untrained, fed=fed))
    progress(len(predictions), total, "")
    heads = iter(read.answers())
    return tuple(
        each if each.trouble else _told(replace(each, heads=next(heads))) for each in predictions
    )


def _prepared(
    image: Image.Image | ImageError, preprocessing: Preprocessing
) -> torch.Tensor | ImageError:
    if isinstance(image, ImageError):
        return image
    try:
        return prepare_image(image, preprocessing)
    except ImageError as error:
        return error


def _told(prediction: Prediction) -> Prediction:
    """The prediction with what the chosen head says."""
    answer = prediction.answer
    assert answer is not None
    row = answer.value if isinstance(answer.value, ScoredRow) else ScoredRow((), ())
    outputs = answer.outputs if answer.kind in WITH_CLASSES else 0
    return replace(
        prediction,
        indices=row.indices,
        probabilities=row.probabilities,
        trouble=answer.trouble,
        classes=outputs,
    )


class _Read:
    """Runs a model on batches, and reads its outputs into the answers to each image.

    The values of one batch may look like probabilities where those of another do not: what the
    values say is settled in the end, so heads that were read by their values are kept until then.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        told: ToldOutputs,
        kinds: Mapping[str, AnswerKind],
        k: int,
    ) -> None:
        self._loaded, self._told, self._kinds, self._k = loaded, told, kinds, k
        self._heads: list[Sequence[OutputHead | Sequence[HeadAnswer]]] = []
        self._final: dict[str, OutputHead] = {}
        self._one_by_one = takes_a_list(loaded.model)

    def run(self, inputs: Sequence[torch.Tensor]) -> None:
        """Run the model on images; those of different sizes one by one."""
        for part in same_size_batches(inputs, alone=self._one_by_one):
            reading = self._reading(part)
            if len(part) > 1 and any(head.kind == "tree" for head in reading.heads):
                self._one_by_one = True  # a tree tells of one image
                for each in part:
                    self._keep(self._reading([each]))
            else:
                self._keep(reading)

    def _reading(self, part: Sequence[torch.Tensor]) -> OutputReading:
        output = forward_pass(self._loaded, part)
        return read_output(output, part, self._told, self._kinds)

    def _keep(self, reading: OutputReading) -> None:
        kept: list[OutputHead | Sequence[HeadAnswer]] = []
        for head in reading.heads:
            known = self._final.get(head.name)
            self._final[head.name] = head if known is None else settled((known, head))
            kept.append(head if head.rank else answers_of(head, self._k))
        self._heads.append(kept)

    def answers(self) -> Iterator[tuple[HeadAnswer, ...]]:
        """The heads' answers to each image, in the order of the images."""
        for kept in self._heads:
            yield from zip(*(self._settled(each) for each in kept), strict=True)

    def _settled(self, kept: OutputHead | Sequence[HeadAnswer]) -> Sequence[HeadAnswer]:
        if not isinstance(kept, OutputHead):
            return kept
        final = self._final[kept.name]
        return answers_of(replace(final, values=kept.values), self._k)


def same_size_batches(
    inputs: Sequence[torch.Tensor], *, alone: bool = False
) -> Iterator[Sequence[torch.Tensor]]:
    """The images that one forward pass takes: all, or each by itself if their sizes differ."""
    if alone or len({values.shape for values in inputs}) > 1:
        yield from ([each] for each in inputs)
    elif inputs:
        yield inputs


def takes_a_list(model: nn.Module) -> bool:
    """Whether a model takes a list of images of different sizes, as torchvision's detectors do."""
    return type(model).__module__.startswith("torchvision.models.detection.")


def run(
    loaded: LoadedModel,
    inputs: torch.Tensor,
    told: ToldOutputs | None = None,
    kinds: Mapping[str, AnswerKind] | None = None,
    head: str = "",
) -> tuple[torch.Tensor, AnswerKind]:
    """The probabilities of inputs [N, C, H, W], float32 [N, classes] on the CPU, and the kind of
    the answer.

    They are those of a head by its name, by default of the main one. Raises LoadError, also if that
    does not say one number from 0 to 1 for each of several classes.
    """
    told = told_outputs(loaded.architecture, loaded.model) if told is None else told
    reading = read_output(forward_pass(loaded, inputs), inputs, told, kinds)
    chosen = next((each for each in reading.heads if each.name == head), reading.main)
    if chosen.kind not in NAMED:
        raise LoadError(
            f"The model's answer has no classes to compare: it is read as {chosen.kind}.",
            "The usual mistakes are tried on models that name classes or labels.",
        )
    return scored_rows(chosen), chosen.kind


class TooLargeBatch(LoadError):
    """The memory of the device does not suffice for so many images in one forward pass."""


def forward_pass(loaded: LoadedModel, images: Sequence[torch.Tensor] | torch.Tensor) -> object:
    """What the model returns for images, in eval mode and without gradients.

    Raises LoadError, which is a TooLargeBatch if fewer images may fit.
    """
    model = loaded.model.eval()
    dtype = parameter_dtype(model)
    try:
        with torch.inference_mode():
            if takes_a_list(model):
                return model([each.to(loaded.device, dtype) for each in images])
            batch = images if isinstance(images, torch.Tensor) else torch.stack(list(images))
            return forward(model, batch.to(loaded.device, dtype))
    except Exception as error:  # a forward pass of another's code: whatever it raises is the cause
        if is_out_of_memory(error):
            raise TooLargeBatch(
                f"There is not enough memory on {loaded.device} for "
                f"{counted(len(images), 'image')} at once.",
                "Free memory on the device, or load the model on another one.",
            ) from error
        shape = (len(images), *images[0].shape)
        raise LoadError(
            f"The model does not take an input of shape {shape_words(shape)}: {_first_line(error)}",
            "Change the size in the preprocessing to what the model was built for; only models "
            "that take a batch of images can be run here.",
        ) from error


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".") + "."


def untrained_keys(loaded: LoadedModel) -> tuple[str, ...]:
    """The keys of tensors that should have been loaded and still have their initial values.

    Batch counters, which inference does not read, and buffers that the model computes are not
    among them.
    """
    benign = frozenset(loaded.match.benign)
    return tuple(key for key in loaded.initialised if key not in benign)
