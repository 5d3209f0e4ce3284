"""The form for the user's own fix: every kind, its fields, and a table of new names."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pandas as pd
import streamlit as st

from core.errors import FixError
from core.fixes import (
    KINDS,
    ChoiceField,
    ClassesField,
    Field,
    Fix,
    PartsField,
    RealField,
    Recipe,
    SwitchField,
    TableField,
    TextField,
    WholeField,
)
from core.plain_text import plain, plain_sentence, visible
from core.recipe import (
    classes_texts,
    labels_of,
    parts_of,
    parts_text,
    rows_for,
    table_from_json,
    table_of,
    with_fix,
    with_fix_at,
)
from core.wording import count

Change = Callable[[Recipe], None]

LARGEST_MB = 20
"""The largest JSON file with a table of names, in MB."""


def fix_kind(key: str) -> type[Fix] | None:
    """Draw the choice of a kind of step to add. Returns it, or None if none is chosen."""
    titles = [kind.form.title for kind in KINDS]
    title = st.selectbox(
        "Add a repair",
        titles,
        index=None,
        placeholder="+ Add a repair",
        label_visibility="collapsed",
        key=f"{key}-kind",
        on_change=_reset,
        args=(key,),
    )
    return None if title is None else KINDS[titles.index(title)]


def fix_form(
    key: str,
    kind: type[Fix],
    recipe: Recipe,
    change: Change,
    unexpected: Sequence[str],
    missing: Sequence[str],
    labels: Sequence[str],
) -> None:
    """Draw the form that adds a step of a kind, or changes the step that is being edited.

    `unexpected` are the keys that a table of names starts with, `missing` those that it may rename
    them to; `labels` are the class names in the file. `change` is called with the new recipe.
    """
    editing: int | None = st.session_state.get(f"{key}-editing")
    if editing is not None and editing >= len(recipe.steps):
        editing = None

    def save(fix: Fix) -> None:
        _close(key)
        change(with_fix(recipe, fix) if editing is None else with_fix_at(recipe, editing, fix))

    label = "Add to the recipe" if editing is None else f"Change step {editing + 1}"
    st.caption(plain_sentence(kind.form.about))
    match kind.form.fields:
        case (TableField() as table,):
            _table_form(key, kind, table, label, unexpected, missing, save)
        case (TextField() as pattern, ClassesField() as rows):
            _classes_form(key, kind, pattern, rows, label, labels, save)
        case _:
            _plain_form(key, kind, label, save)
    if error := st.session_state.get(f"{key}-form-error"):
        st.error(plain_sentence(error), icon=":material/error:")


def edit_fix(key: str, index: int, fix: Fix) -> None:
    """Open the form for a step of the recipe, filled with its fields."""
    _reset(key)
    st.session_state[f"{key}-kind"] = fix.form.title
    st.session_state[f"{key}-editing"] = index
    for field in fix.form.fields:
        value = getattr(fix, field.name)
        if isinstance(field, PartsField):
            value = parts_text(value)
        st.session_state[f"{key}-field-{field.name}"] = value


def _plain_form(key: str, kind: type[Fix], label: str, save: Callable[[Fix], None]) -> None:
    fields = {field: f"{key}-field-{field.name}" for field in kind.form.fields}

    def submit() -> None:
        _try(
            key,
            lambda: save(kind(**{field.name: _value(field, fields[field]) for field in fields})),
        )

    with st.form(f"{key}-form", border=False):
        for field, field_key in fields.items():
            _widget(field, field_key)
        st.form_submit_button(plain(label), key=f"{key}-save", on_click=submit)


def _widget(field: Field, key: str) -> None:
    """Draw the widget of one field of a plain form."""
    match field:
        case TextField(_, label, placeholder, default, required):
            _set_default(key, default)
            st.text_input(plain(label), key=key, placeholder=placeholder, required=required)
        case PartsField(_, label, placeholder, default):
            _set_default(key, default)
            st.text_input(plain(label), key=key, placeholder=placeholder, required=True)
        case ChoiceField(_, label, options, folded=True):
            st.selectbox(plain(label), options, key=key)
        case ChoiceField(_, label, options):
            _set_default(key, options[0])
            st.segmented_control(plain(label), options, required=True, key=key)
        case WholeField(_, label, most):
            _set_default(key, 0)
            st.number_input(plain(label), min_value=0, max_value=most, key=key)
        case RealField(_, label, most, default):
            _set_default(key, default)
            st.number_input(
                plain(label), min_value=0.0, max_value=most, step=1.0, format="%g", key=key
            )
        case SwitchField(_, label):
            st.checkbox(plain(label), key=key)
        case TableField() | ClassesField():
            raise AssertionError("a table and a list of classes have their own forms")


def _set_default(key: str, value: object) -> None:
    if value is not None:
        st.session_state.setdefault(key, value)


def _value(field: Field, key: str) -> object:
    value = st.session_state[key]
    return parts_of(value) if isinstance(field, PartsField) else value


def _try(key: str, act: Callable[[], None]) -> None:
    """Call `act`; a FixError is kept and drawn below the form."""
    try:
        act()
    except FixError as error:
        st.session_state[f"{key}-form-error"] = str(error)
    else:
        st.session_state[f"{key}-form-error"] = None


def _table_form(
    key: str,
    kind: type[Fix],
    field: TableField,
    label: str,
    unexpected: Sequence[str],
    missing: Sequence[str],
    save: Callable[[Fix], None],
) -> None:
    names: tuple[tuple[str, str], ...] = st.session_state.get(f"{key}-field-{field.name}") or ()
    rows = dict(names) or dict.fromkeys(unexpected, "")
    edited = st.data_editor(
        pd.DataFrame({"old": list(rows), "new": list(rows.values())}, dtype=object),
        key=f"{key}-table-{hash(tuple(rows.items()))}",
        num_rows="dynamic",
        hide_index=True,
        column_config={
            "old": st.column_config.TextColumn("Key in the file", required=True),
            "new": st.column_config.TextColumn("New key"),
        },
    )
    pairs = [{"old": old, "new": new} for old, new in edited.itertuples(index=False)]
    if missing:
        with st.expander(f"Missing keys of the model ({count(len(missing))})"):
            st.code("\n".join(map(visible, missing[:1000])), language=None)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            plain(label),
            key=f"{key}-save",
            on_click=lambda: _try(key, lambda: save(kind(**{field.name: table_of(pairs)}))),
        )
        table = {str(pair["old"]): str(pair["new"] or "") for pair in pairs if pair["old"]}
        st.download_button(
            "Save table as JSON",
            json.dumps(table, indent=1),
            "names.json",
            "application/json",
            key=f"{key}-table-save",
            type="tertiary",
            on_click="ignore",
        )
    box = f"{key}-table-file"
    st.file_uploader(
        "Or read the names from a JSON file",
        ["json"],
        max_upload_size=LARGEST_MB,
        key=box,
        on_change=lambda: _try(key, lambda: _take_table(f"{key}-field-{field.name}", box)),
    )


def _take_table(field_key: str, box: str) -> None:
    uploaded = st.session_state[box]
    if uploaded is None:
        return
    try:
        value = json.loads(uploaded.getvalue())
    except (ValueError, RecursionError) as error:
        remedy = 'Choose a file such as {"old.weight": "new.weight"}.'
        raise FixError("This file is not JSON.", remedy) from error
    st.session_state[field_key] = table_from_json(value)


def _classes_form(
    key: str,
    kind: type[Fix],
    pattern: TextField,
    field: ClassesField,
    label: str,
    labels: Sequence[str],
    save: Callable[[Fix], None],
) -> None:
    old, new = f"{key}-field-old", f"{key}-field-new"
    pattern_key = f"{key}-field-{pattern.name}"
    rows: tuple[int, ...] = st.session_state.get(f"{key}-field-{field.name}", ())
    texts = classes_texts(labels, rows)
    for name, text in zip((old, new), texts, strict=True):
        st.session_state.setdefault(name, text)

    def submit() -> None:
        def save_rows() -> None:
            typed = st.session_state[old], st.session_state[new] or ""
            # Unchanged texts keep the step's rows, which the texts alone may not determine.
            wanted = rows if rows and typed == texts else rows_for(*map(labels_of, typed)).rows
            save(kind(**{pattern.name: st.session_state[pattern_key], field.name: wanted}))

        _try(key, save_rows)

    with st.form(f"{key}-form", border=False):
        _widget(pattern, pattern_key)
        left, right = st.columns(2)
        left.text_area("The file’s classes, one per line", key=old, height=180)
        right.text_area("Wanted classes, one per line", key=new, height=180)
        st.form_submit_button(plain(label), key=f"{key}-save", on_click=submit)


def _close(key: str) -> None:
    st.session_state[f"{key}-kind"] = None
    _reset(key)


def _reset(key: str) -> None:
    """Forget the step that is being edited, the error and what the fields contain."""
    st.session_state[f"{key}-editing"] = None
    st.session_state[f"{key}-form-error"] = None
    names = {field.name for kind in KINDS for field in kind.form.fields}
    for name in (*names, "old", "new"):
        st.session_state.pop(f"{key}-field-{name}", None)
