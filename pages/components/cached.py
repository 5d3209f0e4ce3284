"""Results that all sessions share, and that are computed again if the cache is emptied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import streamlit as st

P = ParamSpec("P")
T = TypeVar("T")


def cached(max_entries: int, **options: Any) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Keep the newest `max_entries` results of a function, by its arguments.

    Arguments whose names begin with `_` are no part of the key. All sessions get the same object,
    so nobody may change it. `options` go to `st.cache_resource`; no spinner is shown by default.
    """
    options = {"show_spinner": False} | options
    # Streamlit's own hash of a str raises on lone surrogates, which a text in a file may contain.
    return st.cache_resource(max_entries=max_entries, hash_funcs={str: _encoded}, **options)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
