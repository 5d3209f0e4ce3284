"""What a link tells of its page beside the bench: the filters, the tab, the chosen row.

A value has a name such as `inspect-search`: the page, and what the link calls it. It lies under a
key of the session's state, as a widget's value does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import streamlit as st

_LINKED = "loupe-linked"
"""The key of the texts that the link had and no page has asked for yet, by name."""

_SHARED = "loupe-shared"
"""The key of what a link would tell: name → the key of its value, and the text that is left out."""


def take_link(page: str) -> None:
    """Keep what the link that opened this session tells of `page`, until the page asks for it."""
    if _LINKED not in st.session_state:
        query = st.query_params.to_dict()
        st.session_state[_LINKED] = {f"{page}-{name}": text for name, text in query.items()}


def linked(name: str) -> str | None:
    """The link's text for a name: at the first question, and only if the link has one."""
    texts: dict[str, str] = st.session_state.get(_LINKED, {})
    return texts.pop(name, None)


def shared(
    name: str,
    default: object = None,
    read: Callable[[str], object] = str,
    key: str | None = None,
) -> str:
    """Have links tell a value, and take the one of the link that opened this session.

    Called before the widget is drawn. `key` is the widget's, by default the name, and is returned.
    Links leave out the `default`, which it has at first. `read` makes a value of a link's text, or
    None if it is not one of the widget's.
    """
    key = key or name
    st.session_state.setdefault(_SHARED, {})[name] = (key, _text(default))
    text = linked(name)
    value = None if text is None else read(text)
    if value is not None and key not in st.session_state:
        st.session_state[key] = value
    return key


def tell(name: str, value: object) -> None:
    """Have links tell a value that no widget has, such as the key of a table's chosen row."""
    st.session_state[shared(name)] = value


def one_of(options: Collection[Any]) -> Callable[[str], object]:
    """Reads the option with a text, as `shared` asks for it."""
    return {str(option): option for option in options}.get


def some_of(options: Collection[Any]) -> Callable[[str], object]:
    """Reads several options with commas between them, none of an empty text."""

    def read(text: str) -> object:
        by_text = {str(option): option for option in options}
        parts = text.split(",") if text else []
        return [by_text[part] for part in parts] if all(map(by_text.get, parts)) else None

    return read


def view(page: str) -> Mapping[str, str]:
    """What a link to the page, as it was last drawn, tells beside the bench: name → text."""
    told: Mapping[str, tuple[str, str]] = st.session_state.get(_SHARED, {})
    texts = {}
    for name, (key, left_out) in told.items():
        of_page, _, short = name.partition("-")
        text = _text(st.session_state[key]) if key in st.session_state else left_out
        if of_page == page and text != left_out:
            texts[short] = text
    return texts


def _text(value: object) -> str:
    if value is None:
        return ""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
