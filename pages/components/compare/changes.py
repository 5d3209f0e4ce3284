"""What changed: a picture of the whole network, the table of its tensors, and one of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import plotly.graph_objects as go
import streamlit as st

from core.compare import Block, Comparison, Numbers, PartMap, blocks, part_map
from core.compare.report import depth_figure, part_figure, scatter_figure
from core.plain_text import plain
from core.wording import count
from pages.components.cached import cached
from pages.components.compare.comparison_table import comparison_table
from pages.components.compare.pair_card import pair_card

DEPTH, PARTS, SCATTER = "By depth", "By part", "Norm against change"


@st.fragment
def changes(
    comparison: Comparison, numbers: Mapping[str, Numbers], identity: str, mark: str
) -> None:
    """Draw them; `identity` tells the pair of files and how their tensors are paired, `mark` which
    numbers these are."""
    within = _pictures(comparison, numbers, identity, mark)
    row = comparison_table(comparison, numbers, identity, mark, within)
    if row is not None:
        pair_card(row, numbers.get(row.key), identity)


def _pictures(
    comparison: Comparison, numbers: Mapping[str, Numbers], identity: str, mark: str
) -> Collection[str] | None:
    """The chart that is chosen; the rows' keys that a click in it asks for, None for all."""
    if not numbers:
        return None
    found, mapped = _parts(identity, mark, comparison, numbers)
    chosen = st.segmented_control(
        "Picture",
        [DEPTH, *([PARTS] if mapped else []), SCATTER],
        default=DEPTH,
        required=True,
        key="compare-picture",
        persist_state="session",
        label_visibility="collapsed",
    )
    figure = _figure(identity, mark, chosen, comparison, numbers)
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
        st.caption("Click a bar, a cell or a point to see its tensors below.")
        return None
    name = str(points[0]["customdata"][0])
    keys = [name] if chosen == SCATTER else _keys_of(found, name)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"**{plain(name)}**, {count(len(keys))} {'tensor' if len(keys) == 1 else 'tensors'}",
            width="content",
        )
        st.button(
            "Show all",
            icon=":material/close:",
            type="tertiary",
            on_click=_show_all,
            args=(identity,),
        )
    return keys


@cached(16)
def _parts(
    identity: str, mark: str, _comparison: Comparison, _numbers: Mapping[str, Numbers]
) -> tuple[Sequence[Block], PartMap | None]:
    """The network's blocks with what changed in each, and their map; shared, never changed."""
    found = blocks(_comparison, _numbers)
    return found, part_map(found)


@cached(16)
def _figure(
    identity: str,
    mark: str,
    chosen: str,
    _comparison: Comparison,
    _numbers: Mapping[str, Numbers],
) -> go.Figure | None:
    """The chart of that name; shared by sessions, never changed."""
    if chosen == SCATTER:
        return scatter_figure(_comparison.rows, _numbers)
    found, mapped = _parts(identity, mark, _comparison, _numbers)
    return part_figure(mapped) if chosen == PARTS and mapped else depth_figure(found)


def _show_all(identity: str) -> None:
    st.session_state[f"resets-{identity}"] += 1


def _keys_of(found: Collection[Block], name: str) -> list[str]:
    return [key for block in found if block.name == name for key in block.keys]
