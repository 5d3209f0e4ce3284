"""One click from an opened file to its first prediction: repair, load, predict."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.errors import LoupeError
from core.plain_text import plain_sentence
from core.progress import Cancelled
from pages.components.fit.load_panel import load_job, start_load
from pages.components.fit.recipe_bar import use
from pages.components.job_panel import job_panel
from pages.components.slot_model import slot_request
from pages.components.top_bar.stages import bench_slots
from pages.components.workspace import workspace

_KEY = "quick-demo"
"""The key of the session's state under which the slots are that are being loaded."""


def apply_sure(slots: Sequence[str]) -> None:
    """Choose the sure architecture of each of the slots, with its repair; each can be undone."""
    bench = bench_slots()
    for slot in slots:
        sure = bench[slot].sure
        if sure is not None:
            use(slot, sure.architecture, sure.recipe)


def begin(slots: Sequence[str], then: str) -> None:
    """Repair the slots and load them, and turn to the page `then` once they are loaded."""
    apply_sure(slots)
    for slot in slots:
        request, state_dict = slot_request(slot), workspace().state_dict(slot)
        if request is not None and state_dict is not None:
            start_load(f"fit-{slot}", request, state_dict)
    st.session_state[_KEY] = tuple(slots), then


def under_way() -> bool:
    """Draw the progress of what was begun, and turn the page once it is done.

    Returns whether it is under way: the page below is not drawn then.
    """
    begun: tuple[tuple[str, ...], str] | None = st.session_state.get(_KEY)
    if begun is None:
        return False
    slots, then = begun
    loaded = []
    for slot in slots:
        try:
            job = load_job(f"fit-{slot}", slot_request(slot))
            loaded.append(job is None or job_panel(f"quick-demo-{slot}", job) is not None)
        except Cancelled:
            _end("Loading was cancelled. The repair is kept, and can be undone on Fit.")
            return False
        except LoupeError as error:
            _end(str(error))
            return False
    if not all(loaded):
        return True
    del st.session_state[_KEY]
    st.switch_page(then)


def _end(sentence: str) -> None:
    del st.session_state[_KEY]
    st.warning(plain_sentence(sentence), icon=":material/warning:")
