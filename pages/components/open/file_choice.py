"""The ways to put a checkpoint into a slot: an upload, a server folder, the sample."""

from __future__ import annotations

import streamlit as st

from core.plain_text import plain
from core.server import SAMPLES
from core.wording import size
from pages.components.open.folder_browser import folder_browser
from pages.components.open.upload import Form, upload
from pages.components.resources import store
from pages.components.workspace import workspace

WHAT_OPENS = (
    "Loupe opens what PyTorch and the libraries around it save: `.pth .pt .ckpt .bin` files of "
    "any PyTorch version, whole models, TorchScript and `torch.export` archives, `.safetensors`, "
    "shards with their index, and the folders of Accelerate, Diffusers, DeepSpeed, Trainer and "
    "`torch.distributed.checkpoint`. Each may be packed in a `.zip`, `.tar` or `.gz`."
)


def file_choice(slot: str, title: str = "", form: Form = "") -> None:
    """Draw the choice, and open what was chosen.

    With a `title` it is a drop zone: a `tall` one that is the page, or a `wide` one of one line.
    """
    with st.container(key=f"zone-{form or 'plain'}-{slot}", gap="small"):
        if title:
            st.html(_STYLE)
        arrived = upload(slot, title, form)
        with st.container(horizontal=True, vertical_alignment="center", key=f"ways-{slot}"):
            st.caption(
                f"Uploads: up to {size(store().largest_file)} per file; {size(store().used())} of "
                f"{size(store().quota)} used.",
                help=f"{WHAT_OPENS} Choose the shards of one model together with their index.",
                width="content",
            )
            with st.container(horizontal=True, vertical_alignment="center", width="content"):
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
        with st.expander("From a server folder", key=f"browse-{slot}"):
            arrived = arrived or folder_browser(slot)
    if arrived and arrived != workspace().slot(slot).file:
        workspace().open(slot, arrived)
        st.rerun()


_STYLE = """<style>
[class*=st-key-zone-tall-], [class*=st-key-zone-wide-] {padding: 0.5rem 0.75rem 0.75rem;
  border: 1px dashed var(--loupe-dash); border-radius: 8px;
  background: var(--loupe-panel)}
[class*=st-key-ways-] {justify-content: space-between; row-gap: 0}
[class*=st-key-zone-tall-] [class*=st-key-ways-] {justify-content: center; column-gap: 1.5rem}
[class*=st-key-ways-] p, [class*=st-key-ways-] [data-testid=stCaptionContainer] {margin: 0}
</style>"""
