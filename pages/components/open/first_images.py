"""The images that the first prediction takes, before anything is loaded."""

from __future__ import annotations

import streamlit as st

from core.plain_text import plain
from core.server import sample_images
from core.wording import counted
from pages.components.open.panel import panel
from pages.components.predict.image_tray import add_images, image_problems, tray_images

MOST_IMAGES = 12
"""Thumbnails that are shown; Predict shows all."""

EDGE = 52
"""Pixels of a thumbnail's width."""


def first_images(*, sample: bool) -> None:
    """Draw the session's images, else those of the sample, which are taken then, and a way to add
    some. `sample` says that the open files are the sample's own."""
    remark, body = panel("images", "Images for the first prediction")
    with remark.popover("Choose images"):
        add_images("open")
    images = tray_images()
    with body:
        image_problems()
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            if images:
                for image in images[:MOST_IMAGES]:
                    st.image(image.thumbnail, width=EDGE, alt=plain(image.name))
                more = f", {MOST_IMAGES} of them here" if len(images) > MOST_IMAGES else ""
                st.caption(f"{counted(len(images), 'image')}{more}", width="content")
                return
            for path in sample_images():
                st.image(path, width=EDGE, alt=f"A sample image: {plain(path.stem)}")
            whose = "The sample’s eight images." if sample else "These eight came with Loupe."
            st.caption(f"{whose} Add your own.", width="content")
