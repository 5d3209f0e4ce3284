"""The tensors of a state_dict as a table that can be searched, filtered and selected from."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.checkpoint import StateDict, TensorEntry, layout
from core.errors import FilterError
from core.keys import filter_entries
from core.plain_text import plain_sentence, visible
from core.wording import PERCENT_CELL, count, in_percent, shape, size
from pages.components.cached import cached

HEIGHT, FEW = 560, 15
"""The height of a long table in pixels, and the most rows of one that is as high as its rows."""

NARROW_KEY = st.column_config.TextColumn("Key", width=188)
"""The narrower column of keys, for a table that has a column of layouts too."""

COLUMNS = {
    "key": st.column_config.TextColumn("Key", width=280),
    "shape": st.column_config.TextColumn("Shape", width=125),
    "dtype": st.column_config.TextColumn("Dtype", width=75),
    "layout": st.column_config.TextColumn(
        "Layout", width=92, help="How the elements are stored, if they are not strided"
    ),
    "parameters": st.column_config.NumberColumn("Parameters", format="localized", width=92),
    "bytes": st.column_config.NumberColumn("Size", format="bytes", width=72),
}


def key_table(state_dict: StateDict, identity: str) -> TensorEntry | None:
    """Draw the search, the dtypes and the table. Returns the tensor of the selected row, or None.

    `identity` distinguishes this state_dict of this file from all others.
    """
    search, pills = st.columns([3, 2], vertical_alignment="bottom")
    text = search.text_input(
        "Search keys",
        type="search",
        live=True,
        key="inspect-search",
        placeholder="layer1 conv, *.weight or /regex/",
    )
    dtypes = sorted({entry.dtype for entry in state_dict.values()})
    chosen: list[str] = []
    if len(dtypes) > 1:
        chosen = pills.pills("Dtypes", dtypes, selection_mode="multi", key="inspect-dtypes")
    try:
        entries, frame, largest = _frame(identity, text or "", tuple(chosen), state_dict)
    except FilterError as error:
        st.warning(plain_sentence(str(error)), icon=":material/warning:")
        return None
    if len(entries) < len(state_dict):
        parameters = sum(entry.numel for entry in entries)
        nbytes = sum(entry.nbytes for entry in entries)
        st.caption(
            f"{count(len(entries))} of {count(len(state_dict))} tensors, "
            f"{count(parameters)} parameters, {size(nbytes)}"
        )
    share = st.column_config.ProgressColumn(
        "Share",
        format=PERCENT_CELL,
        min_value=0,
        max_value=largest,
        width=115,
        help="The share of all parameters; the longest bar is the largest tensor",
    )
    event = st.dataframe(
        frame,
        key=f"keys-{identity}-{text}-{'-'.join(chosen)}",
        hide_index=True,
        height=HEIGHT if len(entries) > FEW else "content",
        column_config={
            **COLUMNS,
            **({"key": NARROW_KEY} if "layout" in frame else {}),
            "share": share,
        },
        on_select="rerun",
        selection_mode="single-row",
        lazy=False,
        alt="Tensors of the state_dict",
    )
    rows = event.selection.rows
    return entries[rows[0]] if rows and rows[0] < len(entries) else None


@cached(16)
def _frame(
    identity: str, text: str, dtypes: tuple[str, ...], _state_dict: StateDict
) -> tuple[list[TensorEntry], pd.DataFrame, float]:
    """The matching entries, their table, and the largest share of the parameters in percent.

    Sessions share the result, so it is never changed.
    """
    entries = filter_entries(_state_dict, text, dtypes)
    total = _state_dict.numel or 1
    shares = [in_percent(entry.numel / total) for entry in entries]
    frame = pd.DataFrame(
        {
            "key": [visible(entry.key) for entry in entries],
            "shape": [shape(entry.shape) for entry in entries],
            "dtype": [visible(entry.dtype) for entry in entries],
            **_layouts(_state_dict, entries),
            "parameters": [entry.numel for entry in entries],
            "share": shares,
            "bytes": [entry.nbytes for entry in entries],
        }
    )
    return entries, frame, max(shares, default=0) or 100


def _layouts(state_dict: StateDict, entries: list[TensorEntry]) -> dict[str, list[str]]:
    """The column of layouts, if some tensor of the state_dict is not strided."""
    if all(entry.form is None for entry in state_dict.values()):
        return {}
    return {"layout": [layout(entry) for entry in entries]}
