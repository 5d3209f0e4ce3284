"""The choice of how a model's output is read: which kind of answer, and which of its heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from core.plain_text import visible
from core.predict import Prediction
from core.predict.answers import KIND_WORDS, AnswerKind


def chosen_kinds(slot: str) -> Mapping[str, AnswerKind]:
    """Draw the choice of a kind for the head that is told. Returns it by the head's name; nothing
    where the output is read as what it is."""
    head = st.session_state.get(_head_key(slot)) or ""
    kind = st.selectbox(
        f"Read the output of {slot} as",
        list(KIND_WORDS),
        index=None,
        format_func=lambda kind: f"{kind}: {KIND_WORDS[kind]}",
        placeholder="what it is",
        key=f"kind-{slot}-{head}",
        persist_state="session",
    )
    return {head: kind} if kind is not None else {}


def chosen_head(slot: str, predictions: Sequence[Prediction]) -> str:
    """Draw the choice of a head, if there are several. Returns its name; empty for the main one."""
    names = next(([each.name for each in row.heads] for row in predictions if row.heads), [])
    if len(names) < 2:
        return ""
    return st.selectbox(
        f"The head of {slot} that is shown",
        ["", *names[1:]],
        format_func=lambda name: visible(name or names[0]),
        key=_head_key(slot),
        persist_state="session",
    )


def _head_key(slot: str) -> str:
    return f"head-{slot}"
