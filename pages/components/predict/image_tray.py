"""The images of a session: uploads and those of Loupe, each kept once by its content."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import streamlit as st

from core.checkpoint import Checkpoint
from core.errors import ImageError
from core.images import IMAGE_ENDINGS, image_workers
from core.inputs import Preprocessing
from core.plain_text import plain
from core.predict import labels_in
from core.server import bundled_images, photographs, sample_images
from pages.components.cached import cached

LARGEST_MB, ALL_MB = 25, 200
"""The largest image, and the largest sum of a session's images, in MB of 1,000,000 bytes."""

THUMBNAIL, ICON = 400, 56
"""The longer edges of a thumbnail and of an icon, in pixels: twice what they are drawn with."""

KEY = "pictures"


@dataclass(frozen=True, slots=True)
class TrayImage:
    """An encoded image that was decoded once without an error.

    `identity` is the SHA-256 of `data`, `size` its width and height as it is seen; `thumbnail` and
    `icon` are small copies as WebP. `remark` says what was decided about its values, if anything.
    """

    name: str
    identity: str
    data: bytes
    size: tuple[int, int]
    thumbnail: bytes
    icon: bytes
    remark: str = ""

    @property
    def number(self) -> int:
        """A number by which a table in the browser knows the image: JavaScript's numbers have 53
        bits."""
        return int(self.identity[:12], 16)


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
        IMAGE_ENDINGS,
        accept_multiple_files=True,
        max_upload_size=LARGEST_MB,
        key=uploader,
        on_change=_take_uploads,
        args=(uploader,),
        label_visibility="collapsed",
    )
    with st.container(horizontal=True):
        st.button(
            "Add Loupe’s digits",
            key=f"{KEY}-{place}-sample",
            on_click=_take_files,
            args=(sample_images(),),
        )
        st.button(
            "Add Loupe’s photographs",
            key=f"{KEY}-{place}-photographs",
            on_click=_take_files,
            args=(photographs(),),
        )


def clear_images() -> None:
    """Draw the button that takes all images from the session."""
    st.button("Clear", key=f"{KEY}-clear", on_click=_clear, type="tertiary")


def bundled(models: Collection[tuple[Checkpoint, Preprocessing]]) -> tuple[TrayImage, ...]:
    """The images that Loupe comes with for such models, for a session that has none."""
    paths = bundled_images(
        {_names_in(checkpoint.identity, checkpoint) for checkpoint, _ in models},
        {preprocessing.channels for _, preprocessing in models},
    )
    return tuple(_bundled(str(path)) for path in paths)


@cached(64)
def _names_in(identity: str, _checkpoint: Checkpoint) -> tuple[str, ...] | None:
    return labels_in(_checkpoint)


@cached(64)
def _bundled(path: str) -> TrayImage:
    data = Path(path).read_bytes()
    return _tray_image(Path(path).name, sha256(data).hexdigest(), data)


def image_problems() -> None:
    """Draw what is wrong with the files that were not added."""
    problems = st.session_state.get(f"{KEY}-problems", ())
    if problems:
        st.error("  \n".join(map(plain, problems)), icon=":material/error:")


def _take_uploads(uploader: str) -> None:
    _take([(upload.name, upload.getvalue()) for upload in st.session_state[uploader]])
    st.session_state[f"{KEY}-round"] = st.session_state.get(f"{KEY}-round", 0) + 1


def _take_files(paths: Sequence[Path]) -> None:
    _take([(path.name, path.read_bytes()) for path in paths])


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
            images[identity] = _tray_image(name, identity, data)
        except ImageError as error:
            problems.append(str(error))
            continue
        room -= len(data)
    st.session_state[KEY] = tuple(images.values())
    st.session_state[f"{KEY}-problems"] = tuple(problems)


def _tray_image(name: str, identity: str, data: bytes) -> TrayImage:
    made = image_workers().thumbnails(data, name, (THUMBNAIL, ICON))
    small = made.files[THUMBNAIL], made.files[ICON]
    return TrayImage(name, identity, data, made.size, *small, made.remark)
