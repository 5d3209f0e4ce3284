"""Where images come from besides an upload: a server folder, the camera, the clipboard."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TypeAlias

import streamlit as st

from core.images import too_large
from core.plain_text import plain
from core.server.files import list_images, read_image
from core.wording import counted
from pages.components.panels.own_component import own_component
from pages.components.panels.server_folder import ServerFolder, chosen_file, server_folder
from pages.components.pressed import pressed
from pages.components.resources import settings

Take: TypeAlias = Callable[[Iterable[tuple[str, Callable[[], bytes]]]], None]
"""Takes images: the name of each, and what reads its bytes or raises a LoupeError."""

CAMERA, SERVER = "Camera", "Server folder"

_PASTE = Path(__file__).parent / "paste_widget"


def image_sources(key: str, take: Take, most: int) -> None:
    """Draw the choice of another source, and the chosen one. `most` are the bytes of an image."""
    sources = [CAMERA, *([SERVER] if settings().roots else [])]
    source = st.pills("Other sources", sources, key=f"{key}-source", label_visibility="collapsed")
    if source == CAMERA:
        _camera(key, take)
    elif source == SERVER:
        _server(key, take, most)


def _camera(key: str, take: Take) -> None:
    # Each picture gets a new camera: the old one would show it until it is cleared by hand.
    round_ = st.session_state.get(f"{key}-camera-round", 0)
    camera = f"{key}-camera-{round_}"

    def taken() -> None:
        picture = st.session_state[camera]
        if picture is not None:
            take([(f"camera {round_ + 1}.jpg", picture.getvalue)])
            st.session_state[f"{key}-camera-round"] = round_ + 1

    st.camera_input("Take a picture", key=camera, on_change=taken, label_visibility="collapsed")


def _server(key: str, take: Take, most: int) -> None:
    folder = server_folder(key, list_images)
    if folder is None:
        return
    files = [entry for entry in folder.entries if not entry.is_folder]
    if files and pressed(
        plain(f"Add {counted(len(files), 'image')} of this folder"), key=f"{key}-all"
    ):
        take((file.name, _reader(folder, file.path, most)) for file in files)
        st.rerun()
    if not folder.entries:
        st.caption("This folder contains no image and no folder.")
        return
    round_ = st.session_state.get(f"{key}-round", 0)
    file = chosen_file(key, folder, round_)
    if file is not None:
        take([(file.name, _reader(folder, file.path, most))])
        st.session_state[f"{key}-round"] = round_ + 1  # the same file can be added again
        st.rerun()


def _reader(folder: ServerFolder, path: str, most: int) -> Callable[[], bytes]:
    return partial(read_image, settings().roots[folder.root], path, most)


def pasted_images(key: str, take: Take, most: int) -> None:
    """Take the images that are pasted on this page, of at most `most` bytes each. Draws nothing."""

    def pasted() -> None:
        images = st.session_state[key].get("pasted") or ()
        take((image["name"], partial(_decoded, **image, most=most)) for image in images)

    own_component(_PASTE, "paste")(key=key, data={"most": most}, on_pasted_change=pasted)


def _decoded(name: str, data: str, *, large: bool, most: int) -> bytes:
    if large:
        raise too_large(name, most)
    return b64decode(data)
