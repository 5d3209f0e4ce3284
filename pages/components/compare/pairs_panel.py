"""How the tensors of A and B came together, and a person's say in it."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pandas as pd
import streamlit as st

from core.compare import NO_CHOICES, PairedBy, Pairing
from core.compare.pairing import Decision, accept, decide, decisions
from core.plain_text import code, plain, visible
from core.wording import count
from pages.components.workspace import workspace

HEIGHT, FEW = 460, 11


def pairs_panel(pairing: Pairing, identity: str) -> None:
    """Draw what was paired and how, a tick each; `identity` tells the pair of files."""
    st.markdown(_summary(pairing))
    _prefixes(pairing)
    found = decisions(pairing, workspace().bench.pairing)
    if found:
        _table(found, identity)
    else:
        st.caption(
            "Nothing had to be paired by content or likeness: no tensor is left that looks like "
            "one of the other file."
        )
    _by_hand(pairing, identity)
    if workspace().bench.pairing != NO_CHOICES:
        st.button(
            "Forget my decisions",
            icon=":material/undo:",
            type="tertiary",
            on_click=workspace().decide,
            args=(NO_CHOICES,),
        )


def _summary(pairing: Pairing) -> str:
    by = {how: sum(one.by is how for one in pairing.pairs) for how in PairedBy}
    words = {
        PairedBy.NAME: "by name",
        PairedBy.PREFIX: "by name after a prefix",
        PairedBy.CONTENT: "by content",
        PairedBy.LIKENESS: "by likeness",
        PairedBy.HAND: "by hand",
    }
    told = [f"**{count(by[how])}** {plain(words[how])}" for how in PairedBy if by[how]]
    alone = (
        f"alone: {count(len(pairing.only_a))} in A, {count(len(pairing.only_b))} in B"
        if pairing.only_a or pairing.only_b
        else "none is alone"
    )
    return f"Paired {', '.join(told) or 'nothing'}; {alone}."


def _prefixes(pairing: Pairing) -> None:
    chosen = workspace().bench.pairing
    sides = ((pairing.strip_a, "A"), (pairing.strip_b, "B"))
    told = " and ".join(f"{code(prefix)} from {plain(side)}" for prefix, side in sides if prefix)
    if not told and chosen.strip is None:
        return
    text, action = st.columns([4, 1], vertical_alignment="center")
    if told:
        text.info(f"Stripped {told}, so that the names agree.", icon=":material/join_inner:")
        label, then = "Keep prefixes", replace(chosen, strip=("", ""))
    else:
        text.info("Prefixes are kept, as you said.", icon=":material/join_inner:")
        label, then = "Strip them", replace(chosen, strip=None)
    action.button(plain(label), width="stretch", on_click=workspace().decide, args=(then,))


def _table(found: tuple[Decision, ...], identity: str) -> None:
    frame = pd.DataFrame(
        {
            "taken": [one.taken for one in found],
            "a": [_viewed(one.key_a, one.view_a) for one in found],
            "b": [_viewed(one.key_b, one.view_b) for one in found],
            "by": [one.by or "rejected" for one in found],
            "confidence": [one.confidence for one in found],
            "why": [visible(one.why) for one in found],
        }
    )
    edited = st.data_editor(
        frame,
        key=f"pairs-{sha256(repr((identity, found)).encode()).hexdigest()[:16]}",
        hide_index=True,
        height=HEIGHT if len(found) > FEW else "content",
        disabled=["a", "b", "by", "confidence", "why"],
        column_config={
            "taken": st.column_config.CheckboxColumn(
                "Pair",
                width=52,
                help="Untick to set the two apart, tick to let them stand together",
            ),
            "a": st.column_config.TextColumn("Key in A", width=330),
            "b": st.column_config.TextColumn("Key in B", width=330),
            "by": st.column_config.TextColumn("By", width=80),
            "confidence": st.column_config.ProgressColumn(
                "Confidence", format="percent", min_value=0, max_value=1, width=110
            ),
            "why": st.column_config.TextColumn("Evidence", width=340),
        },
    )
    chosen = workspace().bench.pairing
    for one, taken in zip(found, edited["taken"], strict=True):
        if bool(taken) != one.taken:
            chosen = decide(chosen, one, taken=bool(taken))
    if chosen != workspace().bench.pairing:
        workspace().decide(chosen)
        st.rerun()


def _viewed(key: str, view: str) -> str:
    return visible(f"{key} {view}" if view else key)


def _by_hand(pairing: Pairing, identity: str) -> None:
    if not (pairing.only_a and pairing.only_b):
        return
    left, right, action = st.columns([5, 5, 2], vertical_alignment="bottom")
    a = left.selectbox(
        "Alone in A",
        [entry.key for entry in pairing.only_a],
        index=None,
        format_func=visible,
        key=f"alone-a-{identity}",
        placeholder="Choose a tensor",
    )
    b = right.selectbox(
        "Alone in B",
        [entry.key for entry in pairing.only_b],
        index=None,
        format_func=visible,
        key=f"alone-b-{identity}",
        placeholder="Choose the one that goes with it",
    )
    action.button(
        "Pair by hand",
        width="stretch",
        disabled=not (a and b),
        on_click=lambda: workspace().decide(accept(workspace().bench.pairing, str(a), str(b))),
    )
