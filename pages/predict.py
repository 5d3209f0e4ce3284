"""Predict: what the loaded model sees in a picture, and beside it what the other one sees."""

from __future__ import annotations

import streamlit as st

from core.checkpoint import Checkpoint
from core.errors import LoupeError
from core.load import ModelRequest
from core.plain_text import plain, plain_sentence
from core.predict import Prediction, require_classifier
from pages.components.frame import empty_state, page_header
from pages.components.predict.labels_picker import labels_picker
from pages.components.predict.picture_tray import picture_tray
from pages.components.predict.prediction_job import Task, predictions
from pages.components.predict.prediction_results import Answer, result_cards, result_table
from pages.components.predict.preprocessing_editor import preprocessing_editor, slot_preprocessing
from pages.components.resources import model_pool
from pages.components.slot_model import slot_request
from pages.components.workspace import workspace


def main() -> None:
    page_header("Predict", "The most probable classes of a picture, as the loaded model sees it.")
    opened = {slot: file for slot in ("A", "B") if (file := workspace().checkpoint(slot))}
    if not opened:
        empty_state(
            "No model to ask yet",
            "Open a checkpoint and load it on Fit. Then show it pictures here and read its most "
            "probable classes, or compare two checkpoints on the same picture.",
        )
        return
    loaded = {slot: request for slot in opened if (request := _loaded(slot))}
    _send_to_fit({slot: file.name for slot, file in opened.items() if slot not in loaded})
    loaded = {slot: each for slot, each in loaded.items() if _classifies(slot, each, opened[slot])}
    if not loaded:
        return
    pictures = picture_tray()
    settings = st.expander("What the model is fed, and what its classes are called")
    with settings:
        columns = dict(zip(loaded, st.columns(len(loaded), gap="large"), strict=True))
    tasks = []
    for slot, request in loaded.items():
        with columns[slot]:
            tasks.append(_task(slot, request, opened[slot]))
    if not pictures:
        st.caption("Add pictures, or use the sample’s, to see what the model makes of them.")
        return
    outcomes = predictions(tasks, pictures)
    if outcomes is None:
        return
    answers = {}
    for task in tasks:
        slot, outcome = task.slot, outcomes[task.slot]
        if isinstance(outcome, LoupeError):
            st.error(f"{slot}: {plain(str(outcome))}", icon=":material/error:")
        else:
            with columns[slot]:
                answers[slot] = _answer(opened[slot], outcome, task)
    if answers:
        k = st.slider("Classes a picture", 1, 20, 5, key="k", persist_state="session", width=280)
        result_cards(pictures, answers, k)
        result_table(pictures, answers, k)


def _loaded(slot: str) -> ModelRequest | None:
    """What the slot asks for, once this session has seen the server hold that model: one that
    the pool has given up since is loaded again with the next run."""
    try:
        request = slot_request(slot)
    except LoupeError:
        return None
    seen = st.session_state.setdefault("loaded-models", set())
    if request in model_pool().resident():
        seen.add(request)
    return request if request in seen else None


def _classifies(slot: str, request: ModelRequest, checkpoint: Checkpoint) -> bool:
    """Whether the slot's network is for this page; says what it is for where it is not."""
    try:
        require_classifier(request.architecture)
    except LoupeError as error:
        said = f"**{slot}** · {plain(checkpoint.name)}: {plain_sentence(str(error))}"
        st.info(said, icon=":material/info:")
        return False
    return True


def _send_to_fit(files: dict[str, str]) -> None:
    """Say which open files are not loaded, and where that is done."""
    if not files:
        return
    names = " and ".join(f"**{slot}** · {plain(name)}" for slot, name in files.items())
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        verb = "are" if len(files) > 1 else "is"
        st.markdown(f"{names} {verb} open, but not loaded into a network yet.")
        st.page_link("pages/fit.py", label="Load on Fit", icon=":material/arrow_forward:")


def _task(slot: str, request: ModelRequest, checkpoint: Checkpoint) -> Task:
    st.markdown(f"**{slot}** · {plain(checkpoint.name)}")
    known = slot_preprocessing(request.architecture, checkpoint.identity, checkpoint)
    fed = preprocessing_editor(f"fed-{slot}", known)
    return Task(slot, request, checkpoint.state_dicts[request.state_dict], fed)


def _answer(checkpoint: Checkpoint, outcome: tuple[Prediction, ...], task: Task) -> Answer:
    outputs = max((prediction.classes for prediction in outcome), default=0)
    labels = labels_picker(f"labels-{task.slot}", outputs, checkpoint)
    return Answer(checkpoint.name, task.preprocessing, outcome, labels)


main()
