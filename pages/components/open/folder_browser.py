"""Browses the server folders that the server's owner configured."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.errors import SourceError, shown
from core.plain_text import plain_sentence, visible
from core.server.files import holds_checkpoint, list_folder, path_of_link
from pages.components.pressed import pressed
from pages.components.resources import settings

HEIGHT = 260
"""The most pixels of the list's height."""


def folder_browser(slot: str) -> str | None:
    """Draw a root's folders and files. Returns the reference of the file, or of the folder that is
    one checkpoint, that was just chosen; else None."""
    roots = settings().roots
    if not roots:
        st.caption(
            "No server folder is configured. The server's owner can list folders in `LOUPE_ROOTS`."
        )
        return None
    root = st.selectbox(
        "Server folder",
        range(len(roots)),
        format_func=lambda number: shown(roots[number].name or str(roots[number])),
        key=f"root-{slot}",
        label_visibility="collapsed" if len(roots) == 1 else "visible",
    )
    folder_key = f"folder-{slot}-{root}"
    folder: str = st.session_state.get(folder_key, "")
    try:
        entries = list_folder(roots[root], folder)
        is_checkpoint = holds_checkpoint(roots[root], folder)
    except SourceError as error:
        st.session_state[folder_key] = ""
        st.error(plain_sentence(str(error)), icon=":material/error:")
        return None
    if folder:
        with st.container(horizontal=True, vertical_alignment="center"):
            if pressed("Up", key=f"up-{slot}", icon=":material/arrow_upward:"):
                st.session_state[folder_key] = folder.rpartition("/")[0]
                st.rerun()
            st.code(visible(path_of_link(folder)), language=None)
    if is_checkpoint and pressed(
        "Open this folder as one checkpoint",
        key=f"whole-{slot}",
        type="primary",
        icon=":material/folder_copy:",
        help="Its files belong together: they are shards, or a training library’s checkpoint.",
    ):
        return f"root:{root}/{folder}"
    if not entries:
        st.caption("This folder contains no checkpoint and no folder.")
        return None
    chosen = st.dataframe(
        pd.DataFrame(
            {
                "name": [f"{entry.name}/" if entry.is_folder else entry.name for entry in entries],
                "size": [None if entry.is_folder else entry.size for entry in entries],
                "changed": [entry.changed for entry in entries],
            }
        ),
        column_config={
            "name": st.column_config.TextColumn("Name", width="large"),
            "size": st.column_config.NumberColumn("Size", format="bytes", width="small"),
            "changed": st.column_config.DatetimeColumn("Modified", format="YYYY-MM-DD HH:mm"),
        },
        hide_index=True,
        height=min(HEIGHT, 38 + 35 * len(entries)),  # st.dataframe's header and rows
        key=f"entries-{slot}-{root}-{folder}",
        on_select="rerun",
        selection_mode="single-cell",
    )
    cells = chosen["selection"]["cells"]
    if not cells or cells[0][0] >= len(entries):
        st.caption("Click a name to open it.")
        return None
    entry = entries[cells[0][0]]
    if entry.is_folder:
        st.session_state[folder_key] = entry.path
        st.rerun()
    return f"root:{root}/{entry.path}"
