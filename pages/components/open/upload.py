"""The upload of weights: a widget that sends files straight to the server's disk."""

from __future__ import annotations

import threading
from pathlib import Path

import streamlit as st

from core.server.files import SET_SUFFIXES, SUFFIXES, set_reference
from core.server.web import KEPT_FOR_RELOAD
from pages.components.resources import store, transfers
from pages.components.session import is_here, session_id

HINT = ".pth .pt .ckpt .bin .safetensors .pt2, or one packed as .zip .tar .gz"
"""What a person may drop, in short."""

_FOLDER = Path(__file__).parent / "upload_widget"


def upload(slot: str) -> str | None:
    """Draw the widget; the reference of what has just arrived, else None: a file, or several that
    are one checkpoint.

    What arrived is asked of the server's own books, whatever the browser says.
    """
    token = _token(slot)
    _widget()(
        key=f"upload-{slot}",
        data={
            "label": f"Upload a checkpoint into {slot}",
            "slot": slot,
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


def _widget() -> st.components.v2.types.ComponentRenderer:
    return st.components.v2.component(
        "loupe_upload",
        html=(_FOLDER / "upload.html").read_text(),
        css=(_FOLDER / "upload.css").read_text(),
        js=(_FOLDER / "upload.js").read_text(),
    )


def _token(slot: str) -> str:
    """The slot's token. It outlives a short cut of the connection, which releases what is cached
    for the session too, so that an upload goes on where it was."""
    key = f"upload-token-{slot}"
    if transfers().intake(st.session_state.get(key, "")) is None:
        st.session_state[key] = transfers().open_intake()
    token: str = st.session_state[key]
    _present(token, session_id())
    return token


SETTLED = 2.0
"""Seconds after which Streamlit's books say that a session is gone whose cache it released."""


def _away(present: tuple[str, str]) -> None:
    """The cache of the session was released: because it went away, or because somebody emptied the
    caches of all."""
    token, session = present

    def ended() -> None:
        if not is_here(session):
            transfers().session_ended(token)

    timer = threading.Timer(SETTLED, ended)
    timer.daemon = True
    timer.start()


@st.cache_resource(scope="session", on_release=_away, show_spinner=False)
def _present(token: str, session: str) -> tuple[str, str]:
    """Runs when the session is here for the first time, or here again."""
    transfers().session_is_back(token)
    return token, session
