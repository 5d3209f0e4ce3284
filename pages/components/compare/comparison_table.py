"""The rows of a comparison as a table that can be filtered, selected from and downloaded."""

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
from core.wording import PERCENT_CELL, count, in_percent, percent, shape
from pages.components.cached import cached
from pages.components.compare.state_filter import state_filter

HEIGHT, FEW = 388, 10
"""The height of a long table in pixels, and the most rows of one that is as high as its rows."""

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
        "Layout", help="How the elements are stored, if they are not strided"
    ),
    "parameters": st.column_config.NumberColumn("Parameters", format="localized"),
    "l2": st.column_config.NumberColumn(
        "Relative L2",
        format="%.3g",
        help="The norm of the difference divided by the norm of A; infinite if A is all zeros",
    ),
    "max": st.column_config.NumberColumn(
        "Max |Δ|", format="%.3g", help="The largest absolute difference of an element, |B − A|"
    ),
    "mean": st.column_config.NumberColumn(
        "Mean |Δ|", format="%.3g", help="The mean absolute difference of an element, |B − A|"
    ),
    "cosine": st.column_config.NumberColumn(
        "Cosine",
        format="%.6f",
        width=92,
        help="The cosine of the angle between A and B; 1 is the same direction",
    ),
    "elements": st.column_config.NumberColumn(
        "Elements changed", format=PERCENT_CELL, help="The share of elements whose value differs"
    ),
    "outside": st.column_config.NumberColumn(
        "Not close", format=PERCENT_CELL, help="The share of elements outside the tolerance"
    ),
    "flips": st.column_config.NumberColumn(
        "Sign flips", format=PERCENT_CELL, help="The share of elements whose sign differs"
    ),
    "not_finite": st.column_config.TextColumn(
        "NaN, Inf", help="The number of elements left out of the numbers, A → B"
    ),
    "paired": st.column_config.TextColumn(
        "Paired", help="How tensors of different names were paired, and with what confidence"
    ),
    "evidence": st.column_config.TextColumn("Evidence", help="What shows the state"),
    "note": st.column_config.TextColumn("Note"),
}


def comparison_table(
    comparison: Comparison,
    numbers: Mapping[str, Numbers],
    identity: str,
    numbers_id: str,
    row_keys: Collection[str] | None = None,
) -> Row | None:
    """Draw the counts, the filters, the table and the download. Returns the selected row, or None.

    `identity` distinguishes the pair of files from all others, `numbers_id` these numbers of them.
    Only the rows with `row_keys` are shown, or all of them if it is None.
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
    view = _view(identity, chosen, text or "", row_keys)
    try:
        shown = _shown(view, comparison, chosen, text or "", row_keys)
    except FilterError as error:
        st.warning(plain_sentence(str(error)), icon=":material/warning:")
        return None
    selected = _table(shown, numbers, view, numbers_id)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(_rows_caption(shown, comparison), width="content")
        st.download_button(
            "Download rows as CSV",
            lambda: comparison_csv(shown, numbers),
            file_name=f"comparison-{sha256(f'{view}|{numbers_id}'.encode()).hexdigest()[:12]}.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
            type="tertiary",
        )
    return selected


def _rows_caption(shown: Sequence[Row], comparison: Comparison) -> str:
    if len(shown) == len(comparison.rows):
        return f"{count(len(shown))} rows. Choose a row to see what changed in its tensor."
    return f"{count(len(shown))} of {count(len(comparison.rows))} rows"


def _view(
    identity: str, chosen: Collection[State], text: str, row_keys: Collection[str] | None
) -> str:
    """A name that is the same for the same rows of the same files."""
    parts = (identity, tuple(chosen), text, None if row_keys is None else sorted(row_keys))
    return sha256(repr(parts).encode()).hexdigest()[:24]


@cached(16)
def _shown(
    view: str,
    _comparison: Comparison,
    _states: Collection[State],
    _text: str,
    _row_keys: Collection[str] | None,
) -> Sequence[Row]:
    """The rows of a view. Sessions share the result, so it is never changed."""
    matching = fitting_keys(_text, [row.key for row in _comparison.rows])
    row_keys = None if _row_keys is None else frozenset(_row_keys)
    return [
        row
        for row in _comparison.rows
        if (not _states or row.state in _states)
        and row.key in matching
        and (row_keys is None or row.key in row_keys)
    ]


def _table(
    rows: Sequence[Row], numbers: Mapping[str, Numbers], view: str, numbers_id: str
) -> Row | None:
    """Draw the rows. Returns the selected one, or None."""
    frame = _measured_frame(view, numbers_id, rows, numbers)
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
        alt="Tensors of A and B, with the state of each",
    )
    selected = event.selection.rows
    return rows[selected[0]] if selected and selected[0] < len(rows) else None


@cached(16)
def _frame(view: str, _rows: Sequence[Row]) -> pd.DataFrame:
    """The table without numbers. Sessions share the result, so it is never changed."""
    return pd.DataFrame(
        {
            "key": [visible(_keys_text(row)) for row in _rows],
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
    view: str, numbers_id: str, _rows: Sequence[Row], _numbers: Mapping[str, Numbers]
) -> pd.DataFrame:
    """The table with the numbers known so far. Sessions share the result, so it is never changed.

    It is cached apart from `_frame`, because the numbers arrive one by one while the rest stays.
    """
    frame = _frame(view, _rows)
    if any(row.key in _numbers for row in _rows):
        frame = frame.join(_number_columns([_numbers.get(row.key) for row in _rows]))
    return frame


def _without_empty(frame: pd.DataFrame) -> pd.DataFrame:
    """The table without the optional columns in which every cell is empty."""
    return frame.drop(
        columns=[name for name in ("paired", "note") if name in frame and not any(frame[name])]
    )


def _keys_text(row: Row) -> str:
    """The key, or both keys if they differ by more than a prefix."""
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
    return f"{pair.by}, {percent(pair.confidence)}"


def _layouts(rows: Sequence[Row]) -> dict[str, list[str]]:
    """The column of layouts, if some tensor is not strided."""
    if all(entry is None or entry.form is None for row in rows for entry in (row.a, row.b)):
        return {}
    return {"layout": [_change(row, layout) for row in rows]}


def _change(row: Row, text: Callable[[TensorEntry], str]) -> str:
    """One text if both sides have the same, else `A's → B's`."""
    texts = [text(entry) for entry in (row.a, row.b) if entry is not None]
    return texts[0] if len(set(texts)) == 1 else " → ".join(texts)


def _of_all(elements: int, numbers: Numbers) -> float | None:
    return in_percent(elements / numbers.count) if numbers.count else None


def _number_columns(numbers: Sequence[Numbers | None]) -> pd.DataFrame:
    columns = {
        "max": [n.max_abs if n else None for n in numbers],
        "l2": [n.relative_l2 if n else None for n in numbers],
        "cosine": [n.cosine if n else None for n in numbers],
        "mean": [n.mean_abs if n else None for n in numbers],
        "elements": [in_percent(n.changed_share) if n else None for n in numbers],
        "outside": [_of_all(n.outside, n) if n else None for n in numbers],
        "flips": [_of_all(n.sign_flips, n) if n else None for n in numbers],
    }
    frame = pd.DataFrame(columns, dtype=float)
    not_finite = [_not_finite(n) if n else "" for n in numbers]
    return frame.assign(not_finite=not_finite) if any(not_finite) else frame


def _not_finite(numbers: Numbers) -> str:
    counts = {"NaN": (numbers.nan_a, numbers.nan_b), "Inf": (numbers.inf_a, numbers.inf_b)}
    return ", ".join(
        f"{count(before)} → {count(after)} {name}"
        for name, (before, after) in counts.items()
        if before or after
    )
