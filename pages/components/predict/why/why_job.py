"""Computes a heat map of one model in a job, with a small copy of the image to draw it on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st
from PIL import Image

from core.explain import HeatMap, explain, seen_part, spatial_layers
from core.images import image_workers
from core.inputs import prepare
from core.load import ModelPool
from core.plain_text import plain
from core.progress import Progress
from pages.components.predict.image_tray import TrayImage
from pages.components.predict.prediction_job import Task
from pages.components.pressed import pressed
from pages.components.resources import model_pool
from pages.components.shared_job import SharedJob

EDGE = 640
"""The longer edge in pixels of the copy that the map is drawn on."""

MAX_MAPS = 24
"""The maps that are kept for all sessions, each of about a megabyte."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person asks for: one model's map of a class of a head. `layer` may be empty for the
    proposed one."""

    task: Task
    image: TrayImage
    target: int
    method: str
    layer: str
    head: str


@dataclass(frozen=True, slots=True)
class Why:
    """A map with the image at a small size, the part of it that the model saw, and the names of the
    layers where Grad-CAM can look."""

    heat: HeatMap
    image: Image.Image
    part: tuple[float, float, float, float]
    layers: tuple[str, ...]


class WhyJob:
    """The job of one map, shared by all sessions that ask for the same."""

    def __init__(self, wanted: Wanted) -> None:
        task = wanted.task
        identity = (
            f"{wanted.image.identity}|{task.request!r}|{task.preprocessing!r}|"
            f"{wanted.target}|{wanted.method}|{wanted.layer}|{wanted.head}"
        )
        self._wanted = wanted
        self._job: SharedJob[Why] = SharedJob("why", identity, MAX_MAPS)

    def start(self) -> None:
        """Start the work, unless it is done, under way, or has ended without a result."""
        job, slot = self._job, self._wanted.task.slot
        if job.under_way or job.result is not None:
            return
        if job.stopped or job.failed:
            if job.stopped:
                st.caption("The map was cancelled.")
            job.draw_failure()
            if not pressed(f"Explain again with {plain(slot)}", key=f"{job.widget_key}-again"):
                return
        job.start(_work(model_pool(), self._wanted))

    def found(self) -> Why | None:
        """The map, or None with the progress drawn if the work is under way."""
        return self._job.watch("Explaining") if self._job.under_way else self._job.result


def _work(pool: ModelPool, wanted: Wanted) -> Callable[[Progress], Why]:
    task, given = wanted.task, wanted.image

    def work(progress: Progress) -> Why:
        def report(done: int, total: int, what: str) -> None:
            progress(done, total, f"{task.slot}: {what}")

        decoded = image_workers().decoded(given.data, given.name)
        with task.model(pool, progress) as loaded, decoded as whole:
            tensor = prepare(whole.image, task.preprocessing)
            asked = wanted.target, wanted.method, wanted.layer
            heat = explain(loaded, tensor, *asked, report, head=wanted.head)
            layers = spatial_layers(loaded, tensor) if heat.layer else ()
            small = whole.image.copy()
            part = seen_part(small.size, task.preprocessing)
        small.thumbnail((EDGE, EDGE))
        return Why(heat, small, part, tuple(layer.name for layer in layers))

    return work
