"""The rows of a comparison: filter them, choose one, download them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import sha256

import pandas as pd
import streamlit as st

from core.checkpoint import TensorEntry, layout
from core.compare import Comparison, Numbers, PairedBy, Row, State
from core.compare.texts import comparison_csv
from core.errors import FilterError
from core.keys import fitting_keys
from core.plain_text import plain_sentence, visible
from core.theme import STATE_COLOURS
from core.wording import count, shape
from pages.components.cached import cached
from pages.components.compare.state_filter import state_filter

HEIGHT, FEW = 388, 10
COLUMNS = {
    "state": st.column_config.MultiselectColumn(
        "State",
        width=105,
        options=[str(state) for state in State],
        color=[STATE_COLOURS[state] for state in State],
    ),
    "key": st.column_config.TextColumn("Key", width=310),
    "shape": st.column_config.TextColumn("Shape", width=150),
    "dtype": st.column_config.TextColumn("Dtype"),
    "layout": st.column_config.TextColumn(
        "Layout", help="How the elements lie in the file, where not one after the other"
    ),
    "parameters": st.column_config.NumberColumn("Parameters", format="localized"),
    "l2": st.column_config.NumberColumn(
        "Relative L2",
        format="%.3g",
        help="The norm of the difference over the norm of A; infinite where A is all zeros",
    ),
    "max": st.column_config.NumberColumn(
        "Max |Δ|", format="%.3g", help="The largest difference of one element, B minus A"
    ),
    "mean": st.column_config.NumberColumn(
        "Mean |Δ|", format="%.3g", help="The mean size of the difference of an element"
    ),
    "cosine": st.column_config.NumberColumn(
        "Cosine",
        format="%.6f",
        width=92,
        help="Of the angle between the two: 1 is the same direction",
    ),
    "elements": st.column_config.NumberColumn(
        "Elements changed", format="percent", help="The share of elements whose value differs"
    ),
    "outside": st.column_config.NumberColumn(
        "Not close", format="percent", help="The share of elements beyond the tolerance"
    ),
    "flips": st.column_config.NumberColumn(
        "Sign flips", format="percent", help="The share of elements that changed their sign"
    ),
    "odd": st.column_config.TextColumn("NaN, Inf", help="Elements left out of the numbers, A → B"),
    "paired": st.column_config.TextColumn(
        "Paired", help="How the two came together where the names differ, and how sure that is"
    ),
    "evidence": st.column_config.TextColumn("Evidence", help="What the state was read from"),
    "note": st.column_config.TextColumn("Note"),
}


def comparison_table(
    comparison: Comparison,
    numbers: Mapping[str, Numbers],
    identity: str,
    mark: str,
    within: Collection[str] | None = None,
) -> Row | None:
    """Draw counts, filter, table and download; the row that is chosen, if any.

    `identity` tells the pair of files, `mark` which numbers these are; `within` are the row keys
    to stay with, None for all.
    """
    states, search = st.columns([3, 2], vertical_alignment="bottom")
    with states:
        chosen = state_filter(comparison.counts, f"states-{identity}")
    text = search.text_input(
        "Search keys",
        type="search",
        live=True,
        key="compare-search",
        placeholder="layer1 conv, *.weight or /regex/",
        label_visibility="collapsed",
    )
    view = _view(identity, chosen, text or "", within)
    try:
        shown = _shown(view, comparison, chosen, text or "", within)
    except FilterError as error:
        st.warning(plain_sentence(str(error)), icon=":material/warning:")
        return None
    picked = _table(shown, numbers, view, mark)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(_counted(shown, comparison), width="content")
        st.download_button(
            "Rows as CSV",
            lambda: comparison_csv(shown, numbers),
            file_name=f"comparison-{sha256(f'{view}|{mark}'.encode()).hexdigest()[:12]}.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
            type="tertiary",
        )
    return picked


def _counted(shown: Sequence[Row], comparison: Comparison) -> str:
    if len(shown) == len(comparison.rows):
        return f"{count(len(shown))} rows. Choose one to see what changed in it."
    return f"{count(len(shown))} of {count(len(comparison.rows))} rows"


def _view(
    identity: str, chosen: Collection[State], text: str, within: Collection[str] | None
) -> str:
    """A name for what the table shows."""
    parts = (identity, tuple(chosen), text, None if within is None else sorted(within))
    return sha256(repr(parts).encode()).hexdigest()[:24]


@cached(16)
def _shown(
    view: str,
    _comparison: Comparison,
    _states: Collection[State],
    _text: str,
    _within: Collection[str] | None,
) -> Sequence[Row]:
    """The rows of a view; shared by sessions, never changed."""
    fitting = fitting_keys(_text, [row.key for row in _comparison.rows])
    within = None if _within is None else frozenset(_within)
    return [
        row
        for row in _comparison.rows
        if (not _states or row.state in _states)
        and row.key in fitting
        and (within is None or row.key in within)
    ]


def _table(rows: Sequence[Row], numbers: Mapping[str, Numbers], view: str, mark: str) -> Row | None:
    """Draw the rows; the one that is selected."""
    frame = _measured_frame(view, mark, rows, numbers)
    order = [name for name in COLUMNS if name in frame.columns]
    event = st.dataframe(
        frame,
        key=f"rows-{view}",
        hide_index=True,
        height=HEIGHT if len(rows) > FEW else "content",
        column_order=order,
        column_config=COLUMNS,
        on_select="rerun",
        selection_mode="single-row",
        placeholder="",
        lazy=False,
        alt="Tensors of A and B, with what became of each",
    )
    selected = event.selection.rows
    return rows[selected[0]] if selected and selected[0] < len(rows) else None


@cached(16)
def _frame(view: str, _rows: Sequence[Row]) -> pd.DataFrame:
    """The table without numbers; shared by sessions, never changed."""
    return pd.DataFrame(
        {
            "key": [visible(_named(row)) for row in _rows],
            "state": [[str(row.state)] for row in _rows],
            "shape": [_change(row, lambda entry: shape(entry.shape)) for row in _rows],
            "dtype": [_change(row, lambda entry: visible(entry.dtype)) for row in _rows],
            **_layouts(_rows),
            "parameters": [entry.numel if (entry := row.a or row.b) else 0 for row in _rows],
            "paired": [_paired(row) for row in _rows],
            "evidence": [str(row.evidence) for row in _rows],
            "note": [visible(row.note) for row in _rows],
        }
    ).pipe(_without_empty)


@cached(16)
def _measured_frame(
    view: str, mark: str, _rows: Sequence[Row], _numbers: Mapping[str, Numbers]
) -> pd.DataFrame:
    """The table with the numbers that are there; shared by sessions, never changed."""
    frame = _frame(view, _rows)
    if any(row.key in _numbers for row in _rows):
        frame = frame.join(_number_columns([_numbers.get(row.key) for row in _rows]))
    return frame


def _without_empty(frame: pd.DataFrame) -> pd.DataFrame:
    """Without the columns that tell nothing of these files."""
    return frame.drop(
        columns=[name for name in ("paired", "note") if name in frame and not any(frame[name])]
    )


def _named(row: Row) -> str:
    """The key, or both where they are not one but for a prefix."""
    pair = row.pair
    if pair is None or pair.by in (PairedBy.NAME, PairedBy.PREFIX):
        return row.key
    a, b = (
        f"{key} {view}".strip()
        for key, view in ((row.key_a, pair.view_a), (row.key_b, pair.view_b))
    )
    return f"{a} → {b}"


def _paired(row: Row) -> str:
    pair = row.pair
    if pair is None or pair.by in (PairedBy.NAME, PairedBy.PREFIX):
        return ""
    return f"{pair.by}, {pair.confidence:.0%}"


def _layouts(rows: Sequence[Row]) -> dict[str, list[str]]:
    """The column of layouts, where some tensor is not strided."""
    if all(entry is None or entry.form is None for row in rows for entry in (row.a, row.b)):
        return {}
    return {"layout": [_change(row, layout) for row in rows]}


def _change(row: Row, text: Callable[[TensorEntry], str]) -> str:
    told = [text(entry) for entry in (row.a, row.b) if entry is not None]
    return told[0] if len(set(told)) == 1 else " → ".join(told)


def _number_columns(found: Sequence[Numbers | None]) -> pd.DataFrame:
    columns = {
        "max": [each.max_abs if each else None for each in found],
        "l2": [each.relative_l2 if each else None for each in found],
        "cosine": [each.cosine if each else None for each in found],
        "mean": [each.mean_abs if each else None for each in found],
        "elements": [each.changed_share if each else None for each in found],
        "outside": [each.outside / each.count if each and each.count else None for each in found],
        "flips": [each.sign_flips / each.count if each and each.count else None for each in found],
    }
    frame = pd.DataFrame(columns, dtype=float)
    odd = [_odd(each) if each else "" for each in found]
    return frame.assign(odd=odd) if any(odd) else frame


def _odd(found: Numbers) -> str:
    counts = {"NaN": (found.nan_a, found.nan_b), "Inf": (found.inf_a, found.inf_b)}
    return ", ".join(
        f"{count(before)} → {count(after)} {name}"
        for name, (before, after) in counts.items()
        if before or after
    )
