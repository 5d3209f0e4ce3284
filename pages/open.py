"""Open: put one or two checkpoints on the bench."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core.errors import CheckpointError, LoupeError
from core.plain_text import code, plain, plain_sentence, visible
from core.server import SAMPLES
from core.wording import size
from pages.components.frame import page_header, sample_button
from pages.components.open.checkpoint_card import checkpoint_card
from pages.components.open.folder_browser import folder_browser
from pages.components.open.upload import upload
from pages.components.pressed import pressed
from pages.components.resources import store
from pages.components.workspace import SLOTS, workspace

WHAT_OPENS = (
    "It opens whatever PyTorch and the libraries around it save: `.pth .pt .ckpt .bin` files of "
    "any PyTorch, whole models, TorchScript and `torch.export` archives, `.safetensors`, shards "
    "with their index, and the folders of Accelerate, Diffusers, DeepSpeed, Trainer and "
    "`torch.distributed.checkpoint`; also from inside a `.zip`, `.tar` or `.gz`."
)


def main() -> None:
    page_header("Open", "Put one checkpoint on the bench, or two to compare.")
    empty = all(workspace().slot(slot).file is None for slot in SLOTS)
    if empty:
        _welcome()
    a, b = st.columns(2, gap="large")
    with a:
        tell_a = _slot("A", "The checkpoint")
    with b:
        tell_b = _slot("B", "Another one to compare with, if you like")
    if not empty:
        _onward()
    tell_a()
    tell_b()


def _welcome() -> None:
    with st.container(border=True):
        st.markdown(
            "**What is in this checkpoint, how does it differ from that one, which network does "
            "it fit, and does it work on my picture?** Loupe reads the file without running a "
            "line of code from it, says what keeps it from loading, mends that, and shows what "
            "the model sees."
        )
        st.caption(WHAT_OPENS)
        with st.container(horizontal=True, vertical_alignment="center"):
            sample_button()
            st.caption("Two epochs of a small network that reads handwritten digits.")


def _slot(slot: str, purpose: str) -> Callable[[], None]:
    """Draw it; what is returned tells which network its file is for."""
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
            _trouble(error)
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
        tell = checkpoint_card(slot, checkpoint)
        with st.expander("Put another file here"):
            _choose(slot)
        return tell


def _nothing() -> None:
    """There is no file whose network could be told."""


def _trouble(error: LoupeError) -> None:
    st.error(plain_sentence(str(error)), icon=":material/error:")
    if isinstance(error, CheckpointError) and error.whole:
        with st.expander(f"The {len(error.whole)} tensors that are whole"):
            st.code("\n".join(map(visible, error.whole[:2000])), language=None, height=240)


def _choose(slot: str) -> None:
    """The three ways to put a checkpoint into a slot."""
    arrived = upload(slot)
    st.caption(
        f"Uploads: up to {size(store().largest_file)} a file; {size(store().used())} of "
        f"{size(store().quota)} in use.",
        help=f"{WHAT_OPENS} Choose the shards of one model together, with their index.",
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


def _onward() -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        if pressed(
            "Fit it to a network", key="open-fit", type="primary", icon=":material/handyman:"
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
