"""What a file is, at a glance: format, size, tensors, dtypes, what else it holds."""

from __future__ import annotations

from collections import Counter
from html import escape

import streamlit as st

from core.checkpoint import Checkpoint, StateDict
from pages.components.slot_choice import state_dict_choice
from pages.components.theme import count, parameters, size

BAR = ("#2a9d95", "#d07a3c", "#5b82d1", "#b35cb8", "#7f9a3d", "#c4574f", "#8a949e")
"""Colours of the dtypes' bar, the commonest dtype first."""


def checkpoint_card(slot: str, checkpoint: Checkpoint) -> None:
    """Draw the card of a slot's open file."""
    chosen = state_dict_choice(slot)
    if chosen is None:
        return
    with st.container(horizontal=True, gap="medium"):
        st.metric("Tensors", count(len(chosen)), width="content")
        st.metric("Parameters", parameters(chosen.numel), width="content")
        st.metric("File", size(checkpoint.size), width="content")
    version = f" · PyTorch {checkpoint.torch_version}" if checkpoint.torch_version else ""
    st.caption(f"{checkpoint.format_title}{version}")
    _dtypes(chosen)
    if len(checkpoint.state_dicts) > 1:
        _sections(checkpoint)
    for note in checkpoint.notes:
        st.caption(f":material/info: {note}")
    if checkpoint.metadata:
        with st.expander(f"Everything else in the file ({len(checkpoint.metadata)} entries)"):
            st.json(checkpoint.metadata, expanded=1)


def _dtypes(state_dict: StateDict) -> None:
    """The share of each dtype in the bytes, as one bar."""
    nbytes: Counter[str] = Counter()
    for entry in state_dict.values():
        nbytes[entry.dtype] += entry.nbytes
    _bar([(dtype, share) for dtype, share in nbytes.most_common()], code=True)


def _sections(checkpoint: Checkpoint) -> None:
    """What the file's bytes are spent on: the model, its EMA, the optimizer."""
    nbytes: Counter[str] = Counter()
    for path, state_dict in checkpoint.state_dicts.items():
        nbytes[checkpoint.roles[path]] += state_dict.nbytes
    if len(nbytes) > 1:
        _bar(nbytes.most_common(), code=False)


def _bar(shares: list[tuple[str, int]], *, code: bool) -> None:
    total = sum(share for _, share in shares) or 1
    tag = "code" if code else "span"
    parts, words = [], []
    for position, (name, share) in enumerate(shares):
        colour = BAR[min(position, len(BAR) - 1)]
        parts.append(f'<i style="flex:{share / total:.4f};background:{colour}"></i>')
        words.append(
            f'<span class="loupe-key"><b style="background:{colour}"></b>'
            f"<{tag}>{escape(name)}</{tag}> {size(share)}</span>"
        )
    st.html(
        "<style>.loupe-bar{display:flex;height:8px;border-radius:4px;overflow:hidden;gap:1px}"
        ".loupe-bar i{min-width:2px}.loupe-keys{display:flex;flex-wrap:wrap;gap:2px 14px;"
        "margin-top:6px;font-size:0.85rem}.loupe-key b{display:inline-block;width:8px;height:8px;"
        "border-radius:2px;margin-right:5px}</style>"
        f'<div class="loupe-bar">{"".join(parts)}</div>'
        f'<div class="loupe-keys">{"".join(words)}</div>'
    )
