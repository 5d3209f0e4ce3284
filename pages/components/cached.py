"""Results that all sessions share, and that are worked out again where they are gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import streamlit as st

P = ParamSpec("P")
T = TypeVar("T")


def cached(most: int, **options: Any) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Keep the newest `most` results of a function, by its arguments; those whose names begin with
    `_` do not count. All sessions get the same result, so nobody may change it.

    `options` are what `st.cache_resource` takes besides; no spinner is shown unless they say so. A
    text of a file may have halves of characters, of which Streamlit's own hash makes an error: they
    count here as what they are.
    """
    options = {"show_spinner": False} | options
    return st.cache_resource(max_entries=most, hash_funcs={str: _encoded}, **options)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
