"""Runs the slots' models on the images in a job that starts whenever something has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import partial

import streamlit as st

from core.checkpoint import Checkpoint, StateDict
from core.errors import LoupeError
from core.images import image_workers
from core.inputs import Preprocessing
from core.load import LoadedModel, ModelPool, ModelRequest, load_requested
from core.plain_text import plain_sentence
from core.predict import Prediction, predict
from core.predict.answers import AnswerKind, told_outputs
from core.progress import Cancelled, Progress, Report
from core.server import Job
from pages.components.job_panel import job_panel
from pages.components.predict.image_tray import TrayImage
from pages.components.resources import jobs, model_pool
from pages.components.session import session_id

MAX_CLASSES = 1000
"""Classes that are kept per image, so that another k, or the other slot's classes, need no second
run."""

PATIENCE = 1.5
"""Seconds to wait before a progress bar is drawn. Most runs are done by then."""

Outcome = tuple[Prediction, ...] | LoupeError


@dataclass(frozen=True, slots=True)
class Task:
    """One slot's part of the job: the model, its preprocessing, the kinds that a person chose for
    its heads, and the state_dict to load it from again if the pool has dropped it."""

    slot: str
    request: ModelRequest
    checkpoint: Checkpoint
    state_dict: StateDict
    preprocessing: Preprocessing
    kinds: Mapping[str, AnswerKind]

    @property
    def told(self) -> str:
        """A text that is the same for the same model, run and read in the same way."""
        return repr((self.request, self.preprocessing, sorted(self.kinds.items())))

    def model(self, pool: ModelPool, progress: Report) -> AbstractContextManager[LoadedModel]:
        """The pool's model, which is loaded again if the pool has dropped it."""
        load = partial(load_requested, self.request, self.state_dict, progress)
        return pool.get(self.request, load)


def predictions(tasks: Sequence[Task], images: Sequence[TrayImage]) -> Mapping[str, Outcome] | None:
    """Each slot's predictions in the order of the images, or the error that stopped that slot.

    Returns None while the job runs, with a progress bar drawn, and also if the job was cancelled or
    failed, with a button that runs it again.
    """
    wanted = (
        tuple((task.slot, task.told) for task in tasks),
        tuple(image.identity for image in images),
    )
    started: tuple[object, Job[Mapping[str, Outcome]]] | None
    started = st.session_state.get("prediction-job")
    if started is None or started[0] != wanted:
        if started is not None:
            started[1].cancel()
        job = jobs().start(_work(model_pool(), tuple(tasks), tuple(images)), session_id())
        started = st.session_state["prediction-job"] = wanted, job
        job.wait(PATIENCE)
    try:
        return job_panel("prediction-job", started[1], "Predicting")
    except Cancelled:
        st.caption("The prediction was cancelled.")
    except LoupeError as error:
        st.error(plain_sentence(str(error)), icon=":material/error:")
    st.button("Predict again", key="prediction-again", on_click=_forget)
    return None


def _forget() -> None:
    st.session_state.pop("prediction-job", None)


def _work(
    pool: ModelPool, tasks: Sequence[Task], images: Sequence[TrayImage]
) -> Callable[[Progress], Mapping[str, Outcome]]:
    def work(progress: Progress) -> Mapping[str, Outcome]:
        outcomes: dict[str, Outcome] = {}
        for number, task in enumerate(tasks):
            part = _Part(progress, task.slot, number * len(images), len(tasks) * len(images))
            try:
                outcomes[task.slot] = _run(pool, task, images, part)
            except LoupeError as error:
                outcomes[task.slot] = error
        return outcomes

    return work


@dataclass(frozen=True, slots=True)
class _Part:
    """One slot's part of the job's progress, counted in images."""

    progress: Progress
    slot: str
    before: int
    total: int

    def __call__(self, done: int, _: int, name: str) -> None:
        self.progress(self.before + done, self.total, f"{self.slot}: {name}")

    def loading(self, *_: object) -> None:
        self.progress(self.before, self.total, f"{self.slot}: loading the model again")


def _run(
    pool: ModelPool, task: Task, images: Sequence[TrayImage], part: _Part
) -> tuple[Prediction, ...]:
    files = ((image.name, image.data) for image in images)
    with task.model(pool, part.loading) as loaded, closing(image_workers().each(files)) as decoded:
        told = told_outputs(task.request.architecture, loaded.model, task.checkpoint)
        return predict(
            loaded, decoded, task.preprocessing, MAX_CLASSES, part, told=told, kinds=task.kinds
        )
