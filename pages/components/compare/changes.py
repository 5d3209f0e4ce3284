"""What changed: a chart of the whole model, the table of its tensors, and a selected tensor."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial

import plotly.graph_objects as go
import streamlit as st

from core.compare import Block, Comparison, Numbers, PartMap, blocks, part_map
from core.compare.report import DepthChart, depth_chart, part_figure, scatter_figure
from core.plain_text import plain
from core.wording import tensors
from pages.components.cached import cached
from pages.components.compare.comparison_table import comparison_table
from pages.components.compare.depth_panel import depth_panel
from pages.components.compare.pair_card import pair_card
from pages.components.link.page_view import one_of, shared

DEPTH, PARTS, SCATTER = "By depth", "By part", "Norm against change"
TITLES = {
    DEPTH: "Relative change by depth",
    PARTS: "Relative change by part",
    SCATTER: "Relative change against the norm",
}
"""The charts as the switch calls them, and their titles."""


@st.fragment
def changes(
    comparison: Comparison, numbers: Mapping[str, Numbers], identity: str, numbers_id: str
) -> None:
    """Draw the charts, the table and the card of the selected tensor.

    `identity` distinguishes the pair of files and their pairing from all others, `numbers_id` these
    numbers of them.
    """
    row_keys = _charts(comparison, numbers, identity, numbers_id)
    table, card = st.columns([5, 3], gap="medium")
    with table:
        row = comparison_table(comparison, numbers, identity, numbers_id, row_keys)
    with card:
        if row is not None:
            pair_card(row, numbers.get(row.key), identity)


def _charts(
    comparison: Comparison, numbers: Mapping[str, Numbers], identity: str, numbers_id: str
) -> Collection[str] | None:
    """Draw the chosen chart. Returns the keys of the rows that were clicked in it, or None for all
    rows."""
    if not numbers:
        return None
    model_blocks, parts, lines = _parts(identity, numbers_id, comparison, numbers)
    offered = [*([DEPTH] if lines else []), *([PARTS] if parts else []), SCATTER]
    with st.container(border=True, key="compare-chart", gap="small"):
        with st.container(
            horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
        ):
            title = st.empty()
            chosen = st.segmented_control(
                "Chart",
                offered,
                default=offered[0],
                required=True,
                key=shared("compare-picture", offered[0], one_of(offered)),
                persist_state="session",
                label_visibility="collapsed",
                width="content",
            )
        title.markdown(f"**{plain(TITLES[chosen])}**", width="content")
        if chosen == DEPTH and lines:
            names = one_of([block.name for block in model_blocks])
            state_key = shared("compare-block", read=names, key=f"compare-block-{identity}")
            name = st.session_state.get(state_key)
            depth_panel(lines, "depth", name, partial(_choose, state_key))
        else:
            name = _plotly(chosen, comparison, numbers, identity, numbers_id)
    if name is None:
        return None
    keys = [name] if chosen == SCATTER else _keys_of(model_blocks, name)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"**{plain(name)}**, {tensors(len(keys))}",
            width="content",
        )
        st.button(
            "Show all tensors",
            icon=":material/close:",
            type="tertiary",
            on_click=_show_all,
            args=(identity,),
        )
    return keys


def _plotly(
    chosen: str,
    comparison: Comparison,
    numbers: Mapping[str, Numbers],
    identity: str,
    numbers_id: str,
) -> str | None:
    """Draw one of plotly's charts. Returns the name of the block or the tensor that was clicked."""
    figure = _figure(identity, numbers_id, chosen, comparison, numbers)
    if figure is None:
        st.caption("There is no change of this kind to draw.")
        return None
    resets = st.session_state.get(f"resets-{identity}", 0)
    event = st.plotly_chart(
        figure,
        key=f"picture-{identity}-{chosen}-{resets}",
        on_select="rerun",
        selection_mode="points",
        config={"displayModeBar": False},
        alt=TITLES[chosen],
    )
    points = event.selection.points
    # The figures put the name of the block or the tensor first into a point's customdata.
    return str(points[0]["customdata"][0]) if points else None


def _choose(state_key: str, name: str | None) -> None:
    st.session_state[state_key] = name


@cached(16)
def _parts(
    identity: str, numbers_id: str, _comparison: Comparison, _numbers: Mapping[str, Numbers]
) -> tuple[Sequence[Block], PartMap | None, DepthChart | None]:
    """The model's blocks with what changed in each, the map of their parts, and the lines through
    them, each None if there is too little for it. Sessions share the result, so it is never
    changed."""
    model_blocks = blocks(_comparison, _numbers)
    return model_blocks, part_map(model_blocks), depth_chart(model_blocks)


@cached(16)
def _figure(
    identity: str,
    numbers_id: str,
    chosen: str,
    _comparison: Comparison,
    _numbers: Mapping[str, Numbers],
) -> go.Figure | None:
    """The chosen chart, None if there is nothing to draw. Sessions share the result, so it is never
    changed."""
    if chosen == SCATTER:
        return scatter_figure(_comparison.rows, _numbers)
    _, parts, _ = _parts(identity, numbers_id, _comparison, _numbers)
    return part_figure(parts) if parts else None


def _show_all(identity: str) -> None:
    st.session_state.pop(f"compare-block-{identity}", None)
    # A selection of plotly's cannot be cleared from Python; a chart with a new key has none.
    resets = st.session_state.get(f"resets-{identity}", 0)
    st.session_state[f"resets-{identity}"] = resets + 1


def _keys_of(model_blocks: Collection[Block], name: str) -> list[str]:
    return [key for block in model_blocks if block.name == name for key in block.keys]
