"""The keys of a model and of a file side by side: what fails first, then what matches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from core.errors import FilterError
from core.fit.review import DiffGroup, KeyRow, key_diff, states_of
from core.keys import fitting_keys, open_at_first
from core.plain_text import plain, plain_sentence
from core.theme import STATE_MARKS
from core.wording import count, counted, share_text
from pages.components.cached import cached
from pages.components.fit.fitting import Fitting
from pages.components.link.page_view import one_of, shared
from pages.components.treegrid.key_search import key_search
from pages.components.treegrid.table_data import Column, PackedTable, RowGroup, Table, packed
from pages.components.treegrid.tree_table import tree_table

LINES = 20
"""The most lines before the table scrolls."""

SEARCH = 220
"""The width of the search in pixels."""

MOST_OPEN = 400
"""The most rows that do not match which are open at first, so that none is overlooked."""

PROBLEMS = ("mismatched", "missing", "unexpected")

MODULES, AFTER, SAVED = "By module", "Before and after", "As saved"

REVIEW = "fit-review"
"""The session's key under which the bar asks for the rows that need a decision."""


def match_table(fitted: Fitting, name: str, *, loaded: bool) -> None:
    """Draw every key of the model and of the file, by state and module.

    `name` distinguishes the file and the architecture from all others. Of a loaded model the
    modules come first, with what each has.
    """
    with st.container(
        key="fit-keys",
        horizontal=True,
        vertical_alignment="center",
        horizontal_alignment="distribute",
        gap="small",
    ):
        pills = st.container(width="content")
        with st.container(
            width="content", horizontal=True, vertical_alignment="center", gap="small"
        ):
            with st.container(width=SEARCH):
                text = key_search("fit-search", "Search keys")
            view = _view(fitted, loaded=loaded)
    is_saved = view == SAVED
    states = _states(fitted.identity, is_saved, fitted)
    with pills:
        chosen = _pills(states, name)
    try:
        if view == MODULES:
            table = _packed_modules(fitted.identity, chosen, text, fitted)
        else:
            table = _packed(fitted.identity, is_saved, chosen, text, fitted)
    except FilterError as error:
        st.warning(plain_sentence(str(error)), icon=":material/warning:")
        return
    tree_table(table, f"match-{name}-{view}")


def _view(fitted: Fitting, *, loaded: bool) -> str:
    """Draw the choice of what the rows show, if there is one."""
    views = [MODULES] if loaded else []
    views += [AFTER, SAVED] if fitted.is_repaired else [AFTER] if loaded else []
    if not views:
        return AFTER
    chosen: str = st.segmented_control(
        "Rows",
        views,
        default=views[0],
        required=True,
        key=shared(
            "fit-rows",
            views[0],
            one_of(views),
            key=f"fit-view-{'loaded' if loaded else 'fit'}-{len(views):d}",
        ),
        label_visibility="collapsed",
        width="content",
    )
    return chosen


def _pills(states: Mapping[str, int], name: str) -> str:
    """Draw a pill with a count for each state. Returns the chosen one, or `all`."""
    problems = sum(states.get(state, 0) for state in PROBLEMS)
    counts = {"all": sum(states.values())}
    if problems and problems < counts["all"]:
        counts["to decide"] = problems
    counts |= states
    key = f"fit-states-{'-'.join(states)}-{name}"
    shared("fit-states", "all", one_of(counts), key=key)
    if st.session_state.pop(REVIEW, False) and "to decide" in counts:
        st.session_state[key] = "to decide"
    elif key not in st.session_state:
        st.session_state[key] = "all"
    chosen: str | None = st.pills(
        "Show",
        list(counts),
        format_func=lambda state: f"{_pill(state)} **{count(counts[state])}**",
        key=key,
        label_visibility="collapsed",
    )
    return chosen or "all"


def _pill(state: str) -> str:
    if state == "all":
        return "All"
    if state == "to decide":
        return "! to decide"
    return f"{plain(STATE_MARKS[state].sign)} {plain(state)}"


@cached(32)
def _states(identity: str, is_saved: bool, _fitted: Fitting) -> Mapping[str, int]:
    return states_of(_groups(_fitted, is_saved))


def _groups(fitted: Fitting, is_saved: bool) -> Sequence[DiffGroup]:
    if is_saved:
        return key_diff(fitted.before, fitted.state_dict, fitted.signature)
    return key_diff(fitted.match, fitted.trial.state_dict, fitted.signature)


def _shows(row: KeyRow, chosen: str) -> bool:
    return chosen in ("all", row.state) or (chosen == "to decide" and row.state in PROBLEMS)


def _found(groups: Sequence[DiffGroup], chosen: str, text: str) -> list[DiffGroup]:
    """The groups with the rows of the chosen states that the search finds; empty ones are left out.

    A key of the model is also found by the name that the file has for it.
    """
    names = {name for group in groups for row in group.rows for name in (row.key, row.into) if name}
    matching = fitting_keys(text, list(names))
    found = []
    for group in groups:
        rows = tuple(
            row
            for row in group.rows
            if _shows(row, chosen) and (row.key in matching or row.into in matching)
        )
        if rows:
            found.append(DiffGroup(group.state, group.path, rows))
    return found


@cached(16)
def _packed(identity: str, is_saved: bool, chosen: str, text: str, _fitted: Fitting) -> PackedTable:
    """The keys as a table. Sessions share the result, so it is never changed."""
    every = _groups(_fitted, is_saved)
    groups = _found(every, chosen, text)
    opened = _opened(groups)
    lines = [
        RowGroup(None, len(group.rows))
        if group.path is None or len(group.rows) == 1
        else RowGroup(
            group.path,
            len(group.rows),
            cells=_cells(group),
            open=bool(text) or at in opened,
            name=f"{group.state} {group.path}",
        )
        for at, group in enumerate(groups)
    ]
    rows = [row for group in groups for row in group.rows]
    total = sum(len(group.rows) for group in every)
    return packed(
        Table(
            "Keys of the file and of the model, with the state of each",
            _columns(rows),
            lines,
            foot=_foot(len(rows), total),
            rows=LINES,
            scope=f"{text} {chosen} {is_saved}",
            file="keys.csv",
            chooses=False,
        )
    )


def _opened(groups: Sequence[DiffGroup]) -> frozenset[int]:
    """Which groups are open at first: all that do not match, or where all does, the small ones."""
    wrong = [at for at, group in enumerate(groups) if group.state in PROBLEMS]
    if not wrong:
        return open_at_first([len(group.rows) for group in groups], LINES)
    if sum(len(groups[at].rows) for at in wrong) <= MOST_OPEN:
        return frozenset(wrong)
    return frozenset(
        wrong[at] for at in open_at_first([len(groups[at].rows) for at in wrong], LINES)
    )


def _cells(group: DiffGroup) -> dict[str, str]:
    """What a group's line says."""
    keys, parameters = counted(len(group.rows), "key"), counted(group.elements, "parameter")
    return {"": group.state, "In the model": keys, "Shape": parameters}


def _columns(rows: Sequence[KeyRow]) -> list[Column]:
    # A key that the file lacks is one of the model.
    lacks_some = any(row.state in ("missing", "benign") for row in rows)
    into = [row.into for row in rows] if any(row.into for row in rows) else ()
    return [
        Column("", "state", [row.state for row in rows], hint="Sort by state"),
        Column(
            "Key" if lacks_some else "In the file",
            "key",
            [row.key for row in rows],
            into=into,
            share=6,
        ),
        Column("In the model", "code", [row.in_model for row in rows], share=5, drop=1),
        Column("Shape", "number", [row.shape for row in rows], most=260),
    ]


@cached(16)
def _packed_modules(identity: str, chosen: str, text: str, _fitted: Fitting) -> PackedTable:
    """What each module of the model has from the file, as a table."""
    every = _groups(_fitted, False)
    groups = _found(every, chosen, text)
    total = sum(spec.numel for spec in _fitted.signature.values()) or 1
    rows = [row for group in groups for row in group.rows]
    sizes = [row.elements for row in rows]
    lines = []
    for group in groups:
        part = group.elements
        whole = group.state in ("matched", "benign")
        cells = {
            "": group.state,
            "Keys": (len(group.rows) if whole else 0, len(group.rows)),
            "Parameters": part,
            "Share": part / total,
        }
        title = None if group.path is None or len(group.rows) == 1 else group.path
        lines.append(
            RowGroup(
                title,
                len(group.rows),
                cells=cells,
                open=bool(text),
                name=f"{group.state} {group.path}",
            )
        )
    has = [(int(row.state in ("matched", "renamed", "benign")), 1) for row in rows]
    columns = [
        Column("", "state", [row.state for row in rows]),
        Column("Module", "key", [row.into or row.key for row in rows]),
        Column(
            "Keys",
            "bar",
            has,
            lambda pair: f"{count(pair[0])} of {count(pair[1])}",
            lambda pair: pair[0] / pair[1],
            hint="Keys that the file has, of all of the module",
            colour="var(--loupe-fits)",
        ),
        Column("Parameters", "number", sizes, count, drop=1),
        Column("Share", "number", [size / total for size in sizes], share_text, drop=2),
    ]
    return packed(
        Table(
            "Modules of the loaded model, with what the file has of each",
            columns,
            lines,
            foot=_foot(len(rows), sum(len(group.rows) for group in every)),
            rows=LINES,
            scope=f"{text} {chosen}",
            file="modules.csv",
            chooses=False,
        )
    )


def _foot(shown: int, total: int) -> str:
    if not shown:
        return "No key has this name and one of the chosen states."
    return counted(total, "key") if shown == total else f"{count(shown)} of {counted(total, 'key')}"
