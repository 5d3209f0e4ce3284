"""Reads what a model returns for some images: which kind of answer each part of it is, and why."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from core.errors import LoadError
from core.predict.answers.answer_kinds import AnswerKind
from core.predict.answers.found_objects import FoundObjects, found_objects, is_of_objects
from core.predict.answers.output_parts import (
    OutputPart,
    dense,
    described_output,
    main_part,
    output_parts,
)
from core.predict.answers.told_outputs import ToldOutputs
from core.wording import count, counted, listed
from core.wording import shape as shape_words

EMBEDDING_NAMES = re.compile(
    r"(?:^|\.)(?:embeddings?|image_embeds?|pooler_output|pooled|features?)$"
)
"""Names of an output that is an embedding: transformers' CLIP and its encoders without a head."""

LEAST_VALUES = 3
"""Values between 0 and 1 that show that a model ends in a sigmoid: one or two may be by chance."""

SOFTMAX_ROUNDING = 1e-5
"""How far the sum of a float32 softmax over thousands of numbers may be from 1. A number of fewer
digits is rounded by a share of itself, so that the sum is off by no more than that share."""

MOST_CLASSES = 65_536
"""Whole numbers of pixels are classes up to this: none has more."""

FACTORS = {2: "half", 4: "a quarter of", 8: "an eighth of", 16: "a sixteenth of"}
"""How many times smaller than the image a map of its pixels may be; features are smaller."""

OTHERS = "other tensors"
"""The name of the head that stands for the parts which are no answers by themselves."""

Images = torch.Tensor | Sequence[torch.Tensor]
"""What the model was fed: a batch, or images of different sizes."""


@dataclass(frozen=True, slots=True, eq=False)
class OutputHead:
    """One part of a model's output, as the answer that it is.

    `name` is empty if it is the whole output. `evidence` is a sentence that says which check stands
    behind `kind`. `values` are on the CPU: the numbers of each image (classes, probabilities,
    labels, score, embedding), a class index or a value for each pixel, the objects of each image,
    or every tensor by its name. `outputs` is the number of a row's numbers, or of the classes that
    a pixel may have. `activated`: the numbers are already from 0 to 1 and get no sigmoid.

    `rank`: heads that were read from the values of two batches may differ; the lower one is then
    right for both. It is 0 for what other batches cannot change.
    """

    name: str
    kind: AnswerKind
    evidence: str
    values: torch.Tensor | tuple[FoundObjects, ...] | Mapping[str, object]
    outputs: int = 0
    activated: bool = False
    rank: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class OutputReading:
    """All heads of an output, the main one first."""

    heads: tuple[OutputHead, ...]

    @property
    def main(self) -> OutputHead:
        """The head that is the model's answer."""
        return self.heads[0]


def read_output(
    output: object,
    images: Images,
    told: ToldOutputs,
    kinds: Mapping[str, AnswerKind] | None = None,
) -> OutputReading:
    """What a model returned for these images, as the kinds of answers that its parts are.

    No output is an error: what cannot be read is a `tree`. `kinds` are those that a person chose,
    by the name of the head; that of the main head may be named by an empty text too. Raises
    LoadError if the tensors do not allow them.
    """
    chosen = dict(kinds or {})
    if is_of_objects(output, len(images)):
        asked = chosen.pop("", None)
        if asked not in (None, "boxes", "tree"):
            raise _impossible(asked, output, ("boxes", "tree"))
        if asked is None or asked == "boxes":
            return OutputReading((_objects(output, told),))
        return OutputReading((_tree("", output_parts(output), output, chosen=True),))
    parts, main = output_parts(output), main_part(output)
    heads: list[OutputHead] = []
    others: list[OutputPart] = []
    for part in _main_first(parts, main.name if main is not None else None):
        asked = chosen.pop(part.name, None)
        if "" in chosen and not heads and _head(part, images, told, None) is not None:
            asked = chosen.pop("")
        head = _head(part, images, told, asked)
        if head is None:
            others.append(part)
        else:
            heads.append(head)
    if others or not heads:
        asked = chosen.pop("", None) if not heads else chosen.pop(OTHERS, None)
        if asked not in (None, "tree"):
            raise _impossible(asked, output, ("tree",))
        heads.append(_tree(OTHERS if heads else "", others, output))
    if chosen:
        names = listed([head.name for head in heads if head.name], 12) or "none with a name"
        raise LoadError(
            f"The model's output has no head called {next(iter(chosen))}.",
            f"Its heads are: {names}.",
        )
    return OutputReading(tuple(heads))


def no_head(name: str, names: Sequence[str]) -> LoadError:
    """The error for a head that is not among those of these names."""
    named = listed([each for each in names if each], 12)
    return LoadError(
        f"The model's output has no head called {name[:80]!r}.",
        f"Its heads are: {named}." if named else "It has one answer.",
    )


def _main_first(parts: Sequence[OutputPart], main: str | None) -> Iterator[OutputPart]:
    yield from (part for part in parts if part.name == main)
    yield from (part for part in parts if part.name != main)


def _head(
    part: OutputPart, images: Images, told: ToldOutputs, asked: AnswerKind | None
) -> OutputHead | None:
    """The head that a part is; None if it is no answer by itself."""
    values = part.value
    if isinstance(values, torch.Tensor) and asked == "tree":
        return _tree(part.name, [part], values, chosen=True)
    values = dense(values) if isinstance(values, torch.Tensor) else None
    if values is None:
        return None if asked is None else _refuse(asked, part.value)
    number, edges = len(images), (images[0].shape[-2], images[0].shape[-1])
    if values.ndim == 4 and tuple(values.shape[2:]) == (1, 1):
        values = values.flatten(1)
    if values.ndim and len(values) == number and not values.is_complex():
        of_rows = values.ndim == 1 or (values.ndim == 2 and values.shape[1] > 0)
        if of_rows and values.is_floating_point():
            return _rows(part.name, values.reshape(number, -1), told, asked)
        if values.ndim in (3, 4) and 0 not in values.shape:
            return _of_pixels(part.name, values, edges, told, asked)
    return None if asked is None else _refuse(asked, values)


def _rows(
    name: str, values: torch.Tensor, told: ToldOutputs, asked: AnswerKind | None
) -> OutputHead:
    """The head of one row of numbers for each image."""
    rounding = max(SOFTMAX_ROUNDING, 4 * torch.finfo(values.dtype).eps)
    values = values.detach().to("cpu", torch.float32)
    outputs = values.shape[1]
    finite = values[values.isfinite().all(1)]
    in_range = bool(((finite >= 0) & (finite <= 1)).all())
    activated = in_range and finite.numel() >= LEAST_VALUES and bool((finite != finite[0, 0]).any())
    head = OutputHead(name, "classes", "", values, outputs)
    if outputs == 1:
        return _score(head, finite, activated, asked)
    sums = finite.double().sum(1)
    to_one = in_range and len(finite) > 0 and bool(((sums - 1).abs() <= rounding).all())
    if asked is not None:
        return _asked_rows(head, asked, activated=activated, to_one=to_one)
    if told.embedding or EMBEDDING_NAMES.search(name):
        said = told.embedding or f"The output is called {name}."
        return replace(head, kind="embedding", evidence=said)
    if told.multi_label:
        return _labels(head, told.multi_label, activated)
    row = f"One row of {count(outputs)} numbers for each image"
    if not len(finite):
        return replace(head, evidence=f"{row}, with NaN or infinities in each.", rank=3)
    if to_one:
        said = f"{row}, none below 0, which sum to 1: no second softmax is applied."
        return replace(head, kind="probabilities", evidence=said, activated=True, rank=2)
    if activated:
        said = f"{row}, all between 0 and 1, which do not sum to 1: no second sigmoid is applied."
        return replace(head, kind="labels", evidence=said, activated=True, rank=1)
    return replace(head, evidence=f"{row}, which are no probabilities yet: a softmax is applied.")


def _score(
    head: OutputHead, finite: torch.Tensor, activated: bool, asked: AnswerKind | None
) -> OutputHead:
    if asked not in (None, "score"):
        raise _impossible(asked, head.values, ("score", "tree"))
    said = "One number for each image"
    if not len(finite):
        said += ", which is NaN or infinite."
    elif activated:
        said += ", all between 0 and 1: no sigmoid is applied."
    else:
        said += ", whose meaning nothing states: its sigmoid is shown as a score, and the number."
    rank = 3 if not len(finite) else 1 if activated else 0
    return replace(head, kind="score", evidence=said, activated=activated, rank=rank)


def _labels(head: OutputHead, said: str, activated: bool) -> OutputHead:
    if activated:
        said = f"{said} All numbers are between 0 and 1: no second sigmoid is applied."
    return replace(
        head, kind="labels", evidence=said, activated=activated, rank=1 if activated else 0
    )


def _asked_rows(
    head: OutputHead, asked: AnswerKind, *, activated: bool, to_one: bool
) -> OutputHead:
    if asked == "probabilities" and not to_one:
        raise LoadError(
            "The model's output cannot be read as probabilities: its rows do not sum to 1, or have "
            "numbers below 0.",
            "Read it as classes, which applies a softmax, or as labels.",
        )
    if asked == "labels":
        return _labels(head, CHOSEN, activated)
    if asked not in ("classes", "probabilities", "embedding"):
        possible = ("classes", "probabilities", "labels", "embedding", "tree")
        raise _impossible(asked, head.values, possible)
    return replace(head, kind=asked, evidence=CHOSEN, activated=asked == "probabilities")


CHOSEN = "Chosen by hand."

NO_CLASS = -1
"""In place of the class of a pixel that has NaN among its numbers."""


def _of_pixels(
    name: str,
    values: torch.Tensor,
    edges: tuple[int, int],
    told: ToldOutputs,
    asked: AnswerKind | None,
) -> OutputHead | None:
    """The head of a map [N, H, W] or [N, C, H, W] over the image's pixels."""
    of_whole = not values.is_floating_point()
    channels = values.shape[1] if values.ndim == 4 else 1
    where = _where(values.shape[-2:], edges)
    if asked is None and (where is None or told.embedding):
        return None
    if asked not in (None, "pixels", "map"):
        raise _impossible(asked, values, ("pixels", *(("map",) if channels == 1 else ()), "tree"))
    if asked == "map" and channels > 1:
        raise _impossible(asked, values, ("pixels", "tree"))
    what = f"A map of {shape_words(values.shape[-2:])} for each image{where or ''}"
    if channels == 1 and (asked == "map" or (asked is None and not of_whole)):
        said = CHOSEN if asked else f"{what}, with one value for each pixel."
        flat = values.reshape(len(values), *values.shape[-2:])
        return OutputHead(name, "map", said, flat.detach().to("cpu", torch.float32))
    if of_whole:
        if values.ndim == 4 and channels > 1:
            return None if asked is None else _refuse(asked, values)
        indices = values.reshape(len(values), *values.shape[-2:]).cpu().long()
        smallest, largest = (int(each) for each in indices.aminmax())
        if smallest < 0 or largest >= MOST_CLASSES:
            return None if asked is None else _refuse(asked, values)
        outputs = largest + 1
        said = CHOSEN if asked else f"{what}, with one whole number for each pixel: its class."
    elif channels == 1:
        flat = values.reshape(len(values), *values.shape[-2:]).detach()
        least = 0.5 if bool(((flat >= 0) & (flat <= 1)).all()) else 0.0
        indices, outputs = (flat > least).cpu().long(), 2
        said = f"{CHOSEN} A pixel is of class 1 where its value is above {least:g}."
    else:
        # On the device, since the scores of all classes are many times larger than the classes.
        indices, outputs = values.detach().argmax(1).cpu(), channels
        indices[values.isnan().any(1).cpu()] = NO_CLASS
        numbers = f"{counted(channels, 'number')} for each pixel"
        said = f"{what}, with {numbers}: the largest is its class."
        if not told.pixels:
            said = f"{what}, with {numbers}. The largest is taken for its class, which nothing "
            said += "states: it may be an image, or features."
        said = CHOSEN if asked else said
    small = indices.to(torch.int16 if outputs < 256 else torch.int32)
    return OutputHead(name, "pixels", said, small, outputs)


def _where(size: Sequence[int], edges: tuple[int, int]) -> str | None:
    """How large a map is beside the image, in words; None if it is no map of its pixels."""
    if min(size) < 2:
        return None
    if tuple(size) == edges:
        return ", as large as what it was fed"
    for factor, part in FACTORS.items():
        if all(
            have in (edge // factor, -(-edge // factor))
            for have, edge in zip(size, edges, strict=True)
        ):
            return f", with {part} the edges of what it was fed"
    return None


def _objects(output: object, told: ToldOutputs) -> OutputHead:
    objects = found_objects(output)
    parts = [
        noun
        for noun, have in (
            ("boxes", True),
            ("masks", any(each.masks for each in objects)),
            ("keypoints", any(each.keypoints is not None for each in objects)),
        )
        if have
    ]
    said = f"A dict for each image, with {listed(parts)}, as torchvision's detectors return them."
    largest = max((int(each.labels.max()) for each in objects if len(each.labels)), default=-1)
    return OutputHead("", "boxes", said, objects, max(told.objects, largest + 1))


def _tree(
    name: str, parts: Sequence[OutputPart], output: object, *, chosen: bool = False
) -> OutputHead:
    said = "No part of it is a row of floating-point numbers or a map of pixels for each image: "
    said += f"it is {described_output(output)}."
    if name == OTHERS:
        said = "They have no row of numbers and no map of pixels for each image."
    said = CHOSEN if chosen else said
    return OutputHead(name, "tree", said, {part.name: part.value for part in parts})


def _refuse(asked: AnswerKind, value: object) -> OutputHead:
    raise _impossible(asked, value, ("tree",))


def _impossible(asked: AnswerKind | None, value: object, possible: Sequence[str]) -> LoadError:
    return LoadError(
        f"The model's output cannot be read as {asked}: it is {described_output(value)}.",
        f"It can be read as {listed(list(possible), len(possible))}.",
    )
