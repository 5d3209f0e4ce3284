"""The class names of a slot: where they come from, the choice between several lists, and an upload
of the user's own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256

import streamlit as st

from core.architectures import Architecture
from core.checkpoint import Checkpoint
from core.errors import LabelsError
from core.plain_text import plain, visible
from core.predict import (
    LABEL_ENDINGS,
    NAMELESS,
    LabelFile,
    Labels,
    StatedNames,
    answer_labels,
    choose_labels,
    label_choices,
    names_preview,
    read_label_file,
)
from core.predict.answers import AnswerKind
from pages.components.cached import cached, told_by


def labels_picker(
    key: str,
    outputs: int,
    checkpoint: Checkpoint,
    architecture: Architecture,
    kinds: Collection[AnswerKind],
) -> Labels:
    """Draw the source of the names, a choice where lists differ, and an upload for the user's own.

    Returns one name for each of the model's `outputs`, of answers of these kinds.
    """
    if kinds and not outputs:
        return NAMELESS
    own: LabelFile | None = st.session_state.get(f"{key}-own")
    try:
        labels = _own_labels(key, outputs, own) if own else None
    except LabelsError as error:  # the user's list is of another length
        st.error(plain(str(error)), icon=":material/error:")
        labels = None
    if labels is None:
        stated = _stated_labels(key, outputs, checkpoint)
        labels = answer_labels(stated, architecture, kinds)
    st.caption(f"Class names: {plain(labels.source)}.")
    problem = st.session_state.get(f"{key}-problem")
    if problem:
        st.error(plain(problem), icon=":material/error:")
    if own:
        st.button("Remove my list", key=f"{key}-remove", on_click=_remove, args=(key,))
        return labels
    st.file_uploader(
        "Your own list of class names",
        LABEL_ENDINGS,
        max_upload_size=4,
        key=f"{key}-upload",
        on_change=_take,
        args=(key,),
        help="One name on each line, JSON, YAML, a CSV, or a label map of TensorFlow.",
    )
    return labels


def _own_labels(key: str, outputs: int, file: LabelFile) -> Labels | None:
    """The names of the user's file; None until one of several columns is chosen."""
    chosen = file.columns[0]
    if len(file.columns) > 1:
        previews = {column.title: names_preview(column.names) for column in file.columns}
        title = _choice(f"{key}-column", f"Which column of {file.name}?", previews)
        if title is None:
            return None
        chosen = file.column(title)
    return choose_labels(outputs, None, chosen.names, file.source(chosen))


def _stated_labels(key: str, outputs: int, checkpoint: Checkpoint) -> Labels:
    """The checkpoint's names, with a choice drawn where its lists differ."""
    told = told_by(checkpoint)
    choices = _choices(told, outputs, checkpoint)
    if not choices:
        return _names(told, outputs, "", checkpoint)
    previews = {choice.path: names_preview(choice.names) for choice in choices}
    path = _choice(f"{key}-stated", "Which of the checkpoint's lists of names?", previews)
    return _names(told, outputs, path or "", checkpoint)


# A search in a file with 21,843 names takes a tenth of a second.
@cached(64)
def _choices(told: str, outputs: int, _checkpoint: Checkpoint) -> Sequence[StatedNames]:
    return label_choices(outputs, _checkpoint)


@cached(64)
def _names(told: str, outputs: int, stated: str, _checkpoint: Checkpoint) -> Labels:
    return choose_labels(outputs, _checkpoint, stated=stated)


def _choice(key: str, question: str, previews: Mapping[str, str]) -> str | None:
    """Draw the names of lists, each with its first names. Returns the chosen one.

    The choice is one between these lists: another file begins without it.
    """
    lists = sha256(repr(previews).encode()).hexdigest()[:12]
    return st.selectbox(
        plain(question),
        list(previews),
        index=None,
        format_func=lambda name: visible(f"{name}: {previews[name]}"),
        placeholder=f"Choose one of {len(previews)}",
        key=f"{key}-{lists}",
        persist_state="session",
    )


def _take(key: str) -> None:
    upload = st.session_state[f"{key}-upload"]
    st.session_state[f"{key}-problem"] = None
    if upload is None:
        return
    try:
        file = read_label_file(upload.getvalue(), upload.name)
    except LabelsError as error:
        st.session_state[f"{key}-problem"] = str(error)
    else:
        st.session_state[f"{key}-own"] = file


def _remove(key: str) -> None:
    del st.session_state[f"{key}-own"]
