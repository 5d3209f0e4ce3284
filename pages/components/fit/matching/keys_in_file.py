"""The keys of a file by module, where no architecture is known to compare them with."""

from __future__ import annotations

import streamlit as st

from core.checkpoint import StateDict
from core.keys import module_groups, open_at_first
from core.wording import counted, parameters, shape
from pages.components.cached import cached
from pages.components.treegrid.table_data import Column, PackedTable, RowGroup, Table, packed
from pages.components.treegrid.tree_table import tree_table

LINES = 20
"""The most lines before the table scrolls."""


def keys_in_file(state_dict: StateDict, identity: str) -> None:
    """Draw the table; `identity` is the file's."""
    st.markdown("**Keys in the file**")
    tree_table(
        _packed(identity, state_dict.path, state_dict), f"file-{identity}:{state_dict.path!a}"
    )


@cached(8)
def _packed(identity: str, path: str, _state_dict: StateDict) -> PackedTable:
    modules = module_groups(_state_dict)
    opened = open_at_first([len(module.keys) for module in modules], LINES)
    groups = [
        RowGroup(
            module.path,
            len(module.keys),
            cells={
                "Shape": counted(len(module.keys), "key"),
                "Parameters": sum(_state_dict[key].numel for key in module.keys),
            },
            open=at in opened,
        )
        for at, module in enumerate(modules)
    ]
    entries = [_state_dict[key] for module in modules for key in module.keys]
    columns = [
        Column("In the file", "key", [entry.key for entry in entries], share=6),
        Column("Shape", "code", [entry.shape for entry in entries], shape),
        Column("Parameters", "number", [entry.numel for entry in entries], parameters, drop=1),
    ]
    return packed(
        Table(
            "Keys of the file by module",
            columns,
            groups,
            foot=counted(len(entries), "key"),
            rows=LINES,
            file="keys.csv",
            chooses=False,
        )
    )
