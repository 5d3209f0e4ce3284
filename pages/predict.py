"""Predict: what a model says of an image, such as the most probable classes, by the model in A next
to the model in B, or next to another architecture that takes A's tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.checkpoint import Checkpoint
from core.errors import LoupeError
from core.load import ModelRequest
from core.plain_text import plain, plain_sentence
from core.predict import (
    UNTRAINED,
    Prediction,
    fed_sentence,
    predictions_verdict,
    read_sentence,
    require_image_model,
)
from core.predict.answers import NAMED, WITH_CLASSES, AnswerKind
from pages.components.frame import danger_notice, empty_state, heading, page_verdict
from pages.components.link.page_view import one_of, shared
from pages.components.predict.chosen_image import chosen_image
from pages.components.predict.image_table import image_table
from pages.components.predict.image_tray import (
    add_images,
    bundled,
    clear_images,
    image_problems,
    paste_images,
    tray_images,
)
from pages.components.predict.labels_picker import labels_picker
from pages.components.predict.lookalike_picker import lookalike_picker
from pages.components.predict.prediction_job import Outcome, Task, predictions
from pages.components.predict.preprocessing_editor import (
    editor_key,
    preprocessing_editor,
    slot_choices,
)
from pages.components.predict.results import Answer, Results, gathered
from pages.components.predict.results_csv import results_csv
from pages.components.predict.seen_panel import seen_panel
from pages.components.predict.settings_popover import settings_popovers
from pages.components.predict.shown.kind_choice import chosen_head, chosen_kinds
from pages.components.predict.shown.overlay import overlay_choice
from pages.components.predict.shown.similarity_panel import similarity_panel
from pages.components.predict.why.why_panel import why_panel
from pages.components.slot_model import is_loaded, slot_request
from pages.components.workspace import workspace

OFFERED, FIRST_CLASSES = range(1, 21), 5
"""The numbers of classes that can be shown of an image, and the one at first."""


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
    verdict = "No model for images is loaded" if loaded else "No model is loaded yet"
    _send_to_fit({slot: file.name for slot, file in opened.items() if slot not in loaded})
    loaded = {
        slot: request for slot, request in loaded.items() if _predicts(slot, request, opened[slot])
    }
    if not loaded:
        with top:
            page_verdict(verdict)
        return
    paste_images()
    image_problems()
    _predict(loaded, opened, top, tools)


def _predict(
    loaded: dict[str, ModelRequest],
    opened: dict[str, Checkpoint],
    top: DeltaGenerator,
    tools: DeltaGenerator,
) -> None:
    title = top.container(gap=None)
    fed, settings, read, reading = settings_popovers(top)
    notes = top.container(gap=None)
    if len(loaded) == 1:
        ((slot, request),) = loaded.items()
        with settings:
            other = lookalike_picker(slot, request.architecture)
        if other is not None:
            name = f"{slot} as {other.name}"
            opened[name], loaded[name] = opened[slot], replace(request, architecture=other)
    columns = dict(zip(loaded, settings.columns(len(loaded), gap="large"), strict=True))
    with reading:
        kinds = {name: chosen_kinds(name) for name in loaded}
    tasks = []
    for name, request in loaded.items():
        with columns[name]:
            tasks.append(_task(name, request, opened[name], kinds[name]))
    own = tray_images()
    images = own or bundled([(opened[task.slot], task.preprocessing) for task in tasks])
    if not images:
        with title:
            page_verdict("No images yet", "Add images to see the predictions.")
        add_images("page")
        return
    outcomes = predictions(tasks, images)
    answers = {} if outcomes is None else _answers(outcomes, tasks, opened, columns, reading)
    if answers:
        results = gathered(images, answers)
        with title:
            page_verdict(predictions_verdict(results.predictions, results.labels, results.classes))
        with fed:
            st.caption(plain_sentence(fed_sentence(results.fed)))
        with read:
            _read(results)
        with notes:
            _notes(results, came_with_loupe=not own)
        with tools:
            k = _top_k() if results.kinds & WITH_CLASSES else FIRST_CLASSES
            results_csv(results, k)
        _untrained(answers)
        card = st.container(border=True)
        similarity_panel(results)
        chosen = image_table(results)
        with card:
            chosen_image(results, chosen, k, overlay_choice(results))
            if results.kinds <= NAMED:
                answered = [task for task in tasks if task.slot in answers]
                seen_panel(results, chosen, answered)
                why_panel(results, chosen, answered)
    else:
        with title:
            page_verdict("No predictions yet" if outcomes is None else "No prediction was made")
    if own:
        with tools:
            clear_images()


def _answers(
    outcomes: Mapping[str, Outcome],
    tasks: Sequence[Task],
    opened: Mapping[str, Checkpoint],
    columns: Mapping[str, DeltaGenerator],
    reading: DeltaGenerator,
) -> dict[str, Answer]:
    """The answers of the models that ran, with the choice of their labels drawn; of the others,
    draw why not."""
    answers = {}
    for task in tasks:
        slot, outcome = task.slot, outcomes[task.slot]
        if isinstance(outcome, LoupeError):
            st.error(f"{slot}: {plain(str(outcome))}", icon=":material/error:")
        else:
            with reading:
                head = chosen_head(slot, outcome)
            outcome = tuple(prediction.of_head(head) for prediction in outcome)
            with columns[slot]:
                answers[slot] = _answer(opened[slot], outcome, task)
    return answers


def _read(results: Results) -> None:
    """Draw as what the outputs were read, and why."""
    answers = {}
    for name, row in results.predictions.items():
        first = next((each for each in row if each.answer is not None), None)
        if first is not None and first.answer is not None:
            answers[name] = (first.answer, len(first.heads))
    if answers:
        st.caption(plain_sentence(read_sentence(answers)))


def _notes(results: Results, *, came_with_loupe: bool) -> None:
    """Draw how the classes of two models are compared, or why not, and whose images these are."""
    compared = results.classes.obstacle or results.classes.note
    if compared:
        st.caption(plain_sentence(compared))
    if came_with_loupe:
        st.caption("These images came with Loupe. Add your own.")


def _top_k() -> int:
    return st.selectbox(
        "Top-k classes",
        OFFERED,
        index=OFFERED.index(FIRST_CLASSES),
        format_func="Top {}".format,
        key=shared("predict-k", FIRST_CLASSES, one_of(OFFERED)),
        persist_state="session",
        label_visibility="collapsed",
        width=104,
    )


def _untrained(answers: Mapping[str, Answer]) -> None:
    for slot, answer in answers.items():
        if any(prediction.untrained for prediction in answer.predictions):
            st.warning(
                f"**{slot}** · {plain(answer.file)}. {UNTRAINED} Fit lists the keys.",
                icon=":material/warning:",
            )


def _loaded(slot: str) -> ModelRequest | None:
    """The model that the slot asks for, if it is loaded."""
    try:
        request = slot_request(slot)
    except LoupeError:
        return None
    return request if request is not None and is_loaded(request) else None


def _predicts(slot: str, request: ModelRequest, checkpoint: Checkpoint) -> bool:
    """Whether the slot's model takes an image. If it does not, draw what it takes."""
    try:
        require_image_model(request.architecture)
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


def _task(
    slot: str, request: ModelRequest, checkpoint: Checkpoint, kinds: Mapping[str, AnswerKind]
) -> Task:
    st.markdown(f"**{slot}** · {plain(checkpoint.name)}")
    choices = slot_choices(request.architecture, checkpoint)
    preprocessing = preprocessing_editor(editor_key(slot), choices)
    state_dict = checkpoint.state_dict(request.state_dict)
    return Task(slot, request, checkpoint, state_dict, preprocessing, kinds)


def _answer(checkpoint: Checkpoint, outcome: tuple[Prediction, ...], task: Task) -> Answer:
    outputs = max((prediction.classes for prediction in outcome), default=0)
    kinds = {prediction.kind for prediction in outcome if prediction.heads}
    labels = labels_picker(
        f"labels-{task.slot}", outputs, checkpoint, task.request.architecture, kinds
    )
    return Answer(checkpoint.name, task.preprocessing, outcome, labels, task.told)


main()
