"""How the tensors of A and B were paired, and the user's own decisions about it."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pandas as pd
import streamlit as st

from core.compare import NO_CHOICES, PairedBy, Pairing
from core.compare.pairing import Decision, accept, decide, decisions
from core.plain_text import code, plain, visible
from core.wording import PERCENT_CELL, count, in_percent
from pages.components.workspace import workspace

HEIGHT, FEW = 460, 11
"""The height of a long table in pixels, and the most rows of one that is as high as its rows."""


def pairs_panel(pairing: Pairing, identity: str) -> None:
    """Draw what was paired and how, with a checkbox per pair.

    `identity` distinguishes the pair of files from all others.
    """
    st.markdown(_summary(pairing))
    _prefixes(pairing)
    rows = decisions(pairing, workspace().bench.pairing)
    if rows:
        _table(rows, identity)
    else:
        unlike = (
            ": no unpaired tensor looks like one of the other file"
            if pairing.only_a and pairing.only_b
            else ""
        )
        st.caption(f"No tensors were paired by content or likeness{unlike}.")
    _by_hand(pairing, identity)
    if workspace().bench.pairing != NO_CHOICES:
        st.button(
            "Discard my decisions",
            icon=":material/undo:",
            type="tertiary",
            on_click=workspace().decide,
            args=(NO_CHOICES,),
        )


def _summary(pairing: Pairing) -> str:
    counts = {by: sum(pair.by is by for pair in pairing.pairs) for by in PairedBy}
    words = {
        PairedBy.NAME: "by name",
        PairedBy.PREFIX: "by name without a prefix",
        PairedBy.CONTENT: "by content",
        PairedBy.LIKENESS: "by likeness",
        PairedBy.HAND: "by hand",
    }
    paired = [f"**{count(counts[by])}** {plain(words[by])}" for by in PairedBy if counts[by]]
    unpaired = (
        f"unpaired: {count(len(pairing.only_a))} in A, {count(len(pairing.only_b))} in B"
        if pairing.only_a or pairing.only_b
        else "no tensor is unpaired"
    )
    return f"Tensors paired: {', '.join(paired) or 'none'}; {unpaired}."


def _prefixes(pairing: Pairing) -> None:
    chosen = workspace().bench.pairing
    sides = ((pairing.strip_a, "A"), (pairing.strip_b, "B"))
    prefixes = " and ".join(
        f"{code(prefix)} from {plain(side)}" for prefix, side in sides if prefix
    )
    if not prefixes and chosen.strip is None:
        return
    text, action = st.columns([4, 1], vertical_alignment="center")
    if prefixes:
        text.info(f"Stripped {prefixes} to match the names.", icon=":material/join_inner:")
        label, choices = "Keep prefixes", replace(chosen, strip=("", ""))
    else:
        text.info("Prefixes are kept, as you chose.", icon=":material/join_inner:")
        label, choices = "Strip prefixes", replace(chosen, strip=None)
    action.button(plain(label), width="stretch", on_click=workspace().decide, args=(choices,))


def _table(rows: tuple[Decision, ...], identity: str) -> None:
    frame = pd.DataFrame(
        {
            "taken": [row.paired for row in rows],
            "a": [_key_text(row.key_a, row.view_a) for row in rows],
            "b": [_key_text(row.key_b, row.view_b) for row in rows],
            "by": [row.by or "rejected" for row in rows],
            "confidence": [in_percent(row.confidence) for row in rows],
            "why": [visible(row.why) for row in rows],
        }
    )
    edited = st.data_editor(
        frame,
        # The key depends on the rows, since an editor would apply its edits to whatever row now
        # has the same number.
        key=f"pairs-{sha256(repr((identity, rows)).encode()).hexdigest()[:16]}",
        hide_index=True,
        height=HEIGHT if len(rows) > FEW else "content",
        disabled=["a", "b", "by", "confidence", "why"],
        column_config={
            "taken": st.column_config.CheckboxColumn(
                "Pair",
                width=52,
                help="Untick to separate the two tensors, tick to pair them",
            ),
            "a": st.column_config.TextColumn("Key in A", width=330),
            "b": st.column_config.TextColumn("Key in B", width=330),
            "by": st.column_config.TextColumn("Paired by", width=80),
            "confidence": st.column_config.ProgressColumn(
                "Confidence", format=PERCENT_CELL, min_value=0, max_value=100, width=110
            ),
            "why": st.column_config.TextColumn("Evidence", width=340),
        },
    )
    chosen = workspace().bench.pairing
    for row, taken in zip(rows, edited["taken"], strict=True):
        if bool(taken) != row.paired:
            chosen = decide(chosen, row, paired=bool(taken))
    if chosen != workspace().bench.pairing:
        workspace().decide(chosen)
        st.rerun()


def _key_text(key: str, view: str) -> str:
    """The key, followed by the view of its tensor that was paired, such as `[0:768]`."""
    return visible(f"{key} {view}" if view else key)


def _by_hand(pairing: Pairing, identity: str) -> None:
    if not (pairing.only_a and pairing.only_b):
        return
    left, right, action = st.columns([5, 5, 2], vertical_alignment="bottom")
    a = left.selectbox(
        "Unpaired in A",
        [entry.key for entry in pairing.only_a],
        index=None,
        format_func=visible,
        key=f"alone-a-{identity}",
        placeholder="Choose a tensor",
    )
    b = right.selectbox(
        "Unpaired in B",
        [entry.key for entry in pairing.only_b],
        index=None,
        format_func=visible,
        key=f"alone-b-{identity}",
        placeholder="Choose its counterpart",
    )
    action.button(
        "Pair by hand",
        width="stretch",
        disabled=not (a and b),
        on_click=lambda: workspace().decide(accept(workspace().bench.pairing, str(a), str(b))),
    )
