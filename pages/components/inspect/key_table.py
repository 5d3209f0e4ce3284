"""The tensors of a state_dict as a table that can be searched, filtered and selected from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod

import streamlit as st

from core.checkpoint import StateDict, TensorEntry, layout
from core.errors import FilterError
from core.inspect import lies_below
from core.keys import filter_entries, module_groups, open_at_first
from core.plain_text import code, plain, plain_sentence
from core.wording import count, counted, shape, share_text, size, tensors
from pages.components.cached import cached
from pages.components.inspect.module_tiles import choose_module, chosen_module
from pages.components.link.page_view import shared, some_of, tell
from pages.components.treegrid.key_search import EXAMPLES, key_search
from pages.components.treegrid.table_data import Column, PackedTable, RowGroup, Table, packed
from pages.components.treegrid.tree_table import take_row, tree_table

LINES = 20
"""The most lines before the table scrolls."""

BY_MODULE = "By module"


def key_table(state_dict: StateDict, identity: str) -> TensorEntry | None:
    """Draw the search, the dtypes and the table. Returns the tensor of the selected row, or None.

    `identity` distinguishes this state_dict of this file from all others. Of a module that is
    chosen in the map, only the tensors are shown.
    """
    module = chosen_module(identity)
    text = key_search("inspect-search", f"Search keys: {EXAMPLES}")
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        chosen = _dtype_pills(state_dict)
        if module is not None:
            st.button(
                f"Only {code(module)}",
                key="inspect-all-modules",
                icon=":material/close:",
                help="Show the tensors of all modules",
                on_click=choose_module,
                args=(identity, None),
            )
        grouped = st.pills(
            "Order",
            [BY_MODULE],
            selection_mode="multi",
            default=[BY_MODULE],
            key=shared("inspect-order", [BY_MODULE], some_of([BY_MODULE])),
            label_visibility="collapsed",
            width="content",
        )
    try:
        table = _packed(identity, text, tuple(chosen), bool(grouped), module, state_dict)
    except FilterError as error:
        st.warning(plain_sentence(str(error)), icon=":material/warning:")
        return None
    name = table_name(identity)
    take_row("inspect-tensor", name, state_dict)
    row = tree_table(table, name)
    entry = None if row is None else list(state_dict.values())[row]
    tell("inspect-tensor", None if entry is None else entry.key)
    return entry


def table_name(identity: str) -> str:
    """The name of the table of this state_dict, by which a row can be chosen."""
    return f"keys-{identity}"


def _dtype_pills(state_dict: StateDict) -> Sequence[str]:
    """Draw a pill with a count for each dtype, if there are several. Returns the chosen ones."""
    counts = Counter(entry.dtype for entry in state_dict.values())
    if len(counts) < 2:
        return ()
    return st.pills(
        "Dtypes",
        sorted(counts),
        selection_mode="multi",
        format_func=lambda dtype: f"{plain(dtype)} **{count(counts[dtype])}**",
        key=shared("inspect-dtypes", read=some_of(counts)),
        label_visibility="collapsed",
        width="content",
    )


@cached(16)
def _packed(
    identity: str,
    text: str,
    dtypes: tuple[str, ...],
    grouped: bool,
    module: str | None,
    _state_dict: StateDict,
) -> PackedTable:
    """The matching tensors as a table. Sessions share the result, so it is never changed."""
    entries = [
        entry
        for entry in filter_entries(_state_dict, text, dtypes)
        if module is None or lies_below(entry.key, module)
    ]
    by_key = {entry.key: entry for entry in entries}
    groups: list[RowGroup] = []
    ordered: list[tuple[str, TensorEntry]] = []
    modules = module_groups(by_key) if grouped else ()
    is_filtered = len(entries) < len(_state_dict)
    opened = open_at_first(
        [len(group.keys) for group in modules], LINES if not is_filtered else len(entries) + LINES
    )
    for at, group in enumerate(modules):
        members = [by_key[key] for key in group.keys]
        prefix = "" if group.path is None else f"{group.path}."
        parameters = sum(entry.numel for entry in members)
        cells = {
            "Shape": tensors(len(members)),
            "Parameters": parameters,
            "Share": parameters / (_state_dict.numel or 1),
            "Size": sum(entry.nbytes for entry in members),
        }
        groups.append(RowGroup(group.path, len(members), prefix, cells, at in opened))
        ordered += [(entry.key.removeprefix(prefix), entry) for entry in members]
    if not grouped:
        ordered = [(entry.key, entry) for entry in entries]
    return packed(
        Table(
            "Tensors of the state_dict",
            _columns(_state_dict, ordered),
            groups if grouped else None,
            _numbers(_state_dict, ordered),
            foot=_foot(_state_dict, entries, sum(group.title is not None for group in groups)),
            rows=LINES,
            scope=f"{text} {' '.join(dtypes)} {module or ''}".strip(),
            file="tensors.csv",
        )
    )


def _columns(state_dict: StateDict, rows: Sequence[tuple[str, TensorEntry]]) -> list[Column]:
    total = state_dict.numel or 1
    shares = [entry.numel / total for _, entry in rows]
    columns = [
        Column("Key", "key", [name for name, _ in rows]),
        Column("Shape", "code", [entry.shape for _, entry in rows], shape, prod, drop=4),
        Column("Dtype", "muted", [entry.dtype for _, entry in rows], drop=3),
        Column(
            "Layout",
            "muted",
            [layout(entry) for _, entry in rows],
            hint="How the elements are stored, if they are not strided",
            drop=2,
        ),
        Column("Parameters", "number", [entry.numel for _, entry in rows], count, drop=1),
        Column(
            "Share",
            "bar",
            shares,
            share_text,
            hint="The share of all parameters of the state_dict",
        ),
        Column("Size", "number", [entry.nbytes for _, entry in rows], size),
    ]
    if all(entry.form is None for entry in state_dict.values()):
        return [column for column in columns if column.title != "Layout"]
    return columns


def _numbers(state_dict: StateDict, rows: Sequence[tuple[str, TensorEntry]]) -> list[int] | None:
    """Each row's place in the state_dict; None where it is the row's place in the table."""
    places = {key: place for place, key in enumerate(state_dict)}
    numbers = [places[entry.key] for _, entry in rows]
    return None if numbers == list(range(len(state_dict))) else numbers


def _foot(state_dict: StateDict, entries: Sequence[TensorEntry], modules: int) -> str:
    if len(entries) == len(state_dict):
        where = f" in {counted(modules, 'module')}" if modules else ""
        return f"{tensors(len(entries))}{where}"
    parameters = sum(entry.numel for entry in entries)
    nbytes = sum(entry.nbytes for entry in entries)
    return (
        f"{count(len(entries))} of {tensors(len(state_dict))}, "
        f"{counted(parameters, 'parameter')}, {size(nbytes)}"
    )
