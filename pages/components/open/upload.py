"""The upload of checkpoints: a widget that sends files straight to the server's disk."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Literal, TypeAlias

import streamlit as st

from core.server.files import SET_SUFFIXES, SUFFIXES, set_reference
from core.server.web import KEPT_FOR_RELOAD
from pages.components.panels.own_component import own_component
from pages.components.resources import store, transfers
from pages.components.session import is_here, session_id

HINT = ".pth .pt .ckpt .bin .safetensors .pt2, shards with their index, or a .zip .tar .gz of them"
"""The accepted files, in short."""

Form: TypeAlias = Literal["tall", "wide", ""]
"""How the widget looks: a drop zone that is the page, one of few lines, or a line without a title.
"""

_FOLDER = Path(__file__).parent / "upload_widget"


def upload(slot: str, title: str = "", form: Form = "") -> str | None:
    """Draw the widget. Returns the reference of the file, or of the files of one checkpoint, that
    have just arrived; else None.

    What arrived is read from the server's own intake, because the browser is not trusted with it.
    """
    token = _token(slot)
    own_component(_FOLDER, "upload")(
        key=f"upload-{slot}",
        data={
            "label": f"Upload a checkpoint into {slot}",
            "slot": slot,
            "title": title,
            "form": form,
            "address": transfers().upload_address(token),
            "keptFor": KEPT_FOR_RELOAD,
            "suffixes": list(SUFFIXES),
            "beside": list(SET_SUFFIXES),
            "hint": HINT,
            "largest": store().largest_file,
            "free": store().free(),
        },
        on_done_change=lambda: None,
    )
    intake = transfers().intake(token)
    if intake is None or intake.finished is None:
        return None
    finished, intake.finished = intake.finished, None
    if len(finished) == 1:
        ((name, stored),) = finished.items()
        return f"sha256:{stored.sha256}/{name}"
    return set_reference({name: stored.sha256 for name, stored in finished.items()})


def _token(slot: str) -> str:
    """The slot's upload token.

    A short loss of the connection also releases the session's cached resources. The token survives
    it in the session's state, so that the upload continues where it stopped.
    """
    key = f"upload-token-{slot}"
    if transfers().intake(st.session_state.get(key, "")) is None:
        st.session_state[key] = transfers().open_intake()
    token: str = st.session_state[key]
    _note_presence(token, session_id())
    return token


SETTLED = 2.0
"""Seconds from the release of a session's cache until Streamlit counts the session as inactive."""


def _on_release(presence: tuple[str, str]) -> None:
    """Called when the session's cache is released, either because the session ended or because
    somebody emptied all caches. Only the first ends the upload."""
    token, session = presence

    def end_if_absent() -> None:
        if not is_here(session):
            transfers().session_ended(token)

    timer = threading.Timer(SETTLED, end_if_absent)
    timer.daemon = True
    timer.start()


@st.cache_resource(scope="session", on_release=_on_release, show_spinner=False)
def _note_presence(token: str, session: str) -> tuple[str, str]:
    """Runs when the session connects, and again when it reconnects after a release."""
    transfers().session_is_back(token)
    return token, session
