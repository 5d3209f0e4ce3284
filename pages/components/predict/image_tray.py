"""The images of a session: uploads or the sample's, each kept once by its content."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO

import streamlit as st

from core.errors import ImageError
from core.inputs import decode_image
from core.plain_text import plain
from core.server import sample_images

LARGEST_MB, ALL_MB = 25, 200
"""The largest image, and the largest sum of a session's images, in MB of 1,000,000 bytes."""

ENDINGS = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "jp2", "avif"]
THUMBNAIL = 320
"""The longer edge of a thumbnail, in pixels."""

KEY = "pictures"


@dataclass(frozen=True, slots=True)
class TrayImage:
    """An encoded image that was decoded once without an error.

    `identity` is the SHA-256 of `data`, `thumbnail` a small copy as WebP.
    """

    name: str
    identity: str
    data: bytes
    thumbnail: bytes


def tray_images() -> tuple[TrayImage, ...]:
    """The session's images in their order."""
    images: tuple[TrayImage, ...] = st.session_state.get(KEY, ())
    return images


def add_images(place: str) -> None:
    """Draw the uploader and the buttons below it; `place` distinguishes two at the same time."""
    # Each upload gets a new uploader: the old one would keep its files in memory a second time.
    uploader = f"{KEY}-{place}-upload-{st.session_state.get(f'{KEY}-round', 0)}"
    st.file_uploader(
        "Images",
        ENDINGS,
        accept_multiple_files=True,
        max_upload_size=LARGEST_MB,
        key=uploader,
        on_change=_take_uploads,
        args=(uploader,),
        label_visibility="collapsed",
    )
    images = tray_images()
    with st.container(horizontal=True):
        st.button(
            "Use the sample’s images",
            key=f"{KEY}-{place}-sample",
            on_click=_take_samples,
            type="secondary" if images else "primary",
        )
        if images:
            st.button(
                "Remove all images", key=f"{KEY}-{place}-clear", on_click=_clear, type="tertiary"
            )


def image_problems() -> None:
    """Draw what is wrong with the files that were not added."""
    for problem in st.session_state.get(f"{KEY}-problems", ()):
        st.error(plain(problem), icon=":material/error:")


def _take_uploads(uploader: str) -> None:
    _take([(upload.name, upload.getvalue()) for upload in st.session_state[uploader]])
    st.session_state[f"{KEY}-round"] = st.session_state.get(f"{KEY}-round", 0) + 1


def take_sample_images() -> None:
    """Take the sample's images, unless the session has images already."""
    if not tray_images():
        _take_samples()


def _take_samples() -> None:
    _take([(path.name, path.read_bytes()) for path in sample_images()])


def _clear() -> None:
    st.session_state[KEY], st.session_state[f"{KEY}-problems"] = (), ()


def _take(files: Iterable[tuple[str, bytes]]) -> None:
    """Add the files that are images, and keep the problems of the others to be drawn."""
    images = {image.identity: image for image in tray_images()}
    room = ALL_MB * 1_000_000 - sum(len(image.data) for image in images.values())
    problems = []
    for name, data in files:
        identity = sha256(data).hexdigest()
        if identity in images:
            continue
        if len(data) > room:
            problems.append(f"{name} was not added: all images together may have {ALL_MB} MB.")
            continue
        try:
            images[identity] = TrayImage(name, identity, data, _thumbnail(data, name))
        except ImageError as error:
            problems.append(str(error))
            continue
        room -= len(data)
    st.session_state[KEY] = tuple(images.values())
    st.session_state[f"{KEY}-problems"] = tuple(problems)


def _thumbnail(data: bytes, name: str) -> bytes:
    image = decode_image(data, name)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = BytesIO()
    image.save(buffer, "WEBP", quality=85)
    return buffer.getvalue()
