"""The rows of a comparison as a table that can be filtered, selected from and downloaded."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256

import streamlit as st

from core.compare import (
    ChangeShares,
    Comparison,
    Numbers,
    Row,
    State,
    change_shares,
)
from core.compare.texts import comparison_csv
from core.errors import FilterError
from core.keys import common_prefix, fitting_keys
from core.plain_text import plain_sentence
from core.wording import count, counted
from pages.components.cached import cached
from pages.components.compare.comparison_columns import comparison_columns, keys_text
from pages.components.compare.state_filter import state_filter
from pages.components.link.page_view import tell
from pages.components.treegrid.key_search import key_search
from pages.components.treegrid.table_data import PackedTable, RowGroup, Table, packed
from pages.components.treegrid.tree_table import take_row, tree_table

LINES = 14
"""The most lines before the table scrolls."""

FIRST = 10
"""The weights that stand above the closed group of the others, where none is filtered."""


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
    with search:
        text = key_search("compare-search")
    view = _view(identity, chosen, text, row_keys)
    shares = _shares(identity, numbers_id, comparison, numbers)
    try:
        shown = _shown(view, numbers_id, comparison, chosen, text, row_keys, shares)
    except FilterError as error:
        st.warning(plain_sentence(str(error)), icon=":material/warning:")
        return None
    is_whole = not text and row_keys is None
    table = _packed(view, identity, numbers_id, comparison, shown, numbers, shares, is_whole)
    places = _places(identity, comparison)
    first = places[shown[0].key] if shown else None
    name = f"rows-{identity}"
    take_row("compare-tensor", name, places)
    place = tree_table(table, name, first)
    tell("compare-tensor", None if place in (None, first) else comparison.rows[place].key)
    st.download_button(
        "Download rows as CSV",
        lambda: comparison_csv(shown, numbers, shares.shares),
        file_name=f"comparison-{sha256(f'{view}|{numbers_id}'.encode()).hexdigest()[:12]}.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        type="tertiary",
    )
    return None if place is None else comparison.rows[place]


def _foot(shown: Sequence[Row], comparison: Comparison) -> str:
    if not shown:
        return "No row has this key and one of the chosen states."
    if len(shown) == len(comparison.rows):
        return counted(len(shown), "row")
    return f"{count(len(shown))} of {counted(len(comparison.rows), 'row')}"


def _view(
    identity: str, chosen: Collection[State], text: str, row_keys: Collection[str] | None
) -> str:
    """A name that is the same for the same rows of the same files."""
    parts = (identity, tuple(chosen), text, None if row_keys is None else sorted(row_keys))
    return sha256(repr(parts).encode()).hexdigest()[:24]


@cached(16)
def _shares(
    identity: str, numbers_id: str, _comparison: Comparison, _numbers: Mapping[str, Numbers]
) -> ChangeShares:
    return change_shares(_comparison.rows, _numbers)


@cached(16)
def _places(identity: str, _comparison: Comparison) -> Mapping[str, int]:
    """Row key → its place in the comparison, by which the table calls it."""
    return {row.key: place for place, row in enumerate(_comparison.rows)}


@cached(16)
def _shown(
    view: str,
    numbers_id: str,
    _comparison: Comparison,
    _states: Collection[State],
    _text: str,
    _row_keys: Collection[str] | None,
    _shares: ChangeShares,
) -> Sequence[Row]:
    """The rows of a view, those that make up most of the change first. Sessions share the result,
    so it is never changed."""
    matching = fitting_keys(_text, [row.key for row in _comparison.rows])
    row_keys = None if _row_keys is None else frozenset(_row_keys)
    rows = [
        row
        for row in _comparison.rows
        if (not _states or row.state in _states)
        and row.key in matching
        and (row_keys is None or row.key in row_keys)
    ]
    return _shares.ordered(rows)


@cached(16)
def _packed(
    view: str,
    identity: str,
    numbers_id: str,
    _comparison: Comparison,
    _rows: Sequence[Row],
    _numbers: Mapping[str, Numbers],
    _shares: ChangeShares,
    is_whole: bool,
) -> PackedTable:
    """The rows as a table. Sessions share the result, so it is never changed."""
    places = _places(identity, _comparison)
    prefix = _prefix(_comparison.rows)
    # Where no change was measured, a column of zeros would look like a finding.
    shares = _shares.shares if any(_shares.shares.values()) else {}
    return packed(
        Table(
            "Tensors of A and B, with the state of each",
            comparison_columns(_rows, _numbers, shares, prefix),
            _groups(_rows, shares, _shares.statistics, prefix, is_whole=is_whole),
            [places[row.key] for row in _rows],
            foot=_foot(_rows, _comparison),
            rows=LINES,
            clears=False,
        )
    )


def _groups(
    rows: Sequence[Row],
    shares: Mapping[str, float],
    statistics: Collection[str],
    prefix: str,
    *,
    is_whole: bool,
) -> list[RowGroup]:
    """The first weights, the others as a closed group, and BatchNorm's statistics as another; all
    rows as one where they have room, or where they are not the whole comparison."""
    if len(rows) <= LINES or not is_whole:
        return [RowGroup(None, len(rows), prefix)]
    weights = sum(row.key not in statistics for row in rows)
    first = weights if weights <= FIRST + 2 else FIRST
    others = rows[first:weights]
    rest = sum(shares.get(row.key, 0.0) for row in others)
    groups = [
        RowGroup(None, first, prefix),
        RowGroup(
            counted(len(others), "more weight" if shares else "more tensor"),
            len(others),
            prefix,
            {"Δ share": rest or None},
        ),
        RowGroup(counted(len(rows) - weights, "BatchNorm statistic"), len(rows) - weights, prefix),
    ]
    return [group for group in groups if group.count]


def _prefix(rows: Sequence[Row]) -> str:
    """What all keys begin with, such as `module.`, which the rows leave out. A renamed tensor has
    two keys, of which only the first would be shorter."""
    if len(rows) < 2 or any(keys_text(row) != row.key for row in rows):
        return ""
    return common_prefix([row.key for row in rows])
