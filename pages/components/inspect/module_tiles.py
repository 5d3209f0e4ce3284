"""The map of a state_dict's modules; a click on one filters the table of keys."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from core.inspect import ModuleNode, Tile, module_map
from core.plain_text import visible
from core.wording import counted, parameters, share_text, size, tensors
from pages.components.cached import cached
from pages.components.link.page_view import shared
from pages.components.panels.own_component import own_component

_FOLDER = Path(__file__).parent / "map_widget"

HEIGHT, RATIO = 200, 2.5
"""The map's height in pixels, and its width over its height, for which its tiles are laid out."""

STRIP, GAP = 22 / HEIGHT, 3 / HEIGHT
"""The strip with the label of a module above its submodules, and the space around these."""


def chosen_module(identity: str) -> str | None:
    """The path of the module whose tensors the table shows, None for all."""
    key = shared("inspect-module", key=_state_key(identity))
    path: str | None = st.session_state.get(key)
    return path


def choose_module(identity: str, path: str | None) -> None:
    """Show the tensors of this module alone, or all."""
    st.session_state[_state_key(identity)] = path


def module_tiles(nodes: Sequence[ModuleNode], identity: str) -> None:
    """Draw the map; a second click on a module shows all again."""
    key = "module-tiles"
    paths, drawn = _tiles(identity, nodes)
    chosen = chosen_module(identity)

    def clicked() -> None:
        at = st.session_state[key].get("module")
        if isinstance(at, int) and 0 <= at < len(paths):
            choose_module(identity, None if paths[at] == chosen else paths[at])

    data = {
        "height": HEIGHT,
        "label": "Parameters by module",
        "tiles": drawn,
        "chosen": paths.index(chosen) if chosen is not None and chosen in paths else None,
    }
    own_component(_FOLDER, "map")(key=key, data=data, on_module_change=clicked)


@cached(16)
def _tiles(
    identity: str, _nodes: Sequence[ModuleNode]
) -> tuple[list[str | None], list[dict[str, Any]]]:
    """The path of each tile's module, None for several small ones, and the tile as the browser
    takes it. Sessions share the result, so it is never changed."""
    tiles = module_map(_nodes, RATIO, STRIP, GAP)
    paths = [None if tile.node.is_rest else tile.node.path for tile in tiles]
    return paths, [_tile(tile) for tile in tiles]


def _tile(tile: Tile) -> dict[str, Any]:
    node = tile.node
    facts = [
        visible(node.path) or "all",
        *([visible(node.class_name)] if node.class_name else []),
        counted(node.parameters, "parameter")
        if node.parameters < 10_000
        else f"{parameters(node.parameters)} parameters",
        tensors(node.tensors),
        size(node.nbytes),
        share_text(tile.share),
    ]
    return {
        "name": visible(node.label),
        "percent": share_text(tile.share),
        "share": round(tile.share, 4),
        "facts": ", ".join(facts),
        "outer": tile.is_outer,
        "rest": node.is_rest,
        "left": 100 * tile.left,
        "top": 100 * tile.top,
        "width": 100 * tile.width,
        "height": 100 * tile.height,
    }


def _state_key(identity: str) -> str:
    return f"inspect-module-{identity}"
