"""The table of keys as a test reads it, without a browser."""

import json
from dataclasses import dataclass
from typing import Any

from streamlit.testing.v1 import AppTest

from pages.components.treegrid.table_data import PackedTable
from pages.components.treegrid.tree_table import widget_key


@dataclass(frozen=True, slots=True)
class ShownTable:
    """What the browser is sent: `columns` has the texts of each column by its title."""

    document: dict[str, Any]
    columns: dict[str, list[str]]

    @property
    def keys(self) -> list[str]:
        """The whole keys, from top to bottom."""
        names = iter(self.document["names"])
        return [
            group["prefix"] + next(names)
            for group in self.document["groups"]
            for _ in range(group["count"])
        ]

    @property
    def values(self) -> dict[str, list[Any]]:
        """What each column sorts by, by its title."""
        return {
            column["title"]: [
                (column["values"] or column["texts"])[code] for code in column["codes"]
            ]
            for column in self.document["columns"]
        }

    def row(self, key: str) -> dict[str, Any]:
        """What the row with this key sorts by in each column."""
        at = self.keys.index(key)
        return {title: values[at] for title, values in self.values.items() if values}

    @property
    def groups(self) -> list[dict[str, Any]]:
        """The groups with a line of their own."""
        return [group for group in self.document["groups"] if group["title"] is not None]

    def sums(self, title: str) -> dict[str, str]:
        """What the lines of the groups say in a column, by the group's title."""
        at = [column["title"] for column in self.document["columns"]].index(title)
        return {group["title"]: group["cells"][at]["text"] for group in self.groups}


def sent_tables(app: AppTest) -> list[tuple[bytes, bytes]]:
    """What the browser is sent of each table of the page: its head, and its rows."""
    sent = [
        component.proto.bytes.partition(b"\n")
        for component in app.get("bidi_component")
        if component.proto.component_name.endswith("loupe_treegrid")
    ]
    return [(head, body) for head, _, body in sent]


def shown_table(app: AppTest, at: int = 0) -> ShownTable:
    """The page's table of this place."""
    return _read(sent_tables(app)[at][1])


def unpacked(table: PackedTable) -> ShownTable:
    return _read(table.body)


def _read(body: bytes) -> ShownTable:
    document = json.loads(body)
    columns = {
        column["title"]: [column["texts"][code] for code in column["codes"]]
        for column in document["columns"]
        if column["kind"] != "key"
    }
    return ShownTable(document, columns)


def choose_row(app: AppTest, name: str, row: int) -> AppTest:
    """Choose the row with this number, as the browser reports a click on it."""
    state = app.session_state[f"{widget_key(name)}-choice"]
    state.chosen, state.is_own = row, True
    return app.run()
