"""The form for a fix of one's own: every kind, its fields, and a table for new names."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import streamlit as st

from core.errors import FixError
from core.fixes import (
    CASTS,
    AdaptInput,
    AddBatchStatistics,
    AddPrefix,
    CastDtype,
    Dequantize,
    Drop,
    DropMismatched,
    Fix,
    Fuse,
    Keep,
    MergeLora,
    Recipe,
    Rename,
    RenameTable,
    ResamplePositions,
    Reshape,
    SelectClasses,
    Split,
    StripPrefix,
    Transpose,
    Untie,
    WeightNorm,
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

Change = Callable[[Recipe], None]

LARGEST_MB = 20
"""Of a table of names in a file."""


@dataclass(frozen=True, slots=True)
class FixKind:
    """A kind of fix in the form: its name there, what it is good for, and its fields' defaults."""

    fix: type[Fix]
    title: str
    about: str
    defaults: Mapping[str, object] = field(default_factory=dict)


KINDS = (
    FixKind(
        StripPrefix,
        "Strip a prefix",
        "Takes `module.` or the like off the keys; `*` stands for any text inside one part.",
    ),
    FixKind(AddPrefix, "Add a prefix", "Puts text in front of every key."),
    FixKind(Keep, "Keep only", "Keeps the keys that match, drops all others."),
    FixKind(Drop, "Drop", "Drops the keys that match."),
    FixKind(Rename, "Rename by regex", r"Groups in the pattern are `\1`, `\2` in the new name."),
    FixKind(
        RenameTable,
        "Rename by a table",
        "Gives keys new names one by one; rows without a new name are left out.",
    ),
    FixKind(
        DropMismatched,
        "Drop what has another shape",
        "Drops tensors whose shape is not the network's, so that the rest can be loaded.",
    ),
    FixKind(CastDtype, "Cast to a dtype", "Changes floating-point tensors when they are read."),
    FixKind(
        SelectClasses,
        "Choose the head's classes",
        "Makes a row for each wanted class: the file's own where a name is in both lists, zeros "
        "for a new one.",
        {"pattern": "fc.*"},
    ),
    FixKind(
        AdaptInput,
        "Adapt the input's channels",
        "Sums or repeats the input convolution's channels, as timm does; 0 is as many as the "
        "network wants.",
        {"pattern": "*"},
    ),
    FixKind(
        ResamplePositions,
        "Resample position embeddings",
        "Brings position embeddings and relative position tables to the network's image size.",
        {"pattern": "*"},
    ),
    FixKind(
        Split,
        "Split a fused tensor",
        "Cuts `qkv` into `q`, `k` and `v`, or the like, along the first dimension.",
        {"fused": "qkv", "parts": "q, k, v"},
    ),
    FixKind(
        Fuse,
        "Fuse tensors",
        "Joins `q`, `k` and `v` into `qkv`, or the like, along the first dimension.",
        {"parts": "q, k, v", "fused": "qkv"},
    ),
    FixKind(Transpose, "Transpose", "Exchanges rows and columns, as GPT-2's Conv1D needs it."),
    FixKind(
        Reshape,
        "Add or remove dimensions of 1",
        "Where the network wants it: a 1 × 1 convolution into a linear layer, or back.",
        {"pattern": "*"},
    ),
    FixKind(
        WeightNorm, "Weight norm", "Folds `weight_g` and `weight_v`, or brings them to other names."
    ),
    FixKind(
        AddBatchStatistics,
        "Add BatchNorm's default statistics",
        "Mean 0, variance 1, counter 0, where the network wants them and the file has none.",
    ),
    FixKind(
        MergeLora,
        "Merge LoRA adapters",
        "Adds alpha / r · B A to the base weights; alpha 0 is the file's own, or else r.",
    ),
    FixKind(Dequantize, "Dequantize", "Makes quantized tensors float32 when they are read."),
    FixKind(
        Untie,
        "Untie shared storages",
        "Gives each key its own storage, where several share one; safetensors wants that.",
    ),
)


def fix_form(
    key: str,
    recipe: Recipe,
    change: Change,
    unexpected: Sequence[str],
    missing: Sequence[str],
    labels: Sequence[str],
) -> None:
    """Adds a step, or changes the one that is being edited.

    `unexpected` and `missing` are the keys that a table of names offers, `labels` the class names
    that the file holds.
    """
    titles = [kind.title for kind in KINDS]
    title = st.selectbox(
        "Add a fix of your own",
        titles,
        index=None,
        placeholder="Choose a kind of fix",
        key=f"{key}-kind",
        on_change=_start_anew,
        args=(key,),
    )
    if title is None:
        return
    kind = KINDS[titles.index(title)]
    editing: int | None = st.session_state.get(f"{key}-editing")
    if editing is not None and editing >= len(recipe.steps):
        editing = None

    def save(fix: Fix) -> None:
        _close(key)
        change(with_fix(recipe, fix) if editing is None else with_fix_at(recipe, editing, fix))

    label = "Add to the recipe" if editing is None else f"Change step {editing + 1}"
    st.caption(plain_sentence(kind.about))
    if kind.fix is RenameTable:
        _table_form(key, label, unexpected, missing, save)
    elif kind.fix is SelectClasses:
        _classes_form(key, kind, label, labels, save)
    else:
        _plain_form(key, kind, label, save)
    if error := st.session_state.get(f"{key}-form-error"):
        st.error(plain_sentence(error), icon=":material/error:")


def edit_fix(key: str, index: int, fix: Fix) -> None:
    """Open the form for a step of the recipe, filled with its fields."""
    kind = next(kind for kind in KINDS if isinstance(fix, kind.fix))
    _start_anew(key)
    st.session_state[f"{key}-kind"] = kind.title
    st.session_state[f"{key}-editing"] = index
    for name in kind.fix.__dataclass_fields__:
        value = getattr(fix, name)
        st.session_state[f"{key}-field-{name}"] = parts_text(value) if name == "parts" else value


def _plain_form(key: str, kind: FixKind, label: str, save: Callable[[Fix], None]) -> None:
    names = [name for name in FIELDS if name in kind.fix.__dataclass_fields__]

    def submit() -> None:
        _try(key, lambda: save(kind.fix(**{name: _value(f"{key}-field-{name}") for name in names})))

    with st.form(f"{key}-form", border=False):
        for name in names:
            field_key = f"{key}-field-{name}"
            if name in kind.defaults:
                st.session_state.setdefault(field_key, kind.defaults[name])
            FIELDS[name](field_key)
        st.form_submit_button(plain(label), key=f"{key}-save", on_click=submit)


def _value(field_key: str) -> Any:
    value = st.session_state[field_key]
    if field_key.endswith("-parts"):
        return parts_of(value)
    return value


def _try(key: str, act: Callable[[], None]) -> None:
    """Do it, and keep the sentence where it cannot be done."""
    try:
        act()
    except FixError as error:
        st.session_state[f"{key}-form-error"] = str(error)
    else:
        st.session_state[f"{key}-form-error"] = None


def _table_form(
    key: str,
    label: str,
    unexpected: Sequence[str],
    missing: Sequence[str],
    save: Callable[[Fix], None],
) -> None:
    kept: tuple[tuple[str, str], ...] = st.session_state.get(f"{key}-field-table") or ()
    rows = dict(kept) or dict.fromkeys(unexpected, "")
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
        with st.expander(f"The {len(missing):,} keys that the network lacks"):
            st.code("\n".join(map(visible, missing[:1000])), language=None)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            plain(label),
            key=f"{key}-save",
            on_click=lambda: _try(key, lambda: save(RenameTable(table_of(pairs)))),
        )
        named = {str(pair["old"]): str(pair["new"] or "") for pair in pairs if pair["old"]}
        st.download_button(
            "Table as JSON",
            json.dumps(named, indent=1),
            "names.json",
            "application/json",
            key=f"{key}-table-save",
            type="tertiary",
            on_click="ignore",
        )
    box = f"{key}-table-file"
    st.file_uploader(
        "Or take the names from a JSON file",
        ["json"],
        max_upload_size=LARGEST_MB,
        key=box,
        on_change=lambda: _try(key, lambda: _take_table(key, box)),
    )


def _take_table(key: str, box: str) -> None:
    uploaded = st.session_state[box]
    if uploaded is None:
        return
    try:
        value = json.loads(uploaded.getvalue())
    except (ValueError, RecursionError) as error:
        raise FixError("This file is not JSON.", 'Give {"old.weight": "new.weight"}.') from error
    st.session_state[f"{key}-field-table"] = table_from_json(value)


def _classes_form(
    key: str, kind: FixKind, label: str, labels: Sequence[str], save: Callable[[Fix], None]
) -> None:
    old, new = f"{key}-field-old", f"{key}-field-new"
    st.session_state.setdefault(f"{key}-field-pattern", kind.defaults["pattern"])
    rows: tuple[int, ...] = st.session_state.get(f"{key}-field-rows", ())
    texts = classes_texts(labels, rows)
    for name, text in zip((old, new), texts, strict=True):
        st.session_state.setdefault(name, text)

    def submit() -> None:
        def made() -> None:
            typed = st.session_state[old], st.session_state[new] or ""
            wanted = rows if rows and typed == texts else rows_for(*map(labels_of, typed)).rows
            save(SelectClasses(st.session_state[f"{key}-field-pattern"], wanted))

        _try(key, made)

    with st.form(f"{key}-form", border=False):
        st.text_input("Keys of the head", key=f"{key}-field-pattern", required=True)
        left, right = st.columns(2)
        left.text_area("The file’s classes, one a line", key=old, height=180)
        right.text_area("Wanted classes, one a line", key=new, height=180)
        st.form_submit_button(plain(label), key=f"{key}-save", on_click=submit)


def _text(label: str, placeholder: str = "") -> Callable[[str], None]:
    def draw(key: str) -> None:
        st.text_input(plain(label), key=key, placeholder=placeholder, required=bool(placeholder))

    return draw


def _choice(label: str, options: Sequence[str]) -> Callable[[str], None]:
    def draw(key: str) -> None:
        st.session_state.setdefault(key, options[0])
        st.segmented_control(plain(label), options, required=True, key=key)

    return draw


def _in_chans(key: str) -> None:
    st.session_state.setdefault(key, 0)
    st.number_input("Channels", min_value=0, max_value=1_000_000, key=key)


def _alpha(key: str) -> None:
    st.session_state.setdefault(key, 0.0)
    st.number_input("alpha", min_value=0.0, max_value=1e6, step=1.0, format="%g", key=key)


def _anywhere(key: str) -> None:
    st.checkbox("Wherever it stands in a key, not at the start only", key=key)


def _dtype(key: str) -> None:
    st.selectbox("dtype", CASTS, key=key)


FIELDS: dict[str, Callable[[str], None]] = {
    "prefix": _text("Prefix", "module."),
    "anywhere": _anywhere,
    "fused": _text("Fused, as it stands in the keys", "qkv"),
    "parts": _text("Parts in their order", "q, k, v"),
    "pattern": _text("Pattern", "fc.*"),
    "syntax": _choice("Read the pattern as", ["glob", "regex"]),
    "replacement": _text("New name"),
    "dtype": _dtype,
    "in_chans": _in_chans,
    "method": _choice("As which library does", ["timm", "torchvision"]),
    "to": _choice("Make it", ["folded", "parametrized", "hooked"]),
    "alpha": _alpha,
}
"""A widget for each field that a fix may have, in the order of the form."""


def _close(key: str) -> None:
    st.session_state[f"{key}-kind"] = None
    _start_anew(key)


def _start_anew(key: str) -> None:
    st.session_state[f"{key}-editing"] = None
    st.session_state[f"{key}-form-error"] = None
    for name in (*FIELDS, "table", "rows", "old", "new"):
        st.session_state.pop(f"{key}-field-{name}", None)
