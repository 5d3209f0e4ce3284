"""The images that the first prediction takes, before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.plain_text import plain
from core.wording import count, counted
from pages.components.panels.panel import panel
from pages.components.predict.image_tray import (
    TrayImage,
    add_images,
    bundled,
    image_problems,
    paste_images,
    tray_images,
)
from pages.components.predict.preprocessing_editor import slot_choices
from pages.components.top_bar.stages import BenchSlot

MOST_IMAGES = 12
"""Thumbnails that are shown; Predict shows all."""

EDGE = 52
"""Pixels of a thumbnail's width."""


def first_images(models: Sequence[BenchSlot]) -> None:
    """Draw the session's images, else those that Loupe came with for such models, as Predict takes
    them, and a way to add some."""
    remark, body = panel("images", "Images for the first prediction")
    with remark.popover("Choose images"):
        add_images("open")
    own = tray_images()
    images = own or _bundled(models)
    with body:
        paste_images()
        image_problems()
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            for image in images[:MOST_IMAGES]:
                st.image(image.thumbnail, width=EDGE, alt=plain(image.name))
            st.caption(_words(len(images), own=bool(own)), width="content")


def _bundled(models: Sequence[BenchSlot]) -> Sequence[TrayImage]:
    return bundled(
        [
            (file, slot_choices(shown.architecture, file)[0].preprocessing)
            for shown in models
            if shown.architecture is not None and (file := shown.checkpoint) is not None
        ]
    )


def _words(images: int, *, own: bool) -> str:
    if not images:
        return "Loupe has no images for this model. Add your own."
    if not own:
        return f"These {count(images)} came with Loupe. Add your own."
    more = f", {MOST_IMAGES} of them here" if images > MOST_IMAGES else ""
    return f"{counted(images, 'image')}{more}"
