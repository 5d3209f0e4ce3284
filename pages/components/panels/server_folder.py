"""Draws the server folders that the server's owner configured, to choose a file in one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from core.errors import SourceError, shown
from core.plain_text import plain_sentence, visible
from core.server.files import FolderEntry, path_of_link
from pages.components.pressed import pressed
from pages.components.resources import settings

HEIGHT = 260
"""The most pixels of the list's height."""


@dataclass(frozen=True, slots=True)
class ServerFolder:
    """The folder that is shown: the number of its root, its path below it, and what it lists."""

    root: int
    path: str
    entries: Sequence[FolderEntry]


def server_folder(
    key: str, listing: Callable[[Path, str], Sequence[FolderEntry]]
) -> ServerFolder | None:
    """Draw the choice of the root, where the person is in it, and the way up.

    `listing` lists a folder by its root and its path, and raises SourceError. Returns None if no
    folder is configured, or this one cannot be listed any more.
    """
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
        key=f"root-{key}",
        label_visibility="collapsed" if len(roots) == 1 else "visible",
    )
    path_key = _path_key(key, root)
    path: str = st.session_state.get(path_key, "")
    try:
        entries = listing(roots[root], path)
    except SourceError as error:
        st.session_state[path_key] = ""
        st.error(plain_sentence(str(error)), icon=":material/error:")
        return None
    if path:
        with st.container(horizontal=True, vertical_alignment="center"):
            if pressed("Up", key=f"up-{key}", icon=":material/arrow_upward:"):
                st.session_state[path_key] = path.rpartition("/")[0]
                st.rerun()
            st.code(visible(path_of_link(path)), language=None)
    return ServerFolder(root, path, entries)


def chosen_file(key: str, folder: ServerFolder, round_: int = 0) -> FolderEntry | None:
    """Draw the entries; a click on a folder opens it. Returns the file that is chosen, if any.

    A new `round_` begins with none chosen.
    """
    entries = folder.entries
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
        key=f"entries-{key}-{folder.root}-{folder.path}-{round_}",
        on_select="rerun",
        selection_mode="single-cell",
    )
    cells = chosen["selection"]["cells"]
    if not cells or cells[0][0] >= len(entries):
        return None
    entry = entries[cells[0][0]]
    if entry.is_folder:
        st.session_state[_path_key(key, folder.root)] = entry.path
        st.rerun()
    return entry


def _path_key(key: str, root: int) -> str:
    return f"folder-{key}-{root}"
