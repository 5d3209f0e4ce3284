"""What changed: a chart of the whole model, the table of its tensors, and a selected tensor."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import plotly.graph_objects as go
import streamlit as st

from core.compare import Block, Comparison, Numbers, PartMap, blocks, part_map
from core.compare.report import depth_figure, part_figure, scatter_figure
from core.plain_text import plain
from core.wording import tensors
from pages.components.cached import cached
from pages.components.compare.comparison_table import comparison_table
from pages.components.compare.pair_card import pair_card

DEPTH, PARTS, SCATTER = "By depth", "By part", "Norm against change"


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
    model_blocks, parts = _parts(identity, numbers_id, comparison, numbers)
    chosen = st.segmented_control(
        "Chart",
        [DEPTH, *([PARTS] if parts else []), SCATTER],
        default=DEPTH,
        required=True,
        key="compare-picture",
        persist_state="session",
        label_visibility="collapsed",
    )
    figure = _figure(identity, numbers_id, chosen, comparison, numbers)
    if figure is None:
        return None
    resets = st.session_state.setdefault(f"resets-{identity}", 0)
    event = st.plotly_chart(
        figure,
        key=f"picture-{identity}-{chosen}-{resets}",
        on_select="rerun",
        selection_mode="points",
        config={"displayModeBar": False},
        alt=f"Change {chosen}",
    )
    points = event.selection.points
    if not points:
        st.caption("Click a bar, a cell or a point to show only its tensors below.")
        return None
    # The figures put the name of the block or the tensor first into a point's customdata.
    name = str(points[0]["customdata"][0])
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


@cached(16)
def _parts(
    identity: str, numbers_id: str, _comparison: Comparison, _numbers: Mapping[str, Numbers]
) -> tuple[Sequence[Block], PartMap | None]:
    """The model's blocks with what changed in each, and the map of their parts, None if there is
    too little for a map. Sessions share the result, so it is never changed."""
    model_blocks = blocks(_comparison, _numbers)
    return model_blocks, part_map(model_blocks)


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
    model_blocks, parts = _parts(identity, numbers_id, _comparison, _numbers)
    return part_figure(parts) if chosen == PARTS and parts else depth_figure(model_blocks)


def _show_all(identity: str) -> None:
    # A chart's selection cannot be cleared from Python; a chart with a new key starts without one.
    st.session_state[f"resets-{identity}"] += 1


def _keys_of(model_blocks: Collection[Block], name: str) -> list[str]:
    return [key for block in model_blocks if block.name == name for key in block.keys]
