"""The keys of a model and of a file side by side: what fails first, then what matches."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import streamlit as st

from core.architectures import TensorSpec
from core.checkpoint import TensorEntry
from core.errors import FilterError
from core.fit import Match, SummarySection
from core.keys import fitting_keys, module_groups
from core.plain_text import plain, plain_sentence
from core.theme import STATE_MARKS
from core.wording import count, counted, shape
from pages.components.cached import cached
from pages.components.fit.fitting import Fitting
from pages.components.fit.matching.match_summary import WORDS
from pages.components.treegrid.key_search import key_search
from pages.components.treegrid.table_data import Column, PackedTable, RowGroup, Table, packed
from pages.components.treegrid.tree_table import tree_table

LINES = 20
"""The most lines before the table scrolls."""

NOT_IN_FILE = "not in the file"


@dataclass(frozen=True, slots=True)
class _KeyRow:
    """A key of the file or, for one that the file lacks, of the model; `into` is its new name if a
    fix gave it one."""

    state: str
    key: str
    in_model: str
    shape: str
    into: str | None = None


def match_table(fitted: Fitting, name: str) -> None:
    """Draw every key of the model and of the file under its state; those that match by module.

    `name` distinguishes the file and the architecture from all others.
    """
    pills, search = st.columns([3, 2], vertical_alignment="bottom")
    keys = {section.state: section.keys for section in fitted.sections}
    with pills:
        states = st.pills(
            "Show",
            list(keys),
            selection_mode="multi",
            format_func=lambda state: (
                f"{plain(STATE_MARKS[state].sign)} {plain(state)} **{count(keys[state])}**"
            ),
            key=f"fit-states-{'-'.join(keys)}-{name}",
            label_visibility="collapsed",
            help="  \n".join(
                f"{plain(WORDS[state][0])}: {plain(WORDS[state][1])}" for state in keys
            ),
        )
    with search:
        text = key_search("fit-search")
    try:
        table = _packed(fitted.identity, tuple(states), text, fitted)
    except FilterError as error:
        st.warning(plain_sentence(str(error)), icon=":material/warning:")
        return
    tree_table(table, f"match-{name}")


@cached(16)
def _packed(identity: str, states: tuple[str, ...], text: str, _fitted: Fitting) -> PackedTable:
    """The keys as a table. Sessions share the result, so it is never changed."""
    sections = [section for section in _fitted.sections if not states or section.state in states]
    parts = [(section, *part) for section in sections for part in _parts(section, _fitted.match)]
    all_rows = {
        (section.state, key): _row(section.state, key, _fitted)
        for section, _, keys in parts
        for key in keys
    }
    # A key of the model is also found by the name that the file has for it.
    matching = fitting_keys(
        text, [*{key for _, key in all_rows}, *{row.key for row in all_rows.values()}]
    )
    rows: list[_KeyRow] = []
    groups: list[RowGroup] = []
    for section, title, keys in parts:
        found = {
            key: row
            for key in keys
            if (row := all_rows[section.state, key]).key in matching or key in matching
        }
        rows += found.values()
        if len(found) > 1 and title is not None:
            cells = {"": section.state, **_sums(section.state, found, _fitted)}
            name = f"{section.state} {title}"
            groups.append(RowGroup(title, len(found), cells=cells, open=bool(text), name=name))
        elif found:
            groups.append(RowGroup(None, len(found)))
    return packed(
        Table(
            "Keys of the file and of the model, with the state of each",
            _columns(rows),
            groups,
            foot=_foot(len(rows), sum(section.keys for section in _fitted.sections)),
            rows=LINES,
            scope=text,
            file="keys.csv",
            chooses=False,
        )
    )


def _columns(rows: Sequence[_KeyRow]) -> list[Column]:
    # A key that the file lacks is one of the model.
    lacks_some = any(row.in_model == NOT_IN_FILE for row in rows)
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
        Column("Shape", "code", [row.shape for row in rows], most=230),
    ]


def _parts(section: SummarySection, match: Match) -> Iterator[tuple[str | None, Sequence[str]]]:
    """The groups of a state's keys: what matches by module, since all is well there; what does not
    by the pattern of the keys, which shows what they have in common."""
    if section.state == "matched":
        yield from ((module.path, module.keys) for module in module_groups(match.matched))
    else:
        yield from ((line.title, line.keys) for line in section.lines)


def _sums(state: str, keys: Collection[str], fitted: Fitting) -> dict[str, str]:
    """What a group's line says. A pattern is long and takes the column of the model's keys too."""
    number = counted(len(keys), "key")
    if state != "matched":
        return {"Shape": number}
    parameters = sum(fitted.signature[key].numel for key in keys)
    return {"In the model": f"{number}, {counted(parameters, 'parameter')}"}


def _row(state: str, key: str, fitted: Fitting) -> _KeyRow:
    entry = fitted.trial.state_dict.get(key)
    spec = fitted.signature.get(key)
    if entry is None:
        return _KeyRow(state, key, NOT_IN_FILE, shape(spec.shape) if spec else "")
    file_key = entry.origin or entry.key
    into = key if file_key != key else None
    if spec is None:
        return _KeyRow(state, file_key, "not in the model", shape(entry.shape), into)
    if state == "matched":
        state = "matched" if into is None else "renamed"
    reasons = (each.reason for each in fitted.match.mismatched if each.key == key)
    in_model = (state == "mismatched" and next(reasons, "")) or key
    return _KeyRow(state, file_key, in_model, _shapes(entry, spec), into)


def _shapes(entry: TensorEntry, spec: TensorSpec) -> str:
    """The shape, or `the file's → the model's` where they differ."""
    return " → ".join(dict.fromkeys((shape(entry.shape), shape(spec.shape))))


def _foot(shown: int, total: int) -> str:
    if not shown:
        return "No key has this name and one of the chosen states."
    return counted(total, "key") if shown == total else f"{count(shown)} of {counted(total, 'key')}"
