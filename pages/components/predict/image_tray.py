"""The images of a session: uploads and those of Loupe, each kept once by its content."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from core.checkpoint import Checkpoint
from core.errors import ImageError, LoupeError
from core.images import IMAGE_ENDINGS, ZipImages, image_workers, too_large
from core.inputs import Preprocessing
from core.plain_text import plain
from core.predict import labels_in
from core.server import bundled_images, photographs, sample_images
from core.wording import count
from pages.components.cached import cached
from pages.components.predict.image_sources import image_sources, pasted_images

LARGEST, ALL_MB = 25_000_000, 200
"""The largest image in bytes, and the largest sum of a session's images in MB of 1,000,000 bytes.
"""

MOST_IMAGES = 1_000
"""Images of one session: a page draws a small copy of each."""

MOST_PROBLEMS = 5
"""Problems that are told one by one."""

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
        [*IMAGE_ENDINGS, "zip"],
        accept_multiple_files=True,
        max_upload_size=ALL_MB,
        key=uploader,
        on_change=_take_uploads,
        args=(uploader,),
        label_visibility="collapsed",
    )
    st.caption(
        f"Images of up to {LARGEST // 1_000_000} MB each, {ALL_MB} MB together, or a zip of them. "
        "Or paste an image on the page."
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
    image_sources(f"{KEY}-{place}", _take, LARGEST)


def paste_images() -> None:
    """Take the images that are pasted anywhere on this page."""
    pasted_images(f"{KEY}-paste", _take, LARGEST)


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
        more = len(problems) - MOST_PROBLEMS
        told = [*problems[:MOST_PROBLEMS], *([f"And {count(more)} more."] if more > 0 else [])]
        st.error("  \n".join(map(plain, told)), icon=":material/error:")


def _take_uploads(uploader: str) -> None:
    _take(file for upload in st.session_state[uploader] for file in _files_of(upload))
    st.session_state[f"{KEY}-round"] = st.session_state.get(f"{KEY}-round", 0) + 1


def _take_files(paths: Sequence[Path]) -> None:
    _take((path.name, path.read_bytes) for path in paths)


def _clear() -> None:
    st.session_state[KEY], st.session_state[f"{KEY}-problems"] = (), ()


def _files_of(upload: UploadedFile) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The upload itself, or the images in it if it is a zip."""
    if not upload.name.lower().endswith(".zip"):
        yield upload.name, upload.getvalue
        return
    try:
        archive = ZipImages(upload.getvalue(), upload.name)
    except ImageError as error:
        yield upload.name, partial(_refuse, error)
        return
    with archive:
        for member in archive.names:
            yield member, partial(archive.read, member, LARGEST)


def _refuse(error: ImageError) -> bytes:
    raise error


def _take(files: Iterable[tuple[str, Callable[[], bytes]]]) -> None:
    """Add the files that are images, and keep the problems of the others to be drawn. A file is its
    name, and what reads its bytes."""
    images = {image.identity: image for image in tray_images()}
    room = ALL_MB * 1_000_000 - sum(len(image.data) for image in images.values())
    problems = []
    for name, read in files:
        if len(images) >= MOST_IMAGES:
            problems.append(f"{name} was not added: Predict takes {count(MOST_IMAGES)} images.")
            continue
        try:
            data = read()
            identity = sha256(data).hexdigest()
            if identity in images:
                continue
            if len(data) > LARGEST:
                raise too_large(name, LARGEST)
            if len(data) > room:
                problems.append(f"{name} was not added: all images together may have {ALL_MB} MB.")
                continue
            images[identity] = _tray_image(name, identity, data)
        except LoupeError as error:
            problems.append(str(error))
            continue
        room -= len(data)
    st.session_state[KEY] = tuple(images.values())
    st.session_state[f"{KEY}-problems"] = tuple(problems)


def _tray_image(name: str, identity: str, data: bytes) -> TrayImage:
    made = image_workers().thumbnails(data, name, (THUMBNAIL, ICON))
    small = made.files[THUMBNAIL], made.files[ICON]
    return TrayImage(name, identity, data, made.size, *small, made.remark)
