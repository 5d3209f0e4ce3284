"""Inspect: every tensor of a file, its values, and the code that the file could have run."""

from collections.abc import Sequence

import plotly.graph_objects as go
import streamlit as st

from core.checkpoint import StateDict
from core.health import Health, health_verdict
from core.inspect import ModuleNode, module_tree
from core.plain_text import markup
from core.theme import TREEMAP, figure_layout
from core.wording import counted_parameters, listed, parameters, size, tensors
from pages.components.cached import cached
from pages.components.frame import empty_state, heading, page_verdict
from pages.components.inspect.health_panel import known_health
from pages.components.inspect.key_table import key_table, table_name
from pages.components.inspect.overview import overview
from pages.components.inspect.safety_panel import safety_panel, safety_verdict
from pages.components.inspect.tensor_card import tensor_card
from pages.components.inspect.verify_panel import verify_panel
from pages.components.link.page_view import one_of, shared
from pages.components.slot_choice import slot_switch, state_dict_choice
from pages.components.treegrid.tree_table import choose_row
from pages.components.workspace import workspace

TABS = ("Tensors", "Modules", "Safety", "Checksums")


def main() -> None:
    top, tools = heading("inspect")
    with tools:
        slot = slot_switch("inspect")
    checkpoint = workspace().checkpoint(slot) if slot else None
    if slot is None or checkpoint is None:
        with top:
            page_verdict("Nothing to inspect yet")
        empty_state(
            "Open a checkpoint to see its keys, shapes and dtypes, the values of each tensor, and "
            "the Python globals that its pickles name. Nothing in the file is executed.",
        )
        return
    with tools:
        state_dict = state_dict_choice(slot)
    if state_dict is None:
        return
    identity = f"{checkpoint.identity}:{state_dict.path!a}"
    health = known_health(identity)
    with top:
        _verdict(state_dict, health)
        safety_verdict(checkpoint)
    by_key, modules, safety, checksums = st.tabs(
        TABS, key=shared("inspect-tab", TABS[0], one_of(TABS)), on_change="rerun"
    )
    if by_key.open:
        with by_key:
            _tensors(state_dict, identity, health is not None)
    if modules.open:
        with modules:
            _modules(state_dict, identity)
    if safety.open:
        with safety:
            safety_panel(checkpoint)
    if checksums.open:
        with checksums:
            verify_panel(checkpoint)


def _verdict(state_dict: StateDict, health: Health | None) -> None:
    dtypes = sorted({entry.dtype for entry in state_dict.values()})
    place = f" in `{state_dict.path}`" if state_dict.path else ""
    page_verdict(
        f"{tensors(len(state_dict))}, {counted_parameters(state_dict.numel)}"
        + (f", {health_verdict(health)}" if health is not None else ""),
        f"{size(state_dict.nbytes)}{place}, {listed(dtypes)}." if dtypes else "",
    )


@st.fragment
def _tensors(state_dict: StateDict, identity: str, told: bool) -> None:
    st.html(_STYLE)
    with st.container(key="inspect-tensors"):
        table, card = st.columns([8, 5], gap="medium")
    with table:
        entry = key_table(state_dict, identity)
    with card:
        if entry is None:
            nodes = _tree(identity, state_dict)
            with st.container(key="inspect-overview"):
                overview(state_dict, identity, table_name(identity), nodes, told=told)
        else:
            st.button(
                "Back to overview",
                key="inspect-back",
                icon=":material/arrow_back:",
                type="tertiary",
                on_click=choose_row,
                args=(table_name(identity), None),
            )
            tensor_card(entry, identity)


_STYLE = """<style>
@media (max-width: 640px) {
  .st-key-inspect-tensors [data-testid=stColumn]:has(.st-key-inspect-overview) {order: -1}}
</style>"""
"""On a narrow screen the overview comes before the table, a chosen tensor after it."""


def _modules(state_dict: StateDict, identity: str) -> None:
    nodes = _tree(identity, state_dict)
    has_classes = any(node.class_name for node in nodes)
    st.caption(
        "The area of a module is its number of parameters. Click a module to zoom in, its title "
        "to zoom out." + (" The class names come from the saved model." if has_classes else "")
    )
    _treemap(nodes)


def _treemap(nodes: Sequence[ModuleNode]) -> None:
    figure = go.Figure(
        go.Treemap(
            ids=[node.path or "all" for node in nodes],
            parents=["" if node.parent is None else node.parent or "all" for node in nodes],
            labels=[markup(node.label) for node in nodes],
            values=[node.parameters for node in nodes],
            customdata=[
                (
                    markup(node.path) or "all tensors",
                    parameters(node.parameters),
                    tensors(node.tensors),
                    size(node.nbytes),
                    _class(node),
                    f"<br>{markup(node.class_name)}" if node.class_name else "",
                    counted_parameters(node.parameters),
                )
                for node in nodes
            ],
            branchvalues="total",
            maxdepth=3,
            texttemplate="%{label}%{customdata[4]}<br>%{customdata[1]}",
            hovertemplate="%{customdata[0]}%{customdata[5]}<br>%{customdata[6]}<br>"
            "%{customdata[2]}, %{customdata[3]}<extra></extra>",
        )
    )
    figure_layout(figure).update_layout(height=500, margin={"l": 0, "r": 0, "t": 0, "b": 0})
    figure.update_layout(treemapcolorway=[TREEMAP])
    st.plotly_chart(figure, key="module-tree", alt="Parameters by module path")


def _class(node: ModuleNode) -> str:
    """The class's name without its module path, in italics below the module's name."""
    name = node.class_name.rpartition(".")[2]
    return f"<br><i>{markup(name)}</i>" if name else ""


@cached(16)
def _tree(identity: str, _state_dict: StateDict) -> tuple[ModuleNode, ...]:
    return module_tree(_state_dict)


main()
