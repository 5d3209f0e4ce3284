"""The choices on a slot's open file: which of its state_dicts the pages show, and to close it."""

from __future__ import annotations

import streamlit as st

from core.checkpoint import Checkpoint, StateDict
from core.plain_text import plain, visible
from core.wording import count
from pages.components.link.page_view import one_of, shared
from pages.components.workspace import workspace


def state_dict_choice(slot: str, place: str = "page") -> StateDict | None:
    """Draw a choice if the slot's file contains several state_dicts.

    `place` distinguishes two that are drawn at the same time.

    Returns the chosen state_dict, or None if the slot has no file.
    """
    bench = workspace()
    checkpoint = bench.checkpoint(slot)
    if checkpoint is None:
        return None
    paths = list(checkpoint.choices)
    wanted = bench.slot(slot).state_dict
    current = wanted if wanted is not None and wanted in paths else checkpoint.best
    if len(paths) > 1:
        chosen: str = st.selectbox(
            f"state_dict in {slot}",
            paths,
            width=240,
            label_visibility="collapsed",
            index=paths.index(current),
            format_func=lambda path: _title(checkpoint, path),
            key=f"state-dict-{place}-{slot}-{checkpoint.identity}-{current!a}",
        )
        if chosen != current:
            bench.update(slot, state_dict=chosen)
            st.rerun()
    return bench.state_dict(slot)


def close_button(slot: str, place: str = "page", words: str = "Close") -> None:
    """Draw the button that empties the slot; `place` is as above, `words` its label."""
    st.button(
        plain(words),
        key=f"close-{place}-{slot}",
        icon=":material/close:",
        type="tertiary",
        on_click=workspace().clear,
        args=(slot,),
    )


def _title(checkpoint: Checkpoint, path: str) -> str:
    tensors = count(len(checkpoint.choices[path]))
    role = checkpoint.roles.get(path, "other")
    suffix = "" if role in {"other", path} else f", {role}"
    return f"{visible(path) or 'the whole file'} ({tensors} tensors{suffix})"


def turn_to(page: str, slot: str) -> None:
    """Go to the page `inspect` or `fit`, with the slot in view there."""
    st.session_state[f"{page}-slot"] = slot
    st.switch_page(f"pages/{page}.py")


def slot_switch(key: str) -> str | None:
    """Draw a switch if both slots have an open file.

    Returns the chosen slot, "A" or "B", or None if no file is open.
    """
    bench = workspace()
    opened = {slot: bench.checkpoint(slot) for slot in ("A", "B")}
    names = {slot: file.name for slot, file in opened.items() if file is not None}
    if len(names) < 2:
        return next(iter(names), None)
    key = shared(f"{key}-slot", "A", one_of(names))
    st.session_state.setdefault(key, "A")
    return st.segmented_control(
        "File",
        list(names),
        required=True,
        format_func=lambda slot: f"{slot} · {plain(names[slot])}",
        key=key,
        persist_state="session",
        label_visibility="collapsed",
    )
