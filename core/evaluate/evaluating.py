"""Runs a classifier on labelled images, in bounded memory: `evaluate`."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import Literal, cast

import numpy as np
import torch
from PIL import Image

from core.errors import ImageError, LabelsError, LoadError
from core.evaluate.calibration_sums import CalibrationSums
from core.evaluate.evaluation import Evaluation, Unanswered
from core.evaluate.image_sets import LabelledImage
from core.evaluate.meant_classes import MeantClasses
from core.images import image_workers
from core.inputs import Preprocessing
from core.load import LoadedModel
from core.predict import (
    TooLargeBatch,
    forward_pass,
    prepare_image,
    require_image_model,
    same_size_batches,
    untrained_keys,
)
from core.predict.answers import (
    EXCLUSIVE,
    NOT_A_NUMBER,
    AnswerKind,
    OutputHead,
    ToldOutputs,
    no_head,
    read_output,
    scored_rows,
    settled,
    told_outputs,
)
from core.progress import Report, ignore
from core.wording import counted, listed

BATCH = 32
"""Images in one forward pass, unless the memory suffices for fewer."""

THREADS = min(8, (os.cpu_count() or 1) + 1)
"""Threads that read and prepare images; the decoding itself is done by processes."""

MOST_NAMED = 20
"""Images without an answer that are named."""

ENOUGH_ROWS = 8
"""Images after which the values of an output say surely that they are no classes."""

TOP = 5


def evaluate(
    loaded: LoadedModel,
    images: Sequence[LabelledImage],
    meant: MeantClasses,
    preprocessing: Preprocessing,
    progress: Report = ignore,
    *,
    batch: int = BATCH,
    told: ToldOutputs | None = None,
    kinds: Mapping[str, AnswerKind] | None = None,
    head: str = "",
) -> Evaluation:
    """How right a classifier is on labelled images, of which `meant` says the classes.

    Images whose label is no class are not read. Threads prepare images ahead of the model, at most
    two batches of them; of what was run, eight bytes an image and sums are kept. If the memory does
    not suffice for a batch, it is halved. `progress(done, total, name)` is called before each
    batch, and may raise to cancel. `told`, `kinds` and `head` are as for `core.predict.predict`.
    Raises LoadError if the model cannot take the images or does not answer with one class,
    LabelsError if no label is a class, and ImageError if no image can be read.
    """
    require_image_model(loaded.architecture)
    told = told_outputs(loaded.architecture, loaded.model) if told is None else told
    truths = np.array([meant.indices.get(each.label, -1) for each in images], np.int32)
    places = np.flatnonzero(truths >= 0).tolist()
    if not places:
        raise LabelsError(
            f"None of the labels is a class of the model: {listed([*meant.unmapped], 6)}.",
            meant.note or "Call the labels as the model calls its classes, or give it their names.",
        )
    started = time.perf_counter()
    run = _Run(loaded, told, kinds or {}, head, batch, len(images))
    done = 0
    with closing(_prepared(images, places, preprocessing, batch)) as prepared:
        while part := list(islice(prepared, run.batch)):
            progress(done, len(places), images[part[0][0]].name)
            run.add(part, images, truths)
            done += len(part)
    progress(done, len(places), "")
    return run.evaluation(truths, time.perf_counter() - started)


def class_count(
    loaded: LoadedModel,
    preprocessing: Preprocessing,
    *,
    told: ToldOutputs | None = None,
    kinds: Mapping[str, AnswerKind] | None = None,
    head: str = "",
) -> int:
    """How many classes a classifier tells apart, by what it answers to a grey image.

    Raises LoadError if it is sure that the model does not answer with one class of several.
    """
    require_image_model(loaded.architecture)
    told = told_outputs(loaded.architecture, loaded.model) if told is None else told
    grey = prepare_image(Image.new("RGB", (256, 256), (128, 128, 128)), preprocessing)
    found = _head(loaded, [grey], told, kinds or {}, head)
    by_values_alone = found.kind == "labels" and found.rank > 0 and not told.multi_label
    if not by_values_alone:
        _require_classes(found)
    return found.outputs


def _head(
    loaded: LoadedModel,
    inputs: Sequence[torch.Tensor],
    told: ToldOutputs,
    kinds: Mapping[str, AnswerKind],
    name: str,
) -> OutputHead:
    """The head of that name, or the main one, as it is read for a batch. Raises LoadError."""
    reading = read_output(forward_pass(loaded, inputs), inputs, told, kinds)
    if not name:
        return reading.main
    found = next((each for each in reading.heads if each.name == name), None)
    if found is None:
        raise no_head(name, [each.name for each in reading.heads])
    return found


def _require_classes(head: OutputHead) -> None:
    if head.kind not in EXCLUSIVE:
        raise LoadError(
            f"The model does not answer with one class of several: it is read as {head.kind}. "
            f"{head.evidence}",
            "Only classifiers can be evaluated on labelled images. If it is one, read it as "
            "classes or as probabilities.",
        )


def _prepared(
    images: Sequence[LabelledImage], places: Sequence[int], preprocessing: Preprocessing, batch: int
) -> Generator[tuple[int, torch.Tensor | ImageError]]:
    """The tensors of images, in the order of `places`, each with its place; at most two batches are
    prepared ahead."""

    def prepare(place: int) -> torch.Tensor | ImageError:
        try:
            data = images[place].read()
            with image_workers().decoded(data, images[place].name) as decoded:
                return prepare_image(decoded.image, preprocessing)
        except ImageError as error:
            return error

    waiting: deque[tuple[int, Future[torch.Tensor | ImageError]]] = deque()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="evaluate") as threads:
        try:
            for place in places:
                waiting.append((place, threads.submit(prepare, place)))
                if len(waiting) >= 2 * batch:
                    first, ready = waiting.popleft()
                    yield first, ready.result()
            while waiting:
                first, ready = waiting.popleft()
                yield first, ready.result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


class _Run:
    """Feeds a model batches, and counts what it answers.

    What the values of one batch look like may be settled by another: rows that sum to 1 count as
    probabilities and as classes, until a batch is surely one of both.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        told: ToldOutputs,
        kinds: Mapping[str, AnswerKind],
        head: str,
        batch: int,
        images: int,
    ) -> None:
        self._loaded, self._told, self._kinds, self._name = loaded, told, kinds, head
        self.batch = batch
        self._answers = np.full(images, -1, np.int32)
        self._in_top5 = self._fed = self._unread = self._not_finite = 0
        self._unanswered: list[Unanswered] = []
        self._sums = {"classes": CalibrationSums(), "probabilities": CalibrationSums()}
        self._settled: OutputHead | None = None

    def add(
        self,
        part: Sequence[tuple[int, torch.Tensor | ImageError]],
        images: Sequence[LabelledImage],
        truths: np.ndarray,
    ) -> None:
        """Run the model on images, each with its place, and count its answers. Raises LoadError."""
        for place, values in part:
            if isinstance(values, ImageError):
                self._unread += 1
                self._leave_out(images[place].name, str(values))
        fed = [(place, values) for place, values in part if isinstance(values, torch.Tensor)]
        inputs = [values for _, values in fed]
        places = iter([place for place, _ in fed])
        for run in same_size_batches(inputs):
            at = 0
            while at < len(run):
                head = self._fitting(run[at : at + self.batch])
                if head is not None:
                    now = len(cast(torch.Tensor, head.values))
                    self._count(head, [*islice(places, now)], images, truths)
                    at += now

    def _fitting(self, inputs: Sequence[torch.Tensor]) -> OutputHead | None:
        """What the model answers; None if there is no memory for so many, and the batch is halved.

        It returns before fewer are tried: the error's traceback keeps tensors alive.
        """
        try:
            head = _head(self._loaded, inputs, self._told, self._kinds, self._name)
        except TooLargeBatch:
            if len(inputs) == 1:
                raise
            self.batch = len(inputs) // 2
            return None
        self._fed += len(inputs)
        self._settle(head, sure=self._fed >= ENOUGH_ROWS)
        return head

    def _settle(self, head: OutputHead, *, sure: bool) -> None:
        known = self._settled
        final = head if known is None else settled((known, head))
        self._settled = replace(final, values=())
        by_values_alone = final.kind == "labels" and final.rank > 0
        if sure or not by_values_alone:
            _require_classes(final)

    def _count(
        self,
        head: OutputHead,
        places: Sequence[int],
        images: Sequence[LabelledImage],
        truths: np.ndarray,
    ) -> None:
        rows = cast(torch.Tensor, head.values)
        finite = rows.isfinite().all(1)
        for row in (~finite).nonzero()[:, 0].tolist():
            self._not_finite += 1
            self._leave_out(images[places[row]].name, NOT_A_NUMBER)
        kept = finite.nonzero()[:, 0].tolist()
        if not kept:
            return
        rows = rows[kept]
        here = [places[row] for row in kept]
        right = torch.from_numpy(truths[here]).long()
        # By the numbers that the model returned: a softmax makes equal what nearly is.
        top = rows.topk(min(TOP, rows.shape[1])).indices
        answers = top[:, 0]
        self._answers[here] = answers.numpy()
        self._in_top5 += int((top == right[:, None]).any(1).sum())
        names = [images[place].name for place in here]
        # What sums to 1 may be classes by chance; what does not is never probabilities.
        if head.kind == "probabilities":
            self._sums["probabilities"].add(rows, None, right, answers, names)
        if head.kind != "probabilities" or head.rank:
            soft = scored_rows(replace(head, kind="classes", activated=False, values=rows))
            logs = rows.double().log_softmax(1).gather(1, right[:, None])
            self._sums["classes"].add(soft, logs, right, answers, names)

    def _leave_out(self, name: str, trouble: str) -> None:
        if len(self._unanswered) < MOST_NAMED:
            self._unanswered.append(Unanswered(name, trouble))

    def evaluation(self, truths: np.ndarray, seconds: float) -> Evaluation:
        """What was found. Raises ImageError and LoadError if there is nothing."""
        head = self._settled
        if head is None:
            first = self._unanswered[0]
            raise ImageError(
                f"Of {counted(self._unread, 'image')}, none can be read. The first is "
                f"{first.name}: {first.trouble}"
            )
        if not (self._answers >= 0).any():
            raise LoadError(NOT_A_NUMBER)
        _require_classes(head)
        kind = cast(Literal["classes", "probabilities"], head.kind)
        return Evaluation(
            classes=head.outputs,
            truths=truths,
            answers=self._answers,
            in_top5=self._in_top5,
            kind=kind,
            evidence=head.evidence,
            calibration=self._sums[kind].calibration(),
            mistakes=self._sums[kind].mistakes(),
            unread=self._unread,
            not_finite=self._not_finite,
            unanswered=tuple(self._unanswered),
            seconds=seconds,
            batch=self.batch,
            untrained=bool(untrained_keys(self._loaded)),
        )
