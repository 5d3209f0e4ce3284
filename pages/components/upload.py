"""The upload of weights: a widget that sends files straight to the server's disk."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from core.errors import StoreError
from core.folders import SUFFIXES
from core.plain_text import plain_sentence
from core.upload_sets import BESIDE, keep_set
from pages.components.resources import store, transfers

HINT = ".pth .pt .ckpt .bin .safetensors .pt2, or one packed as .zip .tar .gz"
"""What a person may drop, in short."""

_FOLDER = Path(__file__).parent / "upload_widget"


def upload(slot: str) -> str | None:
    """Draw the widget; the reference of what has just arrived, else None: a file, or several that
    are one checkpoint.

    What arrived is asked of the server's own books, whatever the browser says.
    """
    token = _token(slot)
    free = max(0, store().quota - store().used())
    _widget()(
        key=f"upload-{slot}",
        data={
            "label": f"Upload a checkpoint into {slot}",
            "token": token,
            "suffixes": list(SUFFIXES),
            "beside": list(BESIDE),
            "hint": HINT,
            "largest": store().largest_file,
            "free": free,
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
    try:
        return keep_set(store(), {name: stored.sha256 for name, stored in finished.items()})
    except StoreError as error:
        st.error(plain_sentence(str(error)), icon=":material/error:")
        return None


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
    _present(token)
    return token


def _away(token: str) -> None:
    transfers().session_ended(token)


@st.cache_resource(scope="session", on_release=_away, show_spinner=False)
def _present(token: str) -> str:
    """Runs when the session is here for the first time, or here again."""
    transfers().session_is_back(token)
    return token
