"""Components of our own, which Streamlit draws from a folder's HTML, CSS and JavaScript."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st


def own_component(folder: Path, name: str) -> st.components.v2.types.ComponentRenderer:
    """The component whose files in the folder are called `name`; what is not there is left out."""
    return st.components.v2.component(f"loupe_{name}", **_files(folder, name))


@cache
def _files(folder: Path, name: str) -> dict[str, Any]:
    """The text of each file, by its ending, read once for all runs."""
    paths = {kind: folder / f"{name}.{kind}" for kind in ("html", "css", "js")}
    return {kind: path.read_text("utf-8") for kind, path in paths.items() if path.exists()}
