"""Another architecture that takes the same tensors and computes something else, to run beside."""

from __future__ import annotations

import streamlit as st

from core.architectures import Architecture
from core.errors import LoupeError
from core.fit.identify import other_arithmetic
from core.fit.index import Lookup
from core.fit.lookalikes import Relation
from core.plain_text import plain
from pages.components.cached import cached
from pages.components.resources import index_keeper


def lookalike_picker(slot: str, architecture: Architecture) -> Architecture | None:
    """Draw a choice of the architectures that the slot's tensors fit too, if there are any.

    Returns the chosen one, with the slot's options; None if none is chosen, and while the index of
    architectures is not ready.
    """
    try:
        lookup = index_keeper().lookup()
    except LoupeError:
        return None
    related = _related(architecture, lookup) if lookup is not None else ()
    if not related:
        return None
    differences = {other: ", ".join(relation.differences) for other, relation in related}
    words = {
        other: ": ".join(filter(None, (f"{other.library} {other.name}", differences[other])))
        for other in differences
    }
    chosen = st.selectbox(
        f"Compare {slot} on these images with",
        list(words),
        index=None,
        format_func=words.__getitem__,
        placeholder=f"an architecture that takes the same tensors ({len(words)})",
        help="The keys and shapes fit these architectures too, and they compute something else. "
        "Run both on an image that you know, and see which one recognises it.",
        key=f"lookalike-{slot}",
        persist_state="session",
    )
    if chosen is not None and differences[chosen]:  # a narrow screen cuts off the field's text
        st.caption(f"{plain(chosen.name)} computes something else: {plain(differences[chosen])}.")
    return chosen


@cached(64)
def _related(
    architecture: Architecture, _lookup: Lookup
) -> tuple[tuple[Architecture, Relation], ...]:
    return other_arithmetic(architecture, _lookup.index)
