"""Opens a checkpoint in the server folders that the server's owner configured."""

from __future__ import annotations

import streamlit as st

from core.errors import SourceError
from core.server.files import holds_checkpoint, list_folder
from pages.components.panels.server_folder import ServerFolder, chosen_file, server_folder
from pages.components.pressed import pressed
from pages.components.resources import settings


def folder_browser(slot: str) -> str | None:
    """Draw a root's folders and files. Returns the reference of the file, or of the folder that is
    one checkpoint, that was just chosen; else None."""
    folder = server_folder(slot, list_folder)
    if folder is None:
        return None
    if _is_one_checkpoint(folder) and pressed(
        "Open this folder as one checkpoint",
        key=f"whole-{slot}",
        type="primary",
        icon=":material/folder_copy:",
        help="Its files belong together: they are shards, or a training library’s checkpoint.",
    ):
        return f"root:{folder.root}/{folder.path}"
    if not folder.entries:
        st.caption("This folder contains no checkpoint and no folder.")
        return None
    file = chosen_file(slot, folder)
    if file is None:
        st.caption("Click a name to open it.")
        return None
    return f"root:{folder.root}/{file.path}"


def _is_one_checkpoint(folder: ServerFolder) -> bool:
    try:
        return holds_checkpoint(settings().roots[folder.root], folder.path)
    except SourceError:  # it was removed after it was listed
        return False
