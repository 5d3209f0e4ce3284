"""Predict: the most probable classes of an image, by the model in A next to the model in B, or next
to another architecture that takes A's tensors."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from core.checkpoint import Checkpoint
from core.errors import LoupeError
from core.load import ModelRequest
from core.plain_text import plain, plain_sentence
from core.predict import Prediction, predictions_verdict, require_classifier
from pages.components.frame import danger_notice, empty_state, heading, page_verdict
from pages.components.predict.image_tray import add_images, image_problems, tray_images
from pages.components.predict.labels_picker import labels_picker
from pages.components.predict.lookalike_picker import lookalike_picker
from pages.components.predict.prediction_job import Task, predictions
from pages.components.predict.prediction_results import Answer, result_cards, result_table
from pages.components.predict.preprocessing_editor import preprocessing_editor, slot_preprocessing
from pages.components.slot_model import is_loaded, slot_request
from pages.components.workspace import workspace


def main() -> None:
    top, tools = heading("predict")
    opened = {slot: file for slot in ("A", "B") if (file := workspace().checkpoint(slot))}
    if not opened:
        with top:
            page_verdict("No model is loaded yet")
        empty_state(
            "Open a checkpoint and load its model on Fit. Then add images here to see their most "
            "probable classes, or to compare two models on the same image.",
        )
        return
    for checkpoint in opened.values():
        danger_notice(checkpoint)
    loaded = {slot: request for slot in opened if (request := _loaded(slot))}
    verdict = "No image classifier is loaded" if loaded else "No model is loaded yet"
    _send_to_fit({slot: file.name for slot, file in opened.items() if slot not in loaded})
    loaded = {
        slot: request
        for slot, request in loaded.items()
        if _classifies(slot, request, opened[slot])
    }
    if not loaded:
        with top:
            page_verdict(verdict)
        return
    images = tray_images()
    image_problems()
    if len(loaded) == 1:
        ((slot, request),) = loaded.items()
        other = lookalike_picker(slot, request.architecture)
        if other is not None:
            name = f"{slot} as {other.name}"
            opened[name], loaded[name] = opened[slot], replace(request, architecture=other)
    settings = st.expander("Preprocessing and labels")
    with settings:
        columns = dict(zip(loaded, st.columns(len(loaded), gap="large"), strict=True))
    tasks = []
    for name, request in loaded.items():
        with columns[name]:
            tasks.append(_task(name, request, opened[name]))
    if not images:
        with top:
            page_verdict(
                "No images yet", "Add images, or use the sample’s, to see the predictions."
            )
        add_images("page")
        return
    outcomes = predictions(tasks, images)
    if outcomes is None:
        with top:
            page_verdict("No predictions yet")
        return
    answers = {}
    for task in tasks:
        slot, outcome = task.slot, outcomes[task.slot]
        if isinstance(outcome, LoupeError):
            st.error(f"{slot}: {plain(str(outcome))}", icon=":material/error:")
        else:
            with columns[slot]:
                answers[slot] = _answer(opened[slot], outcome, task)
    if not answers:
        with top:
            page_verdict("No prediction was made")
        return
    with top:
        page_verdict(
            predictions_verdict(
                {slot: (each.predictions, each.labels) for slot, each in answers.items()}
            )
        )
    k = tools.slider("Top-k classes", 1, 20, 5, key="k", persist_state="session", width=200)
    result_cards(images, answers, k)
    result_table(images, answers, k)


def _loaded(slot: str) -> ModelRequest | None:
    """The model that the slot asks for, if it is loaded."""
    try:
        request = slot_request(slot)
    except LoupeError:
        return None
    return request if request is not None and is_loaded(request) else None


def _classifies(slot: str, request: ModelRequest, checkpoint: Checkpoint) -> bool:
    """Whether the slot's model is a classifier. If it is not, draw what it is for."""
    try:
        require_classifier(request.architecture)
    except LoupeError as error:
        reason = f"**{slot}** · {plain(checkpoint.name)}: {plain_sentence(str(error))}"
        st.info(reason, icon=":material/info:")
        return False
    return True


def _send_to_fit(files: dict[str, str]) -> None:
    """Draw which open files are not loaded, with a link to Fit."""
    if not files:
        return
    names = " and ".join(f"**{slot}** · {plain(name)}" for slot, name in files.items())
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        if len(files) > 1:
            st.markdown(f"{names} are open, but their models are not loaded yet.")
        else:
            st.markdown(f"{names} is open, but its model is not loaded yet.")
        st.page_link("pages/fit.py", label="Load on Fit", icon=":material/arrow_forward:")


def _task(slot: str, request: ModelRequest, checkpoint: Checkpoint) -> Task:
    st.markdown(f"**{slot}** · {plain(checkpoint.name)}")
    default = slot_preprocessing(request.architecture, checkpoint.identity, checkpoint)
    preprocessing = preprocessing_editor(f"fed-{slot}", default)
    return Task(slot, request, checkpoint.state_dict(request.state_dict), preprocessing)


def _answer(checkpoint: Checkpoint, outcome: tuple[Prediction, ...], task: Task) -> Answer:
    outputs = max((prediction.classes for prediction in outcome), default=0)
    labels = labels_picker(f"labels-{task.slot}", outputs, checkpoint)
    return Answer(checkpoint.name, task.preprocessing, outcome, labels)


main()
