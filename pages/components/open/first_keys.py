"""The first keys of a file with their shapes, and the way to all of them."""

from __future__ import annotations

from itertools import islice

import streamlit as st

from core.checkpoint import StateDict
from core.plain_text import plain
from core.wording import count, shape
from pages.components.panels.panel import panel
from pages.components.panels.panel_lines import PanelLine, draw_lines
from pages.components.pressed import pressed
from pages.components.slot_choice import turn_to

MOST_KEYS = 8
"""Keys that are shown; Inspect and Fit show all."""

TITLES = {"fit": "All keys in Fit", "inspect": "All keys in Inspect"}


def keys_panel(slot: str, state_dict: StateDict) -> None:
    """Draw the first keys of a file that fits no architecture for sure."""
    _, body = panel(f"keys-{slot}", "Keys")
    with body:
        first_keys(slot, state_dict, "inspect")


def first_keys(slot: str, state_dict: StateDict, page: str) -> None:
    """Draw the first keys, with a link to all of them on `page`."""
    entries = islice(state_dict.items(), MOST_KEYS)
    draw_lines([PanelLine("", "inherit", key, shape(entry.shape)) for key, entry in entries])
    number = len(state_dict)
    all_of_them(slot, f"{count(min(MOST_KEYS, number))} of {count(number)} keys", page)


def all_of_them(slot: str, shown: str, page: str) -> None:
    """Draw how many of how many are shown, with a link to the others on `page`."""
    with st.container(
        horizontal=True,
        horizontal_alignment="distribute",
        vertical_alignment="center",
        key=f"panelfoot-{slot}",
    ):
        st.caption(plain(shown), width="content")
        if pressed(plain(TITLES[page]), key=f"all-keys-{page}-{slot}", type="tertiary"):
            turn_to(page, slot)
