"""Open: put one or two checkpoints on the bench."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core.errors import CheckpointError, LoupeError
from core.plain_text import code, plain, plain_sentence, visible
from core.server import SAMPLES
from core.wording import count, size
from pages.components.frame import page_header, sample_button
from pages.components.open.checkpoint_card import checkpoint_card
from pages.components.open.folder_browser import folder_browser
from pages.components.open.upload import upload
from pages.components.pressed import pressed
from pages.components.resources import store
from pages.components.workspace import SLOTS, workspace

WHAT_OPENS = (
    "Loupe opens what PyTorch and the libraries around it save: `.pth .pt .ckpt .bin` files of "
    "any PyTorch version, whole models, TorchScript and `torch.export` archives, `.safetensors`, "
    "shards with their index, and the folders of Accelerate, Diffusers, DeepSpeed, Trainer and "
    "`torch.distributed.checkpoint`. Each may be packed in a `.zip`, `.tar` or `.gz`."
)


def main() -> None:
    page_header("Open", "Put one checkpoint on the bench, or two to compare them.")
    empty = all(workspace().slot(slot).file is None for slot in SLOTS)
    if empty:
        _welcome()
    a, b = st.columns(2, gap="large")
    with a:
        identify_a = _slot("A", "The checkpoint")
    with b:
        identify_b = _slot("B", "A second checkpoint to compare with (optional)")
    if not empty:
        _next_steps()
    # Last, because the first identification of a file takes a moment: the page is there meanwhile.
    identify_a()
    identify_b()


def _welcome() -> None:
    with st.container(border=True):
        st.markdown(
            "**What is in this checkpoint? How does it differ from another? Which architecture "
            "does it fit? Does the model work on my image?** Loupe reads the file without running "
            "a line of code from it, says what keeps it from loading, repairs that, and shows what "
            "the model predicts."
        )
        st.caption(WHAT_OPENS)
        with st.container(horizontal=True, vertical_alignment="center"):
            sample_button()
            st.caption("Two epochs of a small model that classifies handwritten digits.")


def _slot(slot: str, purpose: str) -> Callable[[], None]:
    """Draw the slot. Returns a function that adds which architecture its file fits."""
    state = workspace().slot(slot)
    with st.container(border=True, key=f"slot-{slot}"):
        if state.file is None:
            st.markdown(f"#### {slot}")
            st.caption(plain(purpose))
            _choose(slot)
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
            st.button(
                "Close",
                key=f"close-{slot}",
                icon=":material/close:",
                type="tertiary",
                on_click=workspace().clear,
                args=(slot,),
            )
        identify = checkpoint_card(slot, checkpoint)
        with st.expander("Replace this file"):
            _choose(slot)
        return identify


def _nothing() -> None:
    """Stands for the identification of a slot that has no readable file."""


def _open_error(error: LoupeError) -> None:
    st.error(plain_sentence(str(error)), icon=":material/error:")
    if isinstance(error, CheckpointError) and error.whole:
        with st.expander(f"Intact tensors ({count(len(error.whole))})"):
            st.code("\n".join(map(visible, error.whole[:2000])), language=None, height=240)


def _choose(slot: str) -> None:
    """Draw the three ways to put a checkpoint into a slot: upload, server folder and sample."""
    arrived = upload(slot)
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


def _next_steps() -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        if pressed(
            "Fit to an architecture", key="open-fit", type="primary", icon=":material/handyman:"
        ):
            st.switch_page("pages/fit.py")
        st.page_link("pages/inspect.py", label="Inspect", icon=":material/search:")
        if all(workspace().slot(slot).file for slot in SLOTS):
            st.page_link("pages/compare.py", label="Compare", icon=":material/difference:")
            st.button(
                "Swap A and B",
                icon=":material/swap_horiz:",
                type="tertiary",
                on_click=workspace().swap,
            )


main()
