"""The class names of a slot: where they come from, and an upload of the user's own."""

from __future__ import annotations

import streamlit as st

from core.checkpoint import Checkpoint
from core.errors import LabelsError
from core.plain_text import plain
from core.predict import Labels, choose_labels, parse_labels


def labels_picker(key: str, outputs: int, checkpoint: Checkpoint) -> Labels:
    """Draw the source of the names and an upload for the user's own list.

    Returns one name for each of the model's `outputs`.
    """
    own = st.session_state.get(f"{key}-own")
    try:
        name, names = own or ("", None)
        labels = choose_labels(outputs, checkpoint, names, name)
    except LabelsError as error:  # the user's list is of another length
        st.error(plain(str(error)), icon=":material/error:")
        labels = choose_labels(outputs, checkpoint)
    st.caption(f"Class names: {plain(labels.source)}.")
    problem = st.session_state.get(f"{key}-problem")
    if problem:
        st.error(plain(problem), icon=":material/error:")
    if own:
        st.button("Remove my list", key=f"{key}-remove", on_click=_remove, args=(key,))
        return labels
    st.file_uploader(
        "Your own list of class names",
        ["txt", "json", "csv", "tsv"],
        max_upload_size=4,
        key=f"{key}-upload",
        on_change=_take,
        args=(key,),
        help="One name per line, a JSON list or mapping, or a CSV with one name per row.",
    )
    return labels


def _take(key: str) -> None:
    upload = st.session_state[f"{key}-upload"]
    st.session_state[f"{key}-problem"] = None
    if upload is None:
        return
    try:
        names = parse_labels(upload.getvalue(), upload.name)
    except LabelsError as error:
        st.session_state[f"{key}-problem"] = str(error)
    else:
        st.session_state[f"{key}-own"] = upload.name, names


def _remove(key: str) -> None:
    del st.session_state[f"{key}-own"]
