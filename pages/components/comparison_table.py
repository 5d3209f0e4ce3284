"""The rows of a comparison: filter them, take their numbers, download them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from hashlib import sha256

import pandas as pd
import streamlit as st

from core.checkpoint import TensorEntry
from core.compare.csv_rows import comparison_csv
from core.compare.measure import comparable, differences
from core.compare.numbers import Numbers
from core.compare.words import Comparison, Row, State
from core.errors import FilterError, LoupeError
from core.jobs import Cancelled, Job, Progress
from core.key_filter import fitting_keys
from core.layouts import layout
from core.theme import STATE_COLOURS, count, shape, size
from pages.components.job_panel import job_panel
from pages.components.resources import jobs
from pages.components.state_filter import state_filter

HEIGHT, FEW = 560, 15
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
    "max": st.column_config.NumberColumn(
        "Max |Δ|", format="%.3g", help="The largest difference of one element, B minus A"
    ),
    "l2": st.column_config.NumberColumn(
        "Relative L2",
        format="%.3g",
        help="The norm of the difference over the norm of A; infinite where A is all zeros",
    ),
    "cosine": st.column_config.NumberColumn(
        "Cosine", format="%.6f", help="Of the angle between the two: 1 is the same direction"
    ),
    "elements": st.column_config.NumberColumn(
        "Elements changed", format="percent", help="The share of elements whose value differs"
    ),
    "odd": st.column_config.TextColumn("NaN, Inf", help="Elements left out of the numbers, A → B"),
    "evidence": st.column_config.TextColumn("Evidence", help="What the state was read from"),
}


@st.fragment
def comparison_table(comparison: Comparison, identity: str) -> None:
    """Draw counts, filter, table, numbers and download; `identity` tells the pair of files."""
    numbers: dict[str, Numbers] = st.session_state.setdefault(f"numbers-{identity}", {})
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
    try:
        shown = _shown(comparison, chosen, text or "")
    except FilterError as error:
        st.warning(str(error))
        return
    view = f"{identity}-{'-'.join(chosen)}-{text}"
    work, buttons = st.container(), st.container(horizontal=True)
    with work:
        busy = _busy(identity)
    picked = _table(shown, numbers, view)
    with buttons:
        if not busy:
            _take_button(picked or shown, numbers, identity, selected=bool(picked))
        st.download_button(
            "Download the rows as CSV",
            lambda: comparison_csv(shown, numbers),
            file_name=f"comparison-{_content_hash(view, numbers)}.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
        )


def _shown(comparison: Comparison, states: Collection[State], text: str) -> list[Row]:
    fitting = fitting_keys(text, [row.key for row in comparison.rows])
    return [
        row for row in comparison.rows if (not states or row.state in states) and row.key in fitting
    ]


def _table(rows: Sequence[Row], numbers: Mapping[str, Numbers], view: str) -> list[Row]:
    """Draw the rows; those that are selected."""
    frame = _frame(view, rows)
    if any(row.key in numbers for row in rows):
        frame = frame.join(_number_columns([numbers.get(row.key) for row in rows]))
    order = [name for name in COLUMNS if name in frame.columns]
    event = st.dataframe(
        frame,
        key=f"rows-{view}",
        hide_index=True,
        height=HEIGHT if len(rows) > FEW else "content",
        column_order=order,
        column_config=COLUMNS,
        on_select="rerun",
        selection_mode="multi-row",
        placeholder="",
        lazy=False,
        alt="Tensors of A and B, with what became of each",
    )
    return [rows[index] for index in event.selection.rows if index < len(rows)]


@st.cache_resource(max_entries=16, show_spinner=False)
def _frame(view: str, _rows: Sequence[Row]) -> pd.DataFrame:
    """The table without numbers; shared by sessions, never changed."""
    return pd.DataFrame(
        {
            "key": [row.key for row in _rows],
            "state": [[str(row.state)] for row in _rows],
            "shape": [_change(row, lambda entry: shape(entry.shape)) for row in _rows],
            "dtype": [_change(row, lambda entry: entry.dtype) for row in _rows],
            **_layouts(_rows),
            "parameters": [entry.numel if (entry := row.a or row.b) else 0 for row in _rows],
            "evidence": [str(row.evidence) for row in _rows],
        }
    )


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
        "elements": [each.changed_share if each else None for each in found],
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


def _slot(identity: str) -> str:
    return f"numbers-job-{identity}"


def _busy(identity: str) -> bool:
    """Draw the work on numbers while it is under way; tell how it ended where it did not do all."""
    job: Job[int] | None = st.session_state.get(_slot(identity))
    if job is None:
        return False
    try:
        if job_panel(_slot(identity), job) is None:
            return True
    except Cancelled:
        st.info("Stopped. The numbers that were done are in the table.", icon=":material/info:")
    except LoupeError as error:
        st.error(str(error), icon=":material/error:")
    del st.session_state[_slot(identity)]
    return False


def _take_button(
    rows: Sequence[Row], numbers: MutableMapping[str, Numbers], identity: str, *, selected: bool
) -> None:
    """Offer the numbers of these rows: all that are selected, or those shown that differ."""
    wanted = [row for row in rows if row.key not in numbers and comparable(row.a, row.b)]
    if not selected:
        wanted = [row for row in wanted if row.state is not State.SAME]
    if not wanted:
        return
    which = "selected" if selected else "that differ"
    nbytes = sum(entry.nbytes for row in wanted for entry in (row.a, row.b) if entry is not None)
    if st.button(
        f"Numbers of the {count(len(wanted))} {which}",
        help=f"Largest difference, relative L2 and cosine of each: reads {size(nbytes)}",
        icon=":material/functions:",
        type="primary",
        key=f"take-{identity}",
    ):
        st.session_state[_slot(identity)] = jobs().start(
            lambda progress: _take(wanted, numbers, progress)
        )
        st.rerun()


def _take(rows: Sequence[Row], numbers: MutableMapping[str, Numbers], progress: Progress) -> int:
    """Fill in the numbers one by one, so that a cancel keeps what is done; how many there are."""
    pairs = [(row.a, row.b) for row in rows if row.a is not None and row.b is not None]
    for index, found in differences(pairs, progress=progress):
        numbers[rows[index].key] = found
    return len(pairs)


def _content_hash(view: str, numbers: Mapping[str, Numbers]) -> str:
    """Tells apart every content that the download can have: the files, the filter, the numbers."""
    return sha256(repr((view, sorted(numbers))).encode()).hexdigest()[:12]
