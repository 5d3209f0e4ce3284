"""Open: put one or two checkpoints on the bench."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from core.errors import CheckpointError, LoupeError
from core.plain_text import code, plain, plain_sentence, visible
from core.server import SAMPLES
from core.wording import count, listed, size
from pages.components.frame import heading, page_verdict
from pages.components.open.checkpoint_card import checkpoint_card
from pages.components.open.folder_browser import folder_browser
from pages.components.open.upload import upload
from pages.components.open.welcome import no_file_at_hand, what_you_will_see
from pages.components.resources import store
from pages.components.slot_choice import close_button
from pages.components.workspace import SLOTS, workspace

WHAT_OPENS = (
    "Loupe opens what PyTorch and the libraries around it save: `.pth .pt .ckpt .bin` files of "
    "any PyTorch version, whole models, TorchScript and `torch.export` archives, `.safetensors`, "
    "shards with their index, and the folders of Accelerate, Diffusers, DeepSpeed, Trainer and "
    "`torch.distributed.checkpoint`. Each may be packed in a `.zip`, `.tar` or `.gz`."
)


PURPOSE = (
    "Loupe tells what it is, what keeps it from loading, and repairs it. Reading runs no code from "
    "the file."
)


def main() -> None:
    top, _ = heading("open")
    opened = [slot for slot in SLOTS if workspace().slot(slot).file is not None]
    if opened:
        with top:
            headline = st.empty()
        finish = _opened_files(opened)
        # Last, because the first identification of a file takes a moment.
        with headline.container(gap=None):
            page_verdict(*_verdict(opened, finish()))
        return
    with top:
        page_verdict("Open a checkpoint", PURPOSE)
    a, b = st.columns([8, 5], gap="medium")
    with a, st.container(key="slot-A"):
        _choose("A", "Drop the files of one checkpoint here")
    with b:
        with st.container(key="slot-B"):
            _choose("B", "Drop a second one to compare")
        no_file_at_hand()
    what_you_will_see()


def _opened_files(opened: Sequence[str]) -> Callable[[], list[str]]:
    """Draw the slots, each of which has a file or a drop zone. Returns a function that draws what
    was identified, and returns a sentence on each open file, "" where nothing was."""
    columns = st.columns(2 if len(opened) == len(SLOTS) else [8, 5], gap="medium")
    order = sorted(SLOTS, key=lambda slot: slot not in opened)
    finishing = {}
    for slot, column in zip(order, columns, strict=True):
        with column:
            finishing[slot] = _slot(slot)
    return lambda: [finishing[slot]() for slot in opened]


def _verdict(opened: Sequence[str], sentences: Sequence[str]) -> tuple[str, ...]:
    """The title and the lines below it, from the slots with a file and the sentence on each."""
    told = [sentence for sentence in dict.fromkeys(sentences) if sentence]
    unreadable = [slot for slot in opened if workspace().checkpoint(slot) is None]
    if unreadable:
        files = "file" if len(unreadable) == 1 else "files"
        return (f"The {files} in {listed(unreadable, 2)} cannot be read", *told)
    if len(told) == 1 and all(sentences):
        return (told[0],)
    title = "One file is open" if len(opened) == 1 else "Two files are open"
    return (title, *told)


def _slot(slot: str) -> Callable[[], str]:
    """Draw the slot. Returns a function that adds which architecture its file fits, and returns the
    sentence on that."""
    state = workspace().slot(slot)
    with st.container(border=state.file is not None, key=f"slot-{slot}"):
        if state.file is None:
            _choose(slot, "Drop a second one to compare")
            return _nothing
        try:
            checkpoint = workspace().opened(slot)
        except LoupeError as error:
            st.markdown(f"#### {slot} &nbsp; {plain(state.file.rpartition('/')[2])}")
            _open_error(error)
            _choose(slot)
            return _nothing
        if checkpoint is None:
            return _nothing
        with st.container(
            horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"
        ):
            st.markdown(f"#### {slot} &nbsp; {code(checkpoint.name)}", width="content")
            close_button(slot)
        identify = checkpoint_card(slot, checkpoint)
        with st.expander("Replace this file"):
            _choose(slot)
        return identify


def _nothing() -> str:
    """Stands for the identification of a slot that has no readable file."""
    return ""


def _open_error(error: LoupeError) -> None:
    st.error(plain_sentence(str(error)), icon=":material/error:")
    if isinstance(error, CheckpointError) and error.whole:
        with st.expander(f"Intact tensors ({count(len(error.whole))})"):
            st.code("\n".join(map(visible, error.whole[:2000])), language=None, height=240)


def _choose(slot: str, title: str = "") -> None:
    """Draw the three ways to put a checkpoint into a slot: upload, server folder and sample."""
    arrived = upload(slot, title)
    st.caption(
        f"Uploads: up to {size(store().largest_file)} per file; {size(store().used())} of "
        f"{size(store().quota)} used.",
        help=f"{WHAT_OPENS} Choose the shards of one model together with their index.",
    )
    with st.expander("From a server folder", key=f"browse-{slot}"):
        arrived = arrived or folder_browser(slot)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("The sample:", width="content")
        for name, sample in SAMPLES.items():
            st.button(
                plain(name.capitalize()),
                key=f"sample-{slot}-{name}",
                type="tertiary",
                help=plain(sample.title),
                on_click=workspace().open,
                args=(slot, f"sample:{name}"),
            )
    if arrived and arrived != workspace().slot(slot).file:
        workspace().open(slot, arrived)
        st.rerun()


main()
