"""The table of keys of every page: virtual, grouped, driven by the keyboard.

The browser has all rows and keeps what is open, sorted and chosen; Python hears of the chosen row
alone. So neither a click nor a rerun sends the rows again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, MutableMapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import streamlit as st

from pages.components.link.page_view import linked
from pages.components.panels.own_component import own_component
from pages.components.treegrid.table_data import PackedTable

_FOLDER = Path(__file__).parent / "widget"


@dataclass(slots=True)
class _Choice:
    """The chosen row of a session's table.

    The browser takes `told` when `turn` is another than before, and otherwise keeps its own. So
    what is sent stays the same while a person chooses row after row. `is_own` says that somebody
    chose it.
    """

    chosen: int | None = None
    told: int | None = None
    turn: int = 0
    is_own: bool = False

    def tell(self, row: int | None) -> None:
        self.chosen = self.told = row
        self.turn += 1


def tree_table(table: PackedTable, name: str, first: int | None = None) -> int | None:
    """Draw the table. Returns the number of the chosen row, or None if none is, or is not shown.

    `name` distinguishes the table from all others that a session sees. `first` is chosen until
    somebody chooses another. A row stays chosen while a filter hides it, and while
    the person is on another page.
    """
    key = widget_key(name)
    choice = _choice(key)
    if not choice.is_own and choice.chosen != first:
        choice.tell(first)
    elif key not in st.session_state and choice.chosen is not None:
        choice.tell(choice.chosen)
    head = {"digest": table.digest, "name": key, "turn": choice.turn, "chosen": choice.told}
    own_component(_FOLDER, "treegrid")(
        key=key,
        data=json.dumps(head).encode() + b"\n" + table.body,
        on_row_change=lambda: _heard(key, choice),
    )
    return choice.chosen if choice.chosen in table.numbers else None


def choose_row(name: str, row: int | None) -> None:
    """Choose a row of the table from elsewhere on the page, or none."""
    choice = _choice(widget_key(name))
    choice.tell(row)
    choice.is_own = True


def take_row(link: str, name: str, keys: Collection[str]) -> None:
    """Choose the row whose key the link that opened this session has under the name `link`.

    `keys` has the key of each row, in the order of their numbers.
    """
    key = linked(link)
    if key is not None and key in keys:
        choose_row(name, list(keys).index(key))


def widget_key(name: str) -> str:
    """The table's key in the session's state. It is a digest, since Streamlit allows no two
    underscores in the key of such a widget, and the name of a file may have them."""
    return f"table-{sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def _choice(key: str) -> _Choice:
    state: MutableMapping[Any, Any] = st.session_state
    name = f"{key}-choice"
    if name not in state:
        state[name] = _Choice()
    choice: _Choice = state[name]
    return choice


def _heard(key: str, choice: _Choice) -> None:
    row = st.session_state[key].get("row")
    choice.chosen = row if isinstance(row, int) else None
    choice.is_own = True
