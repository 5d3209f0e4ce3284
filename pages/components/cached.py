"""Results that all sessions share, and that are computed again if the cache is emptied."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any, ParamSpec, TypeVar

import streamlit as st

from core.checkpoint import Checkpoint

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


def told_by(checkpoint: Checkpoint) -> str:
    """A key of all that a checkpoint tells beyond its tensors: what is in it, its name and folder,
    which may tell its weights, and the configurations beside it.

    An upload under another name has the same identity.
    """
    told = (checkpoint.identity, checkpoint.name, checkpoint.folder, repr(checkpoint.configs))
    return sha256(repr(told).encode("utf-8", "surrogatepass")).hexdigest()


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
